"""Outputs of one run that are inputs of the next, and what they are before the first."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.onnx.values import Value


def checked_states(
    given: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str], label: str
) -> dict[str, str]:
    """The output that each state becomes, in the order of the inputs."""
    for name, output in given.items():
        wrong, known = (name, inputs) if name not in inputs else (str(output), outputs)
        if wrong not in known:
            kind = "input" if known is inputs else "output"
            raise ReadError(
                f"{label}: --state {name}={output}: there is no {kind} {wrong!r}; found: "
                f"{', '.join(known)}"
            )
    twice = [str(out) for out in given.values() if list(given.values()).count(out) > 1]
    if twice:
        raise ReadError(f"{label}: two states become output {twice[0]!r}")
    return {name: str(given[name]) for name in inputs if name in given}


def initial_states(
    path: Path | None, names: Sequence[str], states: Sequence[Value], label: str
) -> tuple[Array | None, ...]:
    """What each state is before the first run, as it is held; None for zeros."""
    if path is None:
        return (None,) * len(states)
    if not names:
        raise ReadError(f"{label}: --initial-state without --state IN=OUT")
    try:
        with np.load(path, allow_pickle=False) as file:
            unknown = [name for name in file.files if name not in names]
            found = {name: np.asarray(file[name]) for name in file.files if name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise ReadError(f"{path.name}: cannot be read as .npz ({error})") from None
    if unknown:
        raise ReadError(f"{path.name}: {unknown[0]!r} is no state; states: {', '.join(names)}")
    return tuple(
        _start(path, name, found[name], x) if name in found else None
        for name, x in zip(names, states, strict=True)
    )


def _start(path: Path, name: str, array: Array, x: Value) -> Array:
    shape = tuple(n for n in x.shape if isinstance(n, int))
    if array.shape != shape or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ReadError(
            f"{path.name}: {name!r} is of type {array.dtype} and shape {array.shape}, expected "
            f"finite numbers of shape {shape}"
        )
    return array.reshape([shape[axis] for axis in x.held]).astype(np.float64)
