"""Activations with settings of their own, and those that run along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import ActivationLayer
from codegen.layers.operations import Operation
from codegen.layers.reshaping import Reshape
from codegen.model import Array, Ref
from codegen.program import dims
from codegen.program.activations import SELU_ALPHA, SELU_SCALE, Activation
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.elementwise import activation, curve, formula
from codegen.readers.onnx.values import Value


def number(value: float) -> Array:
    """A number as an operand."""
    return np.asarray(value, np.float64)


def _hard_sigmoid(c: Call) -> Value:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = c.attributes.number("alpha", 0.2), c.attributes.number("beta", 0.5)
    if (alpha, beta) == (0.2, 0.5):
        return activation(c, Activation("hard_sigmoid"))
    line = formula(c, "add", (formula(c, "multiply", (c.value(0), number(alpha))), number(beta)))
    return formula(c, "clip", (line, number(0.0), number(1.0)))


def _selu(c: Call) -> Value:
    """Gamma elu(x)."""
    alpha = c.attributes.number("alpha", SELU_ALPHA)
    gamma = c.attributes.number("gamma", SELU_SCALE)
    usual = (SELU_ALPHA, SELU_SCALE)
    if all(math.isclose(*pair, rel_tol=1e-6) for pair in zip((alpha, gamma), usual, strict=True)):
        return activation(c, Activation("selu"))
    return formula(c, "multiply", (activation(c, Activation("elu", (alpha,))), number(gamma)))


def _gelu(c: Call) -> Value:
    """By erf, or by tanh."""
    kind = c.attributes.text("approximate", "none", ("none", "tanh"))
    return activation(c, Activation("gelu_tanh" if kind == "tanh" else "gelu"))


def _swish(c: Call) -> Value:
    """X sigmoid(alpha x)."""
    alpha, x = c.attributes.number("alpha", 1.0), c.value(0)
    if alpha == 1:
        return activation(c, Activation("silu"))
    inner = formula(c, "multiply", (x, number(alpha)))
    layer = c.layer(ActivationLayer, activation=Activation("sigmoid"))
    gate = Value(c.add(layer, inner.ref), x.shape, inner.held, x.dtype, x.time)
    return formula(c, "multiply", (x, gate))


def _shrink(c: Call) -> Value:
    """X moved by a bias towards 0 where it is beyond lambda, else 0."""
    bound, bias = c.attributes.number("lambd", 0.5), c.attributes.number("bias", 0.0)
    if bias == bound:
        return activation(c, Activation("soft_shrink", (bound,)))
    x = c.value(0)
    low = formula(c, "less", (x, number(-bound)))
    high = formula(c, "greater", (x, number(bound)))
    up, down = (formula(c, "add", (x, number(n))) for n in (bias, -bias))
    inner = formula(c, "where", (high, down, number(0.0)), x.dtype)
    return formula(c, "where", (low, up, inner), x.dtype)


def _prelu(c: Call) -> Value:
    """x, or slope x below 0; the slope broadcasts to x."""
    x = c.value(0)
    return formula(c, "prelu", (x, c.operands[1]), x.dtype)


def _clip(c: Call) -> Value:
    """X between two bounds, each of which may be missing; the upper one wins."""
    x = c.value(0)
    bounds: Sequence[object]
    if c.opset < 11:
        bounds = [c.attributes.get(key, None) for key in ("min", "max")]
    else:
        bounds = [c.operands[n] if c.has(n) else None for n in (1, 2)]
    for bound, rule in zip(bounds, ("maximum", "minimum"), strict=True):
        if bound is None:
            continue
        limit = bound if isinstance(bound, Value) else np.asarray(bound)
        info = np.finfo(np.float32)
        if isinstance(limit, np.ndarray) and limit.size == 1:
            beyond = info.min if rule == "maximum" else info.max
            if limit.reshape(()) == beyond or np.isinf(limit.reshape(())):
                continue  # "no bound"
        x = formula(c, rule, (x, limit), x.dtype)
    return x


def _along(c: Call) -> tuple[int, ...]:
    """The axes of a softmax: one, or before opset 13 all from one on together."""
    rank = c.value(0).rank
    if c.opset >= 13:
        return (c.axis(c.attributes.integer("axis", -1, -32, 32), rank),)
    first = c.attributes.integer("axis", 1, -32, 32)
    return tuple(range(first if first == rank else c.axis(first, rank), rank))


def _softmax(c: Call, name: str) -> Value:
    """Along one axis; along several of them as if they were one."""
    x = c.value(0)
    axes = _along(c)
    long = [axis for axis in axes if x.shape[axis] != 1] or list(axes[:1])
    layer = c.layer(ActivationLayer, activation=Activation(name))
    if not long:
        raise LayerError("its axis is behind the last one")
    ref, held = c.ordered(x, long) if len(long) > 1 else _holding(c, x, long[0])
    if len(long) == 1:
        ref = c.add(_at(layer, held.index(long[0]) + 1), ref)
        return Value(ref, x.shape, held, x.dtype, x.time)
    ref, lengths = _joined(c, x, ref, held, len(long))
    ref = c.add(layer, ref)
    ref = c.add(c.aside(Reshape, "apart", shape=lengths), ref)
    return Value(ref, x.shape, held, x.dtype, x.time)


def _at(layer: ActivationLayer, axis: int) -> ActivationLayer:
    return ActivationLayer(
        name=layer.name, class_name=layer.class_name, activation=layer.activation, axis=axis
    )


def _joined(
    c: Call, x: Value, ref: Ref, held: Sequence[int], count: int
) -> tuple[Ref, tuple[int, ...]]:
    """The last axes that are held as one, and the shape that they had."""
    lengths = [-1 if x.time and n == 0 else dims.fixed(x.shape[a]) for n, a in enumerate(held)]
    rest, own = lengths[:-count], lengths[-count:]
    shape = (*rest, math.prod(own))
    return c.add(c.aside(Reshape, "together", shape=shape), ref), tuple(lengths)


def _holding(c: Call, x: Value, axis: int) -> tuple[Ref, tuple[int, ...]]:
    """The tensor of `x`, which holds this axis."""
    held = x.held if axis in x.held else (*x.held, axis)
    return c.arranged(x, held), held


def _hardmax(c: Call) -> Value:
    """1 at the first of the largest elements along an axis, else 0."""
    x = c.value(0)
    long = [axis for axis in _along(c) if x.shape[axis] != 1]
    if len(long) > 1:
        ref, held = c.ordered(x, long)
        ref, lengths = _joined(c, x, ref, held, len(long))
        place, size = len(held) - len(long) + 1, math.prod(lengths[-len(long) :])
    elif long:
        ref, held = c.ordered(x, long)
        place, size, lengths = len(held), dims.fixed(x.shape[long[0]]), ()
    else:
        return formula(c, "ones_like", (x,))
    ref = c.operation("argmax", ref, axis=place, keepdims=False)
    ref = c.operation("one_hot", ref, num_classes=size, on_value=1.0, off_value=0.0)
    if lengths:
        ref = c.add(c.aside(Reshape, "apart", shape=lengths), ref)
    return Value(ref, x.shape, held, x.dtype, x.time)


def _infinite(c: Call) -> Value:
    """Whether each is an infinity, of the signs that count."""
    keys = ("detect_negative", "detect_positive")
    signs = [float(c.attributes.integer(key, 1, 0, 1)) for key in keys]
    x = c.value(0)
    layer = c.layer(Operation, rule="is_infinite", settings={"operands": (None, *signs)})
    return Value(c.add(layer, x.ref), x.shape, x.held, "bool", x.time)


TABLE = (
    Operator("HardSigmoid", _hard_sigmoid),
    Operator("Selu", _selu),
    Operator("Celu", curve("celu", alpha=1.0)),
    Operator("ThresholdedRelu", curve("thresholded_relu", alpha=1.0)),
    Operator("Gelu", _gelu),
    Operator("Mish", curve("mish")),
    Operator("HardSwish", curve("hard_silu")),
    Operator("Softplus", curve("softplus")),
    Operator("Softsign", curve("softsign")),
    Operator("Swish", _swish),
    Operator("Shrink", _shrink),
    Operator("PRelu", _prelu),
    Operator("Clip", _clip),
    Operator("Softmax", lambda c: _softmax(c, "softmax")),
    Operator("LogSoftmax", lambda c: _softmax(c, "log_softmax")),
    Operator("Hardmax", _hardmax),
    Operator("IsInf", _infinite),
)
