"""The languages that a model can be converted to: what a target is, and the options of each.

spine/       what no language changes
c/ numpy/ python/ javascript.py    what turns programs into text
"""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import UnsupportedError, UsageError
from codegen.lowered import Lowered, too_large
from codegen.lowering import lower
from codegen.model import Model
from codegen.running import Made, Runner
from codegen.targets.spine.outline import Origin, dtype_of
from codegen.text.names import identifier
from codegen.text.words import C_WORDS


@dataclass(frozen=True)
class Option:
    """An option of `convert` and `generate`, `--max-steps` in one and `max_steps` in the other.

    `default` None leaves the choice to the target. `kind` is the type of the value: a tuple of
    words where the option may be given several times, a Path where it is a file beside MODEL.
    """

    name: str  # as in Python: max_steps
    help: str
    default: object = None
    choices: tuple[str, ...] = ()
    kind: type = str
    of_integers: bool = False  # so that it takes --quantize int8 or int16

    @property
    def flag(self) -> str:
        """As typed: `--max-steps`."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Target:
    """A language that models are converted to; its modules are loaded when they are needed.

    `codegen.targets.NAME` has `render`, and `codegen.running.RUNNER` has `start`.

    `suffixes` of OUT choose it by default. A file whose name is one of `keywords` cannot be used.
    Where it is `for_boards`, flash and RAM count.
    """

    name: str
    runner: str
    suffixes: tuple[str, ...]
    options: tuple[Option, ...]
    keywords: frozenset[str] = frozenset()
    for_boards: bool = False

    def render(
        self, lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
    ) -> Iterator[str]:
        """A generated file in pieces; `name` is an identifier.

        The piece of an array is made when its turn comes, since weights may be large.
        UnsupportedError comes before the first, where a number does not fit the file's.
        """
        complete = self.complete(options)
        if lowered.model.dtype == "float64" and dtype_of(lowered, complete) == "float32":
            whole = lowered.quantised.original if lowered.quantised else lowered
            problems = too_large(whole, "--dtype float64 keeps it")
            if problems:
                raise UnsupportedError(lowered.model.source, problems)
        module = importlib.import_module(f"codegen.targets.{self.name}")
        pieces: Iterator[str] = module.render(lowered, name, complete, origin)
        return pieces

    def start(self, made: Made) -> Runner:
        """Runs a generated file."""
        module = importlib.import_module(f"codegen.running.{self.runner}")
        runner: Runner = module.start(made)
        return runner

    def lowered(self, model: Model, options: Mapping[str, Any]) -> Lowered:
        """The model as programs, rounded or in integers where the options ask for that."""
        complete = self.complete(options)
        found = lower(model)
        if complete["quantize"] is None:
            return found
        from codegen.integers.quantisation import quantised  # loaded when it is needed

        return quantised(found, complete)

    def checked_name(self, name: str) -> str:
        """A name given by the user, which must be an identifier already."""
        if not name.isidentifier() or not name.isascii() or name in self.keywords:
            better = identifier(name)
            better = f"{better}_model" if better in self.keywords else better
            raise UsageError(f"name {name!r} is not an identifier; {better!r} would be")
        return name

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option with its value; an unknown option or choice is refused."""
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                raise UsageError(f"target {self.name} has no option {name}")
        values: dict[str, Any] = {}
        for option in self.options:
            value = given.get(option.name)
            if value is None:
                value = option.default
            elif option.choices and value not in option.choices:
                choices = ", ".join(option.choices)
                raise UsageError(f"{option.flag} {value}: expected one of {choices}")
            elif isinstance(value, Mapping):  # from Python: {"x": (-1, 1)}
                value = tuple(f"{key}={low}:{high}" for key, (low, high) in value.items())
            integers = values.get("quantize") in ("int8", "int16")
            if option.of_integers and not integers and value not in (option.default, ()):
                raise UsageError(f"{option.flag} is of integers: it needs --quantize int8 or int16")
            values[option.name] = value
        return values

    def words(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """The options that are not defaults, as typed, in the order of `options`."""
        words: list[str] = []
        complete = self.complete(given)
        for option in self.options:
            value = complete[option.name]
            if value is None or value == option.default:
                continue
            if option.kind is bool:
                words.append(option.flag)
            elif option.kind is tuple:
                for one in value:
                    words += (option.flag, one)
            elif option.kind is Path:
                words += (option.flag, Path(value).name)
            else:
                words += (option.flag, str(value))
        return tuple(words)


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
