"""Scalar expressions as C: what buffers and elements are called, literals, operators, calls."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codegen.passes.fold_gates import Halved
from codegen.passes.layout import Packed, Packing, Plan
from codegen.program.dims import Compound, Dim, Symbol
from codegen.program.ops import Buffer, Expr, Vec
from codegen.targets.spine.expressions import ATOM, PRODUCT, SUM, Scalars
from codegen.text.names import Names
from codegen.text.numbers import c_number

# Functions that are called through a hook macro; the others are plain helpers of the file.
HOOKS = (
    *("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "sin", "cos", "atan"),
    *("pow", "fmod"),
)


@dataclass
class Used:
    """What the statements need: helper functions, kernels, library headers."""

    functions: set[str] = field(default_factory=set)  # named as in program.FUNCTIONS
    kernels: set[str] = field(default_factory=set)
    raw: dict[Buffer, None] = field(default_factory=dict)  # constants that are read as they are
    buffers: set[Buffer] = field(default_factory=set)  # all that are read or written
    state: bool = False  # whether the state structure is
    math: bool = False  # whether a function or a macro of <math.h> is


def ring_row(offset: Dim, size: int) -> tuple[Dim, int]:
    """Row and place inside the row of an offset in a delay line; ValueError where it is neither."""
    if isinstance(offset, int):
        return offset // size, offset % size
    if any(factor % size for _, factor in offset.terms):
        raise ValueError("not a whole row")
    inner = offset.constant % size
    return (offset - inner) // size, inner


def dim_text(
    dim: Dim, symbols: Mapping[str, str], prefix: str, used: Used | None, macro: bool = False
) -> tuple[str, int]:
    """A dim as C, and how strongly it binds; `macro`: an expression that holds no function call."""
    if isinstance(dim, int):
        return str(dim), ATOM if dim >= 0 else PRODUCT
    parts: list[str] = []
    for atom, factor in dim.terms:
        if isinstance(atom, Symbol):
            body = symbols.get(atom.name, atom.name)
        else:
            body = _compound(atom, symbols, prefix, used, macro)
        if abs(factor) != 1:
            body = f"{body} * {abs(factor)}"
        sign = "-" if factor < 0 else "+"
        parts.append(f"{sign} {body}" if parts else (f"-{body}" if factor < 0 else body))
    if dim.constant:
        parts.append(f"{'-' if dim.constant < 0 else '+'} {abs(dim.constant)}")
    if len(parts) > 1:
        return " ".join(parts), SUM
    _, factor = dim.terms[0]
    return parts[0], ATOM if factor == 1 else PRODUCT


def _compound(
    atom: Compound, symbols: Mapping[str, str], prefix: str, used: Used | None, macro: bool
) -> str:
    (left, low), (right, high) = (
        dim_text(d, symbols, prefix, used, macro) for d in (atom.left, atom.right)
    )
    if atom.operator == "*":
        left = left if low >= PRODUCT else f"({left})"
        right = right if high >= ATOM else f"({right})"
        return f"({left} * {right})"
    if macro:  # must stand where only macros may: no helper functions
        if atom.operator == "//":
            return f"(({left}) >= 0 ? ({left}) / {right} : -(({right} - 1 - ({left})) / {right}))"
        sign = ">" if atom.operator == "max" else "<"
        return f"(({left}) {sign} ({right}) ? ({left}) : ({right}))"
    assert used is not None
    if atom.operator == "//":
        if _is_natural(atom.left):
            left = left if low >= PRODUCT else f"({left})"
            return f"({left} / {right})"
        used.kernels.add("floor_div")
        return f"{prefix}_floor_div({left}, {right})"
    used.kernels.add(f"{atom.operator}_length")
    return f"{prefix}_{atom.operator}_length({left}, {right})"


def _is_natural(dim: Dim) -> bool:
    """Whether no part of it can be negative (symbols are counters and lengths)."""
    if isinstance(dim, int):
        return dim >= 0
    return dim.constant >= 0 and all(f > 0 and isinstance(a, Symbol) for a, f in dim.terms)


def indent(text: str, by: str = "    ") -> str:
    """Every line that is not empty, moved right."""
    return textwrap.indent(text, by)


def body_of(lines: Sequence[str]) -> str:
    """The lines of a function's body."""
    return "".join(f"    {line}\n" if line else "\n" for line in lines)


# C's names of integer types, and where scratch of each type of number is kept.
INTEGERS = {"int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t"}
ARENAS = {"float32": "scratch", "int32": "scratch_int", "int16": "scratch_int16"}

LIBRARY = {"sqrt": "sqrt", "abs": "fabs", "floor": "floor", "round": "rint"}


class Expressions(Scalars):
    """Names, places and expressions of one program; collects what they use."""

    def __init__(
        self,
        prefix: str,
        dtype: str,
        profile: str,
        packing: Packing,
        plan: Plan,
        rings: Mapping[Buffer, tuple[int, int]],
        const_names: Mapping[Buffer | Packed, str],
        scale_names: Mapping[Buffer | Packed, str],
        members: Mapping[Buffer, str],
        names: Names,
        used: Used,
        halved: Halved,
    ) -> None:
        self.prefix, self.upper = prefix, prefix.upper()
        self.dtype = dtype
        self.real_type = "float" if dtype == "float32" else "double"
        self.suffix = "f" if dtype == "float32" else ""
        self.profile = profile
        self.packing = packing
        self.plan = plan
        self.rings = rings  # rows and row size of a delay line
        self.const_names = const_names  # of constants
        self.scale_names = scale_names  # of what the rows of those of int8 are multiplied by
        self.members = members  # of the state structure
        self.names = names
        self.used = used
        self.halved = halved  # results whose sigmoid is a tanh
        self.symbols: dict[str, str] = {}
        self.vectorised = False  # tanh and sigmoid work on whole arrays
        self.gate = "sigmoid"  # what computes the sigmoid of a gate

    @property
    def type(self) -> str:
        """The C type of what is computed."""
        return self.real_type

    # ---- names and places ---------------------------------------------------------------

    def buffer(self, buffer: Buffer) -> str:
        """The C expression for the first element's address."""
        self.used.buffers.add(buffer)
        self.used.state |= buffer.kind in ("state", "temp")
        if buffer.kind == "state":
            return f"s->{self.members[buffer]}"
        if buffer.kind == "const":
            self.used.raw[buffer] = None
            return self.const_names[buffer]
        return self.names(buffer.name, ("buffer", buffer))

    def type_of(self, buffer: Buffer) -> str:
        """The C type of a number of the buffer."""
        return INTEGERS.get(buffer.dtype, self.real_type)

    def dim(self, dim: Dim, within: int = SUM) -> str:
        """A length or offset; in parentheses where it binds weaker than `within`."""
        text, level = dim_text(dim, self.symbols, self.prefix, self.used)
        return text if level >= within else f"({text})"

    def place(self, vec: Vec) -> tuple[str, Dim, str]:
        """Base, offset and a ring's own offset text of a vector."""
        base = self.buffer(vec.buffer)
        if vec.buffer not in self.rings:
            return base, vec.offset, ""
        rows, size = self.rings[vec.buffer]
        row, inner = ring_row(vec.offset, size)
        at = f"{base}_at"
        if row == 0:
            where = at
        else:
            self.used.kernels.add("ring")
            where = f"{self.prefix}_ring({at}, {self.dim(row)}, {rows})"
        return base, inner, where if size == 1 else f"{where} * {size}"

    def element(self, vec: Vec, index: str) -> str:
        """The element number `index` (C text, "" for 0)."""
        base, offset, ring = self.place(vec)
        parts = [ring] if ring else []
        if offset != 0:
            parts.append(self.dim(offset))
        if index and vec.stride == 1:
            parts.append(index)
        elif index and vec.stride:
            parts.append(
                f"{index} * {vec.stride}" if vec.stride > 0 else f"{index} * ({vec.stride})"
            )
        text = f"{base}[{' + '.join(parts) or '0'}]"
        return self.read(vec.buffer, text)

    def read(self, buffer: Buffer, text: str) -> str:
        """An element of the buffer, which may be one that has to be read by a hook."""
        return f"{self.upper}_READ({text})" if buffer.kind == "const" else text

    def pointer(self, vec: Vec) -> str:
        """The address of the first element."""
        base, offset, ring = self.place(vec)
        parts = [ring] if ring else []
        if offset != 0:
            parts.append(self.dim(offset))
        return " + ".join([base, *parts])

    def scales(self, key: Buffer | Packed, first: Dim = 0) -> str | None:
        """The scales of rows of int8, from `first` on, and their unit, as arguments of a kernel."""
        if key.scales is None:
            return None
        name = self.scale_names[key]
        start = name if first == 0 else f"{name} + {self.dim(first)}"
        return f"{start}, {self.number(self._unit(key))}"

    def scale(self, key: Buffer | Packed, row: str) -> str:
        """The scale of one row of int8, as a product."""
        multiple = self.real(f"{self.upper}_READ_UINT16({self.scale_names[key]}[{row}])")
        return f"{self.number(self._unit(key))} * {multiple}"

    def _unit(self, key: Buffer | Packed) -> float:
        if isinstance(key, Buffer):
            return key.unit
        assert key.scales is not None
        return key.scales[0]

    # ---- expressions ----------------------------------------------------------------------

    negative = PRODUCT

    def local(self, name: str) -> str:
        """A local of an op."""
        return self.names(name, ("local", name))

    def real(self, text: str) -> str:
        """A cast."""
        return f"({self.type}){text}"

    def count(self, dim: Dim) -> str:
        """A length or a loop counter, cast."""
        return self.real(self.dim(dim, ATOM))

    def choice(self, condition: str, yes: Expr, no: Expr, index: str) -> tuple[str, int]:
        """A conditional expression in parentheses of its own."""
        first, second = (self.expression(part, index, SUM) for part in (yes, no))
        return f"({condition} ? {first} : {second})", ATOM

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """What a function is called in this file."""
        name = self.gate if name == "gate_sigmoid" else name
        if name in LIBRARY:
            self.used.math = True
            return f"{LIBRARY[name]}{self.suffix}"
        self.used.functions.add(name)
        return f"{self.upper}_{name.upper()}" if name in HOOKS else f"{self.prefix}_{name}"

    def number(self, value: float) -> str:
        """A literal."""
        self.used.math |= not math.isfinite(value)
        return c_number(value, self.dtype, self.suffix)
