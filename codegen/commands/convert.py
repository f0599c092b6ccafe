"""One conversion as the command line asks for it: MODEL and options become the pieces of OUT."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import codegen
from codegen.commands import inspect as report
from codegen.errors import CodegenError, UsageError
from codegen.lowered import Lowered
from codegen.model import Model
from codegen.packages import PACKAGES
from codegen.packages import folder as packaging
from codegen.readers import bare_weights as read_bare
from codegen.readers.options import Options
from codegen.targets import TARGETS, Target, target_of, words
from codegen.targets.spine.outline import Origin
from codegen.text.names import identifier

if TYPE_CHECKING:
    from codegen.readers.torch.reader import Bare

# How a model is read, in the order in which the banner repeats it; the rest is the target's.
RUNNING = ("rate_ratio", "prewarm")  # how it runs otherwise than where it was trained
READING = (
    *("config", "by_name", "keras_version", "custom", "allow_nonfinite", "inference", "max_bytes"),
    *("state", "axes", "constant", "initial_state"),
    *RUNNING,
)
FILES = ("config", "initial_state")  # those of them that are files, which lie beside the model
PAIRS = {"state": "states", "axes": "axes", "constant": "constants"}  # and their names in the API


@dataclass(frozen=True)
class Request:
    """What is asked for: `reading` has the options of READING, `options` those of the targets."""

    model: str
    out: str
    target: str | None
    name: str | None
    package: str | None
    reading: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Conversion:
    """A conversion: its text in pieces, which come once, and the files of a package by path."""

    lowered: Lowered
    target: Target
    options: dict[str, Any]
    out: str
    text: Iterator[str]
    files: dict[str, Iterable[str]]

    @property
    def warning(self) -> str:
        """What is odd about OUT: a suffix by which other targets go; empty if nothing is."""
        others = [t.name for t in TARGETS.values() if self.out.endswith(t.suffixes)]
        if not others or self.target.name in others:
            return ""
        means = " or ".join(others)
        return f"warning: {self.out} is for target {self.target.name}; its suffix means {means}"

    def summary(self, size: int, board: str | None) -> str:
        """What convert ends with; flash and RAM only for who has a microcontroller in mind."""
        options = self.target.complete(self.options) if self.target.for_boards else {}
        small = board is not None or options.get("profile") == "mcu"
        parts = [report.footprint(self.lowered, options, board)] if small else []
        if not (small and options):
            parts.insert(0, report.table(self.lowered))
        parts += report.taken(self.lowered.model)
        return "\n".join([*parts, report.summary(self.lowered, self.out, size)])


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reading options, and the others."""
    reading = {name: options.get(name) for name in READING}
    return reading, {name: value for name, value in options.items() if name not in READING}


def read_model(model: str, reading: Mapping[str, Any]) -> Model:
    """The model in the file, with the user's own functions found by their names."""
    given = {key: value for key, value in reading.items() if value and key != "config"}
    if "custom" in given:
        given["custom"] = dict(_meaning(text) for text in given["custom"])
    for key, argument in PAIRS.items():
        if key in given:
            given[argument] = pairs(key, given.pop(key))
    return codegen.read(model, reading["config"], **given)


def pairs(key: str, texts: Iterable[str]) -> dict[str, Any]:
    """What stands on both sides of the sign of equality of each text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        if name in found:
            raise UsageError(f"--{key} {text}: {name} is named twice")
        try:
            found[name] = float(value) if key == "constant" else value
        except ValueError:
            sign = ""
        if not sign or not name or not value:
            raise UsageError(
                f"--{key} {text}: expected {'IN=NUMBER' if key == 'constant' else 'NAME=TEXT'}"
            )
    return found


def bare_weights(model: str, reading: Mapping[str, Any]) -> Bare | None:
    """What the file holds where it is weights whose layers are not described; else None."""
    if reading["config"]:
        return None
    limit = {} if reading["max_bytes"] is None else {"max_bytes": reading["max_bytes"]}
    return read_bare(Path(model), Options(**limit))


def convert(request: Request, advance: Callable[[str], None] = lambda _: None) -> Conversion:
    """Read and lower the model; `advance` is told what begins. Nothing is written yet."""
    target, options = request.target, dict(request.options)
    package = None if request.package is None else PACKAGES[request.package]
    if package is not None:
        if request.out == "-" or target not in (None, package.target):
            language = package.target.upper()
            raise UsageError(f"--package {package.name} writes {language} into a folder")
        target = package.target
        given = {key: value for key, value in options.items() if value is not None}
        options = {**package.options, **given}
    if target is None and request.out == "-":
        raise UsageError("use --target, since standard output has no suffix")
    # a folder may be given as `.`
    out = request.out if package is None else str(Path(request.out).resolve())
    chosen = target_of(Path(out).name, target)
    own = _own(chosen, options)
    name = None if request.name is None else chosen.checked_name(request.name)
    advance("read")
    model = read_model(request.model, request.reading)
    advance("lower")
    lowered = chosen.lowered(model, own)
    base = Path(out).name
    if name is None:
        stem = Path(model.source if out == "-" else out).stem
        name = identifier(stem if package is None else base)
    # a package has its language whatever its folder is called
    typed = words(chosen, base if package is None else f"{name}{chosen.suffixes[0]}", own)
    origin = Origin(base, (*typed, *_given(request)))
    advance("write")
    text = chosen.render(lowered, name, own, origin)
    files: dict[str, Iterable[str]] = {}
    if package is not None:
        files = packaging.files(package, lowered, name, own, origin, text)
        base = f"{base}/{packaging.generated(package, name)}"
    return Conversion(lowered, chosen, own, base, text, files)


def _own(target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the target has; UsageError where one of another target is given."""
    known = {option.name for option in target.options}
    given = [key for key, value in options.items() if value not in (None, ())]
    foreign = [key for key in given if key not in known]
    if foreign:
        flag = foreign[0].replace("_", "-")
        raise UsageError(f"--{flag} is not an option of target {target.name}")
    return {key: value for key, value in options.items() if key in known}


def _given(request: Request) -> tuple[str, ...]:
    """What the banner repeats besides the target's options, as typed; files by their base name."""
    found: list[str] = []
    for key, value in {"package": request.package, "name": request.name, **request.reading}.items():
        flag = "--" + key.replace("_", "-")
        if key in FILES and value:
            found += (flag, Path(value).name)
        elif value is True:
            found.append(flag)
        elif isinstance(value, tuple):
            for item in value:
                found += (flag, item)
        elif value:
            found += (flag, str(value))
    return tuple(found)


def _meaning(text: str) -> tuple[str, Callable[..., Any] | str]:
    """The name of a class, and the user's own function for it or the class of Keras it extends."""
    class_name, _, path = text.rpartition("=")
    if class_name and ":" not in path:
        return class_name, path
    module, _, name = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CodegenError(f"--custom {text}: {error}; expected package.module:function") from error
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise CodegenError(f"--custom {text}: is not a function")
    return class_name or name, function
