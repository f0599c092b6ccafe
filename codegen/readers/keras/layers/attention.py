"""Attention layers, EinsumDense, and the dense layers that only Keras 1 has."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.attention import Attention, MultiHeadAttention
from codegen.layers.dense import EinsumDense, Highway, Maxout, ParametricSoftplus, SReLU
from codegen.model import Array, Layer
from codegen.readers.keras.items import (
    Bound,
    Context,
    Kind,
    Maker,
    Parts,
    Slot,
    random,
    variables,
    with_bias,
)
from codegen.readers.settings import Config, show


def _einsum_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    return variables("kernel", *(["bias"] if config.get("bias_axes") is not None else []))


def _equation(b: Bound) -> str:
    text = b.config.text("equation").replace(" ", "")
    if not re.fullmatch(r"[a-zA-Z.]+,[a-zA-Z]+->[a-zA-Z.]+", text):
        raise LayerError(f"equation is {show(text)}, expected one such as ab,bc->ac")
    return text


def _einsum_dense(b: Bound) -> Layer:
    if b.config.get("lora_rank") is not None and b.context.flat:
        raise LayerError("its LoRA weights are stored separately; save the model as .keras")
    b.told("output_shape")
    return b.layer(
        EinsumDense,
        equation=_equation(b),
        kernel=b.weight("kernel"),
        bias=b.optional("bias"),
        activation=b.activation(default="linear"),
    )


def _scale_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    names = ["scale"] if config.flag("use_scale", False) else []
    names += ["concat_score_weight"] if config.get("score_mode") == "concat" else []
    return variables(*names)


def _attention(b: Bound) -> Layer:
    mode = b.config.get("score_mode", "dot")
    if mode not in ("dot", "concat"):
        raise LayerError(f"score_mode is {show(mode)}, expected 'dot' or 'concat'")
    scale, weight = b.optional("scale"), b.optional("concat_score_weight")
    for name, value in (("scale", scale), ("concat_score_weight", weight)):
        if value is not None and value.size != 1:
            raise LayerError(f"its weight {name!r} has shape {value.shape}, expected ()")
    return b.layer(
        Attention,
        mode=str(mode),
        scale=scale,
        weight=1.0 if weight is None else float(np.ravel(weight)[0]),
        causal=b.config.flag("causal", False),
    )


def _additive_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    return variables(*(["scale"] if config.flag("use_scale", True) else []))


def _additive_attention(b: Bound) -> Layer:
    causal = b.config.flag("causal", False)
    return b.layer(Attention, mode="additive", scale=b.optional("scale", None), causal=causal)


# The layers inside MultiHeadAttention have a name of our own: Keras has no configuration of them.
PROJECTION = "AttentionProjection"


def _projection(b: Bound) -> Layer:
    kernel, bias = b.weight("kernel", None, None, None), b.optional("bias")
    return b.layer(EinsumDense, equation="", kernel=kernel, bias=bias)


def _projections(config: Config, make: Maker) -> Parts:
    names = ["query_dense", "key_dense", "value_dense", "output_dense"]
    if config.flag("use_gate", False):
        names.insert(2, "gate_dense")
    settings = {"use_bias": config.flag("use_bias", True), "trainable": True}
    entry = {"class_name": PROJECTION, "config": settings}
    return tuple((name, make(entry, inside=True)) for name in names)


def _multi_head(b: Bound) -> Layer:
    axes = b.config.get("attention_axes")
    if axes is not None:
        axes = tuple(sorted(b.config.wholes("attention_axes", high=16)))
    found: dict[str, Any] = {}
    for name, _ in b.item.parts:
        part = b.part(name)
        assert isinstance(part, EinsumDense)
        role = name.removesuffix("_dense")
        found[f"{role}_kernel"], found[f"{role}_bias"] = part.kernel, part.bias
    heads, key_heads = found["query_kernel"].shape[1], found["key_kernel"].shape[1]
    if heads % key_heads or found["output_kernel"].shape[0] != heads:
        raise LayerError(f"{heads} heads for queries, {key_heads} for keys")
    width = found["query_kernel"].shape[2]
    b.only(num_heads=heads, num_query_heads=heads, num_key_value_heads=key_heads)
    b.only(key_dim=width, head_dim=width, value_dim=found["value_kernel"].shape[2])
    b.only(softmax_robust_masking=False)
    b.told("output_shape", "query_shape", "key_shape", "value_shape")
    window = b.config.get("sliding_window")
    return b.layer(
        MultiHeadAttention,
        window=None if window is None else b.config.integer("sliding_window"),
        axes=axes,
        has_dropout=b.config.number("dropout", 0.0) > 0,
        # A window alone may leave a query without a key, where there are fewer keys.
        zeroes_rows=b.era.zeroes_masked_rows if b.masked or window is not None else False,
        masked=b.era.heads_are_masked,
        **found,
    )


# ---- Keras 1 ------------------------------------------------------------------------------


def _highway_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    bias = config.flag("bias", config.flag("use_bias", True))
    return variables("kernel", "carry_kernel", *(["bias", "carry_bias"] if bias else []))


def _highway(b: Bound) -> Layer:
    kernel = b.weight("kernel", None, None)
    n = int(kernel.shape[0])
    return b.layer(
        Highway,
        kernel=b.weight("kernel", n, n),
        bias=b.optional("bias", n),
        carry_kernel=b.weight("carry_kernel", n, n),
        carry_bias=b.optional("carry_bias", n),
        activation=b.activation(default="linear"),
    )


def _maxout(b: Bound) -> Layer:
    kernel = b.weight("kernel", None, None, b.config.integer("output_dim"))
    b.only(nb_feature=kernel.shape[0])
    return b.layer(Maxout, kernel=kernel, bias=b.optional("bias", kernel.shape[0], None))


def _maxout_slots(config: Config, _context: Context) -> tuple[Slot, ...]:
    return variables("kernel", *(["bias"] if config.flag("bias", True) else []))


def _srelu(b: Bound) -> Layer:
    left, right = b.weight("t_left"), b.weight("t_right")
    return b.layer(
        SReLU,
        left=left,
        left_slope=b.weight("a_left", *left.shape),
        right=left + np.abs(right),
        right_slope=b.weight("a_right", *left.shape),
    )


def _parametric_softplus(b: Bound) -> Layer:
    alpha: Array = b.weight("alpha")
    beta = b.weight("beta", *alpha.shape)
    return b.layer(ParametricSoftplus, alpha=alpha, beta=beta)


_MASKS = ("query_mask", "value_mask", "key_mask")
_FLAGS = ("return_attention_scores", "use_causal_mask")
_ATTENTION: dict[str, Any] = {
    "inputs": (2, 3),
    "call": ("inputs", "mask", "training", *_FLAGS),
    "keywords": _MASKS,
    "settings": _FLAGS,
    "training": random("dropout"),
    "lists_masks": True,
}
_NAMES = ("t_left", "a_left", "t_right", "a_right")

KINDS = {
    "EinsumDense": Kind(_einsum_dense, _einsum_slots, mask="stop", call=("inputs", "training")),
    "Attention": Kind(_attention, _scale_slots, **_ATTENTION),
    "AdditiveAttention": Kind(_additive_attention, _additive_slots, **_ATTENTION),
    PROJECTION: Kind(_projection, with_bias("kernel")),
    "Highway": Kind(_highway, _highway_slots),
    "MaxoutDense": Kind(_maxout, _maxout_slots),
    "SReLU": Kind(_srelu, lambda _config, _context: variables(*_NAMES)),
    "ParametricSoftplus": Kind(
        _parametric_softplus, lambda _config, _context: variables("alpha", "beta")
    ),
}
for _name in ("MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"):
    KINDS[_name] = Kind(
        _multi_head,
        parts=_projections,
        inputs=(2, 3),
        call=(
            *("query", "value", "key", *_MASKS, "attention_mask"),
            *("return_attention_scores", "training", "use_causal_mask"),
        ),
        keywords=(*_MASKS, "attention_mask"),
        settings=_FLAGS,
        training=random("dropout"),
    )
