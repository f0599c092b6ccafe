"""What a target is: a name, the options it takes, and a function from programs to text."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import UnsupportedError, UsageError
from codegen.lowered import Lowered, too_large
from codegen.lowering import lower
from codegen.model import Model
from codegen.running import Made, Runner
from codegen.targets.spine.banner import Origin
from codegen.text.names import identifier


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
            integers = values.get("quantize") in ("int8", "int16")
            if option.of_integers and not integers and value not in (option.default, ()):
                raise UsageError(f"{option.flag} is of integers: it needs --quantize int8 or int16")
            values[option.name] = value
        return values

    def words(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """The options that are not defaults, as typed, in the order of `options`."""
        words: list[str] = []
        for option in self.options:
            value = given.get(option.name)
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


def dtype_of(lowered: Lowered, options: Mapping[str, Any]) -> str:
    """`float32` or `float64`: what was asked for, else the model's own."""
    return str(options.get("dtype") or lowered.model.dtype)


def facts(lowered: Lowered) -> list[tuple[str, str]]:
    """What the model says about its use: names of constants, and numbers as all languages write."""
    return [(name.upper(), f"{value:.9g}") for name, value in lowered.model.facts]
