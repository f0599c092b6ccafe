"""Outputs of one run that are inputs of the next, and what they are before the first."""

from __future__ import annotations

import difflib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.onnx.values import Value

Shape = tuple[int | None, ...]

ROLES = {"in", "out", "input", "output", "new", "next", "prev", "old", "past", "present", "n"}
ALIKE = 0.6  # of two names without these words


def proposed(
    inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]
) -> tuple[tuple[str, str], ...]:
    """Inputs and outputs that may be states: of one shape, and of names that are alike.

    Where names say nothing, the only two of a shape, which the first input and output have not.
    """
    pairs = [(a, b) for a in inputs for b in outputs if _may_be(inputs[a], outputs[b])]
    likely = sorted(pairs, key=lambda pair: -_likeness(*pair))
    found: dict[str, str] = {}
    for a, b in likely:
        if _likeness(a, b) >= ALIKE and a not in found and b not in found.values():
            found[a] = b
    left = [(a, b) for a, b in pairs if a not in found and b not in found.values()]
    for a, b in left:
        alone = sum(pair[0] == a for pair in left) == sum(pair[1] == b for pair in left) == 1
        if alone and a != next(iter(inputs)) and b != next(iter(outputs)):
            found[a] = b
    if len(found) in (len(inputs), len(outputs)):
        return ()  # nothing would go in, or come out
    return tuple((a, found[a]) for a in inputs if a in found)


def _may_be(before: Shape, after: Shape) -> bool:
    """Whether two shapes can be the same: None is a length that is free."""
    same = zip(before, after, strict=False)
    return len(before) == len(after) > 1 and all(n == m or None in (n, m) for n, m in same)


def _likeness(one: str, other: str) -> float:
    names = [_plain(name) for name in (one, other)]
    if not all(names):
        return 0.0
    matched: float = difflib.SequenceMatcher(None, names[0], names[1]).ratio()
    numbers = [re.findall(r"\d+", name) for name in (one, other)]
    return matched - (0.3 if all(numbers) and numbers[0] != numbers[1] else 0.0)


def _plain(name: str) -> str:
    """A name without numbers and the words that tell an input from an output."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name.rpartition("/")[2])
    kept = [word.lower() for word in words if word.lower() not in ROLES]
    return "".join(kept)


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
    path: Path | None, names: Sequence[str], states: Sequence[Value]
) -> tuple[Array | None, ...]:
    """What each state is before the first run, as it is held; None for zeros."""
    if path is None:
        return (None,) * len(states)
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
