"""Functions and methods of torch as canonical layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Dense
from codegen.layers.merging import Concatenate
from codegen.layers.operations import NEW_AXIS, Operation
from codegen.layers.padding import ZeroPadding
from codegen.layers.reshaping import Permute
from codegen.layers.shared.formulas import FORMULAS, UNARY
from codegen.model import Array, Layer, Ref
from codegen.readers.operations import TORCH, Row
from codegen.readers.torch.live.values import Final, NeedsStepError, StateIn, Value

if TYPE_CHECKING:
    from codegen.readers.torch.live.walk import Walk

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]

# Functions that are a class of torch.nn: the class, and its options in the order of the arguments.
_CLASSES: dict[str, tuple[str, ...]] = {
    "relu": ("ReLU",),
    "relu6": ("ReLU6",),
    "leaky_relu": ("LeakyReLU", "negative_slope"),
    "elu": ("ELU", "alpha"),
    "celu": ("CELU", "alpha"),
    "selu": ("SELU",),
    "gelu": ("GELU",),
    "silu": ("SiLU",),
    "mish": ("Mish",),
    "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "logsigmoid": ("LogSigmoid",),
    "softplus": ("Softplus", "beta", "threshold"),
    "softsign": ("Softsign",),
    "softshrink": ("Softshrink", "lambd"),
    "hardshrink": ("Hardshrink", "lambd"),
    "tanhshrink": ("Tanhshrink",),
    "hardtanh": ("Hardtanh", "min_val", "max_val"),
    "hardsigmoid": ("Hardsigmoid",),
    "hardswish": ("Hardswish",),
    "threshold": ("Threshold", "threshold", "value"),
    "glu": ("GLU", "dim"),
    "softmax": ("Softmax", "dim"),
    "log_softmax": ("LogSoftmax", "dim"),
    "dropout": ("Dropout", "p"),
    "max_pool1d": ("MaxPool1d", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool1d": (
        "AvgPool1d", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
    ),
    "adaptive_avg_pool1d": ("AdaptiveAvgPool1d", "output_size"),
    "adaptive_max_pool1d": ("AdaptiveMaxPool1d", "output_size"),
}  # fmt: skip
_IGNORED = ("inplace", "training", "_stacklevel", "dtype")

_NOTHING = (
    "contiguous", "clone", "detach", "float", "double", "to", "type_as", "cpu", "requires_grad_",
    "alias",
)  # fmt: skip
_SHAPES = ("reshape", "view", "flatten", "unflatten", "view_as")


def call(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Any:
    """What a function or method gives: a value, or what Python gives where no tensor takes part."""
    name = node.target if isinstance(node.target, str) else node.target.__name__
    name = str(name).removeprefix("_operator.").strip()
    if name == "getattr":
        return _attribute(walk.joined(args))
    if name == "_assert":
        return None
    if name == "getitem":
        return _getitem(walk, node, args[0], args[1])
    if name in _NOTHING and args and isinstance(args[0], (Value, Final, StateIn)):
        return args[0]
    if not _has_value([*args, *keywords.values()]):
        return _evaluated(walk, node, args, keywords)
    if name in ("size", "dim"):
        return _size(name, args, keywords)
    if name == "squeeze" and isinstance(args[0], Final):
        return _only(walk, node, args, keywords)
    args, keywords = walk.joined(args), walk.joined(keywords)
    found = _HANDLERS.get(name)
    if found is not None:
        return found(walk, node, args, keywords)
    if name in _CLASSES:
        return _class(walk, node, name, args, keywords)
    row = TORCH.get(name)
    if row is not None and row.rule in FORMULAS and row.rule not in UNARY:
        return _binary(walk, node, row.rule, args, keywords)
    if name == "rsub":
        return _binary(walk, node, "subtract", (args[1], args[0], *args[2:]), keywords)
    x = _first(args)
    if row is not None and row.rule in UNARY:
        return _operation(walk, node, x, row.rule)
    if row is not None:
        return _reduction(walk, node, row, x, args[1:], keywords)
    if name in _SHAPES:
        return walk.reshaped(node, x)
    raise LayerError(f"{name} is not supported")


def _has_value(items: Any) -> bool:
    for item in items:
        if isinstance(item, (Value, Final, StateIn)):
            return True
        if isinstance(item, (tuple, list)) and _has_value(item):
            return True
    return False


def _evaluated(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Any:
    """Constants, which torch computes."""
    with walk.torch.no_grad():
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **keywords)
        return node.target(*args, **keywords)


def _first(args: Arguments) -> Value:
    if not args or not isinstance(args[0], Value):
        raise LayerError("its input is not a tensor of the model")
    return args[0]


def _layer(walk: Walk, node: Any, x: Value, kind: Any, **fields: Any) -> Value:
    layer = kind(name=node.name, class_name=_named(node), **fields)
    return Value(walk.add(layer, (x.ref,)), walk.shape(node), x.batch)


def _operation(walk: Walk, node: Any, x: Value, rule: str, **settings: Any) -> Value:
    return _layer(walk, node, x, Operation, rule=rule, settings=settings)


def _named(node: Any) -> str:
    return str(node.target if isinstance(node.target, str) else node.target.__name__)


def _attribute(args: Arguments) -> Any:
    x, name = args[0], args[1]
    if isinstance(x, Value):
        if name == "shape":
            return x.shape
        if name in ("ndim", "device", "dtype"):
            return x.rank if name == "ndim" else None
        raise LayerError(f"attribute {name} of a tensor")
    return getattr(x, name)


def _size(name: str, args: Arguments, keywords: Keywords) -> Any:
    x = _first(args)
    if name == "dim":
        return x.rank
    dim = args[1] if len(args) > 1 else keywords.get("dim")
    return x.shape if dim is None else x.shape[dim]


def _class(walk: Walk, node: Any, name: str, args: Arguments, keywords: Keywords) -> Value:
    """A function that is a class of torch.nn."""
    kind, *names = _CLASSES[name]
    x = _first(args)
    options = dict(zip(names, args[1:], strict=False))
    options |= {key: value for key, value in keywords.items() if key not in _IGNORED}
    options = {
        key: list(value) if isinstance(value, tuple) else value for key, value in options.items()
    }
    if x.batch != 0 and kind in ("Softmax", "LogSoftmax", "GLU") and "dim" in options:
        options["dim"] = x.axis(options["dim"])
    return walk.chain(walk.build(kind, options, {}, x, node.name), x, walk.shape(node))


def _binary(walk: Walk, node: Any, mode: str, args: Arguments, keywords: Keywords) -> Value:
    left, right = args[0], args[1]
    alpha = keywords.get("alpha", 1)
    if alpha != 1:
        raise LayerError(f"alpha is {alpha}")
    return _combined(walk, node, mode, (left, right))


def _combined(walk: Walk, node: Any, rule: str, parts: Sequence[Any]) -> Value:
    """A formula of tensors, constants and numbers, for every element."""
    values = [part for part in parts if isinstance(part, Value)]
    if not values:
        raise LayerError("it combines no tensor of the model")
    x = values[0]
    if any((v.rank, v.batch) != (x.rank, x.batch) for v in values):
        raise LayerError("it combines tensors of which the batch axis is not the same")
    refs: list[Ref] = []
    operands: list[float | None] = []
    for part in parts:
        if isinstance(part, walk.torch.Tensor) and part.ndim == 0:
            operands.append(float(part))
        elif isinstance(part, (Value, walk.torch.Tensor)):
            operands.append(None)
            refs.append(part.ref if isinstance(part, Value) else _met(walk, node, part, x))
        else:
            operands.append(float(part))
    settings = {} if None in operands and len(refs) == len(parts) else {"operands": tuple(operands)}
    layer = Operation(name=node.name, class_name=_named(node), rule=rule, settings=settings)
    return Value(walk.add(layer, refs), walk.shape(node), x.batch)


def _met(walk: Walk, node: Any, part: Any, x: Value) -> Ref:
    """A constant that meets a tensor as arrays of NumPy do."""
    array = walk.tensor(part)
    if array.ndim > x.rank:
        raise LayerError(f"a constant of shape {list(array.shape)}, which has more axes than it")
    if array.ndim == x.rank:
        array = _of_one(array, x.batch)
    return walk.constant(f"{node.name}/constant", array)


def _of_one(array: Array, batch: int) -> Array:
    """A constant as each sample meets it."""
    first: Array = np.take(array, 0, batch)
    if (array != np.expand_dims(first, batch)).any():
        raise LayerError(f"a constant of shape {list(array.shape)} differs from sample to sample")
    return first


def _made(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Any:
    """A constant of the shape or the type of a tensor."""
    name, x = _named(node), _first(args)
    like = walk.torch.zeros(x.shape)
    known = {key: value for key, value in keywords.items() if key in ("size", "fill_value")}
    made = getattr(like, name, None) or getattr(walk.torch, name)
    return made(*args[1:], **known) if hasattr(like, name) else made(like, *args[1:], **known)


def _reduction(
    walk: Walk, node: Any, row: Row, x: Value, args: Arguments, keywords: Keywords
) -> Value:
    dim = args[0] if args else keywords.get("dim")
    if dim is None:
        raise LayerError("it reduces the batch axis too: give dim")
    keep = bool(args[1] if len(args) > 1 else keywords.get("keepdim", False))
    places = [dim] if isinstance(dim, int) else list(dim)
    axes = tuple(sorted(x.axis(place) for place in places))
    settings = {**row.fixed, "axis": axes, "keepdims": keep}
    layer = Operation(name=node.name, class_name=_named(node), rule=row.rule, settings=settings)
    before = sum(place % x.rank < x.batch for place in places)
    return Value(walk.add(layer, (x.ref,)), walk.shape(node), x.batch if keep else x.batch - before)


# ---- moving and joining ---------------------------------------------------------------------


def _permuted(walk: Walk, node: Any, x: Value, order: Sequence[int]) -> Value:
    order = [n % x.rank for n in order]
    shape, batch = tuple(x.shape[n] for n in order), order.index(x.batch)
    inner = tuple(n + 1 if n < x.batch else n for n in order if n != x.batch)
    if inner == tuple(range(1, x.rank)):
        return Value(x.ref, shape, batch)
    layer = Permute(name=node.name, class_name=_named(node), dims=inner)
    return Value(walk.add(layer, (x.ref,)), shape, batch)


def _transpose(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x = _first(args)
    first = args[1] if len(args) > 1 else keywords["dim0"]
    second = args[2] if len(args) > 2 else keywords["dim1"]
    order = list(range(x.rank))
    order[first], order[second] = order[second], order[first]
    return _permuted(walk, node, x, order)


def _permute(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    dims = args[1:] if len(args) > 1 else keywords["dims"]
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return _permuted(walk, node, _first(args), dims)


def _only(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    """The final state of a module of one layer and direction, from (1, batch, units)."""
    dim = args[1] if len(args) > 1 else keywords.get("dim")
    if dim == 0 and len(args[0].parts) == 1:
        found: Value = args[0].parts[0]
        return found
    return _squeeze(walk, node, walk.joined(args), keywords)


def _squeeze(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    dim = args[1] if len(args) > 1 else keywords.get("dim")
    x = _first(args)
    if dim is None and x.shape[x.batch] != 1:
        for place in reversed([k for k, n in enumerate(x.shape) if n == 1]):
            x = _squeezed(walk, node, x, place)
        return x
    if not isinstance(dim, int):
        raise LayerError("squeeze without dim may take the batch axis away: give dim")
    return _squeezed(walk, node, x, dim)


def _squeezed(walk: Walk, node: Any, x: Value, dim: int) -> Value:
    dim %= x.rank
    if x.shape[dim] != 1:
        return x
    found = _operation(walk, node, x, "squeeze", axis=x.axis(dim))
    shape = x.shape[:dim] + x.shape[dim + 1 :]
    return replace(found, shape=shape, batch=x.batch - (dim < x.batch))


def _unsqueeze(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x = _first(args)
    dim = (args[1] if len(args) > 1 else keywords["dim"]) % (x.rank + 1)
    axis, batch = (dim + 1, x.batch + 1) if dim <= x.batch else (dim, x.batch)
    return replace(_operation(walk, node, x, "expand_dims", axis=axis), batch=batch)


def _joined(walk: Walk, node: Any, args: Arguments, keywords: Keywords, stacks: bool) -> Value:
    parts = args[0] if args else keywords["tensors"]
    dim = args[1] if len(args) > 1 else keywords.get("dim", 0)
    x = next(part for part in parts if isinstance(part, Value))
    values = [part if isinstance(part, Value) else _as_value(walk, node, part, x) for part in parts]
    if any(v.batch != x.batch or v.rank != x.rank for v in values):
        raise LayerError("it joins tensors of which the batch axis is not the same")
    layer: Layer
    both = {"name": node.name, "class_name": _named(node)}
    if stacks:
        dim %= x.rank + 1
        axis, batch = (dim + 1, x.batch + 1) if dim <= x.batch else (dim, x.batch)
        layer = Operation(rule="stack", settings={"axis": axis}, **both)
    else:
        batch = x.batch
        layer = Concatenate(axis=x.axis(dim), **both)
    return Value(walk.add(layer, [v.ref for v in values]), walk.shape(node), batch)


def _as_value(walk: Walk, node: Any, part: Any, x: Value) -> Value:
    """A constant beside a tensor that has as many axes."""
    if not isinstance(part, walk.torch.Tensor) or part.ndim != x.rank:
        raise LayerError("it joins a tensor of the model and what is none")
    array = np.expand_dims(_of_one(walk.tensor(part), x.batch), 0)
    return Value(walk.constant(f"{node.name}/constant", array), tuple(part.shape), x.batch)


def _cat(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    return _joined(walk, node, args, keywords, stacks=False)


def _stack(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    return _joined(walk, node, args, keywords, stacks=True)


def _chunk(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> tuple[Value, ...]:
    x = _first(args)
    dim = args[2] if len(args) > 2 else keywords.get("dim", 0)
    axis, length = x.axis(dim), x.shape[dim]
    said = args[1]
    size = said if _named(node) == "split" else -(-length // said)
    if not isinstance(size, int):
        raise LayerError("parts of unequal size")
    cuts = tuple(range(size, length, size))
    ref = _operation(walk, node, x, "split", axis=axis, places=cuts).ref
    found = []
    for number, start in enumerate((0, *cuts)):
        shape = list(x.shape)
        shape[dim] = min(size, length - start)
        found.append(Value(Ref(ref.node, number), tuple(shape), x.batch))
    return tuple(found)


def _getitem(walk: Walk, node: Any, x: Any, index: Any) -> Any:
    if isinstance(x, StateIn):
        if not isinstance(index, int):
            raise NeedsStepError
        return replace(x, path=(*x.path, index))
    if isinstance(x, Final):
        if isinstance(index, int):
            return x.parts[index]
        x = walk.value(x)
    if not isinstance(x, Value):
        return x[index]
    items = index if isinstance(index, tuple) else (index,)
    kept = sum(item is not None and item is not Ellipsis for item in items)
    full: list[Any] = []
    for item in items:
        if item is Ellipsis:
            full += [slice(None)] * (x.rank - kept)
        else:
            full.append(item)
    full += [slice(None)] * (x.rank - sum(item is not None for item in full))
    picks: list[Any] = []
    place, batch, out = 0, -1, 0
    for item in full:
        if item is not None and place == x.batch:
            if item != slice(None):
                raise LayerError("it takes a part of the batch")
            batch = out
        else:
            picks.append(_pick(item))
        place += item is not None
        out += not isinstance(item, int) or isinstance(item, bool)
    return replace(_operation(walk, node, x, "get_item", items=tuple(picks)), batch=batch)


def _pick(item: Any) -> Any:
    if item is None:
        return NEW_AXIS
    if isinstance(item, slice):
        parts = (item.start, item.stop, item.step)
        if all(part is None or isinstance(part, int) for part in parts):
            return parts
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    raise LayerError("it is indexed by a tensor")


# ---- products, bounds, padding --------------------------------------------------------------


def _linear(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    weight = args[1] if len(args) > 1 else keywords["weight"]
    bias = args[2] if len(args) > 2 else keywords.get("bias")
    if _has_value([weight, bias]):
        raise LayerError("its weights are computed by the model")
    vector = None if bias is None else walk.tensor(bias)
    return _layer(walk, node, _first(args), Dense, kernel=walk.tensor(weight).T, bias=vector)


def _matmul(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x, other = args[0], args[1]
    if isinstance(x, Value) and isinstance(other, walk.torch.Tensor) and other.ndim == 2:
        return _layer(walk, node, x, Dense, kernel=walk.tensor(other), bias=None)
    if not isinstance(x, Value) or not isinstance(other, Value):
        raise LayerError("a product with a constant that is not a matrix on the right")
    if (x.rank, x.batch, other.rank, other.batch) != (3, 0, 3, 0):
        raise LayerError("a product of tensors that are not (batch, rows, columns)")
    settings = {"transpose_a": False, "transpose_b": False}
    layer = Operation(name=node.name, class_name=_named(node), rule="matmul", settings=settings)
    return Value(walk.add(layer, (x.ref, other.ref)), walk.shape(node))


def _extreme(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Any:
    """Max or min: of two tensors, or along an axis, where it gives values and indices."""
    name = _named(node)
    second = args[1] if len(args) > 1 else keywords.get("other")
    if isinstance(second, (Value, walk.torch.Tensor)):
        return _combined(walk, node, f"{name}imum", (args[0], second))
    x = _first(args)
    dim = second if second is not None else keywords.get("dim")
    if not isinstance(dim, int):
        raise LayerError("it reduces the batch axis too: give dim")
    keep = bool(args[2] if len(args) > 2 else keywords.get("keepdim", False))
    place = dim % x.rank
    shape = (*x.shape[:place], *(1,) * keep, *x.shape[place + 1 :])
    found = _operation(walk, node, x, "reduce", kind=name, axis=(x.axis(dim),), keepdims=keep)
    return Extreme(replace(found, shape=shape, batch=x.batch - (place < x.batch and not keep)))


@dataclass(frozen=True)
class Extreme:
    """The values that max or min gives along an axis."""

    values: Value

    @property
    def indices(self) -> Value:
        """Where they are, which is not computed."""
        raise LayerError("the places of extreme values are not supported, only the values")

    def __getitem__(self, index: int) -> Value:
        """The values, or where they are."""
        return self.values if index == 0 else self.indices


def _spread(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    """The variance or deviation of n numbers, divided by n - correction."""
    x, dim = _first(args), args[1] if len(args) > 1 else keywords.get("dim")
    if dim is None or len(args) > 2 or isinstance(dim, bool):
        raise LayerError("it reduces the batch axis too: give dim, and the rest by name")
    keep, is_std = bool(keywords.get("keepdim", False)), _named(node) == "std"
    less = keywords.get("correction", int(keywords.get("unbiased", True)))
    places = sorted(k % x.rank for k in ([dim] if isinstance(dim, int) else dim))
    count = math.prod(x.shape[k] for k in places)
    if count <= less:
        raise LayerError(f"it is that of {count} numbers")
    kind, axes = "deviation" if is_std else "variance", tuple(x.axis(k) for k in places)
    y = _operation(walk, node, x, "statistic", kind=kind, axis=axes, keepdims=keep)
    y = replace(y, batch=x.batch if keep else x.batch - sum(k < x.batch for k in places))
    if not less:
        return y
    factor = count / (count - less)
    return _operation(
        walk, node, y, "multiply", operands=(None, math.sqrt(factor) if is_std else factor)
    )


def _where(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    return _combined(walk, node, "where", args)


def _masked_fill(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    return _combined(walk, node, "where", (args[1], args[2], args[0]))


def _flip(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x = _first(args)
    dims = args[1:] if len(args) > 1 else keywords["dims"]
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    for dim in dims:
        x = _operation(walk, node, x, "flip", axis=x.axis(dim))
    return x


def _cumsum(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x, dim = _first(args), args[1] if len(args) > 1 else keywords["dim"]
    return _operation(walk, node, x, "cumsum", axis=x.axis(dim), exclusive=False, reverse=False)


def _repeat(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    """The tensor several times along axes that there are."""
    x, counts = _first(args), args[1:]
    counts = counts[0] if len(counts) == 1 and isinstance(counts[0], (tuple, list)) else counts
    if len(counts) != x.rank:
        raise LayerError("it puts an axis before the batch axis")
    times = list(counts)
    if _named(node) == "expand":
        times = [1 if n in (-1, old) else n for n, old in zip(counts, x.shape, strict=True)]
    if times.pop(x.batch) != 1:
        raise LayerError("it repeats the batch")
    return _operation(walk, node, x, "tile", repeats=tuple(times))


def _with_weights(kind: str, *names: str) -> Callable[[Walk, Any, Arguments, Keywords], Value]:
    """A function that is a class of torch.nn, and gets the weights with each call."""

    def build(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
        x = _first(args)
        if x.batch != 0:
            raise LayerError("the batch axis is not the first of its input")
        given = {**dict(zip(names, args[1:], strict=False)), **keywords}
        if _has_value(list(given.values())):
            raise LayerError("its weights are computed by the model")
        tensors = {
            name: walk.stored(given.pop(name))
            for name in ("weight", "bias")
            if given.get(name) is not None
        }
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
        options = {key: value for key, value in options.items() if key not in ("weight", "bias")}
        return walk.chain(walk.build(kind, options, tensors, x, node.name), x, walk.shape(node))

    return build


_CONV = ("weight", "bias", "stride", "padding", "dilation", "groups")


def _clamp(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x = _first(args)
    low = args[1] if len(args) > 1 else keywords.get("min")
    high = args[2] if len(args) > 2 else keywords.get("max")
    if low is not None and high is not None:
        return _operation(walk, node, x, "clip", operands=(None, float(low), float(high)))
    mode, bound = ("maximum", low) if high is None else ("minimum", high)
    if bound is None:
        raise LayerError("it has neither min nor max")
    return _operation(walk, node, x, mode, operands=(None, float(bound)))


def _pad(walk: Walk, node: Any, args: Arguments, keywords: Keywords) -> Value:
    x = _first(args)
    pads = args[1] if len(args) > 1 else keywords["pad"]
    mode = args[2] if len(args) > 2 else keywords.get("mode", "constant")
    value = args[3] if len(args) > 3 else keywords.get("value")
    if mode != "constant":
        raise LayerError(f"padding of mode {mode!r}; constant is supported")
    pairs = [(pads[k], pads[k + 1]) for k in range(0, len(pads), 2)][::-1]
    pairs = [(0, 0)] * (x.rank - len(pairs)) + pairs
    if x.batch != 0 or pairs[0] != (0, 0) or any(n < 0 for pair in pairs for n in pair):
        raise LayerError(f"padding {list(pads)} is not supported")
    first = pairs[1] == (0, 0)
    if not first and pairs[-1] != (0, 0):
        raise LayerError("zeros along every axis")
    inner = pairs[2:] if first else pairs[1:-1]
    number = float(value or 0.0)
    return _layer(
        walk, node, x, ZeroPadding, padding=tuple(inner), value=number, channels_first=first
    )


_HANDLERS: dict[str, Callable[[Walk, Any, Arguments, Keywords], Any]] = {
    "transpose": _transpose,
    "swapaxes": _transpose,
    "permute": _permute,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "cat": _cat,
    "concat": _cat,
    "stack": _stack,
    "chunk": _chunk,
    "split": _chunk,
    "linear": _linear,
    "matmul": _matmul,
    "bmm": _matmul,
    **dict.fromkeys(("max", "min"), _extreme),
    **dict.fromkeys(("var", "std"), _spread),
    "where": _where,
    "masked_fill": _masked_fill,
    "flip": _flip,
    "cumsum": _cumsum,
    **dict.fromkeys(("repeat", "expand"), _repeat),
    "conv1d": _with_weights("Conv1d", *_CONV),
    "conv2d": _with_weights("Conv2d", *_CONV),
    "layer_norm": _with_weights("LayerNorm", "normalized_shape", "weight", "bias", "eps"),
    "clamp": _clamp,
    "clip": _clamp,
    "pad": _pad,
    **dict.fromkeys(
        ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"), _made
    ),
}
