"""The configuration text of a model file of Keras."""

from __future__ import annotations

import re
from typing import Any

from codegen.readers.settings import parse_object


def parse(text: bytes | str, label: str) -> dict[str, Any]:
    """The JSON object in `text`, with Keras' encodings of tuples, shapes and scalars undone."""
    plain: dict[str, Any] = _plain(parse_object(text, label))
    return plain


def _plain(value: Any, in_call: bool = False) -> Any:
    """`value` with tuples and TensorShapes as lists, arrays of one number as that number.

    Arrays in calls of layers stay what they are: several in a list are no array of more axes.
    """
    if isinstance(value, list):
        return [_plain(item, in_call) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name", value.get("type"))
    if kind in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return [_plain(item, in_call) for item in value["items"]]
    if kind == "ndarray" and "value" in value:
        return _plain(value["value"], in_call)
    if kind == "__numpy__" and isinstance(value.get("config"), dict) and not in_call:
        return _plain(value["config"].get("value"))
    if set(value) == {"type", "value"}:
        return _plain(value["value"], in_call)
    return {key: _plain(item, in_call or key == "inbound_nodes") for key, item in value.items()}


_BOUNDARIES = (
    (re.compile(r"\W+"), ""),
    (re.compile(r"(.)([A-Z][a-z]+)"), r"\1_\2"),
    (re.compile(r"([a-z])([A-Z])"), r"\1_\2"),
)


def snake_case(class_name: str) -> str:
    """The name Keras derives from a class for paths: `PReLU` gives `p_re_lu`."""
    for pattern, replacement in _BOUNDARIES:
        class_name = pattern.sub(replacement, class_name)
    return class_name.lower()
