"""One value of a correct configuration changed to another legal one.

What Keras computes from the changed configuration, with the same weights where they fit, has to be
what the converted model computes, or the model has to be refused. A setting that changes what Keras
computes and nothing here is found by this, whoever remembered it when the tests were written.
"""

from __future__ import annotations

import copy
import json
import random
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from codegen.errors import CodegenError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers.keras.reader import Reader
from codegen.readers.options import Options
from tests.random_models.build import Spec, randomised
from tests.random_models.judge import (
    CHAOS,
    ENOUGH,
    REFUSED_LENGTH,
    TIGHT,
    KerasCannotError,
    Run,
    computed,
    farthest,
    reset,
    rounding,
    run,
    shapes_of,
)
from tests.random_models.table import ACTIVATIONS
from tests.support.fixtures import Case, cases

Place = tuple[Any, ...]

# Settings whose values are names, and the names.
NAMES: dict[str, tuple[Any, ...]] = {
    "padding": ("valid", "same", "causal"),
    "data_format": ("channels_first", "channels_last"),
    "merge_mode": ("concat", "sum", "mul", "ave", None),
    "output_mode": (
        "one_hot",
        "multi_hot",
        "count",
    ),  # not int: other dtypes then meet other layers
    "interpolation": ("nearest", "bilinear", "bicubic"),
    "score_mode": ("dot", "concat"),
    "activation": ACTIVATIONS,
    "recurrent_activation": ACTIVATIONS,
    "mode": ("constant", "reflect", "symmetric"),
}
# A value in place of None.
USUAL: dict[str, tuple[Any, ...]] = {
    "strides": (1, 2),
    "output_padding": (1,),
    "max_value": (0.5,),
    "shared_axes": ([1],),
    "value_dim": (2,),
    "output_shape": (3,),
    "attention_axes": ([1],),
    "sliding_window": (1, 2),
    "bias_axes": ("d", "c"),
    "backward_layer": (),
}
# What no reader of numbers needs to look at: they say how weights were made or trained, how a
# model is called, or what is elsewhere as well.
PASSED = (
    "name", "trainable", "seed", "dtype", "registered_name", "module", "class_name", "build_config",
    "kernel_initializer", "bias_initializer", "recurrent_initializer", "gamma_initializer",
    "beta_initializer", "keras_history", "shape", "batch_shape", "input_layers", "output_layers",
    "moving_mean_initializer", "moving_variance_initializer", "embeddings_initializer",
    "alpha_initializer", "depthwise_initializer", "pointwise_initializer", "sparse", "ragged",
    "optional", "lora_rank", "lora_alpha", "quantization_config", "compile_config", "function",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """The value at a place in a configuration, and what it becomes."""

    place: Place
    old: Any
    new: Any
    owner: str  # the class whose setting it is

    @property
    def key(self) -> str:
        words = [p for p in self.place if isinstance(p, str)]
        return f"{self.owner}.{words[-1]}"


def changes(config: Any, r: random.Random) -> list[Change]:
    """Every legal change of one value, in the order of the configuration."""
    found = []
    for place, old, owner in _values(config, (), ""):
        key = next(p for p in reversed(place) if isinstance(p, str))
        found += [
            Change(place, old, new, owner)
            for new in _others(key, old, r)
            if new != old or type(new) is not type(old)
        ]
    return found


def _values(value: Any, place: Place, owner: str) -> Iterator[tuple[Place, Any, str]]:
    if isinstance(value, dict):
        owner = value["class_name"] if isinstance(value.get("class_name"), str) else owner
        if owner in ("__keras_tensor__", "DTypePolicy", "InputLayer") or owner.endswith(
            ("Initializer", "Uniform", "Normal", "Orthogonal")
        ):
            return
        for key, inner in value.items():
            if key not in PASSED:
                yield from _values(inner, (*place, key), owner)
    elif isinstance(value, list):
        yield place, value, owner
        for number, inner in enumerate(value):
            yield from _values(inner, (*place, number), owner)
    elif place:
        yield place, value, owner


def _others(key: str, old: Any, r: random.Random) -> list[Any]:
    if key in NAMES and (isinstance(old, str) or old is None):
        return r.sample(NAMES[key], min(3, len(NAMES[key])))
    if isinstance(old, bool):
        return [not old]
    if isinstance(old, int):
        return [old + 1, old - 1] + ([-old] if key in ("axis", "axes") else [])
    if isinstance(old, float):
        if key == "negative_slope":  # above 1 the backends of Keras disagree
            return [old * 0.5 + 0.1]
        larger = old * 1.5 + 0.1
        return [larger, -old] if old and key != "epsilon" else [larger]
    if old is None:
        return list(USUAL.get(key, ()))
    if isinstance(old, list) and 1 < len(old) < 5 and all(isinstance(v, (int, float)) for v in old):
        return [old[::-1]] if old[::-1] != old else []
    return []


def changed(config: Any, change: Change) -> Any:
    """A copy of the configuration with the change."""
    config = copy.deepcopy(config)
    inner = config
    for part in change.place[:-1]:
        inner = inner[part]
    inner[change.place[-1]] = change.new
    return config


def backends_differ(text: str) -> bool:
    """Whether the NumPy of Keras computes something else than its TensorFlow, which is right here.

    It has no epsilon in a normalised Dot, forgets the zeros of masked steps where it unrolls, and
    gives the state, not zeros, before the first step that counts.
    """
    zeroes = '"zero_output_for_mask": true' in text or '"Bidirectional"' in text
    masked = any(word in text for word in ('"Masking"', '"mask_zero": true', '"mask": {'))
    return (
        '"normalize": true' in text
        or (zeroes and '"unroll": true' in text)
        or (masked and '"stateful": true' in text)
    )


@dataclass(frozen=True)
class Result:
    """What came of a change: agrees, refused, keras, differs or crash."""

    what: str
    matters: bool = False  # Keras computes something else
    message: str = ""


def judged(config: Any, change: Change, live: Run, seed: int) -> Result:
    """Keras' answer to the changed configuration against that of the converted model."""
    value = changed(config, change)
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        text = json.dumps(value)
        if backends_differ(text):
            return Result("keras", message="its backends differ")
        try:
            keras.utils.clear_session(free_memory=False)
            model = keras.models.model_from_json(text)
            randomised(model, seed)
            mine, given = live.model.weights, model.weights
            if [w.shape for w in mine] == [w.shape for w in given]:
                for weight, other in zip(given, mine, strict=True):
                    weight.assign(np.asarray(other))
            reset(model)
            wanted = [computed(model, inputs) for inputs in live.calls]
            path, other = Path(name) / "model.weights.h5", Path(name) / "config.json"
            model.save_weights(path)
        except Exception as error:  # noqa: BLE001  # whatever Keras raises
            return Result("keras", message=str(error)[:200])
        if not all(np.isfinite(y).all() and y.size for ys in wanted for y in ys):
            return Result("keras", message="not finite")
        matters = (
            shapes_of(wanted) != shapes_of(live.expected) or farthest(wanted, live.expected) > TIGHT
        )
        other.write_text(text, encoding="utf-8")
        try:
            lowered = lower(Reader(path, other, Options(other)).model())
            reference = Reference(lowered, len(live.calls[0][0]))
            found = [list(reference.predict(*inputs)) for inputs in live.calls]
        except CodegenError as error:
            return Result("refused", matters, str(error))
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            refused = REFUSED_LENGTH in str(error)
            return Result("refused" if refused else "crash", matters, repr(error))
        if shapes_of(found) != shapes_of(wanted):
            return Result(
                "differs", matters, f"shapes {shapes_of(found)}, Keras has {shapes_of(wanted)}"
            )
        error = farthest(found, wanted)
        if error > TIGHT and error > ENOUGH * (own := rounding(model, live.calls, wanted)):
            if own > CHAOS:
                return Result("keras", matters, "rounding decides")
            return Result("differs", matters, f"by {error:.2g}")
        return Result("agrees", matters)


def of_spec(spec: Spec) -> tuple[Any, Run]:
    """The configuration of a random model, and the model."""
    live = run(spec)
    return unbuilt(json.loads(live.model.to_json())), live


def unbuilt(value: Any) -> Any:
    """A configuration without the shapes that layers were built for, which a change makes wrong."""
    if isinstance(value, dict):
        kept = {k: unbuilt(v) for k, v in value.items() if k != "build_config"}
        return value if value.get("class_name") == "Sequential" else kept
    return [unbuilt(v) for v in value] if isinstance(value, list) else value


@cache
def recorded() -> tuple[Case, ...]:
    """The recorded models of the newest Keras, which can be loaded and called.

    Those of half precision are left out: Keras rounds there, and what is converted does not.
    """
    whole = (case for case in cases("keras3_15") if case.calls and _whole(case).exists())
    return tuple(case for case in whole if "float16" not in case.name)


def _whole(case: Case) -> Path:
    return case.folder / "model.keras"


def of_case(case: Case, seed: int) -> tuple[Any, Run]:
    """The configuration of a recorded model, and the model with random weights."""
    try:
        with zipfile.ZipFile(_whole(case)) as archive:
            config = unbuilt(json.loads(archive.read("config.json")))
        keras.utils.clear_session(free_memory=False)
        model = randomised(keras.models.model_from_json(json.dumps(config)), seed)
        calls = [list(call.inputs) for call in case.calls if call.outputs]
        reset(model)
        return config, Run(model, calls, [computed(model, inputs) for inputs in calls])
    except Exception as error:  # whatever Keras raises
        raise KerasCannotError(str(error)[:300]) from error
