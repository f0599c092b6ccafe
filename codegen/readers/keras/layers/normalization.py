"""Normalisation by the input's own statistics, and what is adapted to data before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.dense import CategoryEncoding, Discretization
from codegen.layers.normalization import AdaptedNormalization, AxisNormalization
from codegen.model import Array, Layer
from codegen.readers.keras.items import Bound, Context, Kind, Slot, variables
from codegen.readers.settings import Config, show, whole


def _axes(b: Bound) -> tuple[int, ...]:
    return b.config.wholes("axis", -1, -16, 16)


def _gamma_beta(config: Config, _context: Context) -> tuple[Slot, ...]:
    scale = config.flag("scale", True) or config.flag("rms_scaling", False)
    center = config.flag("center", True) and not config.flag("rms_scaling", False)
    return variables(*(["gamma"] if scale else []), *(["beta"] if center else []))


def _layer_normalization(b: Bound) -> Layer:
    return b.layer(
        AxisNormalization,
        kind="scale" if b.config.flag("rms_scaling", False) else "layer",
        axes=_axes(b),
        epsilon=b.config.number("epsilon", 1e-3, low=0),
        gamma=b.optional("gamma"),
        beta=b.optional("beta"),
    )


def _group_normalization(b: Bound) -> Layer:
    axes = _axes(b)
    if len(axes) != 1:
        raise LayerError(f"axis {show(b.config.get('axis'))}: one is supported")
    return b.layer(
        AxisNormalization,
        kind="layer",
        axes=axes,
        epsilon=b.config.number("epsilon", 1e-3, low=0),
        gamma=b.optional("gamma"),
        beta=b.optional("beta"),
        groups=-1 if b.config.get("groups") == -1 else b.config.integer("groups", 32),
    )


def _rms_normalization(b: Bound) -> Layer:
    """Whatever the axes are, Keras multiplies the scale as it broadcasts: along the last axes."""
    scale = b.weight("scale")
    return b.layer(
        AxisNormalization,
        kind="rms",
        axes=_axes(b),
        epsilon=b.config.number("epsilon", 1e-6, low=0),
        gamma=scale,
        weight_axes=tuple(range(-scale.ndim, 0)),
    )


def _unit_normalization(b: Bound) -> Layer:
    bound = 1e-24 if b.era.unit_norm_is_bounded else 1e-12  # of the square
    return b.layer(AxisNormalization, kind="unit", axes=_axes(b), epsilon=bound)


def _adapted_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    if config.get("mean") is not None:
        return ()
    return tuple(Slot(name, False) for name in ("mean", "variance", "count"))


def _array(value: Any, key: str) -> Array:
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise LayerError(f"{key} is {show(value)}, expected numbers") from None
    if not np.isfinite(array).all():
        raise LayerError(f"{key} is {show(value)}, expected finite numbers")
    return array


def _normalization(b: Bound) -> Layer:
    if b.has("mean"):
        mean, variance = b.weight("mean"), b.weight("variance")
        b.told("variance")  # without a mean it does not count
    else:
        mean = _array(b.config.get("mean"), "mean")
        variance = _array(b.config.get("variance"), "variance")
    if mean.shape != variance.shape:
        raise LayerError(f"its mean has shape {mean.shape}, its variance {variance.shape}")
    mean, variance = mean.astype(np.float64), variance.astype(np.float64)
    axis = b.config.get("axis", -1)
    axes = [] if axis is None else (axis if isinstance(axis, list) else [axis])
    axes = [whole(v, "axis", -16, 16) for v in axes]
    if not axes and mean.size == 1:
        mean, variance = mean.reshape(()), variance.reshape(())
    kept = tuple(axes) or None
    if (variance < 0).any():
        raise LayerError("its variance is negative somewhere")
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    scale, offset = 1.0 / deviation, -mean / deviation
    if b.config.flag("invert", False):
        scale, offset = deviation, mean + 0 * deviation
    return b.layer(AdaptedNormalization, scale=scale, offset=offset, axes=kept)


def _mode(b: Bound, default: str) -> str:
    old = {"binary": "multi_hot", "onehot": "one_hot"}
    supported = ("int", "one_hot", "multi_hot", "count", *old)
    value = b.config.text("output_mode", default, supported)
    return old.get(value, value)


def _discretization(b: Bound) -> Layer:
    value = b.config.get("bin_boundaries", b.config.get("bins"))
    if not isinstance(value, list) or not value:
        raise LayerError(f"bin_boundaries is {show(value)}, expected a list of numbers")
    finite = [v for v in value if v != np.inf]  # TensorFlow 2.4 ends the list with infinity
    boundaries = _array(finite, "bin_boundaries")
    if (np.diff(boundaries) < 0).any():
        raise LayerError("bin_boundaries are not in ascending order, which has no meaning in Keras")
    mode, keeps = _mode(b, "int"), b.era.codes_keep_axes
    b.config.number("epsilon", 0.01)  # this and the next: of adapt(), which made the boundaries
    b.told("num_bins")
    # Keras 3 makes inputs what its layers compute in; until 3.10 that was int64 here.
    policy = b.config.get("dtype")
    inner = policy.get("config") if isinstance(policy, Mapping) else None
    policy = inner.get("name") if isinstance(inner, Mapping) else policy
    truncates = b.era.is_keras3 and isinstance(policy, str) and "int" in policy
    return b.layer(
        Discretization, boundaries=boundaries, mode=mode, keeps_axes=keeps, truncates=truncates
    )


def _category_encoding(b: Bound) -> Layer:
    tokens = b.config.get("num_tokens", b.config.get("max_tokens"))
    return b.layer(
        CategoryEncoding,
        tokens=whole(tokens, "num_tokens", 1, 2**24),
        mode=_mode(b, "multi_hot"),
        keeps_axes=b.era.codes_keep_axes,
    )


KINDS = {
    "LayerNormalization": Kind(_layer_normalization, _gamma_beta),
    "GroupNormalization": Kind(_group_normalization, _gamma_beta),
    "RMSNormalization": Kind(
        _rms_normalization, lambda _config, _context: variables("scale"), mask="stop"
    ),
    "UnitNormalization": Kind(_unit_normalization),
    "Normalization": Kind(_normalization, _adapted_slots),
    "Discretization": Kind(_discretization, mask="stop"),
    "CategoryEncoding": Kind(_category_encoding, mask="stop"),
}
