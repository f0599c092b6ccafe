"""Names of activations, as every Keras writes them, to their one meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from codegen.errors import LayerError
from codegen.program.activations import Activation
from codegen.program.ops import Expr, Local
from codegen.readers.keras.era import Era
from codegen.readers.settings import Config, show

# Stored name -> canonical activation. `hard_sigmoid` is not here: it depends on the era.
_NAMES: dict[str, Activation] = {
    name: Activation(name)
    for name in (
        "linear", "tanh", "sigmoid", "relu", "relu6", "elu", "celu", "selu", "silu", "mish",
        "gelu", "softplus", "softsign", "exponential", "log_sigmoid", "squareplus", "hard_silu",
        "hard_tanh", "soft_shrink", "hard_shrink", "tanh_shrink", "sparse_sigmoid", "sparse_plus",
        "softmax", "log_softmax", "glu",
    )
}  # fmt: skip
_NAMES |= {
    "swish": Activation("silu"),
    "hard_swish": Activation("hard_silu"),
    "leaky_relu": Activation("leaky_relu", (0.2,)),
    # Functions of tf.nn go by the names of their second versions.
    "softmax_v2": Activation("softmax"),
    "log_softmax_v2": Activation("log_softmax"),
    "sparsemax": Activation("sparsemax_keras"),
}


def resolve(value: Any, era: Era, custom: Mapping[str, Any], key: str = "activation") -> Activation:
    """The activation that a configuration names: a text, a function's name, or a layer."""
    if value is None:
        return Activation()
    if isinstance(value, dict):
        inner = value.get("config")
        if value.get("class_name") == "function" and isinstance(inner, str):
            value = inner
        elif isinstance(value.get("class_name"), str) and isinstance(inner, dict):
            return _of_layer(value["class_name"], Config(inner), era, custom, key)
    if not isinstance(value, str):
        raise LayerError(f"{key} is {show(value)}, expected the name of an activation")
    if value in custom:
        return _custom(value, custom[value])
    if value == "hard_sigmoid":
        return Activation(era.hard_sigmoid)
    plain = value.rsplit(">", 1)[-1]
    if plain in custom:
        return _custom(plain, custom[plain])
    if value not in _NAMES:
        raise LayerError(
            f"{key} {show(value)} is not an activation of Keras; say what it computes with --custom"
        )
    return _NAMES[value]


def check(config: Config) -> None:
    """Refuse a layer with weights as an activation, which are then among those of its layer."""
    for key in ("activation", "recurrent_activation"):
        value = config.get(key)
        if isinstance(value, dict) and value.get("class_name") == "PReLU":
            raise LayerError(f'{key} is a layer of class "PReLU", which is not supported')


def _custom(name: str, meaning: Any) -> Activation:
    if isinstance(meaning, Activation):
        return meaning
    if isinstance(meaning, str):
        raise LayerError(f"--custom reads {name} as a {meaning}, but it is an activation")
    try:
        found = meaning(Local("x"))
    except Exception as error:  # whatever the user's own function raises
        raise LayerError(
            f"the function given with --custom failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, Expr):
        raise LayerError(
            f"the function given with --custom returned {type(found).__name__}, "
            "expected an expression"
        )
    return Activation(name, function=meaning)


def _of_layer(
    class_name: str, config: Config, era: Era, custom: Mapping[str, Any], key: str
) -> Activation:
    if class_name == "Activation":
        return resolve(config.get("activation"), era, custom, key)
    if class_name not in LAYERS:
        raise LayerError(f"{key} is a layer of class {show(class_name)}, which is not supported")
    if class_name == "Softmax" and config.get("axis", -1) != -1:
        raise LayerError(f"{key} is a Softmax along axis {show(config.get('axis'))}")
    return LAYERS[class_name](config)


def _leaky_relu(config: Config) -> Activation:
    key = "negative_slope" if "negative_slope" in config else "alpha"
    return Activation("leaky_relu", (config.number(key, 0.3),))


def _elu(config: Config) -> Activation:
    alpha = config.number("alpha", 1.0)
    return Activation("elu", () if alpha == 1.0 else (alpha,))


def _relu(config: Config) -> Activation:
    def number(key: str) -> float:
        return 0.0 if config.get(key) is None else config.number(key)

    top = float("inf") if config.get("max_value") is None else config.number("max_value")
    parameters: tuple[float, ...] = (number("negative_slope"), top, number("threshold"))
    while parameters and parameters[-1] == (0.0, float("inf"), 0.0)[len(parameters) - 1]:
        parameters = parameters[:-1]
    return Activation("relu", parameters)


# Layers that are nothing but an activation.
LAYERS: dict[str, Callable[[Config], Activation]] = {
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "ReLU": _relu,
    "ThresholdedReLU": lambda config: Activation(
        "thresholded_relu", (config.number("theta", 1.0),)
    ),
    "Softmax": lambda config: Activation("softmax"),
}
