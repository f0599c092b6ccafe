"""Settings that a file gives, read through checked getters, and JSON text parsed within bounds.

A value is never used before its type and range are known: a file may say `"units": "64"`, `true`
or `1e400`. What is wrong with a value is told as a `LayerError` that names key and value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from codegen.errors import LayerError, ReadError

MAX_TEXT = 16 * 2**20  # bytes of JSON
MAX_DEPTH = 160  # brackets inside brackets; a nested model takes five
MAX_VALUES = 2_000_000
MAX_INTEGER = 2**24  # no length, width or count of a real layer is longer

_REQUIRED: Final = object()


def parse_object(text: bytes | str, label: str) -> dict[str, Any]:
    """The JSON object in `text`."""
    if len(text) > MAX_TEXT:
        raise ReadError(f"{label}: the configuration is longer than {MAX_TEXT >> 20} MiB")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, parse_int=_integer)
    except UnicodeDecodeError:
        raise ReadError(f"{label}: the configuration is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ReadError(f"{label}: the configuration is not valid JSON ({reason})") from None
    _check_bounds(value, label)
    if isinstance(value, str):  # some exporters encode the object twice
        raise ReadError(f"{label}: the configuration is a string, expected a JSON object")
    if not isinstance(value, dict):
        raise ReadError(f"{label}: the configuration is not a JSON object")
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 32 else math.inf


def _check_bounds(value: object, label: str) -> None:
    """Refuse deep nesting, before anything here recurses."""
    level: list[object] = [value]
    count = depth = 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH or count > MAX_VALUES:
            raise ReadError(f"{label}: the configuration is nested too deeply or too large")
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below


def show(value: object) -> str:
    """A value as it is quoted in a message: short, on one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def clean(name: object) -> str | None:
    """A name from the file as text that can be encoded, or None if it is not a string."""
    if not isinstance(name, str):
        return None
    return name.encode("utf-8", "replace").decode("utf-8")


def shortest(value: float) -> float:
    """The number that was meant: 0.3 for 0.30000001192092896, which went through float32."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if float(single) == value else value


class Config(Mapping[str, Any]):
    """The settings of one layer, with a getter for each type. It knows which have been read."""

    def __init__(self, values: Mapping[str, Any], read: set[str] | None = None) -> None:
        self._values = values
        self._read = set[str]() if read is None else read

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def plain(self) -> dict[str, Any]:
        """A copy of the settings, which does not count as reading them."""
        return dict(self._values)

    @property
    def unread(self) -> list[str]:
        """The settings that have a value and have not been read."""
        given = (key for key, value in self._values.items() if value is not None)
        return [key for key in given if key not in self._read]

    def _get(self, key: str, default: Any) -> Any:
        self._read.add(key)
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise LayerError(f"its configuration has no {key!r}")
        return value

    def changed(self, **values: Any) -> Config:
        """The same settings with these values instead."""
        return Config({**self._values, **values}, self._read)

    def integer(
        self, key: str, default: Any = _REQUIRED, low: int = 1, high: int = MAX_INTEGER
    ) -> int:
        """A whole number from `low` to `high`."""
        return whole(self._get(key, default), key, low, high)

    def integers(
        self, key: str, count: int, default: Any = _REQUIRED, low: int = 1
    ) -> tuple[int, ...]:
        """`count` whole numbers; a single number stands for all of them."""
        value = self._get(key, default)
        if not isinstance(value, (list, tuple)):
            return (whole(value, key, low, MAX_INTEGER),) * count
        if len(value) != count:
            raise LayerError(f"{key} is {show(value)}, expected {count} numbers")
        return tuple(whole(item, key, low, MAX_INTEGER) for item in value)

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise LayerError(f"{key} is {show(value)}, expected true or false")
        return value

    def wholes(
        self, key: str, default: Any = _REQUIRED, low: int = 1, high: int = MAX_INTEGER
    ) -> tuple[int, ...]:
        """One or more whole numbers; a single one needs no list."""
        value = self._get(key, default)
        values = value if isinstance(value, (list, tuple)) else [value]
        if not values:
            raise LayerError(f"{key} is {show(value)}, expected at least one number")
        return tuple(whole(item, key, low, high) for item in values)

    def number(self, key: str, default: Any = _REQUIRED, low: float = -math.inf) -> float:
        """A finite number, float32 noise removed."""
        value = self._get(key, default)
        while isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise LayerError(f"{key} is {show(value)}, expected a number")
        if not math.isfinite(value) or abs(value) > 1e300:
            raise LayerError(f"{key} is {show(value)}, expected a finite number")
        if value < low:
            raise LayerError(f"{key} is {show(value)}, expected a number of {low} or more")
        return shortest(float(value))

    def text(self, key: str, default: Any = _REQUIRED, choices: Sequence[str] = ()) -> str:
        """A text, one of `choices` where they are given."""
        value = self._get(key, default)
        if not isinstance(value, str) or (choices and value not in choices):
            expected = " or ".join(map(repr, choices)) if choices else "a text"
            raise LayerError(f"{key} is {show(value)}, expected {expected}")
        return value

    def shape(self, key: str) -> tuple[int | None, ...]:
        """A list of lengths, None where a length is free."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, (list, tuple)) or len(value) > 16:
            raise LayerError(f"{key} is {show(value)}, expected a list of lengths")
        return tuple(None if v is None else whole(v, key, 1, MAX_INTEGER) for v in value)

    def section(self, key: str) -> Config:
        """An object inside this one."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, dict):
            raise LayerError(f"{key} is {show(value)}, expected an object")
        return Config(value)


def whole(value: object, key: str, low: int, high: int) -> int:
    """`value` if it is a whole number from `low` to `high`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        limits = f"of {low} or more" if high >= MAX_INTEGER else f"from {low} to {high}"
        if isinstance(value, int) and not isinstance(value, bool) and value > high:
            limits = f"from {low} to {high}"
        raise LayerError(f"{key} is {show(value)}, expected a whole number {limits}")
    return value
