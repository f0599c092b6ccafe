"""Activations with one exact meaning each, as scalar expressions or as ops on a whole vector.

Names are those of Keras, except where one name has had two meanings: the reader then picks the
one that the version meant which wrote the file (`hard_sigmoid` of Keras 3 is `hard_sigmoid_3`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.program.ops import Compare, Expr, Number, Select, call

SELU_SCALE = 1.05070098735548049342
SELU_ALPHA = 1.67326324235437728482


@dataclass(frozen=True)
class Activation:
    """An activation by its canonical name, with its parameters where it has any."""

    name: str = "linear"
    parameters: tuple[float, ...] = ()
    function: Callable[[Expr], Expr] | None = None  # the user's own (`--custom`), by element
    limit: float | None = None  # what it is applied to is clipped to -limit and limit before

    @property
    def is_elementwise(self) -> bool:
        """Whether each output depends on one input only."""
        return self.function is not None or self.name in ELEMENTWISE

    @property
    def gate(self) -> Activation:
        """The same for a gate that is multiplied with what is of unit size and added to such."""
        return GATE_SIGMOID if self == SIGMOID else self

    def __call__(self, x: Expr) -> Expr:
        """The activation of one element."""
        if self.limit is not None:
            x = _clip(x, -self.limit, self.limit)
        if self.function is not None:
            return self.function(x)
        return ELEMENTWISE[self.name](x, *self.parameters)

    def __str__(self) -> str:
        numbers = ", ".join(f"{p:g}" for p in self.parameters)
        text = f"{self.name}({numbers})" if numbers else self.name
        return text if self.limit is None else f"{text} of what is clipped at {self.limit:g}"


def _where(condition: Expr, yes: Expr | float, no: Expr | float) -> Expr:
    return Select(
        condition,
        yes if isinstance(yes, Expr) else Number(yes),
        no if isinstance(no, Expr) else Number(no),
    )


def _above(x: Expr, bound: float = 0.0) -> Expr:
    return Compare(">", x, Number(bound))


def _clip(x: Expr, low: float, high: float) -> Expr:
    return call("min", call("max", x, low), high)


def _elu(x: Expr, alpha: float = 1.0) -> Expr:
    return _where(_above(x), x, alpha * call("expm1", call("min", x, 0.0)))


def _celu(x: Expr, alpha: float = 1.0) -> Expr:
    return _where(_above(x), x, alpha * call("expm1", call("min", x, 0.0) / alpha))


def _relu(
    x: Expr, negative_slope: float = 0.0, max_value: float = float("inf"), threshold: float = 0.0
) -> Expr:
    """Gives x above the threshold (at most max_value), negative_slope * (x - threshold) below."""
    if negative_slope == 0.0 and threshold == 0.0:
        rectified = call("max", x, 0.0)
        return rectified if max_value == float("inf") else call("min", rectified, max_value)
    positive = x if max_value == float("inf") else call("min", x, max_value)
    below: Expr = Number(0.0) if negative_slope == 0.0 else negative_slope * (x - threshold)
    # Keras compares x >= threshold when a maximum is given and x > threshold otherwise; at the
    # threshold itself the two give threshold and 0.
    return _where(_above(x, threshold), positive, below)


def _gelu_tanh(x: Expr) -> Expr:
    # (1 + tanh u) / 2 is sigmoid(2 u), which keeps its digits where tanh u is next to -1.
    return x * call("sigmoid", 1.5957691216057308 * (x + 0.044715 * x * x * x))


def _softplus(x: Expr, beta: float = 1.0, threshold: float = float("inf")) -> Expr:
    """log(1 + exp(beta x)) / beta, and x where beta x is above the threshold."""
    if beta == 1.0 and threshold == float("inf"):
        return call("softplus", x)
    soft = call("softplus", beta * x) / beta
    return soft if threshold == float("inf") else _where(_above(beta * x, threshold), x, soft)


def _soft_shrink(x: Expr, bound: float = 0.5) -> Expr:
    low = _where(Compare("<", x, Number(-bound)), x + bound, 0.0)
    return _where(_above(x, bound), x - bound, low)


def _sparse_plus(x: Expr) -> Expr:
    middle = 0.25 * (x + 1.0) * (x + 1.0)
    inner = _where(Compare("<", x, Number(1.0)), middle, x)
    return _where(Compare("<=", x, Number(-1.0)), 0.0, inner)


# One formula each; sources: the Keras documentation of the version that has the name.
ELEMENTWISE: dict[str, Callable[..., Expr]] = {
    "linear": lambda x: x,
    "tanh": lambda x: call("tanh", x),
    "sigmoid": lambda x: call("sigmoid", x),
    "gate_sigmoid": lambda x: call("gate_sigmoid", x),
    "hard_sigmoid": lambda x: call("hard_sigmoid", x),  # Keras 1 and 2: clip(0.2 x + 0.5, 0, 1)
    "hard_sigmoid_3": lambda x: call("hard_sigmoid_3", x),  # Keras 3: clip(x / 6 + 0.5, 0, 1)
    "clipped_line": lambda x, alpha, beta: _clip(alpha * x + beta, 0.0, 1.0),
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "scaled_tanh": lambda x, alpha, beta: alpha * call("tanh", beta * x),
    "hard_silu": lambda x: x * call("hard_sigmoid_3", x),
    "hard_tanh": lambda x, low=-1.0, high=1.0: _clip(x, low, high),
    "relu": _relu,
    "relu6": lambda x: _clip(x, 0.0, 6.0),
    "leaky_relu": lambda x, slope: _where(_above(x), x, slope * x),
    "thresholded_relu": lambda x, theta: _where(_above(x, theta), x, 0.0),
    "elu": _elu,
    "celu": _celu,
    "selu": lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
    "silu": lambda x: x * call("sigmoid", x),
    "mish": lambda x: x * call("tanh", call("softplus", x)),
    "gelu": lambda x: 0.5 * x * (1.0 + call("erf", x * 0.7071067811865476)),
    "gelu_tanh": _gelu_tanh,
    "softplus": _softplus,
    "threshold": lambda x, theta, value: _where(_above(x, theta), x, value),
    "parametric_softplus": lambda x, a, b: a * call("softplus", b * x),
    "softsign": lambda x: x / (1.0 + call("abs", x)),
    "exponential": lambda x: call("exp", x),
    "log_sigmoid": lambda x: -call("softplus", -x),
    "squareplus": lambda x: 0.5 * (x + call("sqrt", x * x + 4.0)),
    "soft_shrink": _soft_shrink,
    "hard_shrink": lambda x, bound=0.5: _where(_above(call("abs", x), bound), x, 0.0),
    "tanh_shrink": lambda x: x - call("tanh", x),
    "sparse_sigmoid": lambda x: _clip(0.5 * (x + 1.0), 0.0, 1.0),
    "sparse_plus": _sparse_plus,
}

LINEAR = Activation("linear")
SIGMOID = Activation("sigmoid")
GATE_SIGMOID = Activation("gate_sigmoid")
