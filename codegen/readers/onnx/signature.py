"""Inputs and outputs of the Model: without batch axis and states, time first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from codegen.errors import LayerError, ReadError
from codegen.layers.core import Embedding, Identity
from codegen.model import Array, Graph, Input, Node, Ref, State, Unsupported
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.assembly import MAX_RANK, Assembly
from codegen.readers.onnx.axes import Axis, letters, traced
from codegen.readers.onnx.biases import with_biases
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.file import File
from codegen.readers.onnx.folding import LARGEST
from codegen.readers.onnx.scope import Scope
from codegen.readers.onnx.states import checked_states, initial_states, proposed
from codegen.readers.onnx.tensors import type_name
from codegen.readers.onnx.values import Refused, Value
from codegen.readers.options import Options
from codegen.readers.settings import MAX_INTEGER, Config, clean

STEPS = dims.symbol("steps")


@dataclass(frozen=True)
class Port:
    """An input or output as the file declares it: None where a length is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    symbols: tuple[str, ...] = ()  # the name of each length that is free


class Signature:
    """Makes the graph of the Model.

    With states one run of the graph is one step, and the Model has no axis of time but that of the
    runs. Without them the time axis is one of the graph itself.
    """

    def __init__(self, file: File, options: Options, assembly: Assembly) -> None:
        self._file, self._options, self._assembly = file, options, assembly
        self._proto = file.proto.graph
        self._arrays = file.initialisers(self._proto)
        self._ports = [self._port(x) for x in self._proto.input if x.name not in self._arrays]
        self._outputs = [str(x.name) for x in self._proto.output]
        self._fixed = self._constants()
        names = [port.name for port in self._ports]
        self._states = checked_states(options.states, names, self._outputs, file.label)
        if options.initial_state is not None and not self._states:
            raise ReadError(f"{file.label}: --initial-state without --state IN=OUT")
        self._said = self._axes(names)
        self._traced = traced(self._proto)
        self._batch = self._batch_names()
        self._computed: dict[str, tuple[int | None, ...]] = {}  # the shapes of outputs
        self._drops_time = False  # an input is a sequence of one step, and has no axis for it

    def graph(self) -> Graph:
        """The whole graph."""
        scope = Scope(self._file.opsets)
        scope.names.update(self._fixed)
        given: list[int] = []
        fed: dict[str, Value] = {}
        for port in self._ports:
            if port.name in self._fixed:
                continue
            value = scope.names[port.name] = self._input(port)
            if isinstance(value, Value) and port.name in self._states:
                fed[port.name] = value
            else:  # beside a refused one is an input that stands for it
                given.append(value.ref.node - isinstance(value, Refused))
        found = dict(zip(self._outputs, self._assembly.graph(self._proto, scope), strict=True))
        call = Call(self._assembly, scope, "output", "output", 0, Config({}), (), (), None, {})
        self._computed = {
            name: tuple(n if isinstance(n, int) else None for n in x.shape)
            for name, x in found.items()
            if isinstance(x, Value)
        }
        following = {name: found[out] for name, out in self._states.items()}
        kept = [name for name in self._outputs if name not in self._states.values()]
        outputs = [self._output(call, name, found[name]) for name in kept]
        ends = [self._following(call, fed.get(name), name, x) for name, x in following.items()]
        if not given or not outputs:
            raise ReadError(f"{self._file.label}: the graph has no input, or no output, but states")
        nodes: list[Node] = self._assembly.nodes
        _shorten(nodes)
        refused = any(isinstance(node.layer, Unsupported) for node in nodes)
        if refused or not self._states:
            given += [value.ref.node for value in fed.values()]  # none where no states are bound
            nodes = [_typed(nodes, number) for number in range(len(nodes))]
            return with_biases(Graph(tuple(nodes), tuple(given), tuple(outputs)))
        names = tuple(self._states)
        held = [fed[name] for name in names]
        starts = initial_states(self._options.initial_state, names, held)
        nodes = [_sequence(_typed(nodes, number)) for number in range(len(nodes))]
        for x, start in zip(held, starts, strict=True):
            nodes[x.ref.node] = _state(nodes[x.ref.node], start)
        states = {x.ref.node: end for x, end in zip(held, ends, strict=True)}
        return with_biases(Graph(tuple(nodes), tuple(given), tuple(outputs), states))

    def proposed(self) -> tuple[tuple[str, str], ...]:
        """Pairs of an input and an output that may be states beside those that are told."""
        if self._states:
            return ()
        kinds = {str(x.name): x.type.tensor_type for x in self._proto.output}
        shapes = {name: _lengths(kind) for name, kind in kinds.items() if kind.HasField("shape")}
        shapes.update(self._computed)
        inputs = {
            port.name: port.shape
            for port in self._ports
            if port.name not in self._fixed and np.dtype(port.dtype).kind == "f"
        }
        return proposed(inputs, shapes)

    # ---- what the file and the user say ---------------------------------------------------------

    def _port(self, x: Any) -> Port:
        name = clean(str(x.name)) or ""
        kind = x.type.tensor_type
        if not x.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise ReadError(f"{self._file.label}: input {name!r} is no tensor with a shape")
        try:
            dtype = type_name(kind.elem_type)
        except ReadError as error:
            raise ReadError(f"{self._file.label}: input {name!r}: {error}") from None
        lengths = _lengths(kind)
        if any(n is not None and n > MAX_INTEGER for n in lengths) or len(lengths) > MAX_RANK:
            raise ReadError(f"{self._file.label}: input {name!r} has the shape {list(lengths)}")
        symbols = tuple(str(d.dim_param) for d in kind.shape.dim)
        return Port(name, dtype, lengths, symbols)

    def _constants(self) -> dict[str, Array]:
        """The inputs to which the user gives a value."""
        found = {}
        ports = {port.name: port for port in self._ports}
        for name, number in self._options.constants.items():
            port = ports.get(name)
            if port is None:
                raise ReadError(
                    f"{self._file.label}: --constant {name}: there is no such input; found: "
                    f"{', '.join(ports)}"
                )
            shape = tuple(1 if n is None else n for n in port.shape)
            why = _wrong(number, np.dtype(port.dtype), shape)
            if name in self._options.states:
                why = "it is a state"
            if why:
                raise ReadError(f"{self._file.label}: --constant {name}={number:g}: {why}")
            found[name] = np.full(shape, number, np.dtype(port.dtype))
        return found

    def _axes(self, names: list[str]) -> dict[str, tuple[Axis, ...]]:
        found = {}
        ranks = {port.name: len(port.shape) for port in self._ports}
        for name, text in self._options.axes.items():
            if name not in (*names, *self._outputs):
                raise ReadError(
                    f"{self._file.label}: --axes {name}={text}: no input or output is called so; "
                    f"found: {', '.join((*names, *self._outputs))}"
                )
            found[name] = letters(text, name)
            if len(found[name]) != ranks.get(name, len(found[name])):
                raise ReadError(
                    f"{self._file.label}: --axes {name}={text}: {len(found[name])} axes, the input "
                    f"has {ranks[name]}"
                )
        return found

    def _batch_names(self) -> set[str]:
        """What the file calls the length of a batch: that of first axes beside time."""
        found = {"batch", "batch_size"}
        for port in self._ports:
            time = self._traced.get(port.name)
            if time is not None and len(port.shape) > 1:
                found.add(port.symbols[1 if time == 0 else 0])
        return found - {""}

    # ---- inputs -------------------------------------------------------------------------------

    def _input(self, port: Port) -> Value | Refused:
        axes = self._named(port)
        shape: list[Dim] = []
        held = []
        time = None
        for number, (n, axis) in enumerate(zip(port.shape, axes, strict=True)):
            length: Dim | None = axis.length or n
            if axis.letter == "B":
                length = 1
                if n not in (None, 1):
                    return self._refused(port, f"its batch axis {number} has length {n}")
            elif axis.letter == "T" and self._states:
                length = length or 1
                self._drops_time = self._drops_time or length == 1
                held += [number] if length != 1 else []
            elif axis.letter == "T":
                time, length = number, length or STEPS
            elif length is None:
                return self._refused(port, self._free(port, axes, number))
            else:
                held.append(number)
            shape.append(length)
        if port.name in self._states:
            held = [axis for axis, n in enumerate(shape) if n != 1]
        own = tuple(dims.fixed(shape[axis]) for axis in held)
        row: tuple[int | None, ...] = own
        if time is not None:
            held = [time, *held]
            first = shape[time]
            row = (first if isinstance(first, int) else None, *own)
        layer = Input(name=port.name, class_name="Input", shape=row, time=time is not None)
        ref = self._assembly.add(layer, ())
        self._assembly.unique(port.name)
        return Value(ref, tuple(shape), tuple(held), port.dtype, time is not None)

    def _named(self, port: Port) -> tuple[Axis, ...]:
        """The axes of an input: as they are said, else time as traced and the batch axis before."""
        if port.name in self._said:
            return self._said[port.name]
        found = [Axis("_")] * len(port.shape)
        time = self._traced.get(port.name)
        if time is not None and time < len(found):
            found[time] = Axis("T")
        if port.name in self._states:
            return tuple(
                Axis("B") if n is None else axis for n, axis in zip(port.shape, found, strict=True)
            )
        others = [k for k, axis in enumerate(found) if axis.letter != "T"]
        named = [k for k in others if port.symbols[k] in self._batch]
        batch = next(iter(named or others), None)
        if batch is not None and len(found) > 1 and port.shape[batch] in (None, 1):
            found[batch] = Axis("B")
        return tuple(found)

    def _free(self, port: Port, axes: tuple[Axis, ...], number: int) -> str:
        lengths = [
            "LENGTH" if k == number else axis.letter if axis.letter != "_" or n is None else str(n)
            for k, (axis, n) in enumerate(zip(axes, port.shape, strict=True))
        ]
        sequence = ["T" if k == number else axis.letter for k, axis in enumerate(axes)]
        has_time = bool(self._states) or any(axis.letter == "T" for axis in axes)
        way = "" if has_time else f", or that it is time: --axes {port.name}={''.join(sequence)}"
        return (
            f"axis {number} of its shape {[*port.shape]} is free; say how long it is: "
            f"--axes {port.name}={','.join(lengths)}{way}"
        )

    def _refused(self, port: Port, message: str) -> Refused:
        """An input that stays one, beside the reason why the model is refused."""
        shape = tuple(n for n in port.shape if n is not None)
        self._assembly.unique(port.name)
        self._assembly.add(Input(name=port.name, class_name="Input", shape=shape, time=False), ())
        layer = Unsupported(name=port.name, class_name="Input", message=message)
        return Refused(self._assembly.add(layer, ()))

    # ---- outputs ------------------------------------------------------------------------------

    def _output(self, call: Call, name: str, x: Any) -> Ref:
        """An output without its batch axis; the time axis comes first."""
        if isinstance(x, Refused):
            return x.ref
        if x is None:
            raise ReadError(f"{self._file.label}: output {name!r} is left out by its node")
        if not isinstance(x, Value):
            x = call.constant(x)
        said = self._said.get(name)
        lost: list[int] = []
        if said is not None:
            if len(said) != x.rank:
                return self._assembly.refuse(
                    name, "output", f"{len(said)} axes said, it has {x.rank}"
                ).ref
            gone = "BT" if self._states else "B"
            lost = [k for k, axis in enumerate(said) if axis.letter in gone]
        else:
            count = 1 + self._drops_time
            others = [axis for axis in range(x.rank) if axis != x.time_axis]
            while count and others and x.shape[others[0]] == 1 and (x.time or len(others) > 1):
                lost.append(others.pop(0))
                count -= 1
        held = [axis for axis in range(x.rank) if axis not in lost and axis != x.time_axis]
        first = [] if x.time_axis is None else [x.time_axis]
        call.name = name
        try:
            return self._called(name, call.arranged(x, (*first, *held)))
        except LayerError as error:
            return self._assembly.refuse(name, "output", str(error)).ref

    def _called(self, name: str, ref: Ref) -> Ref:
        """The output under its own name, by which generated files know it."""
        found = clean(name) or "output"
        if self._assembly.nodes[ref.node].layer.name == found:
            return ref
        same = Identity(name=self._assembly.unique(found), class_name="Output")
        return self._assembly.add(same, (ref,))

    def _following(self, call: Call, before: Value | None, name: str, x: Any) -> Ref:
        """What a state is after a run, held as it is before."""
        if isinstance(x, Refused):
            return x.ref
        value = call.constant(x) if not isinstance(x, Value) else x
        call.name = name
        if before is None or value.shape != before.shape:
            was = "refused" if before is None else f"of shape {before.shape}"
            message = f"output {self._states[name]} is of shape {value.shape}, the state is {was}"
            return self._assembly.refuse(name, "state", message).ref
        return call.arranged(value, before.held)


def _wrong(number: float, dtype: np.dtype[Any], shape: Sequence[int]) -> str:
    """Why a constant of this type and shape cannot be made of a number, if so."""
    if math.prod(shape) > LARGEST:
        return f"an input of shape {list(shape)} is too large"
    if dtype.kind == "f":
        return ""
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    fits = math.isfinite(number) and number == int(number) and low <= int(number) <= high
    return "" if fits else f"it is no number of type {dtype.name}"


def _shorten(nodes: list[Node]) -> None:
    """Leave out the scope that the names of all layers begin with."""
    own = [k for k, node in enumerate(nodes) if not isinstance(node.layer, Input)]
    inner = [k for k in own if nodes[k].layer.class_name not in ("Output", "Permute", "Reshape")]
    names = [nodes[k].layer.name for k in inner]
    parts = [name.split("/")[:-1] for name in names]
    same = takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    scope = "".join(f"{level[0]}/" for level in same)
    if not scope or len(names) == 1:
        return
    taken = {node.layer.name for node in nodes}
    for k in own:
        layer = nodes[k].layer
        short = layer.name.removeprefix(scope)
        if short not in taken:
            nodes[k] = replace(nodes[k], layer=replace(layer, name=short))


def _lengths(kind: Any) -> tuple[int | None, ...]:
    """The shape that is declared, None where a length is free."""
    return tuple(int(d.dim_value) if d.dim_value > 0 else None for d in kind.shape.dim)


def _typed(nodes: Sequence[Node], number: int) -> Node:
    """The node; an input that only Embeddings read is int32."""
    layer = nodes[number].layer
    if not isinstance(layer, Input):
        return nodes[number]
    readers = [node.layer for node in nodes if any(ref.node == number for ref in node.inputs)]
    is_index = bool(readers) and all(isinstance(reader, Embedding) for reader in readers)
    return Node(replace(layer, dtype="int32" if is_index else "float32"))


def _sequence(node: Node) -> Node:
    """An input of one run as one of many, any other node as it is."""
    layer = node.layer
    if not isinstance(layer, Input):
        return node
    return Node(replace(layer, shape=(None, *layer.shape), time=True))


def _state(node: Node, start: Array | None) -> Node:
    """An input of one run that the run before has given."""
    layer = node.layer
    assert isinstance(layer, Input)
    return Node(State(name=layer.name, class_name="State", shape=layer.shape[1:], start=start))
