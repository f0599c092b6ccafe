"""The table of Keras classes, and how a configuration becomes a tree of items.

A family of layers is added in a file of its own beside this one: it has a dict `KINDS` from class
name to `Kind` (see `kinds.py`: variables in creation order, parts, builder function, what becomes
of a mask), and is listed in `TABLE` below. Other names of a class, and what Keras 1 called its
settings, go to `ALIASES` and `KERAS1_KEYS`. Nothing else knows about single classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from codegen.errors import LayerError
from codegen.readers.keras import activations, tf_nodes, tf_ops
from codegen.readers.keras.era import Era
from codegen.readers.keras.items import Context, Item, Kind, Parts, sections, snake_case
from codegen.readers.keras.layers import attention as attention_layers
from codegen.readers.keras.layers import convolution as convolution_layers
from codegen.readers.keras.layers import core as core_layers
from codegen.readers.keras.layers import normalization as normalization_layers
from codegen.readers.keras.layers import recurrent as recurrent_layers
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
        raise LayerError(f"its name is {show(name)}, expected a string")
    return clean(name)


def check_names(names: Iterable[str]) -> None:
    """Refuse a model with two layers of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LayerError(f"two of its layers have the same name, {show(name)}")
        seen.add(name)


def check_dtype(config: Config, whole: bool) -> None:
    """Refuse types not to compute in, and quantised layers; `whole` allows whole numbers."""
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
        raise LayerError(f"dtype is {show(policy)}, which is a custom policy")
    if "Quantized" in class_name or class_name in ("GPTQDTypePolicy", "AWQDTypePolicy"):
        raise _quantised(inner.get("mode") or inner.get("name"))
    if class_name == "DTypePolicyMap":
        parts = inner.get("policy_map") or {}
        for part in (inner.get("default_policy"), *(parts.values() if parts else ())):
            _check_policy(part, whole)
        return
    if class_name not in _POLICIES or not isinstance(inner.get("name"), str):
        raise LayerError(f"dtype is {show(policy)}, which is not a policy of Keras")
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
                f"its setting {key}={show(configs[0].plain[key])} is unknown, and so is "
                "its effect; save the model without it"
            )


UNKNOWN = (
    "layers of this class are not supported; if it is your own, say what it computes with --custom"
)

TABLE: dict[str, Kind] = {
    **core_layers.KINDS,
    **recurrent_layers.KINDS,
    **convolution_layers.KINDS,
    **normalization_layers.KINDS,
    **attention_layers.KINDS,
}

ALIASES = {
    "Model": "Functional",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "GRUV2": "GRU",
    "LSTMV2": "LSTM",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}

# Classes that files name otherwise than Python, whose name gives the path of their weights.
PYTHON_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}

_BOTH = (
    "Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average", "Dot", "Concatenate",
    "Softmax", "Flatten", "Reshape", "Identity",
)  # fmt: skip  # classes of layers and of operations
_OPERATION = re.compile(r"keras\.(src\.)?ops(\.|$)")
MODELS = ("Sequential", "Functional")
_NODES = (*tf_ops.CLASSES, tf_nodes.CLASS)  # operations of TensorFlow
_WITH_WHOLE = ("InputLayer", "Discretization", "CategoryEncoding")  # may have whole numbers


class ItemMaker:
    """Makes items from entries of a configuration; remembers which names are taken."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._paths: set[str] = set()

    def model(self, entry: Any, fallback: str) -> Item:
        """The whole model: its name is no part of its layers' paths."""
        return self.item(entry, "", inside=True, fallback=fallback)

    def item(self, entry: Any, outer: str = "", inside: bool = False, fallback: str = "") -> Item:
        """The item of `entry`; `outer` is the path of the model or wrapper that holds it.

        With `inside` the item shares the path of its outer one: the cell of a GRU.
        """
        if not isinstance(entry, Mapping):
            entry = {"class_name": show(entry)}
        config = entry.get("config", {})
        class_name = clean(entry.get("class_name")) or show(entry.get("class_name"))
        class_name = class_name[:200]
        given = problem = None
        try:
            given = name_of(entry, config, class_name not in _NODES)
        except LayerError as error:
            given, problem = clean(entry.get("name")), str(error)
        name = given or fallback or snake_case(class_name) or "layer"
        path = outer if inside else self._unique(f"{outer}/{name}" if outer else name)
        if problem is None:
            try:
                return self._known(entry, config, class_name, name, path, given is not None)
            except LayerError as error:
                problem = str(error)
        plain = Config(config if isinstance(config, Mapping) else {})
        return Item(name, path, class_name, plain, None, problem=problem, entry=entry)

    def _unique(self, path: str) -> str:
        unique, number = path, 2
        while unique in self._paths:
            unique, number = f"{path}_{number}", number + 1
        self._paths.add(unique)
        return unique

    def _known(
        self, entry: Any, config: Any, class_name: str, name: str, path: str, named: bool
    ) -> Item:
        plain = class_name.rsplit(">", 1)[-1]
        custom = self._context.custom
        wanted = plain if plain in custom else class_name
        extended = custom.get(wanted)
        if isinstance(extended, str):
            class_name = extended
            if ALIASES.get(class_name, class_name) not in (*TABLE, *MODELS):
                raise LayerError(f"--custom reads it as a {class_name}, which is not supported")
        elif wanted in custom:
            values = Config(config if isinstance(config, Mapping) else {})
            return Item(name, path, wanted, values, None, entry=entry, named=named, is_custom=True)
        else:
            self._refuse_foreign(entry, class_name)
        if is_operation(entry, self._context.era) and extended is None:
            settings = Config(config if isinstance(config, Mapping) else {})
            if class_name == "Normalize" and self._context.era.normalize_is_turned:
                settings = settings.changed(axis=settings.get("order"), order=settings.get("axis"))
            return Item(name, path, class_name, settings, None, entry=entry, is_operation=True)
        canonical = ALIASES.get(class_name, class_name)
        if canonical == "Sequential" and isinstance(config, list):  # Keras 1 to 2.1
            config = {"layers": config}
        if not isinstance(config, Mapping):
            raise LayerError(f"its configuration is {show(config)}, expected an object")
        settings = Config(config)
        if canonical not in _NODES:
            check_dtype(settings, canonical in _WITH_WHOLE)
        trainable = settings.flag("trainable", True)
        if canonical == "InputLayer":
            check_input(settings)
            return Item(name, path, canonical, settings, None, entry=entry, named=named)
        if canonical in MODELS:
            parts = self._layers(settings, path)
            return Item(
                name, path, canonical, settings, None, (), parts, trainable, None, entry, named
            )
        if canonical in _NODES:
            (tf_nodes if canonical == tf_nodes.CLASS else tf_ops).check(settings)
            return Item(name, path, canonical, settings, None, entry=entry, is_operation=True)
        kind = TABLE.get(canonical)
        if kind is None:
            raise LayerError(UNKNOWN)
        activations.check(settings)
        frozen_by = self._context.era.frozen_by(canonical)
        if frozen_by == "inner":
            trainable = True
        elif frozen_by == "own":
            settings = _with_inner_flag(settings, trainable)

        def make(inner: Any, inside: bool = False) -> Item:
            return self.item(inner, path, inside)

        slots = kind.slots(settings, self._context)
        parts = kind.parts(settings, make)
        return Item(
            name, path, canonical, settings, kind, slots, parts, trainable, None, entry, named
        )

    def _layers(self, config: Config, path: str) -> Parts:
        """The layers of a model with their paths in a .keras file: a counter for each class."""
        counts: dict[str, int] = {}
        parts = []
        for number, entry in enumerate(sections(config, "layers")):
            part = self.item(entry, path, fallback=self._fallback(entry, number))
            if is_operation(
                entry, self._context.era
            ):  # not a layer: it has no place in the file of weights
                parts.append(("", part))
                continue
            plain = str(entry.get("class_name")).rsplit(">", 1)[-1]
            stem = snake_case(PYTHON_NAMES.get(plain, plain))
            index = counts[stem] = counts.get(stem, -1) + 1
            parts.append((f"layers/{stem}_{index}" if index else f"layers/{stem}", part))
        check_names(part.name for _, part in parts if part.named)
        for _, part in parts:
            if part.is_input and part.problem is not None:
                raise LayerError(f"its input {show(part.name)}: {part.problem}")
        return tuple(parts)

    def _fallback(self, entry: Mapping[str, Any], number: int) -> str:
        """A name for a nested Sequential, which lost its own up to Keras 2.1."""
        stem = snake_case(str(entry.get("class_name")))
        return f"{stem}_{number + 1}"

    def _refuse_foreign(self, entry: Mapping[str, Any], class_name: str) -> None:
        module, registered = entry.get("module"), entry.get("registered_name")
        foreign = isinstance(module, str) and not OWN_MODULE.match(module)
        # Early Keras 3 registers its own classes under their plain names.
        own = registered is None or registered == class_name or str(registered).startswith("keras")
        if ">" in class_name or foreign or (not own and module is not None and foreign):
            raise LayerError(
                f"{class_name!r} is a custom class; say what it computes with "
                "--custom (a Python function of yours)"
            )
        if class_name in ("Lambda", "__lambda__"):
            raise LayerError(
                "it holds Python code, which is never run; use layers instead, or say what "
                "it computes with --custom Lambda=..."
            )


def _with_inner_flag(settings: Config, trainable: bool) -> Config:
    """The settings of a wrapper, whose flag is put to the layer inside as well."""
    layer = settings.section("layer")
    inner = layer.section("config").changed(trainable=trainable)
    return settings.changed(layer={**layer, "config": dict(inner)})


def is_operation(entry: Any, era: Era) -> bool:
    """Whether an entry is an operation of Keras 3 rather than a layer."""
    if not isinstance(entry, Mapping) or not era.is_keras3:
        return False
    module, config = entry.get("module"), entry.get("config")
    if isinstance(module, str):
        return bool(_OPERATION.match(module))
    # HDF5 files leave the module out; the configuration of a layer always says `trainable`. What
    # is not an operation of any name is a layer all the same.
    class_name = entry.get("class_name")
    is_layer = not isinstance(config, Mapping) or "trainable" in config or "layers" in config
    only_layer = isinstance(class_name, str) and class_name in TABLE and class_name not in _BOTH
    return not (is_layer or only_layer) and class_name != "InputLayer"
