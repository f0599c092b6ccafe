"""Linear, Embedding, activations, merging and reshaping, and what only trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import ActivationLayer, Dense, Embedding, Identity, PReLU
from codegen.layers.merging import Concatenate, Merge
from codegen.layers.operations import Operation
from codegen.layers.reshaping import Flatten, Permute
from codegen.model import Layer
from codegen.program.activations import Activation
from codegen.readers.settings import Config
from codegen.readers.torch.layers.bound import Bound, Builder, Kind


def _linear(b: Bound) -> Layer:
    weight = b.array("weight", None, None)
    units, inputs = weight.shape
    bias = b.optional("bias", units)
    b.agree("in_features", inputs)
    b.agree("out_features", units)
    b.agree("bias", bias is not None)
    b.turned = False
    return b.layer(Dense, kernel=weight.T, bias=bias)


RENORM_EPSILON = 1e-7  # as torch adds it to a norm (`embedding_renorm_`)


def _embedding(b: Bound) -> Layer:
    table = b.array("weight", None, None)
    b.agree("num_embeddings", table.shape[0])
    b.agree("embedding_dim", table.shape[1])
    if b.options.get("max_norm") is not None:
        # A row is made shorter when it is looked up; all rows are looked up here.
        largest, order = b.options.number("max_norm"), b.options.number("norm_type", 2.0)
        wide = table.astype(np.float64)
        with np.errstate(all="ignore"):
            norms = np.linalg.norm(wide, order, axis=1, keepdims=True)
            short = wide * (largest / (norms + RENORM_EPSILON))
        if not np.isfinite(norms).all():
            raise LayerError(
                f"norm_type is {order:g}, of which the norms of the table are infinite"
            )
        table = np.where(norms > largest, short, wide).astype(table.dtype)
    b.rank += 1
    return b.layer(Embedding, table=table)


# ---- activations ----------------------------------------------------------------------------


def _numbers(name: str, **defaults: float) -> Callable[[Config], Activation]:
    """An activation whose parameters are these options, in this order."""

    def make(options: Config) -> Activation:
        given = tuple(options.number(key, default) for key, default in defaults.items())
        return Activation(name, () if given == tuple(defaults.values()) else given)

    return make


def _leaky_relu(options: Config) -> Activation:
    return Activation("leaky_relu", (options.number("negative_slope", 0.01),))


def _gelu(options: Config) -> Activation:
    said = options.text("approximate", "none", ("none", "tanh"))
    return Activation("gelu" if said == "none" else "gelu_tanh")


def _softplus(options: Config) -> Activation:
    beta, threshold = options.number("beta", 1.0), options.number("threshold", 20.0)
    if beta <= 0:
        raise LayerError(f"beta is {beta:g}, expected more than 0")
    if (beta, threshold) == (1.0, 20.0):  # beyond it softplus(x) is x to float rounding
        return Activation("softplus")
    return Activation("softplus", (beta, threshold))


def _threshold(options: Config) -> Activation:
    return Activation("threshold", (options.number("threshold"), options.number("value")))


def _random_leaky_relu(options: Config) -> Activation:
    """What RReLU is when nothing is trained: a LeakyReLU with the mean of its slopes."""
    low, high = options.number("lower", 1 / 8), options.number("upper", 1 / 3)
    return Activation("leaky_relu", ((low + high) / 2,))


# Class -> activation, and its options with torch's names.
ACTIVATIONS: dict[str, tuple[Callable[[Config], Activation], tuple[str, ...]]] = {
    "ReLU": (_numbers("relu"), ("inplace",)),
    "ReLU6": (_numbers("relu6"), ("inplace",)),
    "LeakyReLU": (_leaky_relu, ("negative_slope", "inplace")),
    "RReLU": (_random_leaky_relu, ("lower", "upper", "inplace")),
    "ELU": (_numbers("elu", alpha=1.0), ("alpha", "inplace")),
    "CELU": (_numbers("celu", alpha=1.0), ("alpha", "inplace")),
    "SELU": (_numbers("selu"), ("inplace",)),
    "GELU": (_gelu, ("approximate",)),
    "SiLU": (_numbers("silu"), ("inplace",)),
    "Mish": (_numbers("mish"), ("inplace",)),
    "Sigmoid": (_numbers("sigmoid"), ()),
    "Tanh": (_numbers("tanh"), ()),
    "LogSigmoid": (_numbers("log_sigmoid"), ()),
    "Softplus": (_softplus, ("beta", "threshold")),
    "Softsign": (_numbers("softsign"), ()),
    "Softshrink": (_numbers("soft_shrink", lambd=0.5), ("lambd",)),
    "Hardshrink": (_numbers("hard_shrink", lambd=0.5), ("lambd",)),
    "Tanhshrink": (_numbers("tanh_shrink"), ()),
    "Hardtanh": (
        _numbers("hard_tanh", min_val=-1.0, max_val=1.0),
        ("min_val", "max_val", "inplace"),
    ),
    "Hardsigmoid": (_numbers("hard_sigmoid_3"), ("inplace",)),
    "Hardswish": (_numbers("hard_silu"), ("inplace",)),
    "Threshold": (_threshold, ("threshold", "value", "inplace")),
}


def _activation(make: Callable[[Config], Activation]) -> Builder:
    def build(b: Bound) -> Layer:
        return b.layer(ActivationLayer, activation=make(b.options))

    return build


def _softmax(name: str) -> Builder:
    def build(b: Bound) -> Layer:
        usual = 0 if b.rank == 3 else 1  # as torch chooses it
        given = "dim" in b.options and b.options["dim"] is not None
        dim = b.options.integer("dim", low=-16) if given else usual
        if dim in (0, -b.rank):
            raise LayerError(
                "its softmax runs over the batch: give dim, -1 for the last axis (where none is "
                "given torch takes dim=0 of three axes)"
            )
        return b.layer(ActivationLayer, activation=Activation(name), axis=dim)

    return build


def _glu(b: Bound) -> Layer:
    dim = b.options.integer("dim", -1, low=-16)
    if dim not in (-1, b.rank - 1):
        raise LayerError(f"dim is {dim}; a GLU along the last axis is supported")
    return b.layer(ActivationLayer, activation=Activation("glu"))


def _prelu(b: Bound) -> Layer:
    weight = b.array("weight", None)
    b.agree("num_parameters", len(weight))
    after = 0 if b.channels_last else b.rank - 2
    return b.layer(PReLU, alpha=weight.reshape((-1, *(1,) * after)))


# ---- merging, reshaping, nothing ------------------------------------------------------------


def _same_ranks(b: Bound) -> None:
    if len(set(b.ranks)) > 1:
        raise LayerError(
            f"its inputs have {' and '.join(map(str, b.ranks))} axes with the batch; Unsqueeze "
            "with dim 1 gives a vector the axis of time"
        )


def _merge(mode: str) -> Builder:
    def build(b: Bound) -> Layer:
        _same_ranks(b)
        return b.layer(Merge, mode=mode)

    return build


def _concat(b: Bound) -> Layer:
    _same_ranks(b)
    dim = b.options.integer("dim", -1, low=-16)
    if dim in (0, -b.rank):
        raise LayerError(f"dim is {dim}, which is the batch; 1 is time, -1 the last axis")
    return b.layer(Concatenate, axis=dim)


def _last(b: Bound) -> Layer:
    if b.rank < 3:
        raise LayerError("its input has no time axis of which to take the last step")
    b.rank -= 1
    b.turned = False
    return b.layer(Operation, rule="get_item", settings={"items": (-1,)})


def _flatten(b: Bound) -> tuple[Layer, ...]:
    start = b.options.integer("start_dim", 1, low=-16)
    end = b.options.integer("end_dim", -1, low=-16)
    if start % b.rank != 1 or end % b.rank != b.rank - 1:
        raise LayerError(
            f"start_dim is {start}, end_dim is {end}; all axes but the batch can be flattened"
        )
    first = b.turned
    if b.turned and b.rank == 3:
        if "channels_first" not in b.options:
            raise LayerError(
                'the order of what it flattens is not known: say "channels_first": true where '
                "torch flattens (batch, channels, time), as a Conv1d gives it, and false where "
                "that is transposed to (batch, time, channels) before"
            )
        first = b.options.flag("channels_first")
    turn: tuple[Layer, ...] = ()
    if first and b.rank == 3:
        turn = (b.layer(Permute, f"{b.name}/channels_first", dims=(2, 1)),)
    b.rank, b.turned = 2, False
    return (*turn, b.layer(Flatten))


def _unsqueeze(b: Bound) -> Layer:
    dim = b.options.integer("dim", low=-16)
    axis = dim % (b.rank + 1)
    if axis == 0 or not -b.rank - 1 <= dim <= b.rank:
        raise LayerError(f"dim is {dim}, expected 1 to {b.rank}, or -1 for the end")
    b.rank, b.turned = b.rank + 1, False
    return b.layer(Operation, rule="expand_dims", settings={"axis": axis})


def _identity(b: Bound) -> Layer:
    return b.layer(Identity)


_MERGES = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Maximum": "maximum",
    "Minimum": "minimum",
}  # fmt: skip
NOTHING = (
    "Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "Identity",
)  # fmt: skip
_EMBEDDING = tuple(
    "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse".split()
)


def _free(build: Any, *options: str, inputs: tuple[int, int] = (1, 1)) -> Kind:
    return Kind(build, options, False, inputs)


KINDS: dict[str, Kind] = {
    "Linear": Kind(_linear, ("in_features", "out_features", "bias")),
    "Embedding": Kind(_embedding, _EMBEDDING, nullable=("padding_idx", "max_norm")),
    "PReLU": Kind(_prelu, ("num_parameters", "init")),
    **{name: _free(_activation(make), *options) for name, (make, options) in ACTIVATIONS.items()},
    "Softmax": Kind(_softmax("softmax"), ("dim",), False, nullable=("dim",)),
    "LogSoftmax": Kind(_softmax("log_softmax"), ("dim",), False, nullable=("dim",)),
    "GLU": _free(_glu, "dim"),
    **{name: _free(_merge(mode), inputs=(2, 256)) for name, mode in _MERGES.items()},
    "Concat": _free(_concat, "dim", inputs=(2, 256)),
    "Last": _free(_last),
    "Unsqueeze": _free(_unsqueeze, "dim"),
    "Flatten": _free(_flatten, "start_dim", "end_dim", "channels_first"),
    **{name: _free(_identity, "p", "inplace") for name in NOTHING},
}
