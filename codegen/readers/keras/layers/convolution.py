"""Convolutions, pooling, padding, cropping and upsampling of every era."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.conv_lstm import ConvLSTMCell, ConvRecurrent
from codegen.layers.convolution import Convolution, DepthwiseConvolution
from codegen.layers.locally_connected import LocallyConnected, local_windows
from codegen.layers.padding import Cropping, Pairs, UpSampling, ZeroPadding
from codegen.layers.pooling import AdaptivePooling, GlobalPooling, Pooling
from codegen.layers.recurrent import Cell
from codegen.layers.shared.windows import reach
from codegen.layers.transposed_convolution import TransposedConvolution
from codegen.model import Array, Layer
from codegen.readers.keras.items import (
    Bound,
    Context,
    Kind,
    Maker,
    Parts,
    Slot,
    variables,
    with_bias,
)
from codegen.readers.keras.layers.recurrent import (
    LSTM_COLUMNS,
    LSTM_GATES,
    RANDOM,
    layer_kind,
)
from codegen.readers.settings import MAX_INTEGER, Config, show, whole

Numbers = tuple[int, ...]


_MAY_BE_NULL = ("data_format", "dim_ordering", "strides", "stride")


def _value(b: Bound, *keys: str, default: Any = None) -> Any:
    """What stands under the first of the keys (names of this and of older versions)."""
    for key in keys:
        if b.config.get(key) is not None:
            return b.config[key]
        if key in b.config and key not in _MAY_BE_NULL:
            raise LayerError(f"{key} is null, expected a value")
    return default


def _numbers(b: Bound, count: int, *keys: str, default: Any = 1) -> Numbers:
    values = Config({keys[0]: _value(b, *keys, default=default)})
    return values.integers(keys[0], count)


def channels_first(b: Bound) -> bool:
    """Whether the channels come before the other axes."""
    value = _value(b, "data_format", "dim_ordering", default="default")
    if value == "default" and b.era.is_keras1 and "2D" in b.item.class_name:
        # Padding and upsampling do not tell: the setting held for the whole program.
        if len(b.context.orderings) != 1:
            raise LayerError(
                "the file does not say which axis holds the channels; add dim_ordering ('tf' or "
                "'th') to its configuration in model.to_json(), and pass that with --config"
            )
        (value,) = b.context.orderings
    if value not in ("channels_first", "channels_last", "tf", "th", "default"):
        raise LayerError(f"data_format is {show(value)}, expected channels_last or channels_first")
    return value in ("channels_first", "th")


def padding_name(b: Bound) -> str:
    """valid, same or causal."""
    value = _value(b, "padding", "border_mode", default="valid")
    if value not in ("valid", "same", "causal"):
        raise LayerError(f"padding is {show(value)}, expected 'valid', 'same' or 'causal'")
    return str(value)


def _kernel(b: Bound, name: str, rank: int, last: int | None) -> Array:
    """A kernel of `rank` spatial axes.

    Keras 1 has an axis of 1 where there is one dimension, and (outputs, inputs, rows, columns)
    with channels_first.
    """
    kernel = b.weight(name)
    if rank == 1 and kernel.ndim == 4 and kernel.shape[1] == 1:
        kernel = kernel[:, 0]
    if b.era.is_keras1 and rank == 2 and kernel.ndim == 4 and channels_first(b):
        kernel = kernel.transpose(2, 3, 1, 0)
    if kernel.ndim != rank + 2 or (last is not None and kernel.shape[-1] != last):
        raise LayerError(
            f"its weight {name!r} has shape {kernel.shape}, expected {rank + 2} axes, the last "
            f"of {'any length' if last is None else last}"
        )
    if b.era.theano:  # a true convolution: the kernel is turned around
        kernel = np.ascontiguousarray(np.flip(kernel, tuple(range(rank))))
    return kernel


MAX_PHASES = 4096  # of a transposed convolution: each is written out


def _sizes(b: Bound, rank: int) -> Numbers:
    sizes = _value(b, "kernel_size", "filter_length")
    if sizes is None and b.config.get("nb_row") is not None:
        sizes = [b.config["nb_row"], b.config["nb_col"]]
    return Config({"kernel_size": sizes}).integers("kernel_size", rank)


def _geometry(b: Bound, rank: int, kernel: Array) -> dict[str, Any]:
    given = _sizes(b, rank)
    if given != kernel.shape[:rank]:
        raise LayerError(f"kernel of shape {kernel.shape}, its configuration says {given}")
    strides = _numbers(b, rank, "strides", "subsample", "subsample_length")
    dilations = _numbers(b, rank, "dilation_rate", "atrous_rate")
    if padding_name(b) == "same":
        reaches = [reach(size, rate) for size, rate in zip(given, dilations, strict=True)]
        _check_same(b, reaches, strides)
    return {"strides": strides, "dilations": dilations, "channels_first": channels_first(b)}


def _check_same(
    b: Bound, sizes: Sequence[int], strides: Sequence[int], largest: int = MAX_INTEGER
) -> None:
    """Refuse the windows that Theano centres otherwise than TensorFlow."""
    for size, stride in zip(sizes, strides, strict=True):
        if b.era.theano and size > 1 and (size % 2 == 0 or stride > 1 or size > largest):
            raise LayerError(
                f"Theano pads windows of {size} with stride {stride} unlike TensorFlow, which is "
                "not supported; use a padding layer and padding='valid'"
            )


def _filters(b: Bound) -> int:
    return b.config.integer("nb_filter" if b.config.get("filters") is None else "filters")


def _convolution(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        filters = _filters(b)
        kernel = _kernel(b, "kernel", rank, filters)
        b.told("lora_rank")  # a .keras file holds the merged kernel, an .h5 file too many arrays
        return b.layer(
            Convolution,
            kernel=kernel,
            bias=b.optional("bias", filters),
            padding=padding_name(b),
            groups=b.config.integer("groups", 1),
            activation=b.activation(default="linear"),
            **_geometry(b, rank, kernel),
        )

    return build


def _separable(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        filters = _filters(b)
        kernel = _kernel(b, "depthwise_kernel", rank, None)
        pointwise = _kernel(b, "pointwise_kernel", rank, filters)
        if pointwise.shape[-2] != kernel.shape[-1] * kernel.shape[-2]:
            raise LayerError(f"kernels of shapes {kernel.shape} and {pointwise.shape}")
        b.only(groups=1, depth_multiplier=kernel.shape[-1])
        geometry = _geometry(b, rank, kernel)
        if max(geometry["dilations"]) > 1 and not b.era.dilates_separable:
            geometry["dilations"] = (1,) * rank
        return b.layer(
            DepthwiseConvolution,
            kernel=kernel,
            pointwise=pointwise.reshape(-1, filters),
            bias=b.optional("bias", filters),
            padding=padding_name(b),
            activation=b.activation(default="linear"),
            **geometry,
        )

    return build


def _depthwise(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        kernel = _kernel(b, "depthwise_kernel", rank, None)
        b.only(groups=1, depth_multiplier=kernel.shape[-1])
        return b.layer(
            DepthwiseConvolution,
            kernel=kernel,
            bias=b.optional("bias", kernel.shape[-1] * kernel.shape[-2]),
            padding=padding_name(b),
            activation=b.activation(default="linear"),
            **_geometry(b, rank, kernel),
        )

    return build


def _output_padding(b: Bound, rank: int, geometry: dict[str, Any]) -> Numbers | None:
    """Rows beyond the least that the inputs reach; Keras 1 says how many come out in all."""
    if b.config.get("output_shape") is not None:
        shape = b.config.shape("output_shape")[1:]
        lengths = shape[1:] if geometry["channels_first"] else shape[:-1]
        sizes = Config({"output_shape": list(lengths)}).integers("output_shape", rank)
        kernels = _sizes(b, rank)
        pairs = zip(sizes, kernels, geometry["strides"], strict=True)
        if padding_name(b) == "same":
            return tuple((n - 1) % stride + 1 - size % 2 for n, size, stride in pairs)
        return tuple((n - size) % stride for n, size, stride in pairs)
    if b.config.get("output_padding") is None:
        return None
    return b.config.integers("output_padding", rank, low=0)


def _transposed(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        filters = _filters(b)
        kernel = _kernel(b, "kernel", rank, None)
        if b.era.is_keras1:  # inputs before filters, as in a convolution
            kernel = kernel.swapaxes(-1, -2)
        if kernel.shape[-2] != filters:
            raise LayerError(f"kernel of shape {kernel.shape}, expected {filters} filters")
        b.only(groups=1)
        geometry = _geometry(b, rank, kernel)
        if math.prod(geometry["strides"]) > MAX_PHASES:
            raise LayerError(f"strides of {geometry['strides']} are larger than supported")
        return b.layer(
            TransposedConvolution,
            kernel=kernel,
            bias=b.optional("bias", filters),
            padding=padding_name(b),
            output_padding=_output_padding(b, rank, geometry),
            activation=b.activation(default="linear"),
            **geometry,
        )

    return build


def _locally_connected(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        filters, first = _filters(b), channels_first(b)
        sizes = _sizes(b, rank)
        strides = _numbers(b, rank, "strides", "subsample", "subsample_length")
        padding, implementation = padding_name(b), b.config.integer("implementation", 1)
        if implementation == 1:
            kernel = b.weight("kernel", None, None, filters)
            if first:  # a window's channels stand before its rows
                taps = math.prod(sizes)
                parts = kernel.reshape(len(kernel), -1, taps, filters)
                kernel = parts.swapaxes(1, 2).reshape(kernel.shape)
        elif implementation == 2:
            kernel = _windows_of(b.weight("kernel"), sizes, strides, padding, filters, first)
        else:
            kernel = b.weight("kernel", None)
        bias = b.optional("bias", *(None,) * rank, filters)
        if bias is not None:  # with channels_first it is taken for (filters, rows, columns)
            flat = bias.reshape(filters, -1).T if first else bias.reshape(-1, filters)
            bias = np.ascontiguousarray(flat)
        return b.layer(
            LocallyConnected,
            kernel=kernel,
            bias=bias,
            filters=filters,
            sizes=sizes,
            strides=strides,
            padding=padding,
            activation=b.activation(default="linear"),
            channels_first=first,
        )

    return build


def _windows_of(
    full: Array, sizes: Numbers, strides: Numbers, padding: str, filters: int, first: bool
) -> Array:
    """Implementation 2: from every input to every output, of which the windows count."""
    rank = len(sizes)
    if full.ndim != 2 * rank + 2:
        raise LayerError(
            f"its weight 'kernel' has shape {full.shape}, expected {2 * rank + 2} axes"
        )
    if first:
        full = np.moveaxis(full, (0, rank + 1), (rank, -1))
    lengths, positions = full.shape[:rank], full.shape[rank + 1 : -1]
    parts = zip(lengths, sizes, strides, strict=True)
    windows = [local_windows(n, size, stride, padding) for n, size, stride in parts]
    if [len(w) for w in windows] != list(positions) or full.shape[-1] != filters:
        raise LayerError(f"its weight 'kernel' of shape {full.shape} does not fit its windows")
    wide = np.pad(full, [*((size, size) for size in sizes), *((0, 0),) * (rank + 2)])
    kernel = np.empty((*positions, *sizes, full.shape[rank], filters), full.dtype)
    for o in np.ndindex(*positions):
        parts = zip(windows, o, sizes, strict=True)
        rows = [slice(w[k].start + n, w[k].stop + n) for w, k, n in parts]
        place = (*rows, slice(None), *o)
        kernel[o] = wide[place]
    return kernel.reshape(math.prod(positions), -1, filters)


# ---- ConvLSTM -----------------------------------------------------------------------------


def _conv_lstm_cell(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        filters = _filters(b)
        if b.era.is_keras1:
            kernel, recurrent = (
                np.concatenate([_kernel(b, f"{kind}_{g}", rank, filters) for g in LSTM_COLUMNS], -1)
                for kind in "WU"
            )
            bias: Array | None = np.concatenate([b.weight(f"b_{g}", filters) for g in LSTM_COLUMNS])
        else:
            kernel = _kernel(b, "kernel", rank, 4 * filters)
            recurrent = _kernel(b, "recurrent_kernel", rank, 4 * filters)
            bias = b.optional("bias", 4 * filters)
        geometry = _geometry(b, rank, kernel)
        del geometry["channels_first"]
        if recurrent.shape[-2] != filters:
            raise LayerError(f"recurrent kernel of shape {recurrent.shape}")
        _check_same(b, recurrent.shape[:rank], (1,) * rank)
        gate = "inner_activation" if b.era.is_keras1 else "recurrent_activation"
        default = "sigmoid" if b.era.is_keras3 else "hard_sigmoid"
        return b.layer(
            ConvLSTMCell,
            kernel=kernel,
            recurrent_kernel=recurrent,
            bias=bias,
            padding=padding_name(b),
            activation=b.activation(default="tanh"),
            recurrent_activation=b.activation(gate, default),
            **geometry,
        )

    return build


def _conv_lstm_slots(config: Config, context: Context) -> tuple[Slot, ...]:
    if context.era.is_keras1:
        return variables(*(f"{kind}_{gate}" for gate in LSTM_GATES for kind in "WUb"))
    return with_bias("kernel", "recurrent_kernel")(config, context)


def _conv_cell(rank: int) -> Any:
    def parts(config: Config, make: Maker) -> Parts:
        entry = {"class_name": f"ConvLSTM{rank}DCell", "config": config.plain}
        return (("cell", make(entry, inside=True)),)

    return parts


def _conv_lstm(b: Bound) -> Layer:
    cell = b.part("cell")
    assert isinstance(cell, Cell)
    b.only(time_major=False)
    unroll, zeros = b.config.flag("unroll", False), b.config.flag("zero_output_for_mask", False)
    return b.layer(
        ConvRecurrent,
        cell=cell,
        return_sequences=b.config.flag("return_sequences", False),
        return_state=b.config.flag("return_state", False),
        stateful=b.config.flag("stateful", False),
        go_backwards=b.config.flag("go_backwards", False),
        mask_rule=b.era.mask_rule(unroll, zeros) if b.masked else "previous",
        channels_first=channels_first(b),
    )


# ---- pooling ------------------------------------------------------------------------------


def _pooling(kind: str, rank: int) -> Any:
    def build(b: Bound) -> Layer:
        sizes = _numbers(b, rank, "pool_size", "pool_length", default=2)
        strides = _numbers(b, rank, "strides", "stride", default=list(sizes))
        if padding_name(b) == "same":
            _check_same(b, sizes, strides, largest=3)
        return b.layer(
            Pooling,
            kind=kind,
            sizes=sizes,
            strides=strides,
            padding=padding_name(b),
            channels_first=channels_first(b),
        )

    return build


def _adaptive_pooling(kind: str, rank: int) -> Any:
    def build(b: Bound) -> Layer:
        sizes = b.config.integers("output_size", rank)
        return b.layer(AdaptivePooling, kind=kind, sizes=sizes, channels_first=channels_first(b))

    return build


def _global_pooling(kind: str, rank: int) -> Any:
    def build(b: Bound) -> Layer:
        return b.layer(
            GlobalPooling,
            kind=kind,
            axes=rank,
            keepdims=b.config.flag("keepdims", False),
            masked=rank == 1 and not b.era.is_keras1,
            channels_first=channels_first(b),
        )

    return build


# ---- padding ------------------------------------------------------------------------------


_ENDS = ("top_pad", "bottom_pad", "left_pad", "right_pad")


def _pairs(b: Bound, key: str, rank: int) -> Pairs:
    """Two numbers for each axis: Keras also takes one for both ends, or one for all."""
    value = b.config.get(key, 1)

    def number(item: Any) -> int:
        return whole(item, key, 0, MAX_INTEGER)

    if isinstance(value, dict):  # Keras 1 names the ends
        ends = ("left_pad", "right_pad") if rank == 1 else _ENDS
        if not value or not set(value) <= set(ends):
            raise LayerError(f"{key} is {show(value)}, expected {', '.join(ends)}")
        value = [value.get(end, 0) for end in ends]
    if not isinstance(value, (list, tuple)):
        return ((number(value), number(value)),) * rank
    if rank == 1 and len(value) == 2 and not isinstance(value[0], (list, tuple)):
        return ((number(value[0]), number(value[1])),)
    if rank == 1 and len(value) == 1:
        value = list(value)
    if rank == 2 and len(value) == 4:  # Keras 1: top, bottom, left, right
        value = [value[:2], value[2:]]
    if len(value) != rank:
        raise LayerError(f"{key} is {show(value)}, expected {rank} pairs")
    pairs = []
    for item in value:
        if isinstance(item, (list, tuple)):
            if len(item) != 2:
                raise LayerError(f"{key} is {show(value)}, expected pairs")
            pairs.append((number(item[0]), number(item[1])))
        else:
            pairs.append((number(item), number(item)))
    return tuple(pairs)


def _zero_padding(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        pairs = _pairs(b, "padding", rank)
        return b.layer(ZeroPadding, padding=pairs, channels_first=channels_first(b))

    return build


def _cropping(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        pairs = _pairs(b, "cropping", rank)
        return b.layer(Cropping, cropping=pairs, channels_first=channels_first(b))

    return build


def _up_sampling(rank: int) -> Any:
    def build(b: Bound) -> Layer:
        mode = b.config.get("interpolation", "nearest")
        if mode not in ("nearest", "bilinear"):
            raise LayerError(
                f"interpolation {show(mode)} is not supported; 'nearest' and 'bilinear' are"
            )
        bilinear = mode == "bilinear"
        if bilinear and b.era.theano:
            raise LayerError("interpolation 'bilinear' of Theano is not supported; 'nearest' is")
        return b.layer(
            UpSampling,
            factors=_numbers(b, rank, "size", "length", default=2),
            bilinear=bilinear,
            from_corner=bilinear and b.era.bilinear_from_corner,
            channels_first=channels_first(b),
        )

    return build


def _separable_slots(config: Config, context: Context) -> tuple[Slot, ...]:
    return with_bias("depthwise_kernel", "pointwise_kernel")(config, context)


KINDS = {
    "AtrousConvolution1D": Kind(_convolution(1), with_bias("kernel"), mask="stop"),
    "AtrousConvolution2D": Kind(_convolution(2), with_bias("kernel"), mask="stop"),
}
for _rank in (1, 2):
    _name = f"{_rank}D"
    _mask = ("mask",) if _rank == 1 else ()
    KINDS |= {
        f"Conv{_name}": Kind(_convolution(_rank), with_bias("kernel"), mask="stop"),
        f"SeparableConv{_name}": Kind(_separable(_rank), _separable_slots, mask="stop"),
        f"DepthwiseConv{_name}": Kind(
            _depthwise(_rank), with_bias("depthwise_kernel"), mask="stop"
        ),
        f"Conv{_name}Transpose": Kind(_transposed(_rank), with_bias("kernel"), mask="stop"),
        f"LocallyConnected{_name}": Kind(
            _locally_connected(_rank), with_bias("kernel"), mask="stop"
        ),
        f"ConvLSTM{_name}Cell": Kind(_conv_lstm_cell(_rank), _conv_lstm_slots, training=RANDOM),
        f"ConvLSTM{_name}": layer_kind(_conv_lstm, _conv_cell(_rank), _rank + 2),
        f"AdaptiveMaxPooling{_name}": Kind(_adaptive_pooling("max", _rank), mask="stop"),
        f"AdaptiveAveragePooling{_name}": Kind(_adaptive_pooling("average", _rank), mask="stop"),
        f"MaxPooling{_name}": Kind(_pooling("max", _rank), mask="stop"),
        f"AveragePooling{_name}": Kind(_pooling("average", _rank), mask="stop"),
        f"GlobalMaxPooling{_name}": Kind(_global_pooling("max", _rank), mask="stop"),
        f"GlobalAveragePooling{_name}": Kind(
            _global_pooling("average", _rank),
            mask="stop",
            call=("inputs", *_mask),
            keywords=_mask,
        ),
        f"ZeroPadding{_name}": Kind(_zero_padding(_rank), mask="stop"),
        f"Cropping{_name}": Kind(_cropping(_rank), mask="stop"),
        f"UpSampling{_name}": Kind(_up_sampling(_rank), mask="stop"),
    }
