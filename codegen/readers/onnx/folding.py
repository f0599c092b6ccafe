"""Nodes all of whose inputs are known: computed here, as the specification's own program does.

What shapes a node would give is asked first, so that none makes an array larger than weights may
be. Arrays of lengths that are free hold them as dims, and have a table of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from codegen.errors import LayerError
from codegen.model import Array
from codegen.program.dims import Dim
from codegen.readers.onnx.values import is_symbolic, plain

LARGEST = 1 << 24  # numbers that one node may give
SMALL = 4096  # numbers up to which an input tells shapes
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}


_UNTOLD = (
    onnx.checker.ValidationError,
    onnx.defs.SchemaError,
    shape_inference.InferenceError,
)


def inferred(
    node: Any, opset: int, shapes: Sequence[tuple[Array | None, tuple[Dim, ...], str] | None]
) -> list[tuple[int | None, ...] | None]:
    """The shapes of a node's outputs as far as the specification tells them.

    For each input: the array where it is known, its shape and type.
    """
    types, data = {}, {}
    for name, one in zip(node.input, shapes, strict=True):
        if one is None or not name:
            continue
        array, shape, dtype = one
        lengths = [n if isinstance(n, int) else None for n in shape]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        types[name] = helper.make_tensor_type_proto(kind, lengths)
        if array is not None and not is_symbolic(array) and array.size <= SMALL:
            data[name] = numpy_helper.from_array(array, name)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
        found = shape_inference.infer_node_outputs(
            schema, node, types, data, opset_imports=[helper.make_opsetid("", opset)]
        )
    except (*_UNTOLD, RuntimeError, ValueError):
        return [None] * len(node.output)
    return [_lengths(found.get(name)) for name in node.output]


def _lengths(kind: Any) -> tuple[int | None, ...] | None:
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return tuple(int(d.dim_value) if d.HasField("dim_value") else None for d in dims)


def fold(node: Any, opset: int, inputs: Sequence[Array | None]) -> list[Array]:
    """What a node gives on arrays; a LayerError where it cannot be told."""
    if node.op_type in RANDOM:
        raise LayerError("its numbers are random")
    if any(x is not None and is_symbolic(x) for x in inputs):
        return [_symbolic(node, [x for x in inputs if x is not None])]
    known = [None if x is None else (x, x.shape, x.dtype.name) for x in inputs]
    for shape in inferred(node, opset, known):
        if shape is not None and math.prod(n or 1 for n in shape) > LARGEST:
            raise LayerError(f"it gives an array of shape {list(shape)}")
    given = {name: x for name, x in zip(node.input, inputs, strict=True) if name}
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(_alone(node, opset)).run(None, given)
    except Exception as error:  # noqa: BLE001  # the reference raises whatever its NumPy does
        raise LayerError(f"it cannot be computed on its constants ({error})") from None
    arrays = [np.asarray(x) for x in found]
    for x in arrays:
        if x.size > LARGEST or x.dtype == object:
            raise LayerError(f"it gives an array of type {x.dtype} with {x.size:,} elements")
    return arrays


def _alone(node: Any, opset: int) -> Any:
    """A model of one node: of a node by itself the reference takes the newest version."""
    inputs, outputs = (
        [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names) if name]
        for names in (node.input, node.output)
    )
    graph = helper.make_graph([node], "node", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


# ---- arithmetic with lengths that are free --------------------------------------------------


def _symbolic(node: Any, inputs: Sequence[Array]) -> Array:
    rule = _RULES.get(node.op_type)
    if rule is None:
        raise LayerError("it computes with a length that is free")
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    try:
        found = np.asarray(rule([x.astype(object) for x in inputs], attributes), object)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
        raise LayerError(f"it computes with a length that is free ({error})") from None
    return plain(list(found.ravel())).reshape(found.shape)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("expected a known number")
    return value


def _axes(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> tuple[int, ...]:
    given = inputs[1].ravel() if len(inputs) > 1 else attributes.get("axes", [0])
    return tuple(_whole(n) for n in given)


def _slice(inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    if len(inputs) > 1:
        starts, ends = ([_whole(n) for n in x.ravel()] for x in inputs[1:3])
    else:
        starts, ends = attributes["starts"], attributes["ends"]
    steps = [_whole(n) for n in inputs[4].ravel()] if len(inputs) > 4 else [1] * len(starts)
    if len(starts) != 1 or inputs[0].ndim != 1:
        raise TypeError("expected one axis")
    return inputs[0][starts[0] : ends[0] : steps[0]]


def _divided(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return np.frompyfunc(lambda x, y: x // _whole(y), 2, 1)(*inputs)  # type: ignore[no-any-return]


def _prod(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    result: Dim = 1
    for n in inputs[0].ravel():
        result = result * n
    return plain([result])


_RULES: dict[str, Callable[[Sequence[Array], Mapping[str, Any]], Any]] = {
    "Identity": lambda x, _: x[0],
    "Cast": lambda x, _: x[0],
    "Concat": lambda x, _: np.concatenate(x),
    "Gather": lambda x, a: x[0].take([_whole(n) for n in x[1].ravel()]).reshape(x[1].shape),
    "Squeeze": lambda x, _: x[0].reshape([]) if x[0].size == 1 else x[0],
    "Unsqueeze": lambda x, a: np.expand_dims(x[0], _axes(x, a)),
    "Reshape": lambda x, _: x[0].reshape([_whole(n) for n in x[1]]),
    "Slice": _slice,
    "Add": lambda x, _: x[0] + x[1],
    "Sub": lambda x, _: x[0] - x[1],
    "Mul": lambda x, _: x[0] * x[1],
    "Div": _divided,
    "ReduceProd": _prod,
    "Equal": lambda x, _: np.equal(x[0], x[1], dtype=object),
    "Where": lambda x, _: np.where(x[0].astype(bool), x[1], x[2]),
}
