"""Convolutions, pooling, padding and upsampling, over one or two axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.convolution import Convolution
from codegen.layers.padding import Cropping, UpSampling, ZeroPadding
from codegen.layers.pooling import AdaptivePooling, GlobalPooling, Pooling
from codegen.layers.shared.windows import reach
from codegen.layers.transposed_convolution import TransposedConvolution
from codegen.model import Layer
from codegen.readers.settings import MAX_INTEGER, show, whole
from codegen.readers.torch.layers.bound import Bound, Builder, Kind

Pairs = tuple[tuple[int, int], ...]


def _first(b: Bound) -> dict[str, Any]:
    """The layout of a layer over axes and channels."""
    return {"channels_first": not b.channels_last}


def _padded(b: Bound, pads: Pairs) -> tuple[Layer, ...]:
    """A layer that puts zeros around the axes; none where there are none."""
    if not any(n for pair in pads for n in pair):
        return ()
    return (b.layer(ZeroPadding, f"{b.name}/padding", padding=pads, **_first(b)),)


def _no_other_padding(b: Bound) -> None:
    mode = b.options.text("padding_mode", "zeros")
    if mode != "zeros":
        raise LayerError(f"padding_mode is {show(mode)}; zeros is supported")


def _conv(rank: int) -> Builder:
    def build(b: Bound) -> tuple[Layer, ...]:
        b.needs_rank(rank + 2)
        weight = b.array("weight", *(None,) * (rank + 2))
        filters, per_group = weight.shape[:2]
        sizes = weight.shape[2:]
        bias = b.optional("bias", filters)
        groups = b.options.integer("groups", 1)
        _no_other_padding(b)
        b.agree("in_channels", per_group * groups)
        b.agree("out_channels", filters)
        b.agree("bias", bias is not None)
        b.agree_sizes("kernel_size", sizes)
        strides = b.options.integers("stride", rank, 1)
        dilations = b.options.integers("dilation", rank, 1)
        padding = b.options.get("padding", 0)
        pads: Pairs = ((0, 0),) * rank
        if padding == "same":
            if any(n != 1 for n in strides):
                raise LayerError("padding 'same' with a stride, which torch does not take either")
            totals = [d * (n - 1) for d, n in zip(dilations, sizes, strict=True)]
            pads = tuple((n // 2, n - n // 2) for n in totals)
        elif padding != "valid":
            if isinstance(padding, str):
                raise LayerError(f"padding is {show(padding)}, expected numbers, same or valid")
            pads = tuple((n, n) for n in b.options.integers("padding", rank, 0, low=0))
        layers = _padded(b, pads)
        kernel = np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2)))
        conv = b.layer(
            Convolution,
            kernel=kernel,
            bias=bias,
            strides=strides,
            dilations=dilations,
            groups=groups,
            **_first(b),
        )
        b.turn()
        return (*layers, conv)

    return build


def _conv_transpose(rank: int) -> Builder:
    def build(b: Bound) -> tuple[Layer, ...]:
        b.needs_rank(rank + 2)
        weight = b.array("weight", *(None,) * (rank + 2))
        channels, per_group = weight.shape[:2]
        sizes = weight.shape[2:]
        groups = b.options.integer("groups", 1)
        filters = per_group * groups
        if channels % groups:
            raise LayerError(f"groups is {groups}, its weights are of {channels} channels")
        _no_other_padding(b)
        bias = b.optional("bias", filters)
        b.agree("in_channels", channels)
        b.agree("out_channels", filters)
        b.agree("bias", bias is not None)
        b.agree_sizes("kernel_size", sizes)
        strides = b.options.integers("stride", rank, 1)
        dilations = b.options.integers("dilation", rank, 1)
        cut = b.options.integers("padding", rank, 0, low=0)
        more = b.options.integers("output_padding", rank, 0, low=0)
        for extra, stride, dilation in zip(more, strides, dilations, strict=True):
            if extra >= max(stride, dilation):
                raise LayerError("output_padding is not smaller than stride or dilation")
        # Rows are cut at both ends, then output_padding puts rows back at the end.
        crops = tuple((n, max(n - m, 0)) for n, m in zip(cut, more, strict=True))
        layers: list[Layer] = [
            b.layer(
                TransposedConvolution,
                kernel=np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2))),
                bias=bias,
                strides=strides,
                dilations=dilations,
                output_padding=tuple(max(m - n, 0) for n, m in zip(cut, more, strict=True)),
                groups=groups,
                **_first(b),
            )
        ]
        if any(n for pair in crops for n in pair):
            layers.append(b.layer(Cropping, f"{b.name}/cut", cropping=crops, **_first(b)))
        b.turn()
        return tuple(layers)

    return build


def _pool(kind: str, rank: int) -> Builder:
    def build(b: Bound) -> Layer:
        b.needs_rank(rank + 2)
        sizes = b.options.integers("kernel_size", rank)
        given = b.options.get("stride")
        strides = sizes if given is None else b.options.integers("stride", rank)
        pads = b.options.integers("padding", rank, 0, low=0)
        if b.options.flag("return_indices", False):
            raise LayerError("return_indices=True is not supported")
        fields: dict[str, Any] = {}
        if kind == "max":
            fields["dilations"] = b.options.integers("dilation", rank, 1)
        else:
            fields["counts_padding"] = b.options.flag("count_include_pad", True)
            if b.options.get("divisor_override") is not None:
                fields["divisor"] = b.options.integer("divisor_override")
        dilations = fields.get("dilations", (1,) * rank)
        for size, dilation, pad in zip(sizes, dilations, pads, strict=True):
            if pad > reach(size, dilation) // 2:
                raise LayerError(f"padding is {pad}, more than half of the window")
        fields["padding"] = tuple((n, n) for n in pads)
        fields["ceil"] = b.options.flag("ceil_mode", False)
        pool = b.layer(Pooling, kind=kind, sizes=sizes, strides=strides, **fields, **_first(b))
        b.turn()
        return pool

    return build


def _adaptive_pool(kind: str, rank: int) -> Builder:
    def build(b: Bound) -> Layer:
        b.needs_rank(rank + 2)
        if b.options.get("return_indices"):
            raise LayerError("return_indices=True is not supported")
        sizes = b.options.integers("output_size", rank)
        layout = _first(b)
        b.turn()
        if all(n == 1 for n in sizes):
            b.turned = False  # one row: there is no order that could be another
            return b.layer(GlobalPooling, kind=kind, axes=rank, keepdims=True, **layout)
        return b.layer(AdaptivePooling, kind=kind, sizes=sizes, **layout)

    return build


def _pad(rank: int) -> Builder:
    """ConstantPad and ZeroPad; numbers below 0 take rows away."""

    def build(b: Bound) -> tuple[Layer, ...]:
        b.needs_rank(rank + 2)
        value = b.options.number("value", 0.0)
        numbers = b.options.get("padding")
        if not isinstance(numbers, (list, tuple)):
            numbers = [numbers] * (2 * rank)
        if len(numbers) != 2 * rank:
            raise LayerError(f"padding is {show(numbers)}, expected {2 * rank} numbers")
        n = [whole(item, "padding", -MAX_INTEGER, MAX_INTEGER) for item in numbers]
        pairs = tuple((n[2 * k], n[2 * k + 1]) for k in reversed(range(rank)))  # last axis first
        cuts = tuple((max(-left, 0), max(-right, 0)) for left, right in pairs)
        pads = tuple((max(left, 0), max(right, 0)) for left, right in pairs)
        layers = [b.layer(ZeroPadding, padding=pads, value=value, **_first(b))]
        found: tuple[Layer, ...] = tuple(layers)
        if any(part for pair in cuts for part in pair):
            crop = b.layer(Cropping, f"{b.name}/cut", cropping=cuts, **_first(b))
            found = (crop, *found) if any(part for pair in pads for part in pair) else (crop,)
        b.turn()
        return found

    return build


def _upsample(b: Bound) -> Layer:
    if b.options.get("size") is not None:
        raise LayerError("size is not supported; scale_factor is")
    if b.options.get("align_corners"):
        raise LayerError("align_corners=True is not supported")
    rank = b.rank - 2
    usual = {1: "linear", 2: "bilinear"}.get(rank)
    if usual is None:
        raise LayerError(f"its input has {b.rank} axes with the batch, expected 3 or 4")
    mode = b.options.text("mode", "nearest", ("nearest", usual))
    factors = b.options.integers("scale_factor", rank)
    layout = _first(b)
    b.turn()
    return b.layer(UpSampling, factors=factors, bilinear=mode != "nearest", **layout)


_NULLABLE = (
    "stride", "divisor_override", "size", "scale_factor", "align_corners", "recompute_scale_factor",
)  # fmt: skip
_CONV = tuple(
    "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode".split()
)
_POOL = ("kernel_size", "stride", "padding", "ceil_mode")
_MAX = (*_POOL, "dilation", "return_indices")
_AVERAGE = (*_POOL, "count_include_pad")


def _free(build: Any, *options: str) -> Kind:
    return Kind(build, options, False, nullable=_NULLABLE)


KINDS: dict[str, Kind] = {
    "Conv1d": Kind(_conv(1), _CONV),
    "Conv2d": Kind(_conv(2), _CONV),
    "ConvTranspose1d": Kind(_conv_transpose(1), (*_CONV, "output_padding")),
    "ConvTranspose2d": Kind(_conv_transpose(2), (*_CONV, "output_padding")),
    "MaxPool1d": _free(_pool("max", 1), *_MAX),
    "MaxPool2d": _free(_pool("max", 2), *_MAX),
    "AvgPool1d": _free(_pool("average", 1), *_AVERAGE),
    "AvgPool2d": _free(_pool("average", 2), *_AVERAGE, "divisor_override"),
    "AdaptiveMaxPool1d": _free(_adaptive_pool("max", 1), "output_size", "return_indices"),
    "AdaptiveMaxPool2d": _free(_adaptive_pool("max", 2), "output_size", "return_indices"),
    "AdaptiveAvgPool1d": _free(_adaptive_pool("average", 1), "output_size"),
    "AdaptiveAvgPool2d": _free(_adaptive_pool("average", 2), "output_size"),
    "ConstantPad1d": _free(_pad(1), "padding", "value"),
    "ConstantPad2d": _free(_pad(2), "padding", "value"),
    "ZeroPad1d": _free(_pad(1), "padding"),
    "ZeroPad2d": _free(_pad(2), "padding"),
    "Upsample": _free(
        _upsample, "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor"
    ),
}
