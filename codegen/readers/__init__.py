"""From a trained model to a `Model`: the content of a file decides which reader takes it.

sniff.py     what a file is, by content
files/       containers, read with suspicion: what comes out is names and arrays
keras/       files of Keras
torch/       weights of PyTorch, safetensors, npz
audio/       JSON of RTNeural and AIDA-X, GuitarML, Neural Amp Modeler
onnx/        graphs of ONNX
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codegen.errors import ReadError
from codegen.lowering.rate import at_ratio
from codegen.model import Model
from codegen.readers import sniff
from codegen.readers.files.limits import rehearse
from codegen.readers.keras import reader as keras
from codegen.readers.options import Options

if TYPE_CHECKING:
    from codegen.readers.torch.reader import Bare

__all__ = ["bare_weights", "read", "running"]

Found = TypeVar("Found")


def read(
    source: str | os.PathLike[str] | object,
    config: str | os.PathLike[str] | None = None,
    *,
    by_name: bool = False,
    keras_version: str | None = None,
    allow_nonfinite: bool = False,
    inference: bool = False,
    max_bytes: int = 256 * 2**20,
    rate_ratio: float = 1.0,
    prewarm: int = 0,
    custom: Mapping[str, Any] | None = None,
    example: Any = None,
    states: Mapping[str, Any] | None = None,
    axes: Mapping[str, str] | None = None,
    constants: Mapping[str, float] | None = None,
    initial_state: str | os.PathLike[str] | None = None,
) -> Model:
    """The model in a file, a live Keras model, or a live torch module.

    `config` belongs to a file of weights alone: the `to_json()` text of Keras, or the LAYERS.json
    of weights of PyTorch, safetensors and npz. `inference` takes layers that the model calls with
    training=True as they are at inference. `rate_ratio` is the rate at which a recurrent model runs
    over that of its training, `prewarm` the number of steps of silence after which it starts.
    `example` are the inputs of a live torch module,
    `states` names the arguments (of ONNX: inputs) that are states and the outputs that they
    become. Of an ONNX model, `axes` says what the axes of an input or output are ("BT_"),
    `constants` gives inputs a value, `initial_state` is a .npz of states other than zeros. `custom`
    maps
    the name of a class to a function (configuration, arrays, name) that returns a Layer, or
    the name of an activation to a function of one expression. What is not supported becomes an
    `Unsupported` layer of the Model; a ReadError means that the file itself cannot be read.
    """
    config_path = None if config is None else Path(config)
    options = Options(
        config=config_path,
        by_name=by_name,
        keras_version=keras_version,
        allow_nonfinite=allow_nonfinite,
        inference=inference,
        max_bytes=max_bytes,
        rate_ratio=rate_ratio,
        prewarm=prewarm,
        custom=dict(custom or {}),
        example=example,
        states=dict(states or {}),
        axes=dict(axes or {}),
        constants=dict(constants or {}),
        initial_state=None if initial_state is None else Path(initial_state),
    )
    if not isinstance(source, (str, os.PathLike)):
        if config is not None:
            raise ReadError("a live model has its own configuration; leave config out")
        return running(_live(source, options), rate_ratio, prewarm)
    path = Path(source)
    plain = replace(options, custom={})  # the user's own functions run once, here
    return contained(lambda: _read(path, plain), lambda: _read(path, options), path, options)


def bare_weights(path: Path, options: Options) -> Bare | None:
    """What a file of weights without a description holds; None for any other file."""

    def work() -> Bare | None:
        if sniff.kind(path, path.name or str(path)) not in sniff.OF_TORCH:
            return None
        from codegen.readers.torch.reader import bare

        return bare(path, options)

    return contained(work, work, path, options) if options.config is None else None


def contained(
    rehearsal: Callable[[], object], work: Callable[[], Found], path: Path, options: Options
) -> Found:
    """What `work` reads of the file, once a child process has come to an end with it."""
    rehearse(rehearsal, path.name, _size(path), options.max_bytes, final=not options.custom)
    try:
        return work()
    except MemoryError:
        raise ReadError(f"{path.name}: there is not enough memory to read it") from None


def _read(path: Path, options: Options) -> Model:
    """The model by the reader of its format; those of other frameworks are loaded when needed."""
    kind = sniff.kind(path, path.name or str(path))
    _refuse_options(kind, path, options)
    if kind in sniff.OF_TORCH:
        from codegen.readers.torch.reader import read
    elif kind == sniff.RTNEURAL:
        from codegen.readers.audio.rtneural import read
    elif kind == sniff.GUITARML:
        from codegen.readers.audio.guitarml import read
    elif kind == sniff.NAM:
        from codegen.readers.audio.nam import read
    elif kind == sniff.ONNX:
        from codegen.readers.onnx import read
    else:
        read = keras.read
    return running(read(path, options), options.rate_ratio, options.prewarm)


def _refuse_options(kind: str, path: Path, options: Options) -> None:
    """Refuse options that belong to files of other formats, rather than pass them over."""
    graph = (options.states, options.axes, options.constants, options.initial_state)
    if kind != sniff.ONNX and any(graph):
        raise ReadError(
            f"{path.name}: --state, --axes, --constant and --initial-state are for ONNX models"
        )
    if kind == sniff.ONNX and (options.config or options.by_name):
        raise ReadError(f"{path.name}: an ONNX model; leave --config and --by-name out")


def _live(source: object, options: Options) -> Model:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(source, torch.nn.Module):
        return keras.read_live(source, options)
    from codegen.readers.torch.reader import read_module

    return read_module(source, options)


def running(model: Model, rate_ratio: float, prewarm: int) -> Model:
    """The model at another rate than that of its training, started by so many steps of silence."""
    found = model if rate_ratio == 1 else at_ratio(model, rate_ratio)
    return replace(found, prewarm=prewarm)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
