"""Settings that every layer may have, and those that no prediction depends on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from codegen.errors import LayerError
from codegen.readers.settings import Config, clean, show

# Keras' own modules; a class from elsewhere is the user's, whatever its name.
OWN_MODULE = re.compile(r"(tf_)?keras(\.|$)|tensorflow\.(python\.)?keras\.|builtins$")

# What only training or building a new layer asks for. Shapes and lengths of inputs are those of the
# model's first layer, where they are read; elsewhere the layer before tells.
_WITHOUT_EFFECT = re.compile(
    r"\w+_(initializer|regularizer|constraint)|(\w+_)?init|seed|unit_forget_bias|momentum"
    r"|(recurrent_)?dropout(_[UW])?|p|rate|noise_shape|sigma|stddev|l1|l2|lora_alpha"
    r"|power_iterations|renorm\w*|synchronized|implementation|consume_less|unroll|zero_output_for_mask"
    r"|name|trainable|batch_input_shape|batch_size|input_(shape|dim|length|dtype)|sparse|ragged"
)

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_WHOLE = re.compile(r"u?int(8|16|32|64)|bool")
# What layers compute in and what their variables are; TensorFlow 1.14 to 2.3 have the longer names.
_POLICY = re.compile(
    rf"(mixed_)?({'|'.join(_FLOATS)})|infer|({'|'.join((*_FLOATS, 'infer'))})_with_float32_vars"
)
_POLICIES = ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy")
_QUANTISED = re.compile(r"int8|int4|float8|gptq|awq")


def name_of(entry: Mapping[str, Any], config: Any, is_layer: bool) -> str | None:
    """The name that an entry or its configuration gives, None where there is none."""
    outer = _text(entry.get("name"))
    inner = _text(config.get("name")) if isinstance(config, Mapping) else None
    if is_layer and outer is not None and inner is not None and outer != inner:
        raise LayerError(f"it has two names, {show(outer)} and {show(inner)}")
    return inner if outer is None else outer


def _text(name: object) -> str | None:
    if name is not None and not isinstance(name, str):
        raise LayerError(f"its name is {show(name)}, expected a text")
    return clean(name)


def check_names(names: Iterable[str]) -> None:
    """Refuse a model with two layers of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LayerError(f"two of its layers have the same name, {show(name)}")
        seen.add(name)


def check_dtype(config: Config, whole: bool) -> None:
    """Refuse what is no type to compute in, and quantised layers; `whole` allows whole numbers."""
    _check_policy(config.get("dtype"), whole)
    mode = config.get("quantization_mode") or config.get("quantization_config")
    if mode is not None:
        raise _quantised(mode)


def check_input(config: Config) -> None:
    """Refuse settings that no InputLayer has."""
    for key in ("sparse", "ragged", "optional"):
        if config.get(key) is not None:
            config.flag(key)
    for key in ("batch_shape", "shape", "dtype"):  # read where the model's inputs are
        config.get(key)
    check_read(config)


def _check_policy(policy: Any, whole: bool) -> None:
    if policy is None:
        return
    if isinstance(policy, str):
        if _QUANTISED.match(policy):
            raise _quantised(policy)
        if not (_POLICY.fullmatch(policy) or (whole and _WHOLE.fullmatch(policy))):
            raise LayerError(f"dtype is {show(policy)}, expected a type such as float32")
        return
    inner = policy.get("config") if isinstance(policy, Mapping) else None
    if not isinstance(inner, Mapping):
        raise LayerError(f"dtype is {show(policy)}, expected a type or a policy")
    class_name, module = policy.get("class_name"), policy.get("module")
    if not isinstance(class_name, str) or not (
        module is None or (isinstance(module, str) and OWN_MODULE.match(module))
    ):
        raise LayerError(f"dtype is {show(policy)}, which is a policy of its author's own")
    if "Quantized" in class_name or class_name in ("GPTQDTypePolicy", "AWQDTypePolicy"):
        raise _quantised(inner.get("mode") or inner.get("name"))
    if class_name == "DTypePolicyMap":
        parts = inner.get("policy_map") or {}
        for part in (inner.get("default_policy"), *(parts.values() if parts else ())):
            _check_policy(part, whole)
        return
    if class_name not in _POLICIES or not isinstance(inner.get("name"), str):
        raise LayerError(f"dtype is {show(policy)}, which is no policy of Keras")
    _check_policy(inner["name"], whole)


def _quantised(mode: object) -> LayerError:
    how = "" if mode is None else f" ({show(mode)})"
    return LayerError(
        f"it is quantised{how}, which is not supported; save the model as it was before quantize()"
    )


def check_read(*configs: Config) -> None:
    """Refuse settings that none of the configurations' readers has asked for.

    They may come from a Keras newer than this program, and change what the layer computes.
    """
    read = {key for one in configs for key in one.plain.keys() - set(one.unread)}
    for key in configs[0].unread:
        if key not in read and not _WITHOUT_EFFECT.fullmatch(key):
            raise LayerError(
                f"its setting {key}={show(configs[0].plain[key])} is not known, so what it changes "
                "is not known either; save the model without it"
            )
