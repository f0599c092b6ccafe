"""From a trained model to a `Model`: the content of a file decides which reader takes it.

sniff.py     what a file is, by content
files/       containers, read with suspicion: what comes out is names and arrays
keras/       files of Keras
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codegen.errors import ReadError
from codegen.model import Model
from codegen.readers.files.contained import rehearse
from codegen.readers.keras.reader import Reader, read_live
from codegen.readers.options import Options

__all__ = ["read"]


def read(
    source: str | os.PathLike[str] | object,
    config: str | os.PathLike[str] | None = None,
    *,
    by_name: bool = False,
    keras_version: str | None = None,
    allow_nonfinite: bool = False,
    max_bytes: int = 256 * 2**20,
    custom: Mapping[str, Any] | None = None,
) -> Model:
    """The model in a file, or a live Keras model.

    `config` is the `to_json()` text file that belongs to a file of weights alone. `custom` maps
    the name of a class to a function (configuration, arrays, name) that gives back a Layer, or
    the name of an activation to a function of one expression. What is not supported becomes an
    `Unsupported` layer of the Model; a ReadError means that the file itself cannot be read.
    """
    config_path = None if config is None else Path(config)
    options = Options(
        config_path, by_name, keras_version, allow_nonfinite, max_bytes, dict(custom or {})
    )
    if not isinstance(source, (str, os.PathLike)):
        if config is not None:
            raise ReadError("a live model has its own configuration; leave config out")
        return read_live(source, options)
    path = Path(source)
    plain = replace(options, custom={})  # the user's own functions run once, here
    rehearsal = Reader(path, config_path, plain).model
    rehearse(rehearsal, path.name, _size(path), max_bytes, final=not options.custom)
    try:
        return Reader(path, config_path, options).model()
    except MemoryError:
        raise ReadError(f"{path.name}: there is not enough memory to read it") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
