"""Options that commands have in common, and help that lists them in sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from codegen.commands import convert
from codegen.commands.boards import BOARDS
from codegen.lowered.prewarm import MOST_STEPS
from codegen.lowering.rate import LARGEST
from codegen.targets import TARGETS, Option, Target

Function = TypeVar("Function", bound=Callable[..., Any])


def _ratio(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """The number, or one over another, from 1 to LARGEST."""
    if text is None:
        return None
    over, _slash, under = text.partition("/")
    try:
        ratio = float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"{text!r} is neither a number nor RATE/RATE") from None
    if not 1 <= ratio <= LARGEST:
        raise click.BadParameter(f"{text} is not from 1 to {LARGEST:g}")
    return ratio


# Options that say how the model is read, in the order in which the banner repeats them.
READING = (
    click.option(
        "--config",
        metavar="CONFIG.json",
        help="Model configuration (to_json), or LAYERS.json, for a file that holds only weights.",
    ),
    click.option("--by-name", is_flag=True, help="Match weights to layers by name."),
    click.option(
        "--keras-version", help="Keras version that saved the file, if the file does not record it."
    ),
    click.option(
        "--custom",
        multiple=True,
        metavar="[CLASS=]MODULE:FUNCTION|CLASS=KERAS_CLASS",
        help="Your own function for a layer class or activation (CLASS: by default its name), "
        "or the Keras class that CLASS extends without changing it.",
    ),
    click.option("--allow-nonfinite", is_flag=True, help="Accept NaN and infinite weights."),
    click.option(
        "--inference",
        is_flag=True,
        help="Treat layers called with training=True (random dropout) as at inference.",
    ),
    click.option(
        "--max-bytes",
        type=click.IntRange(1),
        help="Limit on the total size of the weights.  [default: 256 MiB]",
    ),
    click.option(
        "--state",
        multiple=True,
        metavar="IN=OUT",
        help="ONNX: output OUT of one run is input IN of the next. One run is then one step.",
    ),
    click.option(
        "--axes",
        multiple=True,
        metavar="NAME=LETTERS",
        help="ONNX: the axes of an input or output: B batch, T time, _ other (BT_; B,512).",
    ),
    click.option(
        "--constant",
        multiple=True,
        metavar="IN=NUMBER",
        help="ONNX: input IN always has this value.",
    ),
    click.option(
        "--initial-state",
        metavar="FILE.npz",
        help="ONNX: initial states, by the names of their inputs.",
    ),
    click.option(
        "--rate-ratio",
        callback=_ratio,
        metavar="R|RATE/RATE",
        help="Run a recurrent model at R times the sample rate of its training (96000/44100).",
    ),
    click.option(
        "--prewarm",
        type=click.IntRange(1, MOST_STEPS),
        metavar="N",
        help="Start from the state after N steps of silence (zeros); reset goes back to it.",
    ),
)


def reading_options(function: Function) -> Function:
    """Adds the options that say how MODEL is read."""
    for option in reversed(READING):
        function = option(function)
    return function


def board_option(function: Function) -> Function:
    """Adds --board."""
    names = click.Choice(list(BOARDS))
    return click.option(
        "--board", type=names, metavar="BOARD", help="Check that the C header fits this board."
    )(function)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
data_option = click.option(
    "--data",
    type=click.Path(),
    help="Inputs: .npy, .npz (arrays in input order) or .csv, instead of noise.",
)
custom_option = click.option(
    "--custom",
    multiple=True,
    metavar="[CLASS=]MODULE:FUNCTION",
    help="Allow this --custom option of the banner; it runs your own code.",
)


def steps_option(default: int) -> Callable[[Function], Function]:
    """Adds --steps."""
    return click.option(
        "--steps",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="Time steps of noise.",
    )


def plot_option(what: str) -> Callable[[Function], Function]:
    """Adds --plot."""
    help_text = f"Draw {what} as SVG (needs matplotlib)."
    return click.option("--plot", metavar="FILE.svg", help=help_text)


class Sectioned(click.Command):
    """A command whose help lists its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options of the command itself, those that read MODEL, those of each target."""
        own, reading = list[tuple[str, str]](), list[tuple[str, str]]()
        parameters = [one for one in self.get_params(ctx) if not isinstance(one, click.Argument)]
        names = {one.name for one in parameters}
        apart = {option.name for target in TARGETS.values() for option in _apart(target)}
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.name not in apart:
                (reading if parameter.name in convert.READING else own).append(record)
        sections = {"Options": own, "How MODEL is read": reading}
        for target in TARGETS.values():
            found = (_as_click(option) for option in _apart(target) if option.name in names)
            records = (option.get_help_record(ctx) for option in found)
            sections[f"Target {target.name}"] = [one for one in records if one is not None]
        for heading, listed in sections.items():
            if listed:
                with formatter.section(heading):
                    formatter.write_dl(listed)


def _apart(target: Target) -> list[Option]:
    """The options of a target that another target does not have."""
    return [
        option
        for option in target.options
        if not all(option in other.options for other in TARGETS.values())
    ]


def examples(*commands: str) -> str:
    """What the help of a command ends with."""
    return "\n".join(["\b", "Examples:", *(f"  rnn-codegen {command}" for command in commands)])


# What click checks of an option's value; a whole number counts something, so there is one at least.
KINDS: dict[type, click.ParamType[Any]] = {
    str: click.STRING,
    tuple: click.STRING,
    Path: click.Path(),
    int: click.IntRange(1),
}


def _as_click(option: Option) -> click.Option:
    """The option as the command line has it."""
    declared = [option.flag, option.name]
    if option.kind is bool:
        return click.Option(declared, is_flag=True, default=None, help=option.help)
    kind = click.Choice(option.choices) if option.choices else KINDS[option.kind]
    default = "" if option.default is None else f"  [default: {option.default}]"
    many = option.kind is tuple
    return click.Option(declared, type=kind, multiple=many, help=option.help + default)


def target_options(command: click.Command) -> click.Command:
    """Adds every option of every target once; the target itself refuses a choice not its own."""
    seen: dict[str, Option] = {}
    for target in TARGETS.values():
        for option in target.options:
            known = seen.setdefault(option.name, option)
            choices = tuple(dict.fromkeys((*known.choices, *option.choices)))
            seen[option.name] = replace(known, choices=choices)
    command.params += [_as_click(option) for option in seen.values()]
    return command
