"""What the rule of an operator is given: the operands of one node, and ways to make layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from codegen.errors import LayerError
from codegen.layers.operations import Operation
from codegen.layers.reshaping import Permute, Reshape
from codegen.model import Array, Constant, Layer, Ref
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.folding import inferred
from codegen.readers.onnx.scope import Scope
from codegen.readers.onnx.values import Operand, Value, is_symbolic
from codegen.readers.settings import Config

if TYPE_CHECKING:
    from codegen.readers.onnx.assembly import Assembly

Some = TypeVar("Some", bound=Layer)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass
class Call:
    """One node.

    Axes are counted as ONNX does, all of them; `Value` says which of them a tensor of the Model
    holds. Operations of `codegen/layers/operations.py` count a batch axis before those that are
    held: the one that is held in place k is their axis k + 1.
    """

    assembly: Assembly
    scope: Scope
    name: str
    op: str
    opset: int
    attributes: Config
    operands: Sequence[Operand]
    wanted: Sequence[bool]  # for each output, whether anything reads it
    node: Any  # the NodeProto
    graphs: Mapping[str, Any]  # attributes that are graphs
    count: int = 0  # helper layers made so far

    # ---- operands -----------------------------------------------------------------------------

    def has(self, number: int) -> bool:
        """Whether there is an operand with this number."""
        return number < len(self.operands) and self.operands[number] is not None

    def value(self, number: int = 0) -> Value:
        """An operand that a run computes; a constant becomes a layer."""
        found = self._operand(number)
        return found if isinstance(found, Value) else self.constant(found)

    def known(self, number: int, what: str = "") -> Array:
        """An operand that must be a constant; `what` is its name in the specification."""
        found = self._operand(number)
        if isinstance(found, Value):
            what = what or f"{ORDINALS[min(number, 7)]} input"
            raise LayerError(f"its {what} is not a constant; only a constant is supported")
        return found

    def maybe(self, number: int, what: str = "") -> Array | None:
        """The same, None where it is left out."""
        return self.known(number, what) if self.has(number) else None

    def weights(self, number: int, what: str, *shape: int | None) -> Array:
        """A constant of floats of this shape; None stands for any length."""
        found = self.checked(self.known(number, what), what)
        fits = len(shape) == found.ndim and all(
            wanted in (None, n) for wanted, n in zip(shape, found.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise LayerError(f"its {what} is of shape {list(found.shape)}, expected [{wanted}]")
        return found

    def checked(self, array: Array, what: str) -> Array:
        """Numbers that a layer can hold."""
        if is_symbolic(array):
            raise LayerError(f"its {what} depends on a length that is free")
        takes_any = self.assembly.options.allow_nonfinite or array.dtype.kind != "f"
        if not takes_any and not np.isfinite(array).all():
            raise LayerError(
                f"its {what} has values that are not finite; --allow-nonfinite takes them"
            )
        self.assembly.note_type(array)
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def whole(self, number: int, what: str) -> tuple[int, ...] | None:
        """Whole numbers of a constant operand, None where it is left out."""
        found = self.maybe(number, what)
        if found is None:
            return None
        if is_symbolic(found):
            raise LayerError(f"its {what} depends on a length that is free")
        if found.dtype.kind not in "iu" or found.ndim > 1:
            raise LayerError(f"its {what} is not a list of whole numbers")
        return tuple(int(n) for n in found.ravel())

    def axes(self, rank: int, number: int = 1, since: int = 13) -> tuple[int, ...] | None:
        """Axes: an attribute before opset `since`, the operand with this number from it on."""
        if self.opset >= since:
            given = self.whole(number, "axes")
        else:
            found = self.attributes.get("axes")
            given = None if found is None else tuple(found)
        return None if given is None else tuple(self.axis(axis, rank) for axis in given)

    def axis(self, axis: int, rank: int) -> int:
        """An axis as an index from 0 on."""
        if not -rank <= axis < max(rank, 1):
            raise LayerError(f"axis {axis} of an input with {rank} axes")
        return axis + rank if axis < 0 else axis

    def _operand(self, number: int) -> Value | Array:
        if not self.has(number):
            raise LayerError(f"its {ORDINALS[min(number, 7)]} input is missing")
        found = self.operands[number]
        assert isinstance(found, (Value, np.ndarray))
        return found

    def inferred(self, number: int = 0) -> tuple[int, ...]:
        """The shape of an output by the specification, which must tell all of it."""
        given = [_described(x) for x in self.operands]
        found = inferred(self.node, self.opset, given)[number]
        if found is None or any(n is None for n in found):
            raise LayerError(f"the shape of its output is {found}, which is not known whole")
        return tuple(n for n in found if n is not None)

    def inside(self, given: Mapping[str, Operand]) -> Scope:
        """A scope for a graph in this node, with what its inputs stand for."""
        return Scope(
            self.scope.opsets,
            self.scope,
            self.scope.prefix,
            self.scope.depth + 1,
            self.scope.given,
            names=dict(given),
        )

    # ---- layers -------------------------------------------------------------------------------

    def layer(self, kind: type[Some], /, **fields: Any) -> Some:
        """A layer of the Model under the name of the node; a second one gets a number."""
        self.count += 1
        name = self.name if self.count == 1 else f"{self.name}_{self.count}"
        return kind(name=self.assembly.unique(name), class_name=self.op, **fields)

    def add(self, layer: Layer, *refs: Ref, **keywords: tuple[Ref, ...]) -> Ref:
        """One call of a layer; its first output."""
        return self.assembly.add(layer, refs, **keywords)

    def operation(self, rule: str, *refs: Ref, **settings: Any) -> Ref:
        """One call of an operation of `codegen/layers/operations.py`."""
        return self.add(self.layer(Operation, rule=rule, settings=settings), *refs)

    def aside(self, kind: type[Some], role: str, /, **fields: Any) -> Some:
        """A layer that only brings numbers into order, named after the node."""
        name = self.assembly.unique(f"{self.name}_{role}")
        return kind(name=name, class_name=kind.__name__, **fields)

    def constant(self, array: Array) -> Value:
        """A constant as a value."""
        found = self.checked(array, "constant")
        held = tuple(axis for axis, n in enumerate(found.shape) if n != 1)
        ref = self.constant_ref(found.reshape([found.shape[axis] for axis in held]))
        return Value(ref, found.shape, held, found.dtype.name)

    def constant_ref(self, array: Array) -> Ref:
        """A constant with just the axes of the array."""
        return self.add(self.aside(Constant, "constant", value=array[None]))

    # ---- axes ---------------------------------------------------------------------------------

    def arranged(self, x: Value, held: Sequence[int]) -> Ref:
        """The tensor of `x` with these axes in this order; all others must have length 1."""
        held = tuple(held)
        if held == x.held:
            return x.ref
        first = x.held[0] if x.time else None

        def moved(axes: Sequence[int]) -> list[int]:
            return [a for a in axes if x.shape[a] != 1 or a == first]

        have, want, ref = moved(x.held), moved(held), x.ref
        if sorted(have) != sorted(want):
            raise LayerError(f"axes {held} of {x.shape}")
        current = list(x.held)
        if have != want:
            if current != have:
                ref, current = self._reshape(ref, x, have), have
            order = tuple(have.index(a) + 1 for a in want)
            ref, current = self.add(self.aside(Permute, "order", dims=order), ref), want
        return ref if tuple(current) == held else self._reshape(ref, x, held)

    def _reshape(self, ref: Ref, x: Value, held: Sequence[int]) -> Ref:
        shape = [-1 if x.time and n == 0 else x.shape[a] for n, a in enumerate(held)]
        fixed = tuple(dims.fixed(n) for n in shape)
        return self.add(self.aside(Reshape, "shape", shape=fixed), ref)

    def ordered(self, x: Value, last: Sequence[int] = ()) -> tuple[Ref, tuple[int, ...]]:
        """The tensor of `x` with the axes `last` at its end, and which axes it holds.

        The others keep the order in which they are held, time first.
        """
        if x.time and x.held[0] in last:
            raise LayerError("it works along the time axis, of which only a step is there at once")
        kept = tuple(a for a in x.held if a not in last)
        held = (*kept, *last)
        return self.arranged(x, held), held

    def moved(self, x: Value, shape: Sequence[Dim], where: Mapping[int, int]) -> Value:
        """`x` by another count of its axes: a is `where[a]` now; all others have length 1."""
        kept = tuple(a for a in x.held if a in where)
        ref = self.arranged(x, kept)
        held = tuple(where[a] for a in kept)
        return Value(ref, tuple(shape), held, x.dtype, x.time)

    def dropped(self, x: Value, axis: int) -> Value:
        """`x` without an axis of length 1."""
        where = {a: a - (a > axis) for a in range(x.rank) if a != axis}
        return self.moved(x, (*x.shape[:axis], *x.shape[axis + 1 :]), where)

    # ---- element by element -------------------------------------------------------------------

    def elementwise(
        self, operands: Sequence[Operand], make: Any, dtype: str | None = None
    ) -> Value:
        """A layer on operands that meet as NumPy's arrays do.

        `make` gets, for each operand, its number where it is a constant with a single one, its
        array where it is another constant, else None, and returns the layer; it is called on the
        others.
        """
        given: list[Value | Array] = []
        for x in operands:
            assert isinstance(x, (Value, np.ndarray))
            given.append(x if isinstance(x, Value) else self.checked(x, "constant"))
        rank = max(len(x.shape) for x in given)
        shape = _broadcast([tuple(x.shape) for x in given], rank)
        values = [x for x in given if isinstance(x, Value)]
        base = max(values, key=lambda x: (x.time, _known_size(x.shape)))
        held = [axis + rank - base.rank for axis in base.held]
        held += [axis for axis, n in enumerate(shape) if n != 1 and axis not in held]
        refs: list[Ref] = []
        numbers: list[float | Array | None] = []
        for x in given:
            if isinstance(x, Value):
                own = Value(
                    x.ref,
                    (1,) * (rank - x.rank) + x.shape,
                    tuple(axis + rank - x.rank for axis in x.held),
                    x.dtype,
                    x.time,
                )
                if x.time and own.held[0] != held[0]:
                    raise LayerError("the time axis of one operand meets another axis of the other")
                refs.append(self.arranged(own, held))
                numbers.append(None)
            elif x.size == 1:
                numbers.append(float(x.reshape(())))
            else:
                wide = x.reshape((1,) * (rank - x.ndim) + x.shape)
                rest = [axis for axis in range(rank) if axis not in held]
                turned = wide.transpose([*held, *rest]).reshape([wide.shape[a] for a in held])
                numbers.append(np.ascontiguousarray(turned))
        ref = self.add(make(tuple(numbers)), *refs)
        return Value(ref, shape, tuple(held), dtype or values[0].dtype, base.time)


def _described(x: Operand) -> tuple[Array | None, tuple[Dim, ...], str] | None:
    if isinstance(x, Value):
        return None, x.shape, x.dtype
    if isinstance(x, np.ndarray):
        return x, x.shape, "int64" if is_symbolic(x) else x.dtype.name
    return None


def _known_size(shape: Sequence[Dim]) -> int:
    size = 1
    for n in shape:
        size *= n if isinstance(n, int) else 1
    return size


def _broadcast(shapes: Sequence[tuple[Dim, ...]], rank: int) -> tuple[Dim, ...]:
    """The common shape."""
    wide = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    found: list[Dim] = []
    for lengths in zip(*wide, strict=True):
        known = {n for n in lengths if isinstance(n, int) and n != 1}
        free = [n for n in lengths if not isinstance(n, int)]
        if len(known) > 1:
            raise LayerError(f"operands of shapes {', '.join(map(str, shapes))}")
        found.append(free[0] if free else max(known, default=1))
    return tuple(found)
