"""From a Model to the text of a generated file: lowering, then a target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codegen.errors import UnsupportedError, UsageError
from codegen.integers.quantisation import quantised
from codegen.lowered import Lowered, too_large
from codegen.lowering import lower
from codegen.model import Model
from codegen.targets import TARGETS
from codegen.targets.base import Target, dtype_of
from codegen.targets.spine.banner import Origin
from codegen.text.names import identifier


def target_named(name: str) -> Target:
    """The target; UsageError with the choices where there is none."""
    if name not in TARGETS:
        raise UsageError(f"no target {name!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[name]


def target_for(out: str) -> str:
    """The target that OUT's suffix means: c for .h, numpy for .py."""
    for target in TARGETS.values():
        if out.endswith(target.suffixes):
            return target.name
    raise UsageError(f"{out}: use --target, since the suffix does not say which language")


def checked_name(name: str, target: Target) -> str:
    """A name given by the user, which must be an identifier already."""
    if not name.isidentifier() or not name.isascii() or name in target.keywords:
        better = identifier(name)
        better = f"{better}_model" if better in target.keywords else better
        raise UsageError(f"name {name!r} is not an identifier; {better!r} would be")
    return name


def generate(model: Model, target: str = "numpy", name: str | None = None, **options: Any) -> str:
    """The text of one self-contained file for the model; see `codegen.generate`."""
    chosen = target_named(target)
    name = identifier(model.name) if name is None else checked_name(name, chosen)
    origin = Origin(name + chosen.suffixes[0], words(chosen, name + chosen.suffixes[0], options))
    lowered = quantised(lower(model), chosen.complete(options))
    return "".join(render(lowered, chosen, name, options, origin))


def words(target: Target, out: str, options: dict[str, Any]) -> tuple[str, ...]:
    """The options of the target as typed, with --target where OUT's suffix does not imply it."""
    try:
        implied = target_for(out) == target.name
    except UsageError:
        implied = False
    return (*(() if implied else ("--target", target.name)), *target.words(options))


def render(
    lowered: Lowered, target: Target, name: str, options: dict[str, Any], origin: Origin
) -> Iterator[str]:
    """The text of the file in pieces; UnsupportedError, before the first, where it cannot be."""
    complete = target.complete(options)
    if lowered.model.dtype == "float64" and dtype_of(lowered, complete) == "float32":
        whole = lowered.quantised.original if lowered.quantised else lowered
        problems = too_large(whole, "--dtype float64 keeps it")
        if problems:
            raise UnsupportedError(lowered.model.source, problems)
    return target.render(lowered, name, complete, origin)
