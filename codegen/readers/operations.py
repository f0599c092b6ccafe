"""The table of operations: a row has the names, the arguments and the meaning of one.

`codegen/layers/operations.py` and `shared/formulas.py` say what a rule computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument that is not a tensor: what it is called, and where it stands.

    `kind` says what it may be: see `codegen/readers/keras/ops.py`. In a node of TensorFlow it is
    the input with number `place`, negative from the end, or an attribute.
    """

    name: str  # in Keras 3
    kind: str
    default: Any = None
    function: str = ""  # in a function of TensorFlow; "" where it has the same name
    place: int | None = None
    attribute: str = ""


@dataclass(frozen=True)
class Row:
    """An operation. Names that stand for the same are separated by spaces.

    `rule` is that of the layer `Operation`, an activation if there is a `curve`, or a layer that
    is made in a way of its own. `fixed` are settings of the rule that all calls have.
    """

    keras: str
    function: str = ""  # of TensorFlow, which TFOpLambda names
    node: str = ""  # of a TensorFlow graph
    torch: str = ""
    rule: str = ""
    arguments: tuple[Argument, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    curve: str = ""
    onnx: str = ""  # where no argument makes a difference

    @property
    def name(self) -> str:
        """The first of its names in Keras 3."""
        return self.keras.split()[0]


def _curve(
    name: str, function: str, node: str, curve: str, *arguments: Argument, onnx: str = ""
) -> Row:
    """An activation, which torch has as a class of its own."""
    return Row(name, function, node, curve=curve, arguments=arguments, onnx=onnx)


def _slope(name: str, default: float, function: str = "", attribute: str = "") -> Argument:
    return Argument(name, "number", default, function, attribute=attribute)


def _reduction(name: str, function: str, node: str, torch: str, rule: str, kind: str) -> Row:
    """A reduction along axes."""
    arguments = (AXES, KEEP_DIMS, INITIAL)
    return Row(name, function, node, torch, rule, arguments, {"kind": kind} if kind else {})


def _axis(default: Any = None, place: int | None = None, attribute: str = "") -> Argument:
    return Argument("axis", "axis", default, place=place, attribute=attribute)


AXIS, AXES = _axis(place=1), Argument("axis", "axes", place=1)
KEEP_DIMS = Argument("keepdims", "flag", False, attribute="keep_dims")
INITIAL = Argument("initial", "nothing")
DTYPE = Argument("dtype", "ignored")
TRANSPOSED = (
    Argument("transpose_a", "flag", False, attribute="transpose_a adj_x"),
    Argument("transpose_b", "flag", False, attribute="transpose_b adj_y"),
)
PARTS = Argument(
    "indices_or_sections", "anything", function="num_or_size_splits", attribute="num_split"
)
SIZES = Argument("indices_or_sections", "anything", place=1)
PADDING = Argument("pad_width", "anything", function="paddings", place=1)
FILL = Argument("constant_values", "constant", 0.0, place=2)

# Keras 3, functions of TensorFlow, nodes of its graphs, torch, rule
TABLE = (
    # ---- element by element ------------------------------------------------------------------
    Row("Add", "math.add __operators__.add nn.bias_add", "Add AddV2 BiasAdd", "add iadd add_",
        "add", onnx="Add Sum"),
    Row("Subtract", "math.subtract", "Sub", "sub isub sub_ subtract", "subtract", onnx="Sub"),
    Row("Multiply", "math.multiply", "Mul", "mul imul mul_ multiply", "multiply", onnx="Mul"),
    Row("Divide TrueDivide", "math.truediv math.divide", "RealDiv", "truediv div div_ divide",
        "divide", onnx="Div"),
    Row("Power", "math.pow", "Pow", "pow", "power", onnx="Pow"),
    Row("FloorDivide", "math.floordiv compat.v1.floor_div", "FloorDiv", rule="floor_divide"),
    Row("Mod", "math.floormod", "FloorMod", rule="modulo"),
    Row("Logaddexp", rule="logaddexp"),
    Row("Maximum", "math.maximum", "Maximum", "maximum", "maximum", onnx="Max"),
    Row("Minimum", "math.minimum", "Minimum", "minimum", "minimum", onnx="Min"),
    Row("SquaredDifference", "math.squared_difference", "SquaredDifference",
        rule="squared_difference"),
    Row("LogicalOr", "math.logical_or", "LogicalOr", rule="logical_or", onnx="Or"),
    Row("LogicalAnd", "math.logical_and", "LogicalAnd", rule="logical_and", onnx="And"),
    Row("LogicalNot", "math.logical_not", "LogicalNot", rule="logical_not", onnx="Not"),
    Row("Equal", "math.equal __operators__.eq", "Equal", "eq", "equal", onnx="Equal"),
    Row("NotEqual", "math.not_equal __operators__.ne", "NotEqual", "ne not_equal", "not_equal"),
    Row("Greater", "math.greater", "Greater", "gt greater", "greater", onnx="Greater"),
    Row("GreaterEqual", "math.greater_equal", "GreaterEqual", "ge greater_equal", "greater_equal",
        onnx="GreaterOrEqual"),
    Row("Less", "math.less", "Less", "lt less", "less", onnx="Less"),
    Row("LessEqual", "math.less_equal", "LessEqual", "le less_equal", "less_equal",
        onnx="LessOrEqual"),
    Row("Where", "where", "Select SelectV2", rule="where", onnx="Where"),
    Row("Negative", "math.negative", "Neg", "neg negative", "negative", onnx="Neg"),
    Row("Absolute Abs", "math.abs", "Abs", "abs", "absolute", onnx="Abs"),
    Row("Square", "math.square", "Square", "square", "square"),
    Row("Sqrt", "math.sqrt", "Sqrt", "sqrt", "sqrt", onnx="Sqrt"),
    Row("Rsqrt", "math.rsqrt", "Rsqrt", "rsqrt", "rsqrt"),
    Row("Reciprocal", "math.reciprocal", "Reciprocal", "reciprocal", "reciprocal",
        onnx="Reciprocal"),
    Row("Exp", "math.exp", "Exp", "exp", "exp", onnx="Exp"),
    Row("Exp2", torch="exp2", rule="exp2"),
    Row("Expm1", "math.expm1", "Expm1", "expm1", "expm1"),
    Row("Log", "math.log", "Log", "log", "log", onnx="Log"),
    Row("Log2", torch="log2", rule="log2"),
    Row("Log10", torch="log10", rule="log10"),
    Row("Log1p", "math.log1p", "Log1p", "log1p", "log1p"),
    Row("Sinh", "math.sinh", "Sinh", "sinh", "sinh", onnx="Sinh"),
    Row("Cosh", "math.cosh", "Cosh", "cosh", "cosh", onnx="Cosh"),
    Row("Sin", "math.sin", "Sin", "sin", "sin", onnx="Sin"),
    Row("Cos", "math.cos", "Cos", "cos", "cos", onnx="Cos"),
    Row("Tan", "math.tan", "Tan", "tan", "tan", onnx="Tan"),
    Row("Arcsin", "math.asin", "Asin", "asin arcsin", "asin", onnx="Asin"),
    Row("Arccos", "math.acos", "Acos", "acos arccos", "acos", onnx="Acos"),
    Row("Arctan", "math.atan", "Atan", "atan arctan", "atan", onnx="Atan"),
    Row("Arcsinh", "math.asinh", "Asinh", "asinh arcsinh", "asinh", onnx="Asinh"),
    Row("Arccosh", "math.acosh", "Acosh", "acosh arccosh", "acosh", onnx="Acosh"),
    Row("Arctanh", "math.atanh", "Atanh", "atanh arctanh", "atanh", onnx="Atanh"),
    Row("Erf", "math.erf", "Erf", "erf", "erf", onnx="Erf"),
    Row("Floor", "math.floor", "Floor", "floor", "floor", onnx="Floor"),
    Row("Ceil", "math.ceil", "Ceil", "ceil", "ceil", onnx="Ceil"),
    Row("Round", "math.round", "Round", "round", "round", (Argument("decimals", "zero", 0),),
        onnx="Round"),
    Row("Trunc", torch="trunc", rule="trunc"),
    Row("Sign", "math.sign", "Sign", "sign", "sign", onnx="Sign"),
    Row("ZerosLike", "zeros_like", "ZerosLike", rule="zeros_like", arguments=(DTYPE,)),
    Row("OnesLike", "ones_like", "OnesLike", rule="ones_like", arguments=(DTYPE,)),
    Row("Clip", "clip_by_value", rule="clip", arguments=(
        Argument("x_min", "constant", function="clip_value_min"),
        Argument("x_max", "constant", function="clip_value_max"),
    )),
    # ---- activations -------------------------------------------------------------------------
    _curve("Relu", "nn.relu", "Relu", "relu", onnx="Relu"),
    _curve("Relu6", "nn.relu6", "Relu6", "relu6"),
    _curve("LeakyRelu", "nn.leaky_relu", "LeakyRelu", "leaky_relu",
           _slope("negative_slope", 0.2, "alpha", "alpha")),
    _curve("Elu", "nn.elu", "Elu", "elu", _slope("alpha", 1.0)),
    _curve("Celu", "", "", "celu", _slope("alpha", 1.0)),
    _curve("Selu", "nn.selu", "Selu", "selu"),
    _curve("Silu", "nn.silu nn.swish", "", "silu"),
    _curve("Gelu", "nn.gelu", "", "gelu", Argument("approximate", "truth", True)),
    _curve("Mish", "", "", "mish", onnx="Mish"),
    _curve("Sigmoid", "math.sigmoid nn.sigmoid", "Sigmoid", "sigmoid", onnx="Sigmoid"),
    _curve("LogSigmoid", "math.log_sigmoid", "", "log_sigmoid"),
    _curve("HardSigmoid", "", "", "hard_sigmoid_3"),
    _curve("HardSilu", "", "", "hard_silu", onnx="HardSwish"),
    _curve("Tanh", "math.tanh nn.tanh", "Tanh", "tanh", onnx="Tanh"),
    _curve("HardTanh", "", "", "hard_tanh"),
    _curve("TanhShrink", "", "", "tanh_shrink"),
    _curve("SoftShrink", "", "", "soft_shrink", _slope("threshold", 0.5)),
    _curve("HardShrink", "", "", "hard_shrink", _slope("threshold", 0.5)),
    _curve("Softplus", "math.softplus nn.softplus", "Softplus", "softplus", onnx="Softplus"),
    _curve("Softsign", "nn.softsign", "Softsign", "softsign", onnx="Softsign"),
    _curve("SparsePlus", "", "", "sparse_plus"),
    _curve("SparseSigmoid", "", "", "sparse_sigmoid"),
    _curve("Softmax", "nn.softmax compat.v1.nn.softmax", "Softmax", "softmax", _axis(-1)),
    _curve("LogSoftmax", "nn.log_softmax", "LogSoftmax", "log_softmax", _axis(-1)),
    # ---- along axes --------------------------------------------------------------------------
    _reduction("Any", "math.reduce_any", "Any", "", "reduce", "any"),
    _reduction("All", "math.reduce_all", "All", "", "reduce", "all"),
    _reduction("Sum", "math.reduce_sum", "Sum", "sum", "reduce", "sum"),
    _reduction("Mean Average", "math.reduce_mean", "Mean", "mean", "reduce", "mean"),
    _reduction("Max Amax", "math.reduce_max", "Max", "amax", "reduce", "max"),
    _reduction("Min Amin", "math.reduce_min", "Min", "amin", "reduce", "min"),
    _reduction("CountNonzero", "", "", "", "reduce", "count_nonzero"),
    _reduction("Prod", "math.reduce_prod", "Prod", "prod", "prod", ""),
    _reduction("Var", "math.reduce_variance", "", "", "statistic", "variance"),
    _reduction("Std", "math.reduce_std", "", "", "statistic", "deviation"),
    _reduction("Logsumexp", "math.reduce_logsumexp", "", "", "statistic", "logsumexp"),
    Row("Norm", "math.reduce_euclidean_norm compat.v1.norm", rule="norm", arguments=(
        Argument("ord", "anything"), AXES, KEEP_DIMS,
    )),
    Row("Normalize", rule="normalize", arguments=(
        Argument("axis", "axes", -1), Argument("order", "anything", 2), _slope("epsilon", 1e-7),
    )),
    Row("L2Normalize", "math.l2_normalize", rule="normalize", arguments=(
        Argument("axis", "axes", -1), _slope("epsilon", 1e-12),
    )),
    Row(
        "Argmax", "math.argmax", "ArgMax", rule="argmax", arguments=(AXIS, KEEP_DIMS),
        fixed={"least": False, "last": False},
    ),
    Row("Cumsum", "math.cumsum", "Cumsum", rule="cumsum", arguments=(
        _axis(0, place=1),
        Argument("exclusive", "flag", False, attribute="exclusive"),
        Argument("reverse", "flag", False, attribute="reverse"),
    )),
    # ---- moving elements ---------------------------------------------------------------------
    Row("Flip", "reverse", "ReverseV2", rule="flip", arguments=(AXIS,)),
    Row("Roll", "roll", "Roll", rule="roll", arguments=(
        Argument("shift", "whole", place=1), _axis(place=2),
    )),
    Row("Repeat", "repeat", rule="repeat", arguments=(Argument("repeats", "count"), _axis())),
    Row("Tile", "tile", "Tile", rule="tile", arguments=(
        Argument("repeats", "anything", function="multiples", place=1),
    )),
    Row("Take", "compat.v1.gather", "GatherV2", rule="take", arguments=(_axis(place=2),)),
    Row("GetItem", "__operators__.getitem", "StridedSlice", rule="get_item", arguments=(
        Argument("slice_spec", "ignored"),  # of the function: an operand in Keras 3
    )),
    Row("Split", "split", "Split", rule="split", arguments=(_axis(0, place=0), PARTS)),
    Row("Split", "", "SplitV", rule="split", arguments=(_axis(0, place=2), SIZES)),
    Row("Unstack", "unstack", "Unpack", rule="unstack", arguments=(_axis(0, attribute="axis"),)),
    Row("Concatenate", "concat", "ConcatV2", rule="concatenate", arguments=(_axis(0, place=-1),)),
    Row("Stack", "stack", "Pack", rule="stack", arguments=(_axis(0, attribute="axis"),)),
    Row("ExpandDims", "expand_dims", "ExpandDims", rule="expand_dims", arguments=(AXIS,)),
    Row("Squeeze", "squeeze compat.v1.squeeze", "Squeeze", rule="squeeze", arguments=(
        _axis(attribute="squeeze_dims"),
    )),
    Row("Swapaxes", rule="swap", arguments=(
        Argument("axis1", "axis"), Argument("axis2", "axis"),
    )),
    Row("Moveaxis", rule="move", arguments=(
        Argument("source", "axis"), Argument("destination", "axis"),
    )),
    Row("Transpose", "transpose compat.v1.transpose", "Transpose", rule="transpose", arguments=(
        Argument("axes", "anything", function="perm", place=1),
    )),
    Row("Reshape", "reshape", "Reshape", rule="reshape", arguments=(
        Argument("newshape", "anything", function="shape", place=1),
    )),
    Row("Flatten", "keras.backend.batch_flatten", rule="flatten"),
    Row("Pad", "compat.v1.pad", "PadV2", rule="pad", arguments=(
        PADDING, Argument("mode", "anything", "constant"), FILL,
    )),
    Row("Pad", "", "Pad", rule="pad", arguments=(PADDING,)),
    Row("OneHot", "one_hot", "OneHot", rule="one_hot", arguments=(
        Argument("num_classes", "count", function="depth", place=1),
        Argument("axis", "last", -1, attribute="axis"),
        Argument("on_value", "constant", 1.0, place=2),
        Argument("off_value", "constant", 0.0, place=3),
        DTYPE,
    )),
    # ---- products and the rest ---------------------------------------------------------------
    Row("AddN", "math.add_n", "AddN", rule="add_n"),
    Row("Matmul", "linalg.matmul", "MatMul BatchMatMul BatchMatMulV2", rule="matmul",
        arguments=TRANSPOSED),
    Row("Tensordot", "tensordot", rule="tensordot", arguments=(Argument("axes", "anything"),)),
    Row("Einsum", "", "Einsum", rule="einsum", arguments=(
        Argument("subscripts", "anything", attribute="equation"),
    )),
    Row("Cast", "cast", "Cast", rule="cast", arguments=(
        Argument("dtype", "anything", attribute="DstT"),
    )),
    Row("Copy StopGradient Identity ConvertToTensor", "identity stop_gradient",
        "Identity StopGradient", rule="identity", arguments=(Argument("dtype", "anything"),)),
)  # fmt: skip


def _by(names: Callable[[Row], str]) -> dict[str, Row]:
    return {name: row for row in reversed(TABLE) for name in names(row).split()}


KERAS, FUNCTIONS, NODES, TORCH = (
    _by(lambda row: row.keras),
    _by(lambda row: row.function),
    _by(lambda row: row.node),
    _by(lambda row: row.torch),
)
