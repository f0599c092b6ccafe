"""GuitarML and Proteus JSON: a recurrent network of torch, a linear layer, and the input added.

y = lin(rec(x)) + x[..., :skip]. The weights are a state dict in JSON, under `rec.` and `lin.`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from codegen.errors import LayerError, Problem, ReadError
from codegen.model import Model, Ref
from codegen.readers.audio.chain import AudioFile, Chain, opened
from codegen.readers.options import Options
from codegen.readers.settings import Config, show
from codegen.readers.torch import layers as torch_layers
from codegen.readers.torch.description import unknown
from codegen.readers.torch.tensors import MAX_TENSORS, Stored

MODEL = "SimpleRNN"
UNITS = ("LSTM", "GRU", "RNN")
Found = TypeVar("Found")
_KEYS = (
    "model", "unit_type", "input_size", "hidden_size", "output_size", "num_layers", "skip",
    "bias_fl",
)  # fmt: skip


def read(path: Path, options: Options) -> Model:
    """The model of a file."""
    file = opened(path, options)
    data, state = file.value["model_data"], file.value["state_dict"]
    for key, part in (("model_data", data), ("state_dict", state)):
        if not isinstance(part, dict):
            raise ReadError(f"{file.label}: {key} is {show(part)}, expected an object")
    if len(state) > MAX_TENSORS:
        raise ReadError(f"{file.label}: holds {len(state)} tensors")
    problems = [
        _problem(f"model_data has {unknown(key, _KEYS)}") for key in data if key not in _KEYS
    ]
    given = Config(data)

    def taken(read: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return read()
        except LayerError as error:
            problems.append(_problem(str(error)))
            return otherwise

    taken(lambda: given.text("model", choices=(MODEL,)), MODEL)
    unit = taken(lambda: given.text("unit_type", choices=UNITS), "LSTM")
    width = taken(lambda: given.integer("input_size"), 1)
    hidden = taken(lambda: given.integer("hidden_size"), 1)
    outputs = taken(lambda: given.integer("output_size"), 1)
    depth = taken(lambda: given.integer("num_layers", 1), 1)
    skip = taken(lambda: given.integer("skip", low=0), 0)
    bias = taken(lambda: given.flag("bias_fl", True), True)
    if skip > width or skip not in (0, 1, outputs):
        problems.append(_problem(f"skip is {skip}, of {width} inputs and {outputs} outputs"))
    chain = Chain(width)
    tensors = _tensors(file, state, problems)
    if problems:
        return chain.model(file, "guitarml", chain.input, problems)
    options_of = {
        "rec": (unit, {"input_size": width, "hidden_size": hidden, "num_layers": depth}),
        "lin": ("Linear", {"in_features": hidden, "out_features": outputs, "bias": bias}),
    }
    end, used = chain.input, set[str]()
    for name, (class_name, said) in options_of.items():
        end = _layer(file, chain, end, (name, class_name), said, tensors, used)
    left = [f"{name} ({found})" for name, found in tensors.items() if name not in used]
    if left:
        problems.append(_problem(f"state_dict holds what no layer uses: {', '.join(left[:20])}"))
    if skip:
        x = chain.input if width == skip else chain.columns(chain.input, 0, skip, "signal")
        end = chain.merged("add", end, x, "skip")
    return chain.model(file, "guitarml", end, problems)


def _problem(message: str) -> Problem:
    return Problem("model", "GuitarML", message)


def _tensors(
    file: AudioFile, state: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for name, value in state.items():
        try:
            found = file.numbers(value, name)
        except LayerError as error:
            problems.append(_problem(str(error)))
            continue
        tensors[name] = Stored(found.shape, "float32", lambda found=found: found)  # type: ignore[misc]
    return tensors


def _layer(
    file: AudioFile,
    chain: Chain,
    x: Ref,
    names: tuple[str, str],
    said: dict[str, Any],
    tensors: Mapping[str, Stored],
    used: set[str],
) -> Ref:
    """A layer of torch under the prefix of its tensors."""
    name, class_name = names
    prefix = f"{name}."
    own = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
    bound = torch_layers.Bound(
        chain.name(name), class_name, Config(said), own, 3, allow_nonfinite=file.allow_nonfinite
    )
    try:
        for layer in torch_layers.build(bound, 1):
            x = chain.add(layer, x)
        used |= {prefix + key for key in bound.used}
    except LayerError as error:
        used |= {prefix + key for key in own}
        x = chain.refuse(name, class_name, error, x)
    return x
