"""Arithmetic, comparisons and activations, each element by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import ActivationLayer, AsFloat
from codegen.layers.operations import Operation
from codegen.layers.shared.formulas import BINARY, FORMULAS, OTHER
from codegen.model import Array
from codegen.program.activations import Activation
from codegen.readers import operations
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator, Rule
from codegen.readers.onnx.tensors import type_name
from codegen.readers.onnx.values import Operand, Value

WHOLE = ("int32", "int64")  # computed as floats, which hold them exactly up to 2^24
WIDER = {
    (small, large)
    for small in ("int8", "int16", "int32", "int64", "uint8", "uint16")
    for large in WHOLE
}
TRUE = {*OTHER} - {"where", "clip", "zeros_like", "ones_like"} | {"logical_or", "logical_and"}


NARROW = ("int8", "int16", "uint8", "uint16", "uint32", "uint64")
WRAPS = {"add", "subtract", "multiply", "power", "negative", "absolute", "square", "sum", "prod"}


def check_range(rule: str, operands: Sequence[Operand]) -> None:
    """Refuse sums and products of integers of few bits, which wrap around."""
    kinds = [str(x.dtype) for x in operands if isinstance(x, (Value, np.ndarray))]
    if rule in WRAPS and kinds[0] in NARROW:
        raise LayerError(f"it computes with {kinds[0]}, in which sums and products wrap around")


def formula(c: Call, rule: str, operands: tuple[Operand, ...], dtype: str = "") -> Value:
    """A formula of `codegen/layers/shared/formulas.py` on operands."""
    check_range(rule, operands)

    def make(operands: tuple[float | Array | None, ...]) -> Operation:
        arrays = [one for one in operands if isinstance(one, np.ndarray)]
        stored = sum(one.size for one in arrays) or None
        given = {} if all(one is None for one in operands) else {"operands": operands}
        return c.layer(Operation, rule=rule, settings=given, stored=stored)

    return c.elementwise(operands, make, dtype or ("bool" if rule in TRUE else None))


def _formula(c: Call, rule: str) -> Value:
    """A node that is a formula; sums and extrema take any number of operands."""
    operands = tuple(x for x in c.operands if x is not None)
    if rule == "where":
        values = [x for x in operands[1:] if isinstance(x, (Value, np.ndarray))]
        dtype = values[0].dtype
        return formula(c, rule, operands, dtype if isinstance(dtype, str) else dtype.name)
    if rule not in BINARY:
        return formula(c, rule, operands)
    found = operands[0]
    for other in operands[1:]:
        found = formula(c, rule, (found, other))
    result = found if isinstance(found, Value) else c.value(0)
    is_whole = np.dtype(result.dtype).kind in "iu"
    return formula(c, "trunc", (result,)) if rule == "divide" and is_whole else result


def activation(c: Call, found: Activation) -> Value:
    """An activation of each element."""
    x = c.value(0)
    ref = c.add(c.layer(ActivationLayer, activation=found), x.ref)
    return Value(ref, x.shape, x.held, x.dtype, x.time)


def curve(name: str, **defaults: float) -> Rule:
    """The rule of an activation whose parameters are attributes with these defaults."""

    def rule(c: Call) -> Value:
        numbers = (c.attributes.number(key, default) for key, default in defaults.items())
        return activation(c, Activation(name, tuple(numbers)))

    return rule


def _identity(c: Call) -> Operand:
    return c.operands[0]


def _dropout(c: Call) -> list[Value]:
    """The input, and true for each element."""
    training = c.maybe(2, "training_mode") if c.opset >= 12 else None
    ratio = c.maybe(1, "ratio") if c.opset >= 12 else None
    if training is not None and training.any() and (ratio is None or ratio.any()):
        raise LayerError("it is in training mode: what comes out is random")
    x = c.value(0)
    return [x, *([formula(c, "ones_like", (x,), "bool")] if len(c.wanted) > 1 else [])]


def _mean(c: Call) -> Value:
    """The sum of any number of operands, divided by their number."""
    total = _formula(c, "add")
    return formula(c, "divide", (total, np.asarray(len(c.operands), np.float32)), total.dtype)


def _modulo(c: Call) -> Value:
    """What is left after division: with the sign of the divisor, or with fmod of the dividend."""
    by_sign = not c.attributes.integer("fmod", 0, 0, 1)
    return formula(c, "exact_modulo" if by_sign else "remainder", tuple(c.operands[:2]))


def _cast(c: Call) -> Value:
    """A cast to a type that is named."""
    return cast(c, type_name(c.attributes.integer("to")))


def _cast_like(c: Call) -> Value:
    """A cast to the type of the second input."""
    like = c.operands[1]
    return cast(c, like.dtype if isinstance(like, Value) else c.known(1).dtype.name)


def cast(c: Call, to: str) -> Value:
    """The first input as numbers of another type."""
    x = c.value(0)
    if to == "bool":
        return x if x.dtype == to else formula(c, "not_equal", (x, np.zeros((), np.float32)))
    kept = np.dtype(to).kind == "f" or x.dtype in (to, "bool") or (x.dtype, to) in WIDER
    if kept:
        return Value(c.add(c.layer(AsFloat), x.ref), x.shape, x.held, to, x.time)
    if to in WHOLE and np.dtype(x.dtype).kind == "f":
        return formula(c, "trunc", (x,), to)
    raise LayerError(f"a cast from {x.dtype} to {to}, in which numbers may wrap around")


def _rules() -> list[Operator]:
    """The rows of `codegen/readers/operations.py` that ONNX has, too."""
    found: list[Operator] = []
    for row in operations.TABLE:
        for name in row.onnx.split():
            rule: Callable[[Call], Value]
            if row.curve:
                rule = partial(activation, found=Activation(row.curve))
            else:
                assert row.rule in FORMULAS
                rule = partial(_formula, rule=row.rule)
            found.append(Operator(name, rule))
    return found


TABLE = (
    *_rules(),
    Operator("LeakyRelu", curve("leaky_relu", alpha=0.01)),
    Operator("Elu", curve("elu", alpha=1.0)),
    Operator("Identity", _identity),
    Operator("Dropout", _dropout, ignored=("ratio", "seed")),
    Operator("Mean", _mean),
    Operator("Mod", _modulo),
    Operator("Xor", partial(_formula, rule="logical_xor")),
    Operator("IsNaN", partial(_formula, rule="is_nan")),
    Operator("CastLike", _cast_like, ignored=("saturate", "round_mode")),
    Operator("Cast", _cast, ignored=("saturate", "round_mode")),
)
