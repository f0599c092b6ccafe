"""From tensors to the LAYERS.json that fits them, as far as names and shapes tell.

What they do not tell is marked, so that it is refused until it is filled in: a layer of class
`Unknown`, an option that is null, each with a note of what it may be.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codegen.readers.torch.layers import UNKNOWN
from codegen.readers.torch.layers.recurrent import ROWS
from codegen.readers.torch.tensors import Stored

Layer = dict[str, Any]
SEARCHED = 10  # layers whose order is looked for
STEPS = 10_000  # of that search
_UNUSED = "num_batches_tracked"


@dataclass
class Part:
    """A module of the file: its tensors by their names without the prefix."""

    prefix: str
    tensors: dict[str, Stored] = field(default_factory=dict)
    layer: Layer = field(default_factory=dict)
    takes: int | None = None  # width of its input, None where any fits
    gives: int | None = None  # width of its output, None where it is that of its input
    product: bool = False  # an activation may follow
    follows: bool = False  # it belongs to the layer before: a normalisation

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, () where there is none."""
        return self.tensors[name].shape if name in self.tensors else ()


def propose(tensors: Mapping[str, Stored]) -> dict[str, Any]:
    """The object of a LAYERS.json."""
    parts = list(_parts(tensors))
    for number, part in enumerate(parts):
        _classify(part, number == 0)
    stored = parts
    parts, fits = _in_order(parts)
    notes = []
    if not fits:
        notes.append("the widths of these layers do not follow from each other: set their order")
    elif parts != stored:
        names = ", ".join(part.prefix for part in stored)
        notes.append(f"check the order: their widths fit so, and not as they are stored: {names}")
    kinds = {part.layer["class"] for part in parts}
    sequence = bool(kinds & {*ROWS, *(f"{kind}Cell" for kind in ROWS), "Conv1d", "ConvTranspose1d"})
    if sequence and parts[-1].product and parts[-1].layer["class"] == "Linear":
        notes.append('where the model takes the last time step only, add {"class": "Last"} there')
    notes.append("layers without weights are not in the file: activations at the end, skips")
    found: dict[str, Any] = {"input": _input(parts, sequence), "layers": list(_layers(parts))}
    if found["input"] != [None] and None in found["input"][1:]:
        notes.append("lengths of the input besides the first are to be told")
    found["note"] = notes
    return found


def text(proposal: Mapping[str, Any]) -> str:
    """The file: one layer a line."""
    lines = ",\n  ".join(json.dumps(layer) for layer in proposal["layers"])
    note = ",\n  ".join(json.dumps(line) for line in proposal["note"])
    given = json.dumps(proposal["input"])
    return f'{{"note": [\n  {note}],\n "input": {given},\n "layers": [\n  {lines}]}}\n'


def _parts(tensors: Mapping[str, Stored]) -> Iterable[Part]:
    found: dict[str, Part] = {}
    for name, tensor in tensors.items():
        prefix, _, last = name.rpartition(".")
        if last != _UNUSED:
            found.setdefault(prefix, Part(prefix)).tensors[last] = tensor
    return found.values()


# ---- what one module is ---------------------------------------------------------------------


def _classify(part: Part, first: bool) -> None:
    """Set the layer of a part, and its widths."""
    for matches, make in _RULES:
        if matches(part):
            make(part, first)
            break
    else:
        names = ", ".join(f"{name} {list(t.shape)}" for name, t in list(part.tensors.items())[:12])
        _unknown(part, f"what layer has these tensors? {names}")
    part.layer = {"class": part.layer.pop("class"), "weights": part.prefix, **part.layer}


def _unknown(part: Part, note: str) -> None:
    part.layer = {"class": UNKNOWN, "note": note}


def _has(*names: str) -> Callable[[Part], bool]:
    return lambda part: set(names) <= set(part.tensors)


def _recurrent(part: Part, first: bool) -> None:
    cell = "weight_ih" in part.tensors
    suffix = "" if cell else "_l0"
    rows, inputs = part.shape(f"weight_ih{suffix}")
    hidden = part.shape(f"weight_hr{suffix}")[1:] or part.shape(f"weight_hh{suffix}")[1:]
    gates = {len(gates): kind for kind, gates in ROWS.items()}
    kind = gates.get(rows // hidden[0]) if hidden and hidden[0] and rows % hidden[0] == 0 else None
    if kind is None:
        _unknown(part, f"a recurrent layer of {rows} rows, which are not those of {list(ROWS)}")
        return
    depth = 0
    while f"weight_ih_l{depth + 1}" in part.tensors:
        depth += 1
    last = part.shape("weight_hh" if cell else f"weight_hh_l{depth}")
    turns = 2 if "weight_ih_l0_reverse" in part.tensors else 1
    part.takes, part.gives = inputs, (last[1] if len(last) == 2 else 0) * turns
    part.layer = {"class": f"{kind}Cell" if cell else kind}
    if kind == "RNN":
        part.layer |= {"nonlinearity": None, "note": '"tanh" or "relu": the tensors do not tell'}


def _batch_norm(part: Part, first: bool) -> None:
    part.layer = {"class": "BatchNorm1d"}
    part.takes = part.shape("running_mean")[0] if part.shape("running_mean") else None
    part.follows = True


def _matrix(part: Part, first: bool) -> None:
    outputs, inputs = part.shape("weight")
    if "bias" not in part.tensors and re.search("emb", part.prefix, re.IGNORECASE):
        part.layer = {"class": "Embedding"}
        part.gives = inputs
        return
    if "bias" not in part.tensors and first:
        _unknown(part, "an Embedding, or a Linear without bias")
        return
    part.takes, part.gives, part.product = inputs, outputs, True
    part.layer = {"class": "Linear"}


_OPTIONS = "stride, padding and dilation are not in the tensors: 1, 0 and 1 where none was given"


def _window(part: Part, first: bool) -> None:
    shape = part.shape("weight")
    rank = len(shape) - 2
    bias = part.shape("bias")
    transposed = bool(re.search("transpose|deconv", part.prefix, re.IGNORECASE))
    if bias and shape[0] != shape[1]:
        transposed = bias[0] == shape[1]
    names = ("ConvTranspose", "Conv")
    part.layer = {"class": f"{names[not transposed]}{rank}d"}
    part.layer |= {"stride": None, "padding": None, "dilation": None, "note": _OPTIONS}
    inputs, outputs = shape[:2] if transposed else (shape[1], shape[0])
    part.takes, part.gives, part.product = inputs, outputs, True


def _vector(part: Part, first: bool) -> None:
    length = part.shape("weight")[0]
    part.follows = True
    if "bias" not in part.tensors:
        if length == 1:
            part.layer = {"class": "PReLU"}
            return
        part.takes = length
        _unknown(part, "PReLU, RMSNorm, or LayerNorm without bias")
        return
    part.takes = length
    if re.search(r"layer_?norm|(^|[._])ln", part.prefix, re.IGNORECASE):
        part.layer = {"class": "LayerNorm"}
    elif re.search(r"group_?norm|(^|[._])gn", part.prefix, re.IGNORECASE):
        part.layer = {"class": "GroupNorm", "num_groups": None}
        part.layer |= {"note": "how many groups: the tensors do not tell"}
    else:
        _unknown(part, "LayerNorm, GroupNorm (with num_groups), or InstanceNorm1d")


def _of_rank(*ranks: int) -> Callable[[Part], bool]:
    def matches(part: Part) -> bool:
        return set(part.tensors) <= {"weight", "bias"} and len(part.shape("weight")) in ranks

    return matches


def _is_recurrent(part: Part) -> bool:
    return any(len(part.shape(f"weight_ih{suffix}")) == 2 for suffix in ("", "_l0"))


_RULES: tuple[tuple[Callable[[Part], bool], Callable[[Part, bool], None]], ...] = (
    (_is_recurrent, _recurrent),
    (_has("running_mean", "running_var"), _batch_norm),
    (_of_rank(2), _matrix),
    (_of_rank(3, 4), _window),
    (_of_rank(1), _vector),
)


# ---- how they follow each other -------------------------------------------------------------


def _in_order(parts: list[Part]) -> tuple[list[Part], bool]:
    """The parts in an order in which their widths fit, that of the file where it does."""
    if len(parts) > SEARCHED:
        return parts, _is_chain(parts)
    steps = 0
    stack: list[tuple[list[Part], list[Part]]] = [([], parts)]
    while stack and steps < STEPS:
        steps += 1
        chain, rest = stack.pop()
        if not rest:
            return chain, True
        for part in reversed(rest):  # the first in the file is tried first
            longer = [*chain, part]
            if _is_chain(longer[-2:], _width(chain)):
                stack.append((longer, [one for one in rest if one is not part]))
    return parts, False


def _width(chain: list[Part]) -> int | None:
    """The width of what comes out of all but the last."""
    width: int | None = None
    for part in chain:
        width = part.gives or part.takes or width
    return width


def _is_chain(parts: list[Part], width: int | None = None) -> bool:
    """Whether each part takes what the one before gives."""
    if len(parts) < 2:
        return not parts or not parts[0].follows or bool(parts[0].takes)
    width = _width(parts[:-1]) or width
    if len(parts) > 2 and not _is_chain(parts[:-1]):
        return False
    last = parts[-1]
    if last.layer["class"] == "Embedding":
        return False
    if last.layer["class"].startswith("Conv"):  # in groups it names a part of the channels
        return not last.takes or width is None or width % last.takes == 0
    return last.takes is None or width is None or last.takes == width


def _layers(parts: list[Part]) -> Iterable[Layer]:
    """The layers, with a mark where others may stand between two of them."""
    before: Part | None = None
    width: int | None = None
    places = _places(parts)
    for number, part in enumerate(parts):
        gap = places[number]
        if gap:
            yield {"class": UNKNOWN, "note": f"{', '.join(gap)}: without weights"}
        elif gap is None and before is not None and before.product and not part.follows:
            yield {"class": UNKNOWN, "note": "ReLU, Tanh, ... or no layer here at all"}
        layer = part.layer
        if layer["class"].startswith("Conv") and width and part.takes and width != part.takes:
            layer = {**layer, "groups": width // part.takes}
        yield layer
        width = part.gives or part.takes or width
        if layer["class"] == "PReLU":
            before = None
        elif not part.follows:
            before = part


def _places(parts: list[Part]) -> list[list[str] | None]:
    """Before each part the modules without weights, where its number in an nn.Sequential tells.

    None where nothing is known of them: names without numbers, and numbers without any gap, as an
    nn.ModuleList has them, between whose modules anything may be done.
    """
    found: list[list[str] | None] = []
    where = [_numbered(part.prefix) for part in parts]
    for number, place in enumerate(where):
        last = where[number - 1] if number else None
        if place is None:
            found.append(None)
        elif last is None or last[0] != place[0]:
            found.append([_joined(place[0], k) for k in range(place[1])] or None)
        else:
            found.append([_joined(place[0], k) for k in range(last[1] + 1, place[1])])
    gapped = {place[0] for place, gap in zip(where, found, strict=True) if place and gap}
    return [
        gap if place and place[0] in gapped else None
        for place, gap in zip(where, found, strict=True)
    ]


def _numbered(prefix: str) -> tuple[str, int] | None:
    """The prefix of an nn.Sequential and the number in it."""
    parent, _, name = prefix.rpartition(".")
    return (parent, int(name)) if name.isdecimal() and len(name) < 5 else None


def _joined(parent: str, number: int) -> str:
    return f"{parent}.{number}" if parent else str(number)


def _input(parts: list[Part], sequence: bool) -> list[int | None]:
    """The shape of the input."""
    first = parts[0]
    if first.layer["class"] == "Embedding":
        return [None]
    width = first.takes or first.gives
    if first.layer["class"].endswith("2d"):
        return [width, None, None]
    return [None, width] if sequence else [width]


def parameters(tensors: Mapping[str, Stored]) -> int:
    """How many numbers the tensors have."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values())
