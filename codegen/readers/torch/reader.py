"""From weights and the description of their layers to a `Model`.

pickles.py zips.py legacy.py  state dicts of torch, whose pickles are interpreted, never run
safetensors.py npz.py plain.py  the other files of weights (plain: JSON)
tensors.py state_dict.py      tensors by name, whatever file they came from
description.py                LAYERS.json: which layers the weights belong to
layers/                       class, options and tensors -> canonical layers
live/                         a torch module, traced by torch.fx
propose.py                    tensors -> the LAYERS.json that fits them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.core import Embedding
from codegen.model import Graph, Input, Layer, Model, Node, Ref, Unsupported
from codegen.readers import sniff
from codegen.readers.files import archive
from codegen.readers.files.limits import Budget, Digest
from codegen.readers.options import Options
from codegen.readers.settings import parse_object
from codegen.readers.torch import (
    description,
    layers,
    legacy,
    npz,
    plain,
    propose,
    safetensors,
    zips,
)
from codegen.readers.torch.description import Description, Entry
from codegen.readers.torch.tensors import Stored, Weights

UNUSED = "num_batches_tracked"  # of a BatchNorm: only training counts them


def read(path: Path, options: Options) -> Model:
    """The model of a file of weights with its LAYERS.json."""
    label, digest = path.name, Digest()
    if options.config is None:
        raise ReadError(
            f"{label}: holds weights without their layers; `rnn-codegen inspect {label} --layers "
            "LAYERS.json` writes the description that fits, as far as the tensors tell; then give "
            "it with --config LAYERS.json"
        )
    if options.by_name:
        raise ReadError(f"{label}: its tensors are taken by name anyway; leave --by-name out")
    with opened(path, options) as weights:
        digest.add(path)
        text = digest.text(options.config)
        described = description.parse(text, options.config.name)
        return Assembly(described, weights, options).model(label, digest.short)


def read_module(module: Any, options: Options) -> Model:
    """A live torch module."""
    from codegen.readers.torch.live.walk import read as walk

    return walk(module, options.example, options.states, options)


@dataclass(frozen=True)
class Bare:
    """Weights without a description, and the one that would fit."""

    source: str
    format: str
    writer: str
    tensors: tuple[tuple[str, tuple[int, ...], str], ...]  # name, shape, type
    parameters: int
    proposal: dict[str, Any]


def bare(path: Path, options: Options) -> Bare:
    """What is known of weights without a description."""
    with opened(path, options) as weights:
        return Bare(
            path.name,
            weights.format,
            weights.writer,
            tuple((name, found.shape, found.dtype) for name, found in weights.tensors.items()),
            propose.parameters(weights.tensors),
            propose.propose(weights.tensors),
        )


@contextmanager
def opened(path: Path, options: Options) -> Iterator[Weights]:
    """What a file of weights holds; its numbers can be read while it is open."""
    label, budget = path.name, Budget(options.max_bytes)
    kind = sniff.kind(path, label)
    try:
        if kind in _ARCHIVES:
            with archive.opened(path, label) as found:
                yield _ARCHIVES[kind](found, label, budget)
        else:
            yield _FILES[kind](path, label, budget)
    except OSError as error:
        raise ReadError(f"{label}: cannot be read ({error.strerror})") from None


def _json(path: Path, label: str, budget: Budget) -> Weights:
    return plain.read(parse_object(Digest().text(path), label), label, budget)


_ARCHIVES: dict[str, Callable[[archive.Archive, str, Budget], Weights]] = {
    sniff.TORCH_ZIP: zips.read,
    sniff.NPZ: npz.read,
}
_FILES: dict[str, Callable[[Path, str, Budget], Weights]] = {
    sniff.TORCH_LEGACY: legacy.read,
    sniff.SAFETENSORS: safetensors.read,
    sniff.TORCH_JSON: _json,
}


@dataclass
class Assembly:
    """Builds the graph of a description, and keeps account of the tensors."""

    described: Description
    weights: Weights
    options: Options
    used: set[str] = field(default_factory=set)

    def model(self, label: str, digest: str) -> Model:
        """The model; what cannot be built is an Unsupported in it."""
        nodes = [
            Node(Input(name=name, class_name="Input", shape=shape))
            for name, shape in self.described.inputs.items()
        ]
        count = len(nodes)
        places = {
            name: _Place(number, len(shape) + 1, False)
            for number, (name, shape) in enumerate(self.described.inputs.items())
        }
        for entry in self.described.layers:
            inputs = [places[name] for name in entry.inputs]
            refs = tuple(Ref(place.node) for place in inputs)
            bound = self._bound(entry, inputs)
            for layer in self._built(entry, bound):
                nodes.append(Node(layer, refs))
                refs = (Ref(len(nodes) - 1),)
            places[entry.name] = _Place(len(nodes) - 1, bound.rank, bound.turned)
        ends = tuple(Ref(places[name].node) for name in self.described.outputs)
        nodes[:count] = [Node(_typed(nodes, number)) for number in range(count)]
        return Model(
            name=self.described.name,
            graph=Graph(tuple(nodes), tuple(range(count)), ends),
            format=self.weights.format,
            writer=self.weights.writer,
            source=label,
            digest=digest,
            dtype=self._dtype(),
            problems=(*self._left_over(), *self._unread()),
        )

    def _bound(self, entry: Entry, inputs: Sequence[_Place]) -> layers.Bound:
        """What a builder takes."""
        prefix = _prefix(entry)
        own: dict[str, Stored] = {}
        if entry.weights is not None:
            cut = len(prefix)
            own = {n[cut:]: t for n, t in self.weights.tensors.items() if n.startswith(prefix)}
        return layers.Bound(
            entry.name,
            entry.class_name,
            entry.options,
            own,
            max(place.rank for place in inputs),
            ranks=tuple(place.rank for place in inputs),
            turned=any(place.turned for place in inputs),
            allow_nonfinite=self.options.allow_nonfinite,
        )

    def _built(self, entry: Entry, bound: layers.Bound) -> tuple[Layer, ...]:
        """The layers of an entry, or an Unsupported that says why there are none."""
        prefix = _prefix(entry)
        try:
            kind = layers.KINDS.get(entry.class_name)
            if entry.weights is None and kind is not None and kind.has_weights:
                raise LayerError('"weights" is missing: the prefix of its tensors')
            if entry.weights is not None and not bound.tensors:
                raise LayerError(self._no_prefix(entry.weights))
            found = layers.build(bound, len(entry.inputs))
            self.used |= {prefix + name for name in bound.used}
        except LayerError as error:
            self.used |= {prefix + name for name in bound.tensors}
            return (Unsupported(name=entry.name, class_name=entry.class_name, message=str(error)),)
        return found

    def _no_prefix(self, prefix: str) -> str:
        there = dict.fromkeys(name.rpartition(".")[0] for name in self.weights.tensors)
        shown = ", ".join(repr(name) for name in list(there)[:20])
        more = f" and {len(there) - 20} more" if len(there) > 20 else ""
        return f"no tensor of the file begins with {prefix!r} and a dot; found: {shown}{more}"

    def _left_over(self) -> tuple[Problem, ...]:
        left = [
            f"{name} ({found})"
            for name, found in self.weights.tensors.items()
            if name not in self.used and name.rpartition(".")[2] != UNUSED
        ]
        if not left:
            return ()
        shown = ", ".join(left[:20]) + (f" and {len(left) - 20} more" if len(left) > 20 else "")
        return (
            Problem(
                self.described.name,
                "tensors",
                f"no layer of the description uses {shown}; describe their layers too, or save "
                "the file without them",
            ),
        )

    def _unread(self) -> tuple[Problem, ...]:
        """Inputs and layers from which nothing comes out."""
        read = {name for entry in self.described.layers for name in entry.inputs}
        read |= set(self.described.outputs)
        names = (*self.described.inputs, *(entry.name for entry in self.described.layers))
        return tuple(
            Problem(name, "output", 'no layer takes it ("from"), and "outputs" does not name it')
            for name in names
            if name not in read
        )

    def _dtype(self) -> str:
        kinds = {self.weights.tensors[name].dtype for name in self.used}
        return "float64" if "float64" in kinds else "float32"


@dataclass(frozen=True)
class _Place:
    """Where the output of a named layer is: its node; see Bound for the others."""

    node: int
    rank: int
    turned: bool


def _prefix(entry: Entry) -> str:
    return f"{entry.weights}." if entry.weights else ""


def _typed(nodes: Sequence[Node], number: int) -> Input:
    """The input; one that only Embeddings read is int32, any other is float32."""
    layer = nodes[number].layer
    assert isinstance(layer, Input)
    readers = [node.layer for node in nodes if any(ref.node == number for ref in node.inputs)]
    known = [layer for layer in readers if not isinstance(layer, Unsupported)]
    is_index = known and all(isinstance(layer, Embedding) for layer in known)
    return replace(layer, dtype="int32" if is_index else "float32")
