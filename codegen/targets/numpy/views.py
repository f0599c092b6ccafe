"""A vector along array axes, as the text of a NumPy view.

The axis of a batch, if there is one, comes last in every array inside a model: then each part of a
vector is one piece of memory, whatever the size of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.program import dims
from codegen.program.dims import Dim

Span = tuple[Dim, Dim]  # a number of elements, and how far apart they lie in the flat array


@dataclass(frozen=True)
class Base:
    """An array in the generated file: its name and shape.

    `behind` is what stands behind that shape: `lead`, the shape of a batch, `unit`, as many axes
    of length 1, or nothing.
    """

    name: str
    shape: tuple[Dim, ...]
    behind: str = "lead"


@dataclass(frozen=True)
class View:
    """The text of an array, or of a part of it by an index."""

    array: str
    index: str = ""
    is_whole: bool = False  # it is an array by its name

    def __str__(self) -> str:
        return f"{self.array}[{self.index}]" if self.index else self.array

    @property
    def elements(self) -> str:
        """What is assigned to."""
        return f"{self.array}[{self.index or '...'}]"


def view(base: Base, offset: Dim, spans: Sequence[Span], use: Callable[[str], str]) -> View:
    """`base[offset + sum of index * stride]` with one axis for each span, slowest first.

    A span of stride 0 becomes an axis of length 1, which NumPy repeats by itself. `use` is told of
    what this takes of the file, and returns its name.
    """
    spans = [*spans[:-1], spans[-1] if spans[-1][1] != 0 else (1, 1)]
    moving = [span for span in spans if span[1] != 0]
    start, forwards, order = offset, [], []
    for count, stride in moving:
        back = isinstance(stride, int) and stride < 0
        start = start + (count - 1) * stride if back else start
        forwards.append((count, stride * -1 if back else stride))
        order.append("::-1" if back else ":")
    own = [dims.product(base.shape[n + 1 :]) for n in range(len(base.shape))]
    other: list[Dim] = [*(stride for _, stride in forwards[:-1]), 1]
    found = _indexed(base, own, start, forwards, use) or _indexed(base, other, start, forwards, use)
    if found is None:
        pairs = ", ".join(f"({dims.text(n)}, {dims.text(s)})" for n, s in moving)
        row = _reshaped(base, (-1,) if len(base.shape) > 1 else base.shape, use)
        found = View(f"{use('grid')}({row}, {dims.text(offset)}, {pairs})")
    elif "::-1" in order:
        found = View(f"{found}", ", ".join(order))
    if len(moving) < len(spans):
        found = View(f"{found}", ", ".join(":" if stride != 0 else "None" for _, stride in spans))
    return found


def shape_text(shape: Sequence[Dim], behind: str = "lead") -> str:
    """A shape as Python text, before that of a batch."""
    inside = ", ".join(dims.text(n) for n in shape)
    own = f"({inside},)" if len(shape) == 1 else f"({inside})"
    if not behind:
        return own
    return f"{own} + {behind}" if shape else behind


def _reshaped(base: Base, shape: Sequence[Dim], use: Callable[[str], str]) -> View:
    if tuple(shape) == tuple(base.shape) and base.behind != "unit":
        return View(base.name, is_whole=True)
    return View(f"{base.name}.reshape({shape_text(shape, base.behind and use(base.behind))})")


def _indexed(
    base: Base, strides: Sequence[Dim], start: Dim, spans: Sequence[Span], use: Callable[[str], str]
) -> View | None:
    """By an index for each axis of an array with these strides, None where the spans do not fit."""
    shape: list[Dim] = []
    parts: list[str] = []
    outer, rest, left = dims.product(base.shape), start, list(spans)
    for stride in strides:
        length, first = _divide(outer, stride), _digit(rest, stride)
        if length is None or first is None:
            return None
        step = _divide(left[0][1], stride) if left else None
        if isinstance(step, int):
            part = _slice(first, left.pop(0)[0], step, length, outermost=not parts)
        else:
            part = _place(first, length, outermost=not parts)
        if part is None:
            return None
        shape.append(length)
        parts.append(part)
        outer, rest = stride, rest - first * stride
    if left or rest != 0:
        return None
    whole = _reshaped(base, shape, use)
    while parts and parts[-1] == ":":
        parts.pop()
    return View(whole.array, ", ".join(parts)) if parts else whole


def _place(first: Dim, length: Dim, outermost: bool) -> str | None:
    """One index of an axis, None where it may not be on it."""
    if isinstance(first, int) and isinstance(length, int):
        return str(first) if 0 <= first < length else None
    return dims.text(first) if outermost else None


def _slice(first: Dim, count: Dim, step: int, length: Dim, outermost: bool) -> str | None:
    """`first : first + count * step : step` of an axis, None where it may run over its end."""
    stop = first + (count - 1) * step + 1
    slack = length - stop
    if isinstance(first, int) and first < 0:
        return None
    if isinstance(slack, int):
        if slack < 0:
            return None
    elif not outermost or isinstance(length, int):
        return None  # it may run into the next row; the outermost axis has none
    opening = dims.text(first) if first != 0 else ""
    closing = "" if stop == length and step == 1 else dims.text(stop)
    # Formatters have space around the colon then.
    wide = not (dims.is_plain(first) and (dims.is_plain(stop) or not closing))
    parts = [opening, closing, str(step)] if step > 1 else [opening, closing]
    return (" : " if wide else ":").join(parts).strip()


def _divide(outer: Dim, inner: Dim) -> Dim | None:
    """The quotient where there is no remainder."""
    if isinstance(inner, int):
        factors = (
            [outer] if isinstance(outer, int) else [outer.constant, *dict(outer.terms).values()]
        )
        return outer // inner if inner > 0 and all(f % inner == 0 for f in factors) else None
    return next((count for count in _candidates(outer) if count * inner == outer), None)


def _candidates(outer: Dim) -> list[Dim]:
    """Dims that may be a quotient: the factors of the products in `outer`, and numbers."""
    found: list[Dim] = [1]
    for atom, factor in () if isinstance(outer, int) else outer.terms:
        found += [factor, dims.Sum(((atom, 1),))]
        if isinstance(atom, dims.Compound) and atom.operator == "*":
            found += [atom.left, atom.right, atom.left * factor, atom.right * factor]
    return found


def _digit(rest: Dim, stride: Dim) -> Dim | None:
    """How many strides an offset holds, None where that is not known."""
    if not isinstance(stride, int):
        return 0 if isinstance(rest, int) else None  # a free length is as long as what is inside it
    if isinstance(rest, int):
        return rest // stride
    whole = dims.Sum(tuple((atom, factor // stride) for atom, factor in rest.terms))
    return None if any(f % stride for _, f in rest.terms) else whole + rest.constant // stride
