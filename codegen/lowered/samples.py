"""Inputs of the user's own for `verify`: a .npz, or a .csv for a model with one input."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.program.ops import Array


def read_samples(data: str, lowered: Lowered) -> list[Array]:
    """Inputs from a file, each checked against the model: a whole sequence, or a single row."""
    found = _arrays(data, len(lowered.whole.inputs))
    for number, (x, port) in enumerate(zip(found, lowered.whole.inputs, strict=True)):
        where = f"{data}: input {number + 1} ({port.name})"
        shape = tuple(n if isinstance(n, int) else None for n in port.shape)
        if x.dtype.kind not in "iuf" or not np.isfinite(x).all():
            raise CodegenError(f"{where}: holds values that are not finite")
        if len(shape) == 1 and x.ndim == 2 and 1 in x.shape:  # a .csv always has two axes
            found[number] = x.reshape(-1)
        size = found[number].shape
        fits = len(size) == len(shape) and all(
            n == m or (n is None and m > 0) for n, m in zip(shape, size, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise CodegenError(f"{where}: found shape {x.shape}, expected ({wanted})")
    return found


def _arrays(data: str, inputs: int) -> list[Array]:
    """The arrays of a .npz in their order, or the only input: a .npy, or the rows of a .csv."""
    try:
        if data.endswith(".csv"):
            return [np.loadtxt(data, delimiter=",", ndmin=2)]
        with Path(data).open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            alone = isinstance(arrays, np.ndarray)
            found = [arrays] if alone else [np.asarray(arrays[key]) for key in arrays.files]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise CodegenError(f"{data}: cannot be read: {error}") from error
    if len(found) < inputs:
        raise CodegenError(f"{data}: {len(found)} arrays found, expected {inputs}")
    return found[:inputs]
