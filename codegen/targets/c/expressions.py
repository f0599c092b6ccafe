"""Scalar expressions as C: what buffers and elements are called, literals, operators, calls."""

from __future__ import annotations

import math
from collections.abc import Mapping

from codegen.passes.layout import Packed, Packing
from codegen.passes.scratch import Plan
from codegen.program.dims import Dim
from codegen.program.ops import Buffer, Expr, Vec
from codegen.targets.c.text import HOOKS, Used, dim_text, ring_row
from codegen.targets.spine.expressions import ATOM, PRODUCT, SUM, Scalars
from codegen.targets.spine.halved import Halved
from codegen.text.names import Names
from codegen.text.numbers import c_number

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
        self.type = "float" if dtype == "float32" else "double"
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
        return f"{self.upper}_READ({text})" if vec.buffer.kind == "const" else text

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
