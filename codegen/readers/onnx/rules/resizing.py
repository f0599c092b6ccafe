"""Resize and Upsample: along each axis by itself, as a fixed matrix or as copies of elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.errors import LayerError
from codegen.layers.padding import UpSampling
from codegen.model import Array
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import Value


@dataclass(frozen=True)
class Along:
    """What happens along one axis of `old` elements, which become `new`."""

    old: int
    new: int
    scale: float
    start: float = 0.0  # of the region that is taken, as a part of the axis
    end: float = 1.0

    @property
    def length(self) -> float:
        """The new length before it is cut off to a whole number."""
        return self.scale * self.old


@dataclass(frozen=True)
class Way:
    """How elements are drawn, as the attributes say."""

    mode: str = "nearest"
    coordinates: str = "asymmetric"
    nearest: str = "floor"
    coefficient: float = -0.75
    excludes: bool = False
    beyond: float = 0.0
    antialias: bool = False

    def places(self, one: Along) -> Array:
        """Where the new elements stand among the old ones."""
        x, last = np.arange(one.new, dtype=np.float64), one.old - 1
        match self.coordinates:
            case "asymmetric":
                return x / one.scale
            case "half_pixel":
                return (x + 0.5) / one.scale - 0.5
            case "pytorch_half_pixel":
                return (x + 0.5) / one.scale - 0.5 if one.new > 1 else 0 * x
            case "tf_half_pixel_for_nn":
                return (x + 0.5) / one.scale
            case "half_pixel_symmetric":
                part = one.new / (one.scale * one.old)
                return one.old / 2 * (1 - part) + (x + 0.5) / one.scale - 0.5
            case "align_corners":
                return x * last / (one.length - 1) if one.length != 1 else 0 * x
            case "tf_crop_and_resize":
                if one.length == 1:
                    return np.full(one.new, 0.5 * (one.start + one.end) * last)
                return one.start * last + x * (one.end - one.start) * last / (one.length - 1)
        raise LayerError(f"coordinate_transformation_mode {self.coordinates!r} is not supported")

    def indices(self, one: Along) -> Array:
        """The old element that each new one is."""
        rounded = _ROUNDED[self.nearest](self.places(one))
        return np.clip(rounded, 0, one.old - 1).astype(np.int64)

    def matrix(self, one: Along) -> tuple[Array, Array | None]:
        """What the old elements are multiplied with, and what is added: (new, old) and (new,)."""
        found = np.zeros((one.new, one.old))
        places = self.places(one)
        for row, x in zip(found, places, strict=True):
            base = math.ceil(x) - 1  # of a whole place the element on the left, with no weight
            start, weights = self._weights(x - base, min(one.scale, 1.0))
            index = base + start + np.arange(len(weights))
            if self.excludes:
                weights = np.where((index < 0) | (index >= one.old), 0.0, weights)
                weights = weights / weights.sum()
            np.add.at(row, np.clip(index, 0, one.old - 1), weights)
        if self.coordinates != "tf_crop_and_resize":
            return found.astype(np.float32), None
        outside = (places < 0) | (places > one.old - 1)
        found[outside] = 0.0
        return found.astype(np.float32), np.where(outside, np.float32(self.beyond), np.float32(0))

    def _weights(self, part: float, scale: float) -> tuple[int, Array]:
        """The first element of those around a place, and the weights of all of them."""
        reach = 1 if self.mode == "linear" else 2
        scale = scale if self.antialias else 1.0
        start = math.floor(-reach / scale) + 1
        distance = np.abs((np.arange(start, 2 - start) - part) * scale)
        weights = np.maximum(1 - distance, 0.0) if reach == 1 else self._cubic(distance)
        return start, weights / weights.sum() if self.antialias else weights

    def _cubic(self, x: Array) -> Array:
        a = self.coefficient
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


_ROUNDED: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
_MODES = ("nearest", "linear", "cubic")


def _resize(c: Call) -> Value:
    """Along each axis whose length changes, or of which a region is taken."""
    x, text = c.value(0), c.attributes.text
    mode = text("mode", "nearest", _MODES)
    if c.opset < 11:
        return _resized(c, x, Way(mode), _scales(c, x, 1))
    way = Way(
        mode,
        text("coordinate_transformation_mode", "half_pixel"),
        text("nearest_mode", "round_prefer_floor", tuple(_ROUNDED)),
        c.attributes.number("cubic_coeff_a", -0.75),
        bool(c.attributes.integer("exclude_outside", 0, 0, 1)),
        c.attributes.number("extrapolation_value", 0.0),
        bool(c.attributes.integer("antialias", 0, 0, 1)),
    )
    named = c.attributes.get("axes")
    axes = tuple(range(x.rank)) if named is None else tuple(c.axis(a, x.rank) for a in named)
    policy = text("keep_aspect_ratio_policy", "stretch", ("stretch", "not_larger", "not_smaller"))
    roi = c.maybe(1, "roi")
    region = np.array([0.0, 1.0])[:, None].repeat(len(axes), 1)
    if roi is not None and roi.size and way.coordinates == "tf_crop_and_resize":
        if roi.size != 2 * len(axes):
            raise LayerError(f"{roi.size} numbers of roi for {len(axes)} axes")
        region = roi.reshape(2, -1).astype(np.float64)
    found: dict[int, tuple[float, Dim | None, float, float]] = {}
    sizes = c.whole(3, "sizes") if c.has(3) else None
    if sizes:
        if len(sizes) != len(axes):
            raise LayerError(f"{len(sizes)} sizes for {len(axes)} axes")
        factors = [n / dims.fixed(x.shape[a]) for n, a in zip(sizes, axes, strict=True)]
        if policy != "stretch":
            factors = [(min if policy == "not_larger" else max)(factors)] * len(axes)
            sizes = tuple(
                math.floor(f * dims.fixed(x.shape[a]) + 0.5)
                for f, a in zip(factors, axes, strict=True)
            )
        for k, axis in enumerate(axes):
            found[axis] = (factors[k], sizes[k], *region[:, k])
    else:
        given = c.known(2, "scales").ravel()
        for k, axis in enumerate(axes):
            found[axis] = (float(given[k]), None, *region[:, k])
    return _resized(c, x, way, found)


def _scales(c: Call, x: Value, number: int) -> dict[int, tuple[float, Dim | None, float, float]]:
    """The factor of each axis."""
    given = c.known(number, "scales").ravel()
    if len(given) != x.rank:
        raise LayerError(f"{len(given)} scales for an input with {x.rank} axes")
    return {axis: (float(scale), None, 0.0, 1.0) for axis, scale in enumerate(given)}


def _upsample(c: Call) -> Value:
    """As Resize was in its first form."""
    x = c.value(0)
    way = Way(c.attributes.text("mode", "nearest", ("nearest", "linear")))
    if c.opset >= 9:
        return _resized(c, x, way, _scales(c, x, 1))
    given = tuple(c.attributes.get("scales") or ())
    if len(given) != x.rank:
        raise LayerError(f"{len(given)} scales for an input with {x.rank} axes")
    return _resized(c, x, way, {a: (float(s), None, 0.0, 1.0) for a, s in enumerate(given)})


def _resized(
    c: Call, x: Value, way: Way, found: dict[int, tuple[float, Dim | None, float, float]]
) -> Value:
    changed = {}
    for axis, (scale, size, start, end) in found.items():
        if not (0 < scale < math.inf and math.isfinite(start) and math.isfinite(end)):
            raise LayerError(f"scale {scale:g} of axis {axis}, from {start:g} to {end:g}")
        length = x.shape[axis]
        whole = (start, end) == (0.0, 1.0) or way.coordinates != "tf_crop_and_resize"
        if whole and (size == length or (size is None and scale == 1)):
            continue
        if not isinstance(length, int) and scale != int(scale):
            raise LayerError("it resizes an axis of free length by a broken factor")
        changed[axis] = (scale, size, start, end)
    factors = {axis: int(scale) for axis, (scale, *_) in changed.items()}
    if way.mode == "nearest" and all(
        _repeats(way, scale) and (size is None or size == x.shape[axis] * int(scale))
        for axis, (scale, size, *_) in changed.items()
    ):
        return _copied(c, x, factors)
    for axis, (scale, size, start, end) in changed.items():
        length = dims.fixed(x.shape[axis])
        new = dims.fixed(size) if size is not None else math.floor(length * scale)
        if new < 1:
            raise LayerError(f"nothing is left of an axis of {length}")
        x = _one(c, x, way, axis, Along(length, new, scale, start, end))
    return x


def _repeats(way: Way, scale: float) -> bool:
    """Whether each element becomes `scale` of its kind."""
    if scale != int(scale) or scale < 1:
        return False
    own = way.indices(Along(5, 5 * int(scale), scale))
    return bool((own == np.arange(5 * int(scale)) // int(scale)).all())


def _copied(c: Call, x: Value, factors: dict[int, int]) -> Value:
    """Every element several times, along time in every step."""
    if not factors:
        return x
    last = next((a for a in reversed(x.held) if a not in factors and a != x.time_axis), None)
    shape = tuple(n * factors.get(axis, 1) for axis, n in enumerate(x.shape))
    others = (*x.held, *(axis for axis in factors if axis not in x.held))
    held: Sequence[int] = [axis for axis in others if axis != last]
    times = tuple(factors.get(axis, 1) for axis in held)
    if last is None:  # an axis of length 1 for the layer's channels
        last = next((axis for axis in range(x.rank) if axis not in others), None)
    if last is None:
        for axis, factor in factors.items():
            ref = c.operation("repeat", x.ref, axis=x.held.index(axis) + 1, repeats=factor)
            lengths = [n * factor if a == axis else n for a, n in enumerate(x.shape)]
            x = Value(ref, tuple(lengths), x.held, x.dtype, x.time)
        return x
    held = (*held, last)
    layer = c.layer(UpSampling, factors=times)
    return Value(c.add(layer, c.arranged(x, held)), shape, held, x.dtype, x.time)


def _one(c: Call, x: Value, way: Way, axis: int, along: Along) -> Value:
    held = x.held if axis in x.held else (*x.held, axis)
    ref, place = c.arranged(x, held), held.index(axis) + 1
    shape = (*x.shape[:axis], along.new, *x.shape[axis + 1 :])
    places = way.places(along)
    beyond = bool(((places < 0) | (places > along.old - 1)).any())
    if way.mode == "nearest" and not (beyond and way.coordinates == "tf_crop_and_resize"):
        indices = tuple(int(n) for n in way.indices(along))
        ref = c.operation("take", ref, axis=place, indices=indices, keeps=True)
    else:
        matrix, offset = _nearest(way, along) if way.mode == "nearest" else way.matrix(along)
        ref = c.operation("mix", ref, axis=place, matrix=matrix, offset=offset)
    return Value(ref, shape, held, x.dtype, x.time and axis != x.held[0])


def _nearest(way: Way, along: Along) -> tuple[Array, Array]:
    """The same as a matrix, and what stands where the region reaches beyond the axis."""
    places = way.places(along)
    outside = (places < 0) | (places > along.old - 1)
    matrix = np.eye(along.old, dtype=np.float32)[way.indices(along)]
    matrix[outside] = 0.0
    return matrix, np.where(outside, np.float32(way.beyond), np.float32(0))


TABLE = (
    Operator("Resize", _resize, note="scales, sizes and region constants"),
    Operator("Upsample", _upsample, note="the scales constants"),
)
