"""BatchNorm by stored statistics; LayerNorm, GroupNorm, InstanceNorm, RMSNorm by those at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import BatchNormalization
from codegen.layers.normalization import AxisNormalization, scale_and_offset
from codegen.model import Array, Layer
from codegen.readers.settings import MAX_INTEGER, show, whole
from codegen.readers.torch.layers.bound import Bound, Builder, Kind


def _batch_norm(rank: int) -> Builder:
    def build(b: Bound) -> Layer:
        b.needs_rank(*((2, 3) if rank == 1 else (rank + 2,)))
        if b.options.get("track_running_stats") is False or not b.has("running_mean"):
            raise LayerError("it has no running statistics: it normalises by the current batch")
        mean = b.array("running_mean", None)
        n = len(mean)
        b.agree("num_features", n)
        variance = b.array("running_var", n)
        gamma, beta = b.optional("weight", n), b.optional("bias", n)
        b.agree("affine", gamma is not None)
        scale, offset = scale_and_offset(
            mean, variance, b.options.number("eps", 1e-5), gamma, beta, b.allow_nonfinite
        )
        axis = b.channel_axis
        b.turn()
        return b.layer(BatchNormalization, scale=scale, offset=offset, axis=axis)

    return build


def _shape(b: Bound) -> tuple[int, ...]:
    """`normalized_shape`, which the weights know too."""
    if b.has("weight"):
        found = _axes(b.tensors["weight"].shape)
        if b.options.get("normalized_shape") != found[0] or len(found) > 1:  # one may be a number
            b.agree("normalized_shape", list(found))
        return found
    value = b.options.get("normalized_shape")
    if value is None:
        raise LayerError("normalized_shape is not given, and there are no weights that tell")
    values = value if isinstance(value, (list, tuple)) else [value]
    return _axes(tuple(whole(n, "normalized_shape", 1, MAX_INTEGER) for n in values))


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape:
        raise LayerError("normalized_shape is [], expected the lengths of one axis or more")
    return shape


def _layer_norm(kind: str, epsilon: float | None) -> Builder:
    def build(b: Bound) -> Layer:
        shape = _shape(b)
        b.agree("elementwise_affine", b.has("weight"))
        if len(shape) >= b.rank:
            raise LayerError(f"normalized_shape is {show(shape)}, its input has {b.rank} axes")
        given = b.options.get("eps")
        if given is None:  # of RMSNorm: that of the numbers' type
            is_double = b.has("weight") and b.tensors["weight"].dtype == "float64"
            machine = float(np.finfo(np.float64 if is_double else np.float32).eps)
            eps = machine if epsilon is None else epsilon
        else:
            eps = b.options.number("eps")
        gamma, beta = b.optional("weight", *shape), b.optional("bias", *shape)
        axes = tuple(range(-len(shape), 0))
        fields: dict[str, Any] = {"gamma": gamma, "beta": beta}
        return b.layer(AxisNormalization, kind=kind, axes=axes, epsilon=eps, **fields)

    return build


def _affine(b: Bound, n: int | None) -> tuple[Array | None, Array | None]:
    gamma, beta = b.optional("weight", n), b.optional("bias", n)
    b.agree("affine", gamma is not None)
    return gamma, beta


def _group_norm(b: Bound) -> Layer:
    groups = b.options.integer("num_groups")
    gamma, beta = _affine(b, None)
    if gamma is not None:
        b.agree("num_channels", len(gamma))
    return _grouped(b, groups, gamma, beta)


def _instance_norm(rank: int) -> Builder:
    def build(b: Bound) -> Layer:
        b.needs_rank(rank + 2)
        if b.options.get("track_running_stats") or b.has("running_mean"):
            raise LayerError("track_running_stats=True is not supported; a BatchNorm is")
        gamma = b.optional("weight", None)
        beta = b.optional("bias", None)
        if gamma is not None:
            b.agree("num_features", len(gamma))
        return _grouped(b, -1, gamma, beta)

    return build


def _grouped(b: Bound, groups: int, gamma: Array | None, beta: Array | None) -> Layer:
    axis = b.channel_axis
    b.turn()
    return b.layer(
        AxisNormalization,
        kind="layer",
        axes=(axis,),
        epsilon=b.options.number("eps", 1e-5),
        gamma=gamma,
        beta=beta,
        groups=groups,
    )


_FEATURES = ("num_features", "eps", "momentum", "affine", "track_running_stats", "bias")
_SHAPED = ("normalized_shape", "eps", "elementwise_affine")

KINDS: dict[str, Kind] = {
    "BatchNorm1d": Kind(_batch_norm(1), _FEATURES, nullable=("momentum",)),
    "BatchNorm2d": Kind(_batch_norm(2), _FEATURES, nullable=("momentum",)),
    "LayerNorm": Kind(_layer_norm("layer", 1e-5), (*_SHAPED, "bias"), False),
    "RMSNorm": Kind(_layer_norm("rms", None), _SHAPED, False, nullable=("eps",)),
    "GroupNorm": Kind(_group_norm, ("num_groups", "num_channels", "eps", "affine", "bias"), False),
    "InstanceNorm1d": Kind(_instance_norm(1), _FEATURES, False, nullable=("momentum",)),
    "InstanceNorm2d": Kind(_instance_norm(2), _FEATURES, False, nullable=("momentum",)),
}
