"""A vector along array axes, as the text of a NumPy view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.program import dims
from codegen.program.dims import Dim

Span = tuple[Dim, Dim]  # a number of elements, and how far apart they lie in the flat array


@dataclass(frozen=True)
class Base:
    """An array in the generated file: its name and shape after the leading (batch) axis."""

    name: str
    shape: tuple[Dim, ...]
    has_lead: bool = True

    @property
    def size(self) -> Dim:
        """Number of elements after the leading axis."""
        return dims.product(self.shape)


def view(base: Base, offset: Dim, spans: Sequence[Span], use: Callable[[str], str]) -> str:
    """`base[offset + sum of index * stride]` with one axis for each span, slowest first.

    `use` is told of the helper that this takes, if any, and returns its name.

    A span of stride 0 becomes an axis of length 1, which NumPy repeats by itself. The result has
    the leading axis of `base` in front.
    """
    moving = [(count, stride) for count, stride in spans if stride != 0]
    start = offset
    signs = []
    for count, stride in moving:
        backwards = isinstance(stride, int) and stride < 0
        signs.append(backwards)
        if backwards:
            start = start + (count - 1) * stride
    positive = [
        (n, stride * -1 if back else stride)
        for (n, stride), back in zip(moving, signs, strict=True)
    ]
    text = _sliced(base, start, positive)
    if text is None:
        pairs = ", ".join(f"({number(n)}, {number(s)})" for n, s in moving)
        text = f"{use('grid')}({flat(base)}, {number(offset)}, {pairs})"
    elif any(signs):
        steps = ", ".join("::-1" if back else ":" for back in signs)
        text = f"{text}[..., {steps}]"
    return _with_unit_axes(text, spans, base.has_lead)


def _with_unit_axes(text: str, spans: Sequence[Span], has_lead: bool) -> str:
    """Axes of length 1 where a span does not move; in front they matter only after a lead."""
    parts = ["None" if stride == 0 else ":" for _, stride in spans]
    if not has_lead:
        while parts and parts[0] == "None":
            parts.pop(0)
    if "None" not in parts:
        return text
    return f"{text}[..., {', '.join(parts)}]"


def flat(base: Base) -> str:
    """The array with one axis after the leading one."""
    if len(base.shape) == 1:
        return base.name
    return f"{base.name}.reshape({shape_text((-1,), base.has_lead)})"


def shape_text(shape: Sequence[Dim], has_lead: bool = True) -> str:
    """A shape as Python text, after that of the leading axis."""
    inside = ", ".join(number(n) for n in shape)
    own = f"({inside},)" if len(shape) == 1 else f"({inside})"
    return f"lead + {own}" if has_lead else own


def number(dim: Dim) -> str:
    """A length as Python text."""
    return dims.text(dim)


def _sliced(base: Base, start: Dim, spans: Sequence[Span]) -> str | None:
    """By reshape and slices, or None where the spans do not nest."""
    if not spans:  # one element that is repeated: an axis of length 1 is added by the caller
        return f"{flat(base)}[..., {number(start)}]"
    extents: list[Dim] = [base.size]
    for _, stride in spans[:-1]:
        extents.append(stride)
    last = spans[-1][1]
    shape: list[Dim] = []
    for outer, inner in zip(extents, [s for _, s in spans[:-1]], strict=False):
        quotient = _divide(outer, inner)
        if quotient is None:
            return None
        shape.append(quotient)
    shape.append(extents[-1] if len(spans) > 1 else base.size)
    # Which index each axis starts at: the offset in the mixed radix of the shape.
    strides: list[Dim] = [s for _, s in spans[:-1]]
    starts: list[Dim] = []
    rest = start
    for stride in strides:
        digit = _digit(rest, stride)
        if digit is None:
            return None
        starts.append(digit)
        rest = rest - digit * stride
    starts.append(rest)
    parts: list[str] = []
    for k, (length, first, (count, _)) in enumerate(zip(shape, starts, spans, strict=True)):
        step: Dim = last if k == len(spans) - 1 else 1
        part = _slice(first, count, step, length, outermost=k == 0)
        if part is None:
            return None
        parts.append(part)
    text = base.name
    if tuple(shape) != tuple(base.shape):
        text = f"{text}.reshape({shape_text(shape, base.has_lead)})"
    if all(part == ":" for part in parts):
        return text
    if not base.has_lead:
        while parts[-1] == ":":
            parts.pop()
        return f"{text}[{', '.join(parts)}]"
    while len(parts) > 1 and parts[0] == ":":
        parts.pop(0)
    return f"{text}[..., {', '.join(parts)}]"


def _slice(first: Dim, count: Dim, step: Dim, length: Dim, outermost: bool) -> str | None:
    """`first : first + count * step : step` of an axis, None where it may run over its end."""
    if not isinstance(step, int) or step < 1:
        return None
    stop = first + (count - 1) * step + 1
    if isinstance(first, int) and first < 0:
        return None
    slack = length - stop
    if isinstance(slack, int):
        if slack < 0:
            return None
    elif not outermost or isinstance(length, int):
        return None  # it may run into the next row; the outermost axis has none
    if step > 1:
        return f"{number(first) if first != 0 else ''}:{number(stop)}:{step}"
    if first == 0 and stop == length:
        return ":"
    if stop == length:
        return f"{number(first)}:"
    return f"{number(first) if first != 0 else ''}:{number(stop)}"


def _divide(outer: Dim, inner: Dim) -> Dim | None:
    if isinstance(inner, int):
        if inner <= 0:
            return None
        if isinstance(outer, int):
            return outer // inner if outer % inner == 0 else None
        if outer.constant % inner == 0 and all(f % inner == 0 for _, f in outer.terms):
            return outer // inner
        return None
    for count in _candidates(outer):
        if count * inner == outer:
            return count
    return None


def _candidates(outer: Dim) -> list[Dim]:
    """Dims that may be a quotient: the factors of the first product in `outer`, and numbers."""
    found: list[Dim] = [1]
    if isinstance(outer, int):
        return found
    for atom, factor in outer.terms:
        found.append(factor)
        found.append(dims.Sum(((atom, 1),)))
        if isinstance(atom, dims.Compound) and atom.operator == "*":
            found += [atom.left, atom.right, atom.left * factor, atom.right * factor]
    return found


def _digit(rest: Dim, stride: Dim) -> Dim | None:
    """The part of an offset that is a multiple of the stride."""
    if isinstance(rest, int):
        if isinstance(stride, int):
            return rest // stride
        return 0  # a free length is at least as long as what is inside it
    if not isinstance(stride, int):
        return None
    whole: Dim = 0
    for atom, factor in rest.terms:
        if factor % stride == 0:
            whole = whole + dims.Sum(((atom, factor // stride),))
        elif dims.Sum(((atom, 1),)) is not None and factor % stride:
            # A smaller multiple of a symbol: its size is not known here.
            return None
    return whole + rest.constant // stride
