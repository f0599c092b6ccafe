"""Parts taken out of tensors, tensors joined and repeated, elements taken by their places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Embedding
from codegen.layers.merging import Concatenate
from codegen.layers.operations import EVERYTHING, Operation, Slice
from codegen.layers.padding import ZeroPadding
from codegen.layers.reshaping import Reshape
from codegen.model import Array, Ref
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.elementwise import formula
from codegen.readers.onnx.rules.reductions import without
from codegen.readers.onnx.rules.shapes import reshaped
from codegen.readers.onnx.values import Value, is_symbolic
from codegen.readers.settings import MAX_INTEGER, whole

FARTHEST = 2**31 - 1  # a place that stands for the end, or more
NEVER = "an empty tensor comes out of it"


# ---- slices -------------------------------------------------------------------------------------


def _slice(c: Call) -> Value:
    """Elements `start:end:step` along axes."""
    x = c.value(0)
    if c.opset < 10:
        starts, ends = (c.attributes.wholes(key, low=-(2**63), high=2**63) for key in _ENDS)
        given = c.attributes.get("axes")
        axes = tuple(range(len(starts))) if given is None else tuple(given)
        steps: Sequence[int] = (1,) * len(starts)
    else:
        starts, ends = (_bounds(c, n, x, what) for n, what in enumerate(_ENDS, 1))
        axes = c.whole(3, "axes") or tuple(range(len(starts)))
        steps = c.whole(4, "steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise LayerError("its starts, ends, axes and steps differ in number")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = _cut(c, x, c.axis(axis, x.rank), start, end, step)
    return x


_ENDS = ("starts", "ends")


def _bounds(c: Call, number: int, x: Value, what: str) -> tuple[int, ...]:
    """Starts or ends; the length of a free axis stands for its end."""
    found = c.known(number, what).ravel()
    if not is_symbolic(found):
        return c.whole(number, what) or ()
    lengths = [n for n in x.shape if not isinstance(n, int)]
    meant = []
    for n in found:
        away = [n - length for length in lengths] if not isinstance(n, int) else []
        near = [m for m in away if isinstance(m, int) and m <= 0]
        if away and not near:
            raise LayerError(f"its {what} depend on a length that is free")
        meant.append(int(n) if not away else (near[0] or FARTHEST))
    return tuple(meant)


def _cut(c: Call, x: Value, axis: int, start: int, end: int, step: int) -> Value:
    """A slice along one axis."""
    if not step:
        raise LayerError("a step of 0")
    length = x.shape[axis]
    item: Slice
    count: Dim
    if isinstance(length, int):
        taken = _taken(length, start, end, step)
        count = len(taken)
        if not count:
            raise LayerError(NEVER)
        if count == length and step > 0:
            return x
        last = taken[-1] + (1 if step > 0 else -1)
        item = (taken[0], last if last >= 0 else None, step)
    else:
        item, count = _free(length, start, end, step)
        if item == EVERYTHING:
            return x
    places = _items(x, axis, item)
    ref = c.operation("get_item", x.ref, items=places)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    # The last steps of a sequence are no sequence.
    ends = axis == x.time_axis and (item[0] or 0) < 0
    return Value(ref, shape, x.held, x.dtype, x.time and not ends)


def _taken(length: int, start: int, end: int, step: int) -> range:
    """The elements that are meant: places are counted from the end, then cut off at both ends."""
    low, high = (n + length if n < 0 else n for n in (start, end))
    if step > 0:
        return range(min(max(low, 0), length), min(max(high, 0), length), step)
    return range(min(max(low, 0), length - 1), min(max(high, -1), length - 1), step)


def _free(length: Dim, start: int, end: int, step: int) -> tuple[Slice, Dim]:
    """A slice along an axis whose length is free, and how many elements it takes."""
    if step < 0:
        if step == -1 and start in (-1, *range(FARTHEST, FARTHEST + 1)) and end <= -FARTHEST:
            return (None, None, -1), length
        raise LayerError("a slice backwards along an axis whose length is free")
    first = None if start == 0 or start <= -FARTHEST else start
    last = None if end >= FARTHEST else end
    if first is None and last is None and step == 1:
        return EVERYTHING, length
    low, high = first or 0, 0 if last is None else last
    if low < 0 and high <= 0:
        return (low, last, step), len(range(low, high, step))
    if low >= 0 and high > 0:
        raise LayerError("it takes single steps of a sequence whose length is free")
    if low < 0:
        raise LayerError(f"a slice {start}:{end} along an axis whose length is free")
    return (first, last, step), dims.ceil_div(length + (high - low), step)


def _items(x: Value, axis: int, item: int | Slice) -> tuple[int | Slice, ...]:
    """`item` along one axis that is held, everything along the others."""
    return tuple(item if one == axis else EVERYTHING for one in x.held)


def _split(c: Call) -> list[Value | Array]:
    """The input cut along one axis."""
    x, wanted = c.value(0), len(c.wanted)
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), x.rank)
    length = dims.fixed(x.shape[axis])
    by_input = c.opset >= 13
    given = c.attributes.get("split") if not by_input else c.whole(1, "split")
    count = c.attributes.integer("num_outputs", wanted)
    if given is None:
        each = -(-length // count)
        given = [min(each, length - k * each) for k in range(count)]
    sizes = [int(n) for n in given]
    if sum(sizes) != length or len(sizes) != wanted or min(sizes) < 0:
        raise LayerError(f"parts of {sizes} elements of an axis of {length}")
    shapes = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes]
    left = [n for n in sizes if n]
    if len(left) == 1:
        return [x if n else _nothing(s, x.dtype) for n, s in zip(sizes, shapes, strict=True)]
    ends = tuple(int(n) for n in np.cumsum(left))[:-1]
    layer = c.layer(Operation, rule="split", settings={"axis": _place(x, axis), "places": ends})
    first = c.add(layer, x.ref)
    time = x.time and axis != x.held[0]
    numbers = iter(range(len(left)))
    return [
        Value(Ref(first.node, next(numbers)), shape, x.held, x.dtype, time)
        if n
        else _nothing(shape, x.dtype)
        for n, shape in zip(sizes, shapes, strict=True)
    ]


def _nothing(shape: Sequence[Dim], dtype: str) -> Array:
    """A part without elements, which is known."""
    return np.zeros([dims.fixed(n) for n in shape], dtype)


def _place(x: Value, axis: int) -> int:
    """An axis that is held, as operations count it."""
    return x.held.index(axis) + 1


# ---- joined and repeated ------------------------------------------------------------------------


def _concat(c: Call) -> Value:
    """Tensors side by side along one axis."""
    given = [x for x in c.operands if isinstance(x, (Value, np.ndarray))]
    first = next(x for x in given if isinstance(x, Value))
    axis = c.axis(c.attributes.integer("axis", 1, -32, 32), first.rank)
    for x in given:
        pairs = enumerate(zip(x.shape, first.shape, strict=False))
        if len(x.shape) != first.rank or any(n != m for k, (n, m) in pairs if k != axis):
            shapes = ", ".join(str(tuple(one.shape)) for one in given)
            raise LayerError(f"tensors of shapes {shapes} along axis {axis}")
    given = [x for x in given if x.shape[axis] != 0]
    lead = next((x for x in given if isinstance(x, Value) and x.time), first)
    held = lead.held if axis in lead.held else (*lead.held, axis)
    refs = [_arranged(c, x, held) for x in given]
    total: Dim = 0
    for x in given:
        total = total + x.shape[axis]
    shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    ref = refs[0]
    if len(refs) > 1:
        ref = c.add(c.layer(Concatenate, axis=held.index(axis) + 1), *refs)
    return Value(ref, shape, held, first.dtype, lead.time)


def _arranged(c: Call, x: Value | Array, held: Sequence[int]) -> Ref:
    """The tensor of a value or a constant with these axes; of the others all have length 1."""
    if isinstance(x, Value):
        return c.arranged(x, held)
    array = c.checked(x, "constant")
    rest = [axis for axis in range(array.ndim) if axis not in held]
    turned = array.transpose([*held, *rest]).reshape([array.shape[axis] for axis in held])
    return c.constant_ref(np.ascontiguousarray(turned))


def _tile(c: Call) -> Value:
    """The input so many times along each axis."""
    x = c.value(0)
    times = c.whole(1, "repeats") or ()
    if len(times) != x.rank:
        raise LayerError(f"{len(times)} repeats of an input with {x.rank} axes")
    return _repeated(c, x, times)


def _repeated(c: Call, x: Value, times: Sequence[int]) -> Value:
    if all(n == 1 for n in times):
        return x
    if min(times) < 1:
        raise LayerError(NEVER)
    held = (*x.held, *(axis for axis, n in enumerate(times) if n != 1 and axis not in x.held))
    repeats = tuple(int(times[axis]) for axis in held)
    ref = c.operation("tile", c.arranged(x, held), repeats=repeats)
    shape = tuple(n * int(k) for n, k in zip(x.shape, times, strict=True))
    return Value(ref, shape, held, x.dtype, x.time and times[x.held[0]] == 1)


def _expand(c: Call) -> Value:
    """The input repeated to a shape that it meets as NumPy's arrays do."""
    x = c.value(0)
    given = c.known(1, "shape").ravel()
    rank = max(x.rank, len(given))
    asked: list[Dim] = [1] * (rank - len(given))
    asked += [n if isinstance(n, dims.Sum) else int(n) for n in given]
    shift = rank - x.rank
    shape: tuple[Dim, ...] = ((1,) * shift) + x.shape
    wide = Value(x.ref, shape, tuple(a + shift for a in x.held), x.dtype, x.time)
    times: list[int] = []
    for n, wanted in zip(shape, asked, strict=True):
        if wanted in (1, n):
            times.append(1)
        elif n == 1 and isinstance(wanted, int):
            times.append(wanted)
        else:
            raise LayerError(f"a shape {tuple(asked)} for an input of shape {x.shape}")
    return _repeated(c, wide, times)


# ---- by their places ----------------------------------------------------------------------------


def _gather(c: Call) -> Value:
    """Elements at indices along one axis: constants, or rows of a constant table."""
    data, indices = c.operands[0], c.operands[1]
    if isinstance(data, np.ndarray):
        return _looked_up(c, data, c.value(1))
    x = c.value(0)
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), x.rank)
    if isinstance(indices, Value):
        raise LayerError("its indices and its data are both computed; one must be a constant")
    places = c.known(1, "indices")
    length = x.shape[axis]
    meant = [_meant(n, length) for n in places.ravel()]
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if not meant:
        raise LayerError(NEVER)
    if length == 1 and axis != x.time_axis:
        return _spread(c, c.dropped(x, axis), axis, places.shape)
    if len(meant) == 1:
        one = meant[0]
        ref = c.operation("get_item", x.ref, items=_items(x, axis, one))
        y = without(Value(ref, x.shape, x.held, x.dtype, x.time), (axis,))
        return _spread(c, y, axis, places.shape)
    layer = {"axis": _place(x, axis), "indices": tuple(meant), "keeps": True}
    ref = c.operation("take", x.ref, **layer)
    flat = (*x.shape[:axis], len(meant), *x.shape[axis + 1 :])
    time = x.time and axis != x.held[0]
    y = Value(ref, flat, x.held, x.dtype, time)
    return y if places.ndim == 1 else reshaped(c, y, shape)


def _meant(index: Any, length: Dim) -> int:
    """An index; one that is counted from the length of a free axis is counted from the end."""
    if isinstance(index, dims.Sum):
        away: Dim = index - length
        if isinstance(away, int) and away < 0:
            return int(away)
        raise LayerError("its indices depend on a length that is free")
    found = int(index)
    if isinstance(length, int) and not -length <= found < length:
        raise LayerError(f"index {found} of an axis of {length}")
    return found


def _spread(c: Call, y: Value, axis: int, shape: Sequence[int]) -> Value:
    """`y` with axes put in at one place along which it is the same."""
    new = len(shape)
    held = tuple(a + new if a >= axis else a for a in y.held)
    wide = Value(y.ref, (*y.shape[:axis], *(1,) * new, *y.shape[axis:]), held, y.dtype, y.time)
    times = [1] * wide.rank
    times[axis : axis + new] = shape
    return _repeated(c, wide, times)


def _looked_up(c: Call, table: Array, indices: Value) -> Value:
    """Rows of a table, by indices that are computed or given."""
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), table.ndim)
    found = np.moveaxis(c.checked(table, "table"), axis, 0)
    rest = found.shape[1:]
    rows = np.ascontiguousarray(found.reshape(len(found), -1))
    ref = c.add(c.layer(Embedding, table=rows), indices.ref)
    before, after = rest[:axis], rest[axis:]
    shape = (*before, *indices.shape, *after)
    inner = tuple(n for n in rest if n != 1)
    held_rest = [k if k < axis else k + indices.rank for k, n in enumerate(rest) if n != 1]
    lead = tuple(a + axis for a in indices.held)
    if len(inner) != 1:
        own = [indices.shape[axis] for axis in indices.held]
        own[0:1] = [-1] if indices.time else own[0:1]
        lengths = (*(dims.fixed(n) for n in own), *inner)
        ref = c.add(c.aside(Reshape, "shape", shape=lengths), ref)
    return Value(ref, shape, (*lead, *held_rest), table.dtype.name, indices.time)


def _flat(c: Call, x: Value) -> Ref:
    """The elements of `x` in the order of ONNX, along one axis."""
    return reshaped(c, x, [math.prod(map(dims.fixed, x.shape))]).ref


def _numbered(x: Value) -> Array:
    """The place of each element in their order, in the shape of `x`."""
    shape = [dims.fixed(n) for n in x.shape]
    return np.arange(math.prod(shape)).reshape(shape)


def _picked(c: Call, x: Value, places: Array) -> Value:
    """The elements at places that are counted through all axes."""
    if not places.size:
        raise LayerError(NEVER)
    flat = tuple(int(n) for n in places.ravel())
    ref = _flat(c, x)
    if x.needed:
        ref = c.operation("take", ref, axis=1, indices=flat, keeps=True)
    y = Value(ref, (len(flat),), (0,) if len(flat) != 1 else (), x.dtype)
    if len(flat) == 1 and x.needed:
        y = Value(ref, (1,), (0,), x.dtype)
    return reshaped(c, y, places.shape)


def _gather_elements(c: Call) -> Value:
    """The element at an index along one axis, for each place of the indices."""
    x = c.value(0)
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), x.rank)
    return _picked(c, x, _at(c.known(1, "indices"), _numbered(x), axis))


def _at(indices: Array, numbered: Array, axis: int) -> Array:
    """The places that indices along one axis mean."""
    if indices.ndim != numbered.ndim or any(
        n > m
        for k, (n, m) in enumerate(zip(indices.shape, numbered.shape, strict=True))
        if k != axis
    ):
        raise LayerError(f"indices of shape {indices.shape} for {numbered.shape}")
    where: list[Array] = list(np.indices(indices.shape))
    where[axis] = _inside(indices, numbered.shape[axis])
    return np.asarray(numbered[tuple(where)])


def _inside(indices: Array, length: int) -> Array:
    if indices.size and not ((indices >= -length) & (indices < length)).all():
        raise LayerError(f"an index beyond an axis of {length}")
    return np.asarray(indices % max(length, 1))


def _gather_nd(c: Call) -> Value:
    """The parts at tuples of indices, which the last axis of the indices holds."""
    x, indices = c.value(0), c.known(1, "indices")
    shared = c.attributes.integer("batch_dims", 0, 0, 8)
    numbered = _numbered(x)
    if not shared:
        return _picked(c, x, _parts(indices, numbered))
    shape = indices.shape[:shared]
    pairs = zip(
        indices.reshape(-1, *indices.shape[shared:]),
        numbered.reshape(-1, *numbered.shape[shared:]),
        strict=True,
    )
    found = np.stack([_parts(*pair) for pair in pairs])
    return _picked(c, x, found.reshape(*shape, *found.shape[1:]))


def _parts(indices: Array, numbered: Array) -> Array:
    """The places of the parts that tuples of indices name."""
    count = indices.shape[-1] if indices.ndim else 0
    if not 0 < count <= numbered.ndim:
        raise LayerError(f"indices of shape {indices.shape} for {numbered.shape}")
    where = tuple(_inside(indices[..., k], numbered.shape[k]) for k in range(count))
    return np.asarray(numbered[where])


def _scattered(c: Call, places: Array) -> Value:
    """The first input with the elements of the third at these places."""
    x, kind = c.value(0), c.attributes.text("reduction", "none", ("none", *_JOINED))
    updates = c.value(2)
    if math.prod(map(dims.fixed, updates.shape)) != places.size:
        raise LayerError(f"updates of shape {updates.shape} for {places.shape} places")
    shape = [dims.fixed(n) for n in x.shape]
    flat = tuple(int(n) for n in places.ravel())
    held = [axis for axis, n in enumerate(shape) if n != 1]
    ref = c.operation(
        "place",
        reshaped(c, x, [math.prod(shape)]).ref if held else x.ref,
        _flat(c, updates),
        places=flat,
        kind="set" if kind == "none" else kind,
    )
    y = Value(ref, (math.prod(shape),), (0,) if held else (), x.dtype)
    return reshaped(c, y, shape)


_JOINED = ("add", "mul", "max", "min")


def _scatter_elements(c: Call) -> Value:
    x = c.value(0)
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), x.rank)
    return _scattered(c, _at(c.known(1, "indices"), _numbered(x), axis))


def _scatter_nd(c: Call) -> Value:
    return _scattered(c, _parts(c.known(1, "indices"), _numbered(c.value(0))))


def _compress(c: Call) -> Value:
    """The elements whose condition holds, along one axis or all together."""
    x = c.value(0)
    chosen = np.flatnonzero(c.known(1, "condition"))
    axis = c.attributes.get("axis")
    if axis is None:
        return _picked(c, x, np.ravel(_numbered(x))[chosen])
    numbered = _numbered(x)
    return _picked(c, x, numbered.take(chosen, c.axis(int(axis), x.rank)))


def _triangle(c: Call) -> Value:
    """The elements on one side of a diagonal, else 0."""
    x = c.value(0)
    given = c.whole(1, "k")
    upper = bool(c.attributes.integer("upper", 1, 0, 1))
    rows, columns = (dims.fixed(n) for n in x.shape[-2:])
    keep = (np.triu if upper else np.tril)(np.ones((rows, columns)), given[0] if given else 0)
    if keep.all():
        return x
    return formula(c, "where", (keep.astype(np.float32), x, np.zeros((), np.float32)), x.dtype)


def _one_hot(c: Call) -> Value:
    """One value at the index that an element is, another elsewhere, along a new axis."""
    x = c.value(0)
    given, values = c.known(1, "depth").ravel(), c.known(2, "values")
    if len(given) != 1 or values.size != 2:
        raise LayerError("its depth is not one number, or its values are not two")
    depth = whole(given[0].item(), "depth", 1, MAX_INTEGER)
    axis = c.axis(c.attributes.integer("axis", -1, -32, 32), x.rank + 1)
    off, on = (float(v) for v in values.ravel())
    wrapped = formula(c, "modulo", (x, np.asarray(depth, np.float32)))
    outside = formula(c, "less", (x, np.asarray(-depth, np.float32)))
    beyond = formula(c, "greater_equal", (x, np.asarray(depth, np.float32)))
    nowhere = formula(c, "logical_or", (outside, beyond))
    index = formula(c, "where", (nowhere, np.asarray(-1.0, np.float32), wrapped), x.dtype)
    ref = c.operation("one_hot", index.ref, num_classes=depth, on_value=on, off_value=off)
    held = (*(a + (a >= axis) for a in x.held), axis)
    shape = (*x.shape[:axis], depth, *x.shape[axis:])
    return Value(ref, shape, held, values.dtype.name, x.time)


# ---- padding ------------------------------------------------------------------------------------


def _pad(c: Call) -> Value:
    """Elements before and after each axis: a constant, or of the tensor itself."""
    x = c.value(0)
    mode = c.attributes.text("mode", "constant", ("constant", "reflect", "edge", "wrap"))
    fill = 0.0
    if c.opset < 11:
        given: Sequence[int] = c.attributes.wholes("pads", low=-(2**24))
        fill = c.attributes.number("value", 0.0)
        axes = tuple(range(x.rank))
    else:
        given = c.whole(1, "pads") or ()
        value = c.maybe(2, "constant_value")
        fill = 0.0 if value is None or not value.size else float(value.reshape(()))
        named = c.whole(3, "axes")
        axes = tuple(range(x.rank)) if named is None else tuple(c.axis(a, x.rank) for a in named)
    if len(given) != 2 * len(axes):
        raise LayerError(f"{len(given)} pads for {len(axes)} axes")
    pairs = {a: (given[k], given[k + len(axes)]) for k, a in enumerate(axes)}
    for axis, (low, high) in pairs.items():
        if low < 0 or high < 0:
            x = _cut(c, x, axis, max(0, -low), FARTHEST if high >= 0 else high, 1)
    more = {a: (max(low, 0), max(high, 0)) for a, (low, high) in pairs.items()}
    more = {a: pair for a, pair in more.items() if any(pair)}
    if mode == "constant":
        return _filled(c, x, more, fill)
    for axis, pair in more.items():
        x = _continued(c, x, axis, pair, mode)
    return x


def _filled(c: Call, x: Value, pairs: dict[int, tuple[int, int]], fill: float) -> Value:
    if not pairs:
        return x
    held = (*x.held, *(axis for axis in pairs if axis not in x.held))
    shape = tuple(n + sum(pairs.get(axis, (0, 0))) for axis, n in enumerate(x.shape))
    own = tuple(pairs.get(axis, (0, 0)) for axis in held)
    ref = c.arranged(x, held)
    if x.time and any(own[0]):  # before a sequence, which costs nothing
        along = (*(own[:1] if len(own) == 1 else own[:-1]),)
        if len(own) > 1:
            ref = c.add(c.layer(ZeroPadding, padding=along, value=fill), ref)
            own = (*((0, 0),) * (len(own) - 1), own[-1])
    if any(n for pair in own for n in pair):
        ref = c.operation("pad", ref, padding=own, value=fill)
    return Value(ref, shape, held, x.dtype, x.time)


def _continued(c: Call, x: Value, axis: int, pair: tuple[int, int], mode: str) -> Value:
    """One axis made longer by its own elements."""
    length = dims.fixed(x.shape[axis])
    if mode == "reflect" and max(pair) >= length > 1:
        raise LayerError(f"{max(pair)} elements reflected of an axis of {length}")
    places = tuple(int(n) for n in np.pad(np.arange(length), pair, mode=mode))  # type: ignore[call-overload]
    held = x.held if axis in x.held else (*x.held, axis)
    ref = c.arranged(x, held)
    ref = c.operation("take", ref, axis=held.index(axis) + 1, indices=places, keeps=True)
    shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
    return Value(ref, shape, held, x.dtype, x.time and axis != x.held[0])


# ---- depth and space ----------------------------------------------------------------------------


def _turned(x: Value, order: Sequence[int]) -> Value:
    held = tuple(order.index(axis) for axis in x.held)
    return Value(x.ref, tuple(x.shape[axis] for axis in order), held, x.dtype, x.time)


def _to_space(c: Call) -> Value:
    """Channels laid out in squares."""
    x, size = c.value(0), c.attributes.integer("blocksize")
    mode = c.attributes.text("mode", "DCR", ("DCR", "CRD"))
    batch, channels, height, width = x.shape
    depth = dims.fixed(channels) // size**2
    if mode == "DCR":
        y = _turned(reshaped(c, x, (batch, size, size, depth, height, width)), (0, 3, 4, 1, 5, 2))
    else:
        y = _turned(reshaped(c, x, (batch, depth, size, size, height, width)), (0, 1, 4, 2, 5, 3))
    return reshaped(c, y, (batch, depth, height * size, width * size))


def _to_depth(c: Call) -> Value:
    """Squares laid out in channels."""
    x, size = c.value(0), c.attributes.integer("blocksize")
    mode = c.attributes.text("mode", "DCR", ("DCR", "CRD"))
    batch, channels, height, width = x.shape
    high, wide = height // size, width // size
    y = reshaped(c, x, (batch, channels, high, size, wide, size))
    y = _turned(y, (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return reshaped(c, y, (batch, channels * size**2, high, wide))


TABLE = (
    Operator("Slice", _slice, note="its places constants"),
    Operator("Split", _split, note="its places constants"),
    Operator("Concat", _concat),
    Operator("Tile", _tile, note="the repeats constants"),
    Operator("Expand", _expand, note="the shape known"),
    Operator("Gather", _gather, note="indices or data a constant"),
    Operator("GatherElements", _gather_elements, note="the indices constants"),
    Operator("GatherND", _gather_nd, note="the indices constants"),
    Operator("Scatter", _scatter_elements, note="the indices constants"),
    Operator("ScatterElements", _scatter_elements, note="the indices constants"),
    Operator("ScatterND", _scatter_nd, note="the indices constants"),
    Operator("Compress", _compress, note="the condition a constant"),
    Operator("Trilu", _triangle, note="the diagonal a constant"),
    Operator("OneHot", _one_hot, note="depth and values constants"),
    Operator("Pad", _pad, note="the pads constants"),
    Operator("DepthToSpace", _to_space),
    Operator("SpaceToDepth", _to_depth),
)
