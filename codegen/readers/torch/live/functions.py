"""Functions and methods of torch as canonical layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Dense
from codegen.layers.merging import Concatenate
from codegen.layers.operations import NEW_AXIS, Operation
from codegen.layers.padding import ZeroPadding
from codegen.layers.reshaping import Permute
from codegen.layers.shared.formulas import BINARY, UNARY
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
    "alias", "expand_as",
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
    if row is not None and row.rule in BINARY:
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
        raise LayerError("its input is no tensor of the model")
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
    if isinstance(left, Value) and isinstance(right, Value):
        if left.rank != right.rank or left.batch != right.batch:
            raise LayerError("it combines tensors of which the batch axis is not the same")
        layer = Operation(name=node.name, class_name=_named(node), rule=mode)
        return Value(walk.add(layer, (left.ref, right.ref)), walk.shape(node), left.batch)
    x, other = (left, right) if isinstance(left, Value) else (right, left)
    if not isinstance(x, Value):
        raise LayerError("it combines no tensor of the model")
    first = x is left
    if not isinstance(other, walk.torch.Tensor):
        operands = (None, float(other)) if first else (float(other), None)
        return _operation(walk, node, x, mode, operands=operands)
    array = walk.tensor(other)
    if array.ndim > x.rank:
        raise LayerError(f"a constant of shape {list(array.shape)}, which has more axes than it")
    if array.ndim == x.rank:
        array = _of_one(array, x.batch)
    ref = walk.constant(f"{node.name}/constant", array)
    refs = (x.ref, ref) if first else (ref, x.ref)
    layer = Operation(name=node.name, class_name=_named(node), rule=mode)
    return Value(walk.add(layer, refs), walk.shape(node), x.batch)


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
    if not isinstance(dim, int):
        raise LayerError("squeeze without dim may take the batch axis away: give dim")
    if x.shape[dim] != 1:
        return x
    axis = x.axis(dim)
    batch = x.batch - (dim % x.rank < x.batch)
    return replace(_operation(walk, node, x, "squeeze", axis=axis), batch=batch)


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
    x = _first(args)
    other = args[1]
    if isinstance(other, Value) or other.ndim != 2:
        raise LayerError("a product with a matrix that is no weight")
    return _layer(walk, node, x, Dense, kernel=walk.tensor(other), bias=None)


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
    if mode != "constant" or value:
        raise LayerError(f"padding of mode {mode!r} and value {value}; zeros are supported")
    pairs = [(pads[k], pads[k + 1]) for k in range(0, len(pads), 2)][::-1]
    pairs = [(0, 0)] * (x.rank - len(pairs)) + pairs
    if x.batch != 0 or pairs[0] != (0, 0) or any(n < 0 for pair in pairs for n in pair):
        raise LayerError(f"padding {list(pads)} is not supported")
    first = pairs[1] == (0, 0)
    if not first and pairs[-1] != (0, 0):
        raise LayerError("zeros along every axis")
    inner = pairs[2:] if first else pairs[1:-1]
    return _layer(walk, node, x, ZeroPadding, padding=tuple(inner), channels_first=first)


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
    "clamp": _clamp,
    "clip": _clamp,
    "pad": _pad,
    **dict.fromkeys(
        ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"), _made
    ),
}
