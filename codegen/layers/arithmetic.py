"""Operations of Keras 3 and TensorFlow on every element."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.merging import Merge, combine
from codegen.model import Layer
from codegen.program.ops import At, Compare, Expr, Number, Select, call, expr

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


def _sign(x: Expr) -> Expr:
    below = Select(Compare("<", x, Number(0.0)), Number(-1.0), x)  # zero gives itself
    return Select(Compare(">", x, Number(0.0)), Number(1.0), below)


def _towards_zero(x: Expr) -> Expr:
    up = -call("floor", -x)
    return Select(Compare("<", x, Number(0.0)), up, call("floor", x))


# Functions of one number, by the name of the operation.
FORMULAS: dict[str, Callable[[Expr], Expr]] = {
    "negative": lambda x: -x,
    "absolute": lambda x: call("abs", x),
    "square": lambda x: x * x,
    "sqrt": lambda x: call("sqrt", x),
    "rsqrt": lambda x: 1.0 / call("sqrt", x),
    "reciprocal": lambda x: 1.0 / x,
    "exp": lambda x: call("exp", x),
    "exp2": lambda x: call("pow", 2.0, x),
    "expm1": lambda x: call("expm1", x),
    "log": lambda x: call("log", x),
    "log2": lambda x: call("log", x) / math.log(2.0),
    "log10": lambda x: call("log", x) / math.log(10.0),
    "log1p": lambda x: call("log1p", x),
    "sinh": lambda x: (call("expm1", x) - call("expm1", -x)) * 0.5,
    "cosh": lambda x: (call("exp", x) + call("exp", -x)) * 0.5,
    "erf": lambda x: call("erf", x),
    "floor": lambda x: call("floor", x),
    "ceil": lambda x: -call("floor", -x),
    "round": lambda x: call("round", x),
    "trunc": _towards_zero,
    "sign": _sign,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Arithmetic(Layer):
    """An operation of Keras 3 on tensors and at most one number: x + y, 2 * x, 1 - x, x ** 2.

    `constant` stands at `position` (0 left, 1 right) when it is not None.
    """

    operator: str  # add, subtract, multiply, divide, power, maximum, minimum, or a function
    constant: float | None = None
    position: int = 1

    @property
    def aligns(self) -> bool:
        """As NumPy does."""
        return True

    @property
    def describe(self) -> str:
        """The operation."""
        return f"{self.class_name}({self.operator})"

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself."""
        return self, order

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        if self.constant is None:
            if len(inputs) == 1:
                return self._function(b, inputs[0])
            # Operations broadcast as NumPy does: axes are aligned at the end.
            return Merge(name=self.name, class_name=self.class_name, mode=self.operator).lower(
                b, *inputs
            )
        x = inputs[0]
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            v, fixed = expr(x.row(*at)), Number(self.constant)
            left, right = (fixed, v) if self.position == 0 else (v, fixed)
            b.copy(out.row(*at), combine(self.operator, left, right))
        return (b.like(out, x, mask=x.mask),)

    def _function(self, b: Builder, x: Tensor) -> Tensors:
        formula = FORMULAS.get(self.operator)
        if formula is None:
            raise LayerError(f"operation {self.operator} is not supported")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            b.copy(out.row(*at), formula(At(x.row(*at))))
        return (b.like(out, x, mask=x.mask),)
