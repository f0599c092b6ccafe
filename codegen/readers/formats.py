"""What is told from other formats: the name of each, and the way that exists for it.

A format that gets a reader leaves this table and becomes a kind of `sniff.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_AGAIN = "save the model again as .h5 or .keras"


@dataclass(frozen=True)
class Binary:
    """A format told by the first bytes of a file."""

    fits: Callable[[bytes], bool]
    what: str
    way: str


@dataclass(frozen=True)
class Json:
    """A format told by keys of its JSON object."""

    keys: frozenset[str]
    what: str
    way: str


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(signatures)


# In this order: the first that fits is meant.
BINARY = (
    Binary(lambda start: not start, "the file is empty", "copy it again"),
    Binary(
        _starts(b"backend:", b"class_name:", b"config:", b"!!python", b"---"),
        "a YAML configuration, which is not read",
        "write it with to_json() instead",
    ),
    Binary(
        _starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a pickle, which is never loaded",
        _AGAIN,
    ),
    Binary(
        _starts(b"version https://git-lfs"),
        "a Git LFS pointer, not the file itself",
        "run `git lfs pull`",
    ),
    Binary(lambda start: start[4:8] == b"TFL3", "a TensorFlow Lite model", _AGAIN),
    Binary(
        _starts(b"\x93NUMPY"),
        "one NumPy array (.npy)",
        "save all arrays of the model together with numpy.savez, by the names of its weights",
    ),
    Binary(_starts(b"\x08\x01\x12"), "the graph of a SavedModel", _AGAIN),
    Binary(
        lambda start: start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<",
        "a web page, not a model",
        "the download went wrong",
    ),
)

JSON = (
    Json(
        frozenset({"modelTopology", "weightsManifest"}),
        "a TensorFlow.js model",
        "write it as .h5: tensorflowjs_converter --input_format=tfjs_layers_model "
        "--output_format=keras model.json model.h5",
    ),
)


def of_bytes(start: bytes) -> str | None:
    """What a file with these first bytes is and what to do; None where nothing fits."""
    for one in BINARY:
        if one.fits(start):
            return f"{one.what}; {one.way}"
    return None


def of_object(value: Mapping[str, Any]) -> str | None:
    """The same for a JSON object."""
    for one in JSON:
        if one.keys <= value.keys():
            return f"{one.what}, which is not read; {one.way}"
    return None
