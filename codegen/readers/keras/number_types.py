"""Whole numbers and truth values between layers, which Keras computes with otherwise than floats.

Everything is computed as floats here. Keras keeps integers and booleans: it cuts the bounds of a
Clip, the slope of a LeakyReLU or the mean of an average off to whole numbers, adds True to True as
True, and each of its backends does so in its own way. What is the same for floats goes through; all
else is refused with a cast as the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.layers.attention import MultiHeadAttention
from codegen.layers.core import (
    ActivationLayer,
    AsFloat,
    BatchNormalization,
    Dense,
    Embedding,
    Identity,
    PReLU,
    Rescaling,
)
from codegen.layers.dense import CategoryEncoding, Discretization, EinsumDense
from codegen.layers.masking import GivenMask, Masking
from codegen.layers.merging import Concatenate, Dot, Merge
from codegen.layers.normalization import AdaptedNormalization, AxisNormalization
from codegen.layers.operations import Operation
from codegen.layers.padding import Cropping, UpSampling, ZeroPadding
from codegen.layers.pooling import AdaptivePooling, GlobalPooling, Pooling
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Constant, Graph, Input, Layer, Node, Unsupported

FLOAT, WHOLE, TRUTH, NARROW = "float", "whole numbers", "truth values", "numbers with few bits"

# What gives elements of its inputs.
_SAME = (
    *(Identity, Masking, GivenMask, Flatten, Permute, RepeatVector, Reshape, Cropping, Concatenate),
    ZeroPadding,
)
_MOVES = (
    *("expand_dims", "flip", "get_item", "move", "ones_like", "repeat", "roll", "split", "squeeze"),
    *("stack", "swap", "take", "tile", "unstack", "zeros_like"),
)
# What takes numbers of any type, or makes floats of them before anything else.
_FLOATS = (AsFloat, Embedding, CategoryEncoding, Rescaling, AdaptedNormalization)
# What multiplies them with weights, which are floats.
_WEIGHTED = (
    *(Dense, EinsumDense, BatchNormalization, Recurrent, Bidirectional, MultiHeadAttention, PReLU),
)
_COMPARES = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "logical_not")
_EXACT = ("linear", "relu", "relu6")  # activations that need no fraction
_STAYS = ("negative", "absolute", "square", "floor", "ceil", "round", "trunc", "sign")
_BECOMES = (
    *("sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sinh", "cosh"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
)
_PAIRS = ("add", "subtract", "multiply", "maximum", "minimum", "squared_difference", "power")


def checked(nodes: Sequence[Node], is_keras3: bool) -> list[Node]:
    """The nodes; an Unsupported stands for a layer that Keras computes otherwise on its inputs."""
    found: list[Node] = []
    types: list[str] = []
    entered: set[int] = set()  # nodes whose numbers are the caller's, who gives indexes as floats
    for number, node in enumerate(nodes):
        layer = node.layer
        given = [types[ref.node] for ref in node.inputs]
        if isinstance(layer, Input) or (
            _moves(layer) and all(ref.node in entered for ref in node.inputs)
        ):
            entered.add(number)
        gives = FLOAT
        if not isinstance(layer, Unsupported):
            is_index = bool(node.inputs) and node.inputs[0].node in entered
            problem = "" if is_index or given[:1] != [FLOAT] else _needs_indexes(layer)
            known = _type(layer, given, is_keras3)
            if known is None:
                problem = _problem(layer, given)
            if problem:
                layer = Unsupported(name=layer.name, class_name=layer.class_name, message=problem)
            gives = known or FLOAT
        types.append(gives)
        found.append(replace(node, layer=layer))
    return found


def _needs_indexes(layer: Layer) -> str:
    """The problem of a layer that counts, on floats."""
    counts = isinstance(layer, CategoryEncoding) or _rule(layer) == "one_hot"
    return "its input may hold fractions; cast it to int32 first" if counts else ""


def _problem(layer: Layer, given: Sequence[str]) -> str:
    if _rule(layer) in ("logical_or", "logical_and"):
        return "its input is not boolean; compare it with 0 first"
    odd = next((one for one in given if one != FLOAT), FLOAT)
    return (
        f"it is called on {odd}, which Keras treats unlike floats; cast them to float32 before it"
    )


def _rule(layer: Layer) -> str:
    return layer.rule if isinstance(layer, Operation) else ""


def _moves(layer: Layer) -> bool:
    return isinstance(layer, _SAME) or _rule(layer) in _MOVES


def _type(layer: Layer, given: Sequence[str], is_keras3: bool) -> str | None:
    """The type of what a layer gives; None where Keras computes otherwise than with floats."""
    if isinstance(layer, Input):
        return FLOAT if layer.dtype == "float32" else _named(layer.dtype)
    if isinstance(layer, Constant):
        return _of_constant(layer)
    if isinstance(layer, TimeDistributed):
        return _inside(layer.graph, given[0], is_keras3)
    if isinstance(layer, Operation):
        return _of_operation(layer, given, is_keras3)
    joined = _joined(given)
    if isinstance(layer, Discretization):
        return WHOLE if layer.mode == "int" else FLOAT
    if joined != FLOAT and layer.class_name == "SpectralNormalization":
        return None  # what the layer inside gives is cast to the type of its input
    if joined == FLOAT or isinstance(layer, (*_FLOATS, *_WEIGHTED)):
        return FLOAT
    if isinstance(layer, _SAME):
        return joined
    return None if joined == NARROW else _of_layer(layer, joined, given, is_keras3)


def _of_layer(layer: Layer, joined: str, given: Sequence[str], is_keras3: bool) -> str | None:
    """The type of what a layer gives that computes with whole numbers or truth values."""
    if isinstance(layer, Merge):
        return _of_pair(layer.mode, {*given})
    if isinstance(layer, (Pooling, AdaptivePooling, GlobalPooling)) and layer.kind == "max":
        return joined if joined == WHOLE or isinstance(layer, GlobalPooling) else None
    if isinstance(layer, GlobalPooling):
        return FLOAT if is_keras3 else None
    if joined == TRUTH:
        return None
    if isinstance(layer, ActivationLayer) and layer.activation.name in _EXACT:
        return joined if all(map(_is_whole, layer.activation.parameters)) else None
    if isinstance(layer, AxisNormalization):
        return None if is_keras3 else FLOAT
    return joined if isinstance(layer, Dot) or _repeats(layer) else None


def _repeats(layer: Layer) -> bool:
    return isinstance(layer, UpSampling) and not layer.bilinear


def _of_operation(layer: Operation, given: Sequence[str], is_keras3: bool) -> str | None:
    """The type of what an operation gives."""
    rule, settings = layer.rule, layer.settings
    if layer.dtype:
        return _named(layer.dtype)
    if rule in _COMPARES:
        return TRUTH
    operands = settings.get("operands", ())
    numbers = [WHOLE if _is_whole(n) else FLOAT for n in operands if n is not None]
    if rule in ("logical_or", "logical_and"):
        return TRUTH if {*given, *numbers} == {TRUTH} else None
    if rule == "argmax":
        return WHOLE
    if rule == "where":
        return _joined([*given[1:], *numbers])
    joined = _joined(given)
    if joined == FLOAT or rule == "one_hot":
        return FLOAT
    if rule in _MOVES:
        return joined
    return None if joined == NARROW else _of_rule(layer, joined, {*given, *numbers}, is_keras3)


def _of_rule(layer: Operation, joined: str, types: set[str], is_keras3: bool) -> str | None:
    """The same where it computes with whole numbers or truth values; `types`: of all."""
    rule, settings = layer.rule, layer.settings
    if rule == "reduce" and settings["kind"] == "mean":
        return FLOAT if is_keras3 else None
    if rule == "reduce":
        return TRUTH if settings["kind"] in ("any", "all") else WHOLE
    if rule in ("prod", "cumsum"):
        return WHOLE
    operands = settings.get("operands", ())
    if rule in ("floor_divide", "modulo"):  # backends differ in what they give for x // 0
        divisor = operands[1:2] and operands[1]
        return _joined([*types]) if FLOAT in types or divisor else None
    if rule in _PAIRS or rule == "divide":
        return _of_pair(rule, types)
    if joined == TRUTH:
        return None
    if rule in _STAYS or rule in ("einsum", "matmul"):
        return joined
    if rule in ("clip", "pad"):
        fixed = [settings["value"]] if rule == "pad" else [n for n in operands if n is not None]
        return joined if all(map(_is_whole, fixed)) else None
    return FLOAT if rule in _BECOMES or (rule == "statistic" and is_keras3) else None


def _of_pair(rule: str, types: set[str]) -> str | None:
    """The type of a sum, a product or their like."""
    if rule == "divide":
        return FLOAT
    if rule == "average":
        return FLOAT if TRUTH not in types else None
    if rule not in _PAIRS:
        return None
    if types == {TRUTH}:
        return TRUTH if rule in ("multiply", "maximum", "minimum") else None
    return _joined([*types])


def _inside(graph: Graph, given: str, is_keras3: bool) -> str | None:
    """The type of what the graph of a wrapper gives."""
    types: list[str] = []
    for node in graph.nodes:
        if isinstance(node.layer, Input):
            types.append(given)
            continue
        gives = _type(node.layer, [types[ref.node] for ref in node.inputs], is_keras3)
        if gives is None:
            return None
        types.append(gives)
    return types[graph.outputs[0].node]


def _joined(types: Sequence[str]) -> str:
    """The type of what is made of these types together."""
    for one in (FLOAT, NARROW, WHOLE):
        if one in types:
            return one
    return TRUTH if types else FLOAT


def _named(dtype: str) -> str:
    """The type that a dtype of a file stands for."""
    if dtype == "bool":
        return TRUTH
    if "int" not in dtype:
        return FLOAT
    return WHOLE if dtype in ("int32", "int64") else NARROW


def _is_whole(number: float) -> bool:
    return number in (float("inf"), -float("inf")) or float(number).is_integer()


def _of_constant(layer: Constant) -> str:
    """The least type that holds the array: Keras 1 and 2 do not say which it has."""
    values = layer.value.ravel()
    if not all(map(_is_whole, values)):
        return FLOAT
    return TRUTH if all(value in (0.0, 1.0) for value in values) else WHOLE
