"""Operations of Keras 3 that stand in functional models as nodes of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codegen.activations import Activation
from codegen.errors import LayerError
from codegen.layers.arithmetic import Arithmetic
from codegen.layers.array_operations import Argmax, Cumsum, OneHot, Roll, Tile
from codegen.layers.core import ActivationLayer, Dense, Identity
from codegen.layers.masking import NotEqualMask
from codegen.layers.merging import Concatenate, Merge
from codegen.layers.normalization import AxisNormalization
from codegen.layers.operations import (
    ELLIPSIS,
    NEW_AXIS,
    Clip,
    Comparison,
    Einsum,
    Filled,
    Flip,
    GetItem,
    Matmul,
    NewShape,
    Pad,
    Reduction,
    Repeat,
    Split,
    Stack,
    Statistic,
    Swap,
    Take,
    Where,
)
from codegen.layers.reshaping import Flatten, Permute, Reshape
from codegen.model import Array, Layer
from codegen.readers.keras.constants import LARGEST, depth, is_array, load
from codegen.readers.keras.items import Item
from codegen.readers.settings import MAX_INTEGER, Config, show, whole


@dataclass(frozen=True)
class Slice:
    """`start:stop:step` of a GetItem."""

    start: int | None
    stop: int | None
    step: int | None


# What an argument of an operation may be besides a tensor: number, list, text, None, Slice.
TENSOR = object()  # stands where a tensor stood

_BINARY = {
    "Add": "add",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Power": "power",
    "FloorDivide": "floor_divide",
    "Mod": "modulo",
    "Logaddexp": "logaddexp",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "SquaredDifference": "squared_difference",  # of TensorFlow
    "LogicalOr": "maximum",  # of truth values, which are 1 and 0
    "LogicalAnd": "minimum",
}
_UNARY = {
    "Negative": "negative",
    "Absolute": "absolute",
    "Abs": "absolute",
    "Square": "square",
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Exp2": "exp2",
    "Expm1": "expm1",
    "Log": "log",
    "Log2": "log2",
    "Log10": "log10",
    "Log1p": "log1p",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Erf": "erf",
    "Floor": "floor",
    "Ceil": "ceil",
    "Trunc": "trunc",
    "Sign": "sign",
    "Reciprocal": "reciprocal",
    "Rsqrt": "rsqrt",
}
_REDUCTIONS = {
    "Any": "any",
    "All": "all",
    "Sum": "sum",
    "Prod": "prod",
    "Mean": "mean",
    "Max": "max",
    "Amax": "max",
    "Min": "min",
    "Amin": "min",
    "CountNonzero": "count_nonzero",
    "Average": "mean",
}
_STATISTICS = {"Var": "variance", "Std": "deviation", "Logsumexp": "logsumexp"}
_COMPARISONS = {
    "Equal": "==",
    "NotEqual": "!=",
    "Greater": ">",
    "GreaterEqual": ">=",
    "Less": "<",
    "LessEqual": "<=",
}
_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Silu": "silu",
    "LogSigmoid": "log_sigmoid",
    "HardSigmoid": "hard_sigmoid_3",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Mish": "mish",
    "Selu": "selu",
    "TanhShrink": "tanh_shrink",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
}
# Activations with one setting: its name and default.
_PARAMETRIC = {
    "LeakyRelu": ("leaky_relu", "negative_slope", 0.2),
    "Elu": ("elu", "alpha", 1.0),
    "Celu": ("celu", "alpha", 1.0),
    "SoftShrink": ("soft_shrink", "threshold", 0.5),
    "HardShrink": ("hard_shrink", "threshold", 0.5),
}
_OF_ARRAYS = (*_BINARY, *_COMPARISONS, "Where", "Concatenate", "Stack", "AddN", "Einsum")
_IDENTITIES = ("Copy", "StopGradient", "Identity", "ConvertToTensor")


@dataclass(frozen=True)
class Use:
    """An operation with what it is called with."""

    item: Item
    arguments: Sequence[Any]  # with TENSOR for every tensor
    settings: Config
    read: set[str] = field(default_factory=set)  # what the maker asked for of the settings

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.item.class_name

    @property
    def both(self) -> dict[str, Any]:
        """What every layer has."""
        return {"name": self.item.path, "class_name": self.name}

    @property
    def tensors(self) -> int:
        """How many tensors it is called on."""
        return sum(argument is TENSOR for argument in self.arguments)

    def setting(self, key: str, default: Any = None) -> Any:
        """A setting of the operation or of the call."""
        self.read.add(key)
        return self.item.config.get(key, self.settings.get(key, default))

    def own(self, key: str) -> Config:
        """The settings of the operation itself, of which `key` is asked for."""
        self.read.add(key)
        return self.item.config

    def axis(self, key: str = "axis", default: Any = None) -> int:
        """A setting that is an axis."""
        return whole(self.setting(key, default), key, -16, 16)


# An operation as a layer, and the arrays among its operands with their places there.
Built = tuple[Layer, list[tuple[int, Any]]]


def build(item: Item, arguments: Sequence[Any], settings: Config) -> Built:
    """The layer of an operation called with `arguments`, where TENSOR marks the tensors."""
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]  # a list of tensors
    operands: list[Any] = []
    arrays: list[tuple[int, Any]] = []
    for number, value in enumerate(arguments):
        stands_in = _is_operand(item.class_name, number, value)
        if stands_in:
            arrays.append((sum(one is TENSOR for one in operands), value))
        operands.append(TENSOR if stands_in else value)
    use = Use(item, operands, settings)
    maker = MAKERS.get(use.name)
    found = None if maker is None or not use.tensors else maker(use)
    if found is None:
        raise LayerError("this operation is not supported; use a layer in its place")
    for key, value in {**item.config, **settings}.items():
        if key in use.read or key in ("name", "trainable"):
            continue
        if value is not None and value is not False and value != "float32":
            raise LayerError(f"it is called with {key}={show(value)}, which is not supported")
    return found, arrays


def _is_operand(name: str, number: int, value: Any) -> bool:
    """Whether an argument is an array in place of a tensor."""
    axes = depth(value) if is_array(value) else 0
    if name == "Matmul":  # a constant matrix on the right is a kernel
        return axes > (2 if number else 0)
    return name in _OF_ARRAYS and axes > 0


Maker = Callable[[Use], "Layer | None"]  # None: not with these arguments


def _binary(use: Use) -> Layer | None:
    operator, arguments = _BINARY[use.name], use.arguments
    if len(arguments) != 2:
        return None
    if use.tensors == 2:
        return Arithmetic(operator=operator, **use.both)
    position = 1 if arguments[0] is TENSOR else 0
    if (operator, arguments[position]) in (("minimum", math.inf), ("maximum", -math.inf)):
        return Identity(**use.both)  # the open end of a range
    number = float(_constant(arguments[position]))
    return Arithmetic(operator=operator, constant=number, position=position, **use.both)


def _comparison(use: Use) -> Layer | None:
    if len(use.arguments) != 2:
        return None
    operator = _COMPARISONS[use.name]
    if use.tensors == 2:
        return Comparison(operator=operator, **use.both)
    first = use.arguments[0] is TENSOR
    number = float(_constant(use.arguments[1 if first else 0]))
    if use.name == "NotEqual":
        if np.isnan(number):
            raise LayerError("NotEqual with a number that is none")
        return NotEqualMask(value=number, **use.both)
    turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    operator = operator if first else turned.get(operator, operator)
    return Comparison(operator=operator, constant=number, **use.both)


def _alone(make: Maker) -> Maker:
    """The maker of an operation that is called on one tensor and nothing else."""
    return lambda use: make(use) if len(use.arguments) == use.tensors == 1 else None


def _plain(make: Maker) -> Maker:
    """The maker of an operation all of whose arguments are tensors."""
    return lambda use: make(use) if len(use.arguments) == use.tensors else None


def _activation(name: str, *parameters: float) -> Maker:
    activation = Activation(name, parameters)
    return _alone(lambda use: ActivationLayer(activation=activation, **use.both))


def _parametric(name: str, key: str, usual: float) -> Maker:
    def make(use: Use) -> Layer:
        value = use.own(key).number(key, usual)
        return ActivationLayer(activation=Activation(name, (value,)), **use.both)

    return _alone(make)


def _softmax(name: str) -> Maker:
    def make(use: Use) -> Layer:
        axis = use.axis(default=-1)
        return ActivationLayer(activation=Activation(name), axis=axis, **use.both)

    return _alone(make)


def _gelu(use: Use) -> Layer:
    curve = "gelu_tanh" if use.own("approximate").flag("approximate", True) else "gelu"
    return ActivationLayer(activation=Activation(curve), **use.both)


def _get_item(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR:
        return None
    return GetItem(items=_items(use.arguments[1]), **use.both)


def _identity(use: Use) -> Layer | None:
    dtype = use.setting("dtype")
    if use.arguments[0] is not TENSOR:
        return None
    return Identity(**use.both) if dtype is None else _cast(str(dtype), use.both)


def _where(use: Use) -> Layer | None:
    if len(use.arguments) != 3 or use.arguments[0] is not TENSOR:
        return None
    yes, no = (None if a is TENSOR else float(_constant(a)) for a in use.arguments[1:])
    return Where(choices=(yes, no), **use.both)


def _matmul(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR:
        return None
    first, transposed = (use.setting(key, False) is True for key in ("transpose_a", "transpose_b"))
    if use.tensors == 2:  # only TensorFlow transposes
        return Matmul(transposed=transposed, first_transposed=first, **use.both)
    if first:
        return None
    kernel = _constant(use.arguments[1])
    if kernel.ndim != 2:
        raise LayerError(f"a product with a constant of shape {kernel.shape}")
    return Dense(kernel=kernel.T if transposed else kernel, bias=None, **use.both)


def _take(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR or use.tensors != 1:
        return None
    indices = _constant(use.arguments[1])
    if indices.ndim > 1 or use.setting("axis") is None:
        raise LayerError("it takes from all axes at once, or at indices of several axes")
    picked = tuple(int(i) for i in indices.reshape(-1))
    return Take(axis=use.axis(), indices=picked, keeps=indices.ndim == 1, **use.both)


def _reduction(use: Use) -> Layer:
    value = use.setting("axis")
    if value is None or use.setting("initial") is not None:
        raise LayerError("it reduces the batch axis too, or has an initial value")
    given = value if isinstance(value, list) else [value]
    axes = tuple(whole(v, "axis", -16, 16) for v in given)
    keep = use.setting("keepdims", False) is True
    if use.name in _STATISTICS:
        return Statistic(kind=_STATISTICS[use.name], axes=axes, keepdims=keep, **use.both)
    return Reduction(kind=_REDUCTIONS[use.name], axes=axes, keepdims=keep, **use.both)


def _norm(use: Use) -> Layer:
    order, axis = use.setting("ord"), use.setting("axis")
    given = axis if isinstance(axis, list) else [axis]
    if order not in (None, "euclidean", "fro", 2) or (order == 2 and len(given) != 1):
        raise LayerError(f"a norm of order {show(order)} along axis {show(axis)}")
    axes = tuple(whole(v, "axis", -16, 16) for v in given)
    keep = use.setting("keepdims", False) is True
    return Statistic(kind="norm", axes=axes, keepdims=keep, **use.both)


def _normalize(use: Use) -> Layer:
    """X / max(norm, epsilon); with TensorFlow the square of the norm has the bound."""
    if use.setting("order", 2) != 2:
        raise LayerError(f"it normalises by order {show(use.setting('order'))}")
    axis = use.setting("axis", -1)
    axes = tuple(whole(v, "axis", -16, 16) for v in (axis if isinstance(axis, list) else [axis]))
    given = use.setting("epsilon")
    usual = 1e-7 if use.name == "Normalize" else 1e-12
    epsilon = usual if given is None else Config({"epsilon": given}).number("epsilon")
    if use.name == "Normalize":
        epsilon = epsilon * epsilon
    return AxisNormalization(kind="unit", axes=axes, epsilon=epsilon, **use.both)


def _tensordot(use: Use) -> Layer | None:
    if use.setting("axes") != 1 or use.tensors != 1:
        raise LayerError("a product of tensors over other axes than the last and the first")
    return _matmul(use)


def _tile(use: Use) -> Layer:
    given = use.setting("repeats")
    if not isinstance(given, list):
        raise LayerError(f"repeats is {show(given)}, expected a list")
    repeats = [whole(v, "repeats", 1, MAX_INTEGER) for v in given]
    if repeats[:1] != [1]:
        raise LayerError("it repeats the batch axis")
    return Tile(repeats=tuple(repeats[1:]), **use.both)


def _roll(use: Use) -> Layer:
    shift = whole(use.setting("shift"), "shift", -MAX_INTEGER, MAX_INTEGER)
    return Roll(axis=use.axis(), shift=shift, **use.both)


def _cumsum(use: Use) -> Layer:
    exclusive, reverse = (use.setting(key, False) is True for key in ("exclusive", "reverse"))
    axis = use.axis(default=0)
    return Cumsum(axis=axis, exclusive=exclusive, reverse=reverse, **use.both)


def _argmax(use: Use) -> Layer:
    keep = use.setting("keepdims", False) is True
    return Argmax(axis=use.axis(), keepdims=keep, **use.both)


def _filled(value: float) -> Maker:
    def make(use: Use) -> Layer:
        use.own("dtype")  # 0 and 1 are the same in all of them
        return Filled(value=value, **use.both)

    return make


def _one_hot(use: Use) -> Layer:
    use.own("dtype")
    if use.axis(default=-1) != -1:
        raise LayerError("it puts its codes along another axis than the last")
    classes = whole(use.setting("num_classes"), "num_classes", 1, MAX_INTEGER)
    on, off = (
        usual if use.setting(key) is None else float(_constant(use.setting(key)))
        for key, usual in (("on_value", 1.0), ("off_value", 0.0))
    )
    return OneHot(classes=classes, on=on, off=off, **use.both)


def _new_shape(use: Use) -> Layer:
    return NewShape(axis=use.axis(), expand=use.name == "ExpandDims", **use.both)


def _clip(use: Use) -> Layer:
    low, high = (float(_constant(use.setting(key))) for key in ("x_min", "x_max"))
    return Clip(low=low, high=high, **use.both)


def _transpose(use: Use) -> Layer:
    axes = Config({"axes": use.setting("axes")}).wholes("axes", low=-16, high=16)
    if axes[:1] != (0,) or sorted(axes) != list(range(len(axes))):
        raise LayerError("it moves the batch axis")
    return Permute(dims=axes[1:], **use.both)


def _reshape(use: Use) -> Layer:
    shape = [*Config({"newshape": use.setting("newshape")}).wholes("newshape", low=-1)]
    if shape[:1] != [-1] or -1 in shape[1:]:
        raise LayerError("it does not keep the batch axis apart")
    return Reshape(shape=tuple(shape[1:]), **use.both)


def _round(use: Use) -> Layer:
    if use.setting("decimals", 0) != 0:
        raise LayerError("it rounds to decimals")
    return Arithmetic(operator="round", **use.both)


def _repeat(use: Use) -> Layer:
    count = whole(use.setting("repeats"), "repeats", 1, MAX_INTEGER)
    return Repeat(axis=use.axis(), count=count, **use.both)


def _pad(use: Use) -> Layer:
    if use.setting("mode", "constant") != "constant":
        raise LayerError(f"it pads in mode {show(use.setting('mode'))}")
    raw = use.setting("pad_width")
    if not isinstance(raw, list) or not all(isinstance(p, list) and len(p) == 2 for p in raw):
        raise LayerError(f"pad_width is {show(raw)}, expected a pair for each axis")
    pairs = [
        (whole(p[0], "padding", 0, MAX_INTEGER), whole(p[1], "padding", 0, MAX_INTEGER))
        for p in raw
    ]
    if not pairs or any(pairs[0]):
        raise LayerError("it pads the batch axis")
    value = use.setting("constant_values")
    return Pad(
        padding=tuple(pairs[1:]),
        value=0.0 if value is None else float(_constant(value)),
        **use.both,
    )


def _split(use: Use) -> Layer:
    axis = use.axis(default=0)
    if use.name == "Unstack":
        return Split(axis=axis, unstack=True, **use.both)
    given = use.setting("indices_or_sections")
    if isinstance(given, list):
        places = tuple(whole(place, "index", 0, MAX_INTEGER) for place in given)
        return Split(axis=axis, places=places, **use.both)
    return Split(axis=axis, parts=whole(given, "sections", 1, MAX_INTEGER), **use.both)


def _swap(use: Use) -> Layer:
    moves = use.name == "Moveaxis"
    first, second = ("source", "destination") if moves else ("axis1", "axis2")
    return Swap(axes=(use.axis(first), use.axis(second)), moves=moves, **use.both)


MAKERS: dict[str, Maker] = {
    **dict.fromkeys(_BINARY, _binary),
    **{
        name: _alone(lambda use, operator=operator: Arithmetic(operator=operator, **use.both))  # type: ignore[misc]
        for name, operator in _UNARY.items()
    },
    **dict.fromkeys(_COMPARISONS, _comparison),
    **{name: _activation(known) for name, known in _ACTIVATIONS.items()},
    **{name: _parametric(*settings) for name, settings in _PARAMETRIC.items()},
    **dict.fromkeys((*_REDUCTIONS, *_STATISTICS), _plain(_reduction)),
    **dict.fromkeys(_IDENTITIES, _identity),
    "Gelu": _alone(_gelu),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Concatenate": _plain(lambda use: Concatenate(axis=use.axis(default=0), **use.both)),
    "Stack": _plain(lambda use: Stack(axis=use.axis(default=0), **use.both)),
    "GetItem": _get_item,
    "Where": _where,
    "Matmul": _matmul,
    "Take": _take,
    "ExpandDims": _alone(_new_shape),
    "Squeeze": _alone(_new_shape),
    "ZerosLike": _alone(_filled(0.0)),
    "OnesLike": _alone(_filled(1.0)),
    "LogicalNot": _alone(lambda use: Comparison(operator="==", constant=0.0, **use.both)),
    "Cast": _alone(lambda use: _cast(str(use.setting("dtype")), use.both)),
    "Clip": _alone(_clip),
    "Flip": _alone(lambda use: Flip(axis=use.axis(), **use.both)),
    "Transpose": _alone(_transpose),
    "Swapaxes": _alone(_swap),
    "Moveaxis": _alone(_swap),
    "Reshape": _alone(_reshape),
    "Round": _alone(_round),
    "Pad": _alone(_pad),
    "Repeat": _alone(_repeat),
    "Split": _alone(_split),
    "Unstack": _alone(_split),
    "AddN": _plain(lambda use: Merge(mode="add", **use.both)),
    "Argmax": _alone(_argmax),
    "Cumsum": _alone(_cumsum),
    "Flatten": _alone(lambda use: Flatten(**use.both)),
    "L2Normalize": _alone(_normalize),
    "Normalize": _alone(_normalize),
    "Norm": _alone(_norm),
    "OneHot": _alone(_one_hot),
    "Roll": _alone(_roll),
    "Tensordot": _tensordot,
    "Tile": _alone(_tile),
    "Einsum": _plain(
        lambda use: Einsum(equation=str(use.setting("subscripts")).replace(" ", ""), **use.both)
    ),
}


def _cast(dtype: str, both: dict[str, Any]) -> Layer:
    """Numbers as another type; all are computed as floats here."""
    if dtype == "bool":
        return Comparison(operator="!=", constant=0.0, **both)
    if "float" in dtype and "16" not in dtype:
        return Identity(**both)
    if dtype in {"int32", "int64"}:
        return Arithmetic(operator="trunc", **both)
    raise LayerError(f"a cast to {dtype!r}, which is not supported: float32 and int32 are")


def _constant(value: Any) -> Array:
    """A number, or an array as every era writes it."""
    if is_array(value):
        return load(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LayerError(f"its operand is {show(value)}, expected a number")
    number = Config({"operand": value}).number("operand")
    if abs(number) > LARGEST:
        raise LayerError(f"its operand is {show(value)}, which float32 does not hold")
    return np.array(number)


def _items(value: Any) -> tuple[int | tuple[int | None, int | None, int | None] | str, ...]:
    """The items after the batch axis, whose own must take everything."""
    every = value if isinstance(value, list) else [value]
    items: list[int | tuple[int | None, int | None, int | None] | str] = []
    for one in every:
        if isinstance(one, dict) and one.get("class_name") == "__ellipsis__":
            items.append(ELLIPSIS)
        elif one is None:
            items.append(NEW_AXIS)
        elif isinstance(one, Slice):
            for bound in (one.start, one.stop, one.step):
                if bound is not None:
                    whole(bound, "slice", -MAX_INTEGER, MAX_INTEGER)
            if one.step == 0:
                raise LayerError("a slice with step 0")
            items.append((one.start, one.stop, one.step))
        else:
            items.append(whole(one, "index", -MAX_INTEGER, MAX_INTEGER))
    if items[:1] == [ELLIPSIS]:
        return tuple(items)
    if not items or items[0] not in ((None, None, None), (None, None, 1), (0, None, None)):
        raise LayerError("an index that takes single rows of the batch is not supported")
    return tuple(items[1:])
