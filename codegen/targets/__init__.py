"""The languages that a model can be converted to, and the options of each.

base.py      what a target is
spine/       what no language changes
c/ numpy/ python/ javascript.py    what turns programs into text
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen.errors import UsageError
from codegen.targets.base import Option, Target
from codegen.text.words import C_WORDS

DTYPE = Option(
    "dtype",
    "Number type of the generated file, if not that of the model.",
    choices=("float32", "float64"),
)
INTEGERS = (
    Option(
        "quantize",
        "weights: int8 weights with a scale for each row, a quarter of the bytes. int8, int16: "
        "integer arithmetic throughout, with weights of that size.",
        choices=("weights", "int8", "int16"),
    ),
    Option(
        "calibration",
        "Sample inputs (.npz or .csv) that the ranges of the integers are measured with.",
        kind=Path,
        of_integers=True,
    ),
    Option(
        "input_range",
        "Range of an input, for integers: NAME=LOW:HIGH.",
        kind=tuple,
        of_integers=True,
    ),
    Option(
        "io",
        "Inputs and outputs of an integer file: floats, or int16.",
        default="float",
        choices=("float", "int16"),
        of_integers=True,
    ),
)
WEIGHTS = Option(
    "weights",
    "How weights are written: decimal text to review, or base64 for small files.",
    default="text",
    choices=("text", "base64"),
)
_WORDS = frozenset(keyword.kwlist)

_C = (
    DTYPE,
    *INTEGERS,
    Option(
        "profile",
        "Layout of weights and loops: for processors with vector units, or for microcontrollers.",
        default="host",
        choices=("host", "mcu"),
    ),
    Option(
        "math",
        "tanh, sigmoid, exp, softplus: built in (error below 3 ulp), or from the C library.",
        default="fast",
        choices=("fast", "libm"),
    ),
    Option(
        "max_steps",
        "Maximum number of time steps, for models that need the whole sequence (default: 1 where "
        "predict of one row is one step).",
        kind=int,
    ),
    Option("cpp", "Add a class for C++17 and later.", default=False, kind=bool),
)
_PYTHON = (
    DTYPE,
    *INTEGERS,
    Option(
        "runtime",
        "What the file is for: any Python, or MicroPython on a small board.",
        default="any",
        choices=("any", "micropython"),
    ),
    Option(
        "weights",
        "How weights are written: exact bytes, or numbers to read and compare.",
        default="bytes",
        choices=("bytes", "text"),
    ),
    Option(
        "no_selftest",
        "Leave out the self-test, and with it every name that begins with an underscore except "
        "__init__.",
        default=False,
        kind=bool,
    ),
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("c", "c", (".h",), _C, C_WORDS, for_boards=True),
        Target("numpy", "python", (".py",), (DTYPE, *INTEGERS, WEIGHTS), _WORDS),
        Target("python", "python", (".py",), _PYTHON, _WORDS),
        Target("javascript", "javascript", (".js", ".mjs"), (DTYPE, *INTEGERS, WEIGHTS)),
    )
}


def target_named(name: str) -> Target:
    """The target; UsageError with the choices where there is none."""
    if name not in TARGETS:
        raise UsageError(f"no target {name!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[name]


def target_for(out: str) -> Target | None:
    """The target that OUT's suffix means, C for .h and NumPy for .py; None where it means none."""
    return next((target for target in TARGETS.values() if out.endswith(target.suffixes)), None)


def target_of(out: str, name: str | None) -> Target:
    """The target of this name, else that of OUT's suffix; UsageError where there is none."""
    found = target_for(out) if name is None else target_named(name)
    if found is None:
        raise UsageError(f"{out}: use --target, since the suffix does not say which language")
    return found


def words(target: Target, out: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of the target as typed, with --target where OUT's suffix does not imply it."""
    implied = target_for(out) is target
    return (*(() if implied else ("--target", target.name)), *target.words(options))
