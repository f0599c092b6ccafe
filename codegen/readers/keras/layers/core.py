"""Dense, Embedding, activations, merging and reshaping layers, wrappers, and what does nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import (
    ActivationLayer,
    BatchNormalization,
    Dense,
    Embedding,
    Identity,
    PReLU,
    Rescaling,
)
from codegen.layers.masking import Masking
from codegen.layers.merging import Concatenate, Dot, Merge
from codegen.layers.normalization import AxisNormalization, scale_and_offset
from codegen.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Array, Layer
from codegen.readers.keras import activations
from codegen.readers.keras.items import (
    Bound,
    Context,
    Kind,
    Maker,
    Parts,
    Slot,
    random,
    sections,
    variables,
    with_bias,
)
from codegen.readers.settings import MAX_INTEGER, Config, show, whole


def lora_slots(kernel: str, *others: str) -> Any:
    """Slots of a layer with `lora_rank`: in .h5 files the kernel is frozen and comes last."""

    def slots(config: Config, context: Context) -> tuple[Slot, ...]:
        rest = variables(*others)
        if kernel == "kernel" and config.flag(
            "bias" if context.era.is_keras1 else "use_bias", True
        ):
            rest = (*variables("bias"), *rest)
        if config.get("lora_rank") is not None:
            config.integer("lora_rank")
        if config.get("lora_rank") is None or not context.flat:
            return (Slot(kernel), *rest)
        return (*rest, *variables("lora_a", "lora_b"), Slot(kernel, trainable=False))

    return slots


def check_lora(b: Bound) -> None:
    """Refuse a kernel from which the LoRA product is still missing."""
    if b.has("lora_a"):
        raise LayerError(
            "its LoRA weights are stored separately from the kernel; save the model as .keras, "
            "which holds the merged kernel"
        )


def _dense(b: Bound) -> Layer:
    check_lora(b)
    units = b.config.integer("output_dim" if b.era.is_keras1 else "units")
    return b.layer(
        Dense,
        kernel=b.weight("kernel", None, units),
        bias=b.optional("bias", units),
        activation=b.activation(),
    )


def _embedding(b: Bound) -> Layer:
    check_lora(b)
    shape = (b.config.integer("input_dim"), b.config.integer("output_dim"))
    table = b.weight("embeddings", *shape)
    return b.layer(Embedding, table=table, mask_zero=b.config.flag("mask_zero", False))


def _masking(b: Bound) -> Layer:
    return b.layer(Masking, mask_value=b.config.number("mask_value", 0.0))


def _activation(b: Bound) -> Layer:
    return b.layer(ActivationLayer, activation=b.activation())


def _activation_layer(b: Bound) -> Layer:
    activation = activations.LAYERS[b.item.class_name](b.config)
    axis: int | tuple[int, ...] = -1
    if b.item.class_name == "Softmax":
        if b.masked and b.era.softmax_is_masked:
            raise LayerError("a mask reaches it, which is not supported; Activation ignores masks")
        given = b.config.get("axis", -1)
        if isinstance(given, list) and len(given) != 1:
            axis = tuple(whole(item, "axis", -16, 16) for item in given)
        else:
            axis = b.config.integers("axis", 1, -1, low=-16)[0]
    return b.layer(ActivationLayer, activation=activation, axis=axis)


def _prelu(b: Bound) -> Layer:
    alpha = b.weight("alpha")
    given = b.config.get("shared_axes") is not None
    for axis in b.config.wholes("shared_axes", high=alpha.ndim) if given else ():
        if alpha.shape[axis - 1] != 1:
            raise LayerError(f"its weight 'alpha' has shape {alpha.shape}, but shares axis {axis}")
    return b.layer(PReLU, alpha=alpha)


def _identity(b: Bound) -> Layer:
    b.told("data_format")  # of SpatialDropout2D, for what it drops
    return b.layer(Identity)


def _time_distributed(b: Bound) -> Layer:
    passes = b.era.distributes_masks
    return b.layer(TimeDistributed, graph=b.graph("layer"), passes_masks=passes)


def _spectral_normalization(b: Bound) -> Layer:
    """The layer inside: only training normalises, and leaves the kernel normalised in the file."""
    inner = b.part("layer")
    if b.context.flat and any(frozen for _, frozen in b.item.walk()):
        raise LayerError(
            "it is frozen, so its weights are stored in another order; save the model as .keras"
        )
    if isinstance(inner, Embedding):  # what it gives is made whole numbers, as its input is
        raise LayerError("it wraps an Embedding, which is not supported; other layers are")
    if b.masked:
        raise LayerError("a mask reaches it, which is not supported")
    stored = inner.parameters + b.weight("vector_u").size
    return replace(inner, name=b.item.path, class_name=b.item.class_name, stored=stored)


def _spectral_normalization_slots(config: Config, context: Context) -> tuple[Slot, ...]:
    own = (Slot("vector_u", trainable=False),)
    return own if context.flat else (Slot("kernel"), *own)  # the kernel of the layer inside


def _inner_layer(config: Config, make: Maker) -> Parts:
    return (("layer", make(dict(config.section("layer")))),)


def _merge(mode: str) -> Any:
    def build(b: Bound) -> Layer:
        return b.layer(Merge, mode=mode, any_mask=b.masked and b.era.merges_any_mask)

    return build


def _concatenate(b: Bound) -> Layer:
    axis = b.config.integer("axis", -1, low=-16, high=16)
    return b.layer(Concatenate, axis=axis, any_mask=b.masked and b.era.merges_any_mask)


def _dot(b: Bound) -> Layer:
    first, second = b.config.integers("axes", 2, low=-16)
    return b.layer(Dot, axes=(first, second), normalize=b.config.flag("normalize", False))


_KERAS1_MODES = {"sum": "add", "mul": "multiply", "ave": "average", "max": "maximum"}


def _keras1_merge(b: Bound) -> Layer:
    """`Merge` of Keras 1; its `mode` may also be the name of a function, which is refused."""
    mode = b.config.get("mode")
    if b.config.get("mode_type") not in (None, "raw"):
        raise LayerError(f"merge mode {show(mode)} is not supported: it is code")
    b.only(output_shape_type="raw", output_mask_type="raw", arguments={})
    b.told("concat_axis", "dot_axes")  # each counts in its mode alone
    if isinstance(mode, str) and mode in _KERAS1_MODES:
        return b.layer(Merge, mode=_KERAS1_MODES[mode])
    if mode == "concat":
        return b.layer(Concatenate, axis=b.config.integer("concat_axis", -1, low=-16, high=16))
    if mode == "cos":
        axes = b.config.integers("dot_axes", 2, -1, low=-16)
        return b.layer(Dot, axes=(axes[0], axes[1]), cosine=True)
    if mode == "dot":
        first, second = b.config.integers("dot_axes", 2, -1, low=-16)
        return b.layer(Dot, axes=(first, second))
    raise LayerError(f"merge mode {show(mode)} is not supported")


def _merged_models(config: Config, make: Maker) -> Parts:
    """The models that a `Merge` at the start of a Sequential joins."""
    if "layers" not in config:
        return ()
    return tuple(("", make(entry)) for entry in sections(config, "layers"))


def _flatten(b: Bound) -> Layer:
    formats = ("channels_last", "channels_first")
    given = b.config.get("data_format") is not None
    first = given and b.config.text("data_format", choices=formats) == "channels_first"
    return b.layer(Flatten, channels_first=first)


def _reshape(b: Bound) -> Layer:
    value = b.config.get("target_shape")
    if not isinstance(value, list):
        raise LayerError(f"target_shape is {show(value)}, expected a list of lengths")
    # None stands for the one length that follows from the others, like -1.
    shape = tuple(-1 if v is None else whole(v, "target_shape", -1, MAX_INTEGER) for v in value)
    if 0 in shape or shape.count(-1) > 1:
        raise LayerError(f"target_shape {show(value)} is not possible")
    return b.layer(Reshape, shape=shape)


def _permute(b: Bound) -> Layer:
    value = b.config.get("dims")
    if not isinstance(value, list) or not all(type(v) is int for v in value):
        raise LayerError(f"dims is {show(value)}, expected a list of axes")
    if not value or sorted(value) != list(range(1, len(value) + 1)):
        raise LayerError(f"dims {show(value)} does not name every axis once")
    return b.layer(Permute, dims=tuple(value))


def _repeat_vector(b: Bound) -> Layer:
    return b.layer(RepeatVector, count=b.config.integer("n"))


# ---- normalisation by stored statistics -----------------------------------------------------


def _batch_normalization_slots(config: Config, context: Context) -> tuple[Slot, ...]:
    names = ["gamma"] if config.flag("scale", True) else []
    names += ["beta"] if config.flag("center", True) else []
    return (*variables(*names), Slot("mean", False), Slot("variance", False))


def _batch_normalization(b: Bound) -> Layer:
    mode = b.config.integer("mode", 0, low=0)  # Keras 1
    if mode > 1:
        raise LayerError(
            f"mode {mode} normalises by the current batch even in predict, which is not "
            "supported; modes 0 and 1 are"
        )
    axis = b.config.integers("axis", 1, -1, low=-16)[0]
    mean = b.weight("mean", None)
    n = int(mean.shape[0])
    if mode == 1:  # whatever the axis is, it gives the length of the weights alone
        return b.layer(
            AxisNormalization,
            kind="sample",
            epsilon=b.config.number("epsilon", 1e-3, low=0),
            gamma=b.weight("gamma", n),
            beta=b.weight("beta", n),
        )
    scale, offset = scale_and_offset(
        mean,
        b.weight("variance", n),
        b.config.number("epsilon", 1e-3, low=0),
        b.optional("gamma", n),
        b.optional("beta", n),
        b.context.allow_nonfinite,
    )
    return b.layer(BatchNormalization, scale=scale, offset=offset, axis=axis)


def _numbers(value: Any, key: str, b: Bound) -> Array:
    """A number, or nested lists of numbers, as float64."""
    if isinstance(value, list):
        if not 0 < len(value) <= MAX_INTEGER:
            raise LayerError(f"{key} is {show(value)}, expected numbers")
        parts = [_numbers(item, key, b) for item in value]
        if any(part.shape != parts[0].shape for part in parts):
            raise LayerError(f"{key} is a nested list with rows of different lengths")
        return np.stack(parts)
    return np.array(Config({key: value}).number(key), np.float64)


def _rescaling(b: Bound) -> Layer:
    scale = _numbers(b.config.get("scale", 1.0), "scale", b)
    offset = _numbers(b.config.get("offset", 0.0), "offset", b)
    return b.layer(Rescaling, scale=scale, offset=offset)


_RATE = ("rate", "p")  # the second in Keras 1
# What only trains, and the settings that make it random then.
_NOTHING: dict[str, tuple[str, ...]] = {
    "Dropout": _RATE,
    "SpatialDropout1D": _RATE,
    "SpatialDropout2D": _RATE,
    "SpatialDropout3D": _RATE,
    "GaussianNoise": ("stddev", "sigma"),
    "GaussianDropout": _RATE,
    "AlphaDropout": _RATE,
    "ActivityRegularization": (),
    "Identity": (),
}

KINDS = {
    "Dense": Kind(_dense, lora_slots("kernel"), call=("inputs", "training")),
    "TimeDistributedDense": Kind(_dense, with_bias("kernel")),  # Keras 1
    "Embedding": Kind(_embedding, lora_slots("embeddings"), mask="embedding"),
    "Masking": Kind(_masking, mask="masking"),
    "Activation": Kind(_activation),
    "PReLU": Kind(_prelu, lambda config, context: variables("alpha")),
    "TimeDistributed": Kind(
        _time_distributed,
        parts=_inner_layer,
        call=("inputs", "training", "mask"),
        hands_on_mask=True,
    ),
    "SpectralNormalization": Kind(
        _spectral_normalization,
        _spectral_normalization_slots,
        _inner_layer,
        mask="stop",
        call=("inputs", "training"),
        training=lambda config: "normalises its kernel again",
    ),
    "Merge": Kind(_keras1_merge, parts=_merged_models, mask="merge", inputs=(2, 256)),
    "Concatenate": Kind(_concatenate, mask="merge", inputs=(1, 256)),
    "Dot": Kind(_dot, mask="stop", inputs=(2, 2)),
    "Flatten": Kind(_flatten, mask="stop"),
    "Reshape": Kind(_reshape, mask="stop"),
    "Permute": Kind(_permute, mask="stop"),
    "RepeatVector": Kind(_repeat_vector, mask="stop"),
    "BatchNormalization": Kind(
        _batch_normalization,
        _batch_normalization_slots,
        call=("inputs", "training", "mask"),
        hands_on_mask=True,
        training=lambda config: "normalises by the current batch",
    ),
    "Rescaling": Kind(_rescaling),
    **{name: Kind(_activation_layer) for name in activations.LAYERS},
    **{
        name: Kind(
            _identity,
            call=("inputs", "training"),
            training=random(*settings),
        )
        for name, settings in _NOTHING.items()
    },
    **{
        name: Kind(_merge(name.lower()), mask="merge", inputs=(2, 2 if name == "Subtract" else 256))
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    },
}
