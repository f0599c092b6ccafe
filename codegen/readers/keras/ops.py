"""Operations that stand in functional models as nodes of their own, as layers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import ActivationLayer, AsFloat, Dense, Identity
from codegen.layers.merging import Concatenate, Merge
from codegen.layers.normalization import AxisNormalization
from codegen.layers.operations import ELLIPSIS, EVERYTHING, NEW_AXIS, Operation, Slice
from codegen.layers.reshaping import Flatten, Permute, Reshape
from codegen.layers.shared.formulas import FORMULAS
from codegen.model import Array, Layer
from codegen.program.activations import Activation
from codegen.readers.keras.constants import LARGEST, depth, is_array, load
from codegen.readers.keras.items import Item
from codegen.readers.operations import KERAS, Row
from codegen.readers.settings import MAX_INTEGER, Config, show, whole


@dataclass(frozen=True)
class Range:
    """`start:stop:step` of a GetItem."""

    start: int | None
    stop: int | None
    step: int | None


# What an argument of an operation may be besides a tensor: number, list, text, None, Range.
TENSOR = object()  # stands where a tensor stood


@dataclass(frozen=True)
class Use:
    """An operation with what it is called with."""

    row: Row
    arguments: Sequence[Any]  # with TENSOR for every tensor
    values: dict[str, Any]  # of its other arguments
    both: dict[str, Any]  # what every layer has

    @property
    def tensors(self) -> int:
        """How many tensors it is called on."""
        return sum(argument is TENSOR for argument in self.arguments)

    def operation(self, rule: str = "", **settings: Any) -> Operation:
        """The operation by its rule."""
        return Operation(rule=rule or self.row.rule, settings=settings, **self.both)


# An operation as a layer, and the arrays among its operands with their places there.
Built = tuple[Layer, list[tuple[int, Any]]]


def build(item: Item, arguments: Sequence[Any], settings: Config) -> Built:
    """The layer of an operation of Keras 3 called with `arguments`, TENSOR for each tensor."""
    row = KERAS.get(item.class_name)
    if row is None:
        raise LayerError(_UNSUPPORTED)
    found = built(row, item, arguments, {**settings, **item.config})
    known = {"name", "trainable", *(argument.name for argument in row.arguments)}
    for key, value in (*item.config.items(), *settings.items()):
        if key not in known and value not in (None, False, "float32"):
            raise LayerError(f"it is called with {key}={show(value)}, which is not supported")
    return found


def built(row: Row, item: Item, arguments: Sequence[Any], given: Mapping[str, Any]) -> Built:
    """The layer of a row; `given` are the arguments that are not tensors, as Keras 3 names them."""
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]  # a list of tensors
    operands: list[Any] = []
    arrays: list[tuple[int, Any]] = []
    for number, value in enumerate(arguments):
        stands_in = _is_operand(row.rule, number, value)
        if stands_in:
            arrays.append((sum(one is TENSOR for one in operands), value))
        operands.append(TENSOR if stands_in else value)
    values = {}
    for argument in row.arguments:
        value = given.get(argument.name, argument.default)
        if argument.kind in _CHECKS:
            _CHECKS[argument.kind](value)
        else:
            values[argument.name] = _KINDS[argument.kind](value, argument.name, argument.default)
    use = Use(row, operands, values, {"name": item.path, "class_name": item.class_name})
    alone = len(operands) == use.tensors == 1
    found = None
    if row.curve:
        found = _activation(use) if alone else None
    elif row.rule in FORMULAS:
        found = _formula(use)
    elif row.rule in _MAKERS:
        found = _MAKERS[row.rule](use)
    elif alone or (row.rule == "stack" and len(operands) == use.tensors):
        found = use.operation(**row.fixed, **values)
    if found is None or not use.tensors:
        raise LayerError(_UNSUPPORTED)
    dtype = given.get("dtype")
    if row.rule == "one_hot" and type(given.get("on_value")) is int:
        dtype = "int32"
    if isinstance(found, Operation) and isinstance(dtype, str):
        found = replace(found, dtype=dtype)
    return found, arrays


_UNSUPPORTED = "this operation is not supported; use a layer instead"
_OF_ARRAYS = {"add_n", "concatenate", "einsum", "stack", *FORMULAS}


def _is_operand(rule: str, number: int, value: Any) -> bool:
    """Whether an argument is an array in place of a tensor."""
    axes = depth(value) if is_array(value) else 0
    if rule == "matmul":  # a constant matrix on the right is a kernel
        return axes > (2 if number else 0)
    return rule in _OF_ARRAYS and axes > 0


# ---- arguments that are not tensors ----------------------------------------------------------


def _axis(value: Any, key: str, default: Any = None) -> int:
    return whole(value, key, -16, 16)


def _axes(value: Any, key: str, default: Any) -> tuple[int, ...]:
    if value is None:
        raise LayerError("it works along all axes, including the batch axis")
    return tuple(_axis(one, key) for one in (value if isinstance(value, list) else [value]))


def _check_nothing(value: Any) -> None:
    if value is not None:
        raise LayerError(f"it has the initial value {show(value)}")


def _check_zero(value: Any) -> None:
    if value != 0:
        raise LayerError("it rounds to decimals")


def _check_last(value: Any) -> None:
    if _axis(value, "axis") != -1:
        raise LayerError("it does not put its codes along the last axis")


_KINDS: dict[str, Callable[[Any, str, Any], Any]] = {
    "anything": lambda value, key, default: value,
    "axes": _axes,
    "axis": _axis,
    "constant": lambda value, key, default: float(_constant(default if value is None else value)),
    "count": lambda value, key, default: whole(value, key, 1, MAX_INTEGER),
    "flag": lambda value, key, default: value is True,
    "number": lambda value, key, default: (
        default if value is None else Config({key: value}).number(key)
    ),
    "truth": lambda value, key, default: Config({key: value}).flag(key),
    "whole": lambda value, key, default: whole(value, key, -MAX_INTEGER, MAX_INTEGER),
}
_CHECKS: dict[str, Callable[[Any], None]] = {
    "ignored": lambda value: None,  # a type of numbers that are the same in all
    "last": _check_last,
    "nothing": _check_nothing,
    "zero": _check_zero,
}


def _constant(value: Any) -> Array:
    """A number, or an array as every era writes it."""
    if is_array(value):
        return load(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LayerError(f"its operand is {show(value)}, expected a number")
    number = Config({"operand": value}).number("operand")
    if abs(number) > LARGEST:
        raise LayerError(f"its operand is {show(value)}, which float32 cannot hold")
    return np.array(number)


# ---- layers ---------------------------------------------------------------------------------


def _formula(use: Use) -> Layer | None:
    """Of tensors and numbers, as many as the formula takes."""
    rule, arguments = use.row.rule, use.arguments
    count = len(inspect.signature(FORMULAS[rule]).parameters) - len(use.values)
    if len(arguments) != count or (count != 2 and arguments[0] is not TENSOR):
        return None
    for open_end in (("minimum", math.inf), ("maximum", -math.inf)):
        if any((rule, one) == open_end for one in arguments if one is not TENSOR):
            return Identity(**use.both)
    given = (None if one is TENSOR else float(_constant(one)) for one in arguments)
    operands = (*given, *use.values.values())
    if rule == "not_equal" and any(one is not None and math.isnan(one) for one in operands):
        raise LayerError("NotEqual with NaN")
    if all(one is None for one in operands):
        return use.operation()
    return use.operation(operands=operands)


def _activation(use: Use) -> Layer:
    values = dict(use.values)
    name = "gelu_tanh" if values.pop("approximate", False) else use.row.curve
    axis = values.pop("axis", -1)
    activation = Activation(name, tuple(values.values()))
    return ActivationLayer(activation=activation, axis=axis, **use.both)


Maker = Callable[[Use], "Layer | None"]  # None: not with these arguments


def _alone(make: Maker) -> Maker:
    """The maker of an operation that is called on one tensor and nothing else."""
    return lambda use: make(use) if len(use.arguments) == use.tensors == 1 else None


def _plain(make: Maker) -> Maker:
    """The maker of an operation all of whose arguments are tensors."""
    return lambda use: make(use) if len(use.arguments) == use.tensors else None


def _get_item(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR:
        return None
    return use.operation(items=_items(use.arguments[1]))


def _identity(use: Use) -> Layer | None:
    if use.arguments[0] is not TENSOR:
        return None
    return Identity(**use.both) if use.values["dtype"] is None else _cast(use)


def _cast(use: Use) -> Layer:
    """Numbers as another type; all are computed as floats here."""
    dtype = str(use.values["dtype"])
    if dtype == "bool":
        return use.operation("not_equal", operands=(None, 0.0))
    if "float" in dtype and "16" not in dtype:
        return AsFloat(**use.both)
    if dtype in {"int32", "int64"}:
        return use.operation("trunc")
    raise LayerError(f"a cast to {dtype!r}, which is not supported: float32 and int32 are")


def _matmul(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR:
        return None
    if use.tensors == 2:  # only TensorFlow transposes
        return use.operation(**use.values)
    if use.values.get("transpose_a"):
        return None
    kernel = _constant(use.arguments[1])
    if kernel.ndim != 2:
        raise LayerError(f"a product with a constant of shape {kernel.shape}")
    kernel = kernel.T if use.values.get("transpose_b") else kernel
    return Dense(kernel=kernel, bias=None, **use.both)


def _tensordot(use: Use) -> Layer | None:
    if use.values["axes"] != 1 or use.tensors != 1:
        raise LayerError("a product of tensors over other axes than the last and the first")
    return _matmul(use)


def _take(use: Use) -> Layer | None:
    if len(use.arguments) != 2 or use.arguments[0] is not TENSOR or use.tensors != 1:
        return None
    indices = _constant(use.arguments[1])
    if indices.ndim > 1:
        raise LayerError("it takes indices of several axes")
    picked = tuple(int(i) for i in indices.reshape(-1))
    return use.operation(indices=picked, keeps=indices.ndim == 1, **use.values)


def _norm(use: Use) -> Layer:
    order, axes = use.values["ord"], use.values["axis"]
    if order not in (None, "euclidean", "fro", 2) or (order == 2 and len(axes) != 1):
        raise LayerError(f"a norm of order {show(order)} along axis {show(axes)}")
    keep = use.values["keepdims"]
    return use.operation("statistic", kind="norm", axis=axes, keepdims=keep)


def _normalize(use: Use) -> Layer:
    """X / max(norm, epsilon); with TensorFlow the square of the norm has the bound."""
    values = use.values
    if values.get("order", 2) != 2:
        raise LayerError(f"it normalises by order {show(values['order'])}")
    epsilon = values["epsilon"] * (values["epsilon"] if "order" in values else 1.0)
    return AxisNormalization(kind="unit", axes=values["axis"], epsilon=epsilon, **use.both)


def _tile(use: Use) -> Layer:
    given = use.values["repeats"]
    if not isinstance(given, list):
        raise LayerError(f"repeats is {show(given)}, expected a list")
    repeats = [whole(v, "repeats", 1, MAX_INTEGER) for v in given]
    if repeats[:1] != [1]:
        raise LayerError("it repeats the batch axis")
    return use.operation(repeats=tuple(repeats[1:]))


def _transpose(use: Use) -> Layer:
    axes = Config(use.values).wholes("axes", low=-16, high=16)
    if axes[:1] != (0,) or sorted(axes) != list(range(len(axes))):
        raise LayerError("it moves the batch axis")
    return Permute(dims=axes[1:], **use.both)


def _reshape(use: Use) -> Layer:
    shape = Config(use.values).wholes("newshape", low=-1)
    if shape[:1] != (-1,) or -1 in shape[1:]:
        raise LayerError("it does not keep the batch axis apart")
    return Reshape(shape=shape[1:], **use.both)


def _pad(use: Use) -> Layer:
    mode, raw = use.values.get("mode", "constant"), use.values["pad_width"]
    if str(mode).lower() != "constant":
        raise LayerError(f"it pads in mode {show(mode)}")
    if not isinstance(raw, list) or not all(isinstance(p, list) and len(p) == 2 for p in raw):
        raise LayerError(f"pad_width is {show(raw)}, expected a pair for each axis")
    pairs = tuple(
        (whole(low, "padding", 0, MAX_INTEGER), whole(high, "padding", 0, MAX_INTEGER))
        for low, high in raw
    )
    if not pairs or any(pairs[0]):
        raise LayerError("it pads the batch axis")
    return use.operation(padding=pairs[1:], value=use.values.get("constant_values", 0.0))


def _split(use: Use) -> Layer:
    axis, given = use.values["axis"], use.values["indices_or_sections"]
    if isinstance(given, list):
        places = tuple(whole(place, "index", 0, MAX_INTEGER) for place in given)
        return use.operation(axis=axis, places=places)
    return use.operation(axis=axis, parts=whole(given, "sections", 1, MAX_INTEGER))


def _items(value: Any) -> tuple[int | Slice | str, ...]:
    """The items after the batch axis, whose own must take everything."""
    every = value if isinstance(value, list) else [value]
    items: list[int | Slice | str] = []
    for one in every:
        if isinstance(one, dict) and one.get("class_name") == "__ellipsis__":
            items.append(ELLIPSIS)
        elif one is None:
            items.append(NEW_AXIS)
        elif isinstance(one, Range):
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
    if not items or items[0] not in (EVERYTHING, (None, None, 1), (0, None, None)):
        raise LayerError("an index that takes single rows of the batch is not supported")
    return tuple(items[1:])


# Rules that need more than their arguments, and layers that are operations too.
_MAKERS: dict[str, Maker] = {
    "add_n": _plain(lambda use: Merge(mode="add", **use.both)),
    "cast": _alone(_cast),
    "concatenate": _plain(lambda use: Concatenate(**use.values, **use.both)),
    "einsum": _plain(
        lambda use: use.operation(equation=str(use.values["subscripts"]).replace(" ", ""))
    ),
    "flatten": _alone(lambda use: Flatten(**use.both)),
    "get_item": _get_item,
    "identity": _identity,
    "matmul": _matmul,
    "norm": _alone(_norm),
    "normalize": _alone(_normalize),
    "pad": _alone(_pad),
    "reshape": _alone(_reshape),
    "split": _alone(_split),
    "take": _take,
    "tensordot": _tensordot,
    "tile": _alone(_tile),
    "transpose": _alone(_transpose),
}
