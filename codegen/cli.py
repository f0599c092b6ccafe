"""The command line: parses, calls the API, prints. No logic of its own."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

import codegen
from codegen import package as packaging
from codegen import report
from codegen.check import read_banner, verdict
from codegen.emit import Origin, identifier, write_atomic
from codegen.errors import CodegenError, Problem, UnsupportedError, UsageError
from codegen.explain import explain as explain_text
from codegen.generation import checked_name, render, target_for, target_named, words
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Model
from codegen.running import CRunner, PythonRunner, Runner
from codegen.targets import TARGETS
from codegen.targets.base import Option, Target
from codegen.targets.report import BOARDS
from codegen.verify import Report, verify_against_keras
from codegen.verify import samples as samples_for
from codegen.verify import verify as verify_runner

Function = TypeVar("Function", bound=Callable[..., Any])
LARGE_FILE = 1 << 20  # bytes; from here on a conversion may take seconds
PRINTED_FROM_MEMORY = 1 << 24  # bytes; what is longer waits in a temporary file

# Options that say how the model is read, in the order in which the banner repeats them.
READING = (
    click.option("--config", metavar="CONFIG.json", help="The model's config, for weights alone."),
    click.option("--by-name", is_flag=True, help="Pair weights with layers by name."),
    click.option("--keras-version", help="The Keras that wrote the file, where it does not say."),
    click.option(
        "--custom",
        multiple=True,
        metavar="[CLASS=]MODULE:FUNCTION",
        help="Your own function for a layer class or activation; CLASS is its name if not given.",
    ),
    click.option(
        "--allow-nonfinite", is_flag=True, help="Accept weights that are NaN or infinite."
    ),
    click.option(
        "--max-bytes",
        type=click.IntRange(1),
        help="Largest total size of the weights; 256 MiB if not given.",
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
    return click.option("--board", type=names, help="Say whether this board holds the C header.")(
        function
    )


# What click checks of an option's value; a whole number counts something, so there is one at least.
KINDS: dict[type, click.ParamType[Any]] = {str: click.STRING, int: click.IntRange(1)}


def target_options(function: Function) -> Function:
    """Adds every option of every target once; the target itself refuses a choice not its own."""
    seen: dict[str, Option] = {}
    for target in TARGETS.values():
        for option in target.options:
            known = seen.get(option.name)
            if known is None or known == option:
                seen[option.name] = option
                continue
            choices = tuple(dict.fromkeys((*known.choices, *option.choices)))
            text = f"{known.help} Target {target.name}: {option.help}"
            seen[option.name] = replace(known, choices=choices, help=text)
    for option in reversed(list(seen.values())):
        if option.kind is bool:
            add = click.option(
                option.flag, option.name, is_flag=True, default=None, help=option.help
            )
        else:
            kind = click.Choice(option.choices) if option.choices else KINDS[option.kind]
            add = click.option(option.flag, option.name, type=kind, help=option.help)
        function = add(function)
    return function


class _Commands(click.Group):
    """Turns every error of ours into one message on standard error, and an exit status.

    2 where the command itself is wrong, else 1.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise click.UsageError(report.printable(str(error))) from error
        except CodegenError as error:
            raise click.ClickException(report.printable(str(error))) from error
        except BrokenPipeError:
            raise
        except (OSError, MemoryError, RecursionError) as error:
            raise click.ClickException(str(error) or type(error).__name__) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(codegen.__version__, prog_name="rnn-codegen")
def main() -> None:
    """Turn a trained recurrent network into one self-contained source file."""


@main.command()
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, help="The file to write, or - for standard output.")
@click.option("--target", type=click.Choice(list(TARGETS)), help="Default: by OUT's suffix.")
@click.option("--name", help="Prefix of what the file defines; default: OUT's stem.")
@click.option(
    "--package",
    type=click.Choice(packaging.PACKAGES),
    help="Write a C library with a sketch into the folder OUT; --profile mcu if not given.",
)
@board_option
@reading_options
@target_options
def convert(
    model: str,
    out: str,
    target: str | None,
    name: str | None,
    package: str | None,
    board: str | None,
    **options: Any,
) -> None:
    """Write MODEL as source code to OUT."""
    read_options = _split(options)
    if out != "-" and package is None:
        _refuse_model_as_out(out, model, read_options["config"])
    with _progress(model) as advance:
        made = _convert(model, out, target, name, read_options, options, advance, package)
        if made.files:
            size = packaging.write(out, model, made.files)
        elif out == "-":
            size = _print_whole(made.text)
        else:
            try:
                size = write_atomic(out, made.text)
            except CodegenError:
                raise
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or error
                raise CodegenError(f"{out}: cannot be written: {reason}") from error
        advance("done")
    click.echo(made.summary(size, board), err=True)


@main.command()
@click.argument("model", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@board_option
@reading_options
def inspect(model: str, as_json: bool, board: str | None, **options: Any) -> None:
    """Say what MODEL is, and whether and how it converts."""
    read_model = _read(model, _split(options))
    lowered, problems = None, tuple[Problem, ...]()
    try:
        lowered = lower(read_model)
    except UnsupportedError as error:
        problems = error.problems
    if as_json:
        click.echo(json.dumps(report.inspect_json(read_model, lowered, problems), indent=2))
        return
    era = f", written by Keras {read_model.keras_version}" if read_model.keras_version else ""
    click.echo(f"{report.printable(read_model.source)}: {read_model.format}{era}")
    if lowered is None:
        click.echo("cannot be converted exactly:")
        for problem in problems:
            click.echo(f"  {report.printable(str(problem))}")
        return
    click.echo(report.table(lowered))
    click.echo(report.footprint(lowered, {}, board))
    click.echo(report.streaming(lowered))


@main.command()
@click.argument("model", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True)
@click.option("--data", type=click.Path(), help="Inputs: .npz in input order, or .csv.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--against",
    type=click.Choice(["interpreter", "keras"]),
    default="interpreter",
    show_default=True,
    help="What OUT is compared with; keras: the one installed, which loads MODEL itself.",
)
@click.option("--layers", is_flag=True, help="With --against keras: where a difference starts.")
@reading_options
def verify(
    model: str,
    out: str,
    steps: int,
    data: str | None,
    as_json: bool,
    against: str,
    layers: bool,
    **options: Any,
) -> None:
    """Run OUT and compare it with the float64 interpreter of MODEL."""
    if layers and against != "keras":
        raise click.UsageError("--layers needs --against keras")
    read_options = _split(options)
    lowered = lower(_read(model, read_options))
    path = Path(out)
    params = _banner_params(path)
    name = params["name"] or identifier(path.stem)
    double = (params.get("dtype") or lowered.model.dtype) == "float64"
    target = params["target"] or target_for(path.name)
    samples = None if data is None else _samples(data, lowered)
    with tempfile.TemporaryDirectory() as folder:
        runner: Runner
        if target == "c":
            c_runner = CRunner(path, name, lowered, Path(folder), double)
            runner = c_runner
            if c_runner.max_steps > 0:
                steps = min(steps, c_runner.max_steps)
        else:
            runner = PythonRunner(path)
        dtype = "float64" if double else "float32"
        if against == "keras":
            given = samples_for(lowered, steps) if samples is None else samples
            config = read_options["config"]
            found = verify_against_keras(model, config, lowered, runner, given, layers, dtype)
        else:
            found = verify_runner(lowered, runner, steps, samples, dtype)
    _print_report(found, out, as_json)
    if not found.same:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("out", nargs=-1, required=True, type=click.Path())
@click.option("--model", type=click.Path(), help="The model, where it is not beside OUT.")
@click.option(
    "--custom",
    multiple=True,
    metavar="[CLASS=]MODULE:FUNCTION",
    help="Allow this option of the banner, since it runs code of yours.",
)
def check(out: tuple[str, ...], model: str | None, custom: tuple[str, ...]) -> None:
    """Say of each OUT whether a fresh conversion gives the same text."""
    differ = 0
    for file in out:
        path = Path(file)
        try:
            found = _check(path, model, custom)
        except CodegenError as error:
            found = str(error).removeprefix(f"{path}: ")
        except (OSError, MemoryError, RecursionError) as error:
            found = str(error) or type(error).__name__
        found = report.printable(found)
        differ += found != "same"
        click.echo(f"{file}: {found}", err=found != "same")
    if differ:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("model", type=click.Path())
@reading_options
def explain(model: str, **options: Any) -> None:
    """Print MODEL as equations, with its own numbers of units."""
    click.echo(report.printable(explain_text(lower(_read(model, _split(options))))), nl=False)


# ---- helpers -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Made:
    """A conversion: its text in pieces, which come once, and the files of a package by path."""

    lowered: Lowered
    target: Target
    options: dict[str, Any]
    out: str
    text: Iterator[str]
    files: dict[str, Iterable[str]]

    def summary(self, size: int, board: str | None) -> str:
        """What convert ends with."""
        if self.target.name == "c":
            options = self.target.complete(self.options)
            parts = [report.footprint(self.lowered, options, board)]
        else:
            parts = [report.table(self.lowered)]
            parts += [] if board is None else [report.footprint(self.lowered, {}, board)]
        return "\n".join([*parts, report.summary(self.lowered, self.out, size)])


def _split(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the reading options out of `options`."""
    names = ("config", "by_name", "keras_version", "custom", "allow_nonfinite", "max_bytes")
    return {name: options.pop(name) for name in names}


def _read(model: str, options: dict[str, Any]) -> Model:
    given = {key: value for key, value in options.items() if value}
    given.pop("config", None)
    if given.get("custom"):
        given["custom"] = dict(_function(text) for text in given["custom"])
    return codegen.read(model, options["config"], **given)


def _function(text: str) -> tuple[str, Callable[..., Any]]:
    """The class name and the user's own function named on the command line."""
    class_name, _, path = text.rpartition("=")
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


def _convert(
    model: str,
    out: str,
    target: str | None,
    name: str | None,
    read_options: dict[str, Any],
    options: dict[str, Any],
    advance: Callable[[str], None],
    package: str | None = None,
) -> _Made:
    if package is not None:
        if out == "-" or target not in (None, "c"):
            raise click.UsageError("--package writes C into a folder")
        out = str(Path(out).resolve())
        target = "c"
        options = {**options, "profile": options.get("profile") or "mcu"}
    if target is None and out == "-":
        raise click.UsageError("say --target, since standard output has no suffix")
    chosen = target_named(target or target_for(Path(out).name))
    known = {option.name for option in chosen.options}
    foreign = [key for key, value in options.items() if value is not None and key not in known]
    if foreign:
        flag = foreign[0].replace("_", "-")
        raise click.UsageError(f"--{flag} is no option of target {chosen.name}")
    own = {key: value for key, value in options.items() if key in known}
    advance("read")
    read_model = _read(model, read_options)
    advance("lower")
    lowered = lower(read_model)
    if name is None:
        stem = Path(read_model.source if out == "-" else out).stem
        stem = stem if package is None else Path(out).name
        used = identifier(stem)
    else:
        used = checked_name(name)
    base = Path(out).name
    given = _reading_words(read_options)
    if name is not None:
        given = ("--name", name, *given)
    if package is not None:
        given = ("--package", package, *given)
    # a package is C whatever its folder is called
    typed = words(chosen, base if package is None else f"{used}.h", own)
    origin = Origin(base, (*typed, *given))
    advance("write")
    text = render(lowered, chosen, used, own, origin)
    files: dict[str, Iterable[str]] = {}
    if package is not None:
        files = packaging.files(lowered, used, own, text)
        base = f"{base}/{packaging.header_path(used)}"
    return _Made(lowered, chosen, own, base, text, files)


def _print_whole(pieces: Iterable[str]) -> int:
    """Print the pieces once all of them are there; gives back the number of bytes."""
    size = 0
    with tempfile.SpooledTemporaryFile(PRINTED_FROM_MEMORY, "w+", encoding="utf-8") as file:
        for piece in pieces:
            size += len(piece.encode("utf-8"))
            file.write(piece)
        file.seek(0)
        while part := file.read(1 << 20):
            click.echo(part, nl=False)
    return size


def _reading_words(options: dict[str, Any]) -> tuple[str, ...]:
    """The reading options that are not defaults, as typed; files by their base name."""
    found: list[str] = []
    for key, value in options.items():
        flag = "--" + key.replace("_", "-")
        if key == "config" and value:
            found += (flag, Path(value).name)
        elif value is True:
            found.append(flag)
        elif isinstance(value, tuple):
            for item in value:
                found += (flag, item)
        elif value:
            found += (flag, str(value))
    return tuple(found)


def _refuse_model_as_out(out: str, model: str, config: str | None) -> None:
    """OUT must be neither MODEL, nor its configuration, nor any other file that holds a model."""
    try:
        path = Path(out)
        if not path.exists():
            return
        if any(o and Path(o).exists() and path.samefile(o) for o in (model, config)):
            raise CodegenError(f"{out}: is the model itself; choose another OUT")
        if path.is_dir():
            raise CodegenError(f"{out}: is a directory; choose another OUT")
        if not path.is_file():
            raise CodegenError(f"{out}: is no regular file; use -o - for standard output")
        inside = Path(model).is_dir() and path.resolve().parent == Path(model).resolve()
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise CodegenError(f"{out}: cannot be written: {error.strerror}") from error
    except ValueError as error:
        raise CodegenError(f"{out!r}: cannot be written: {error}") from error
    if inside or start.startswith((b"\x89HDF", b"PK\x03\x04")):
        raise CodegenError(f"{out}: holds a model; choose another OUT")


def _banner_params(path: Path) -> dict[str, Any]:
    """The parameters of the convert command in the banner."""
    arguments = list(read_banner(path).arguments)
    try:
        return dict(convert.make_context("convert", arguments).params)
    except click.ClickException as error:
        message = error.format_message()
        raise CodegenError(f"{path}: its banner's command is refused: {message}") from error
    except click.exceptions.Exit as error:  # --help has no place there
        raise CodegenError(f"{path}: its banner's command is no conversion") from error


def _check(path: Path, model: str | None, custom: tuple[str, ...]) -> str:
    banner = read_banner(path)
    params = _banner_params(path)
    foreign = [text for text in params["custom"] if text not in custom]
    if foreign:
        raise CodegenError(
            f"{path}: made with --custom {foreign[0]}, which is your own code: it is run only if "
            "you name it here too"
        )
    for key in ("model", "config"):
        if params[key] and Path(params[key]).name != params[key]:
            raise CodegenError(f"{path}: its banner names a file elsewhere: {params[key][:80]!r}")
    source = params.pop("model") if model is None else model
    params.pop("model", None)
    base, package = params.pop("out"), params.pop("package")
    if model is None:
        # beside the file, or beside the folder of a package, which has it in src
        home = path.parent if package is None else path.resolve().parents[2]
        source = str(home / source)
        if params["config"]:
            params["config"] = str(home / params["config"])
    elif params["config"]:
        params["config"] = str(Path(model).parent / params["config"])
    if not Path(source).exists():
        raise CodegenError(f"{path}: its model {source} is not there; name it with --model")
    target, name = params.pop("target"), params.pop("name")
    read_options = _split(params)
    try:
        fresh = _convert(source, base, target, name, read_options, params, lambda _: None, package)
    except click.ClickException as error:
        message = error.format_message()
        raise CodegenError(f"{path}: its banner's command is refused: {message}") from error
    digest = fresh.lowered.model.digest
    return verdict(path, banner, fresh.text, codegen.__version__, digest)


def _samples(data: str, lowered: Lowered) -> list[Any]:
    """Inputs from a file, each checked against the model: a whole sequence, or a single row."""
    found = _arrays(data, len(lowered.whole.inputs))
    for number, (x, port) in enumerate(zip(found, lowered.whole.inputs, strict=True)):
        where = f"{data}: input {number + 1} ({report.printable(port.name)})"
        shape = tuple(n if isinstance(n, int) else None for n in port.shape)
        if x.dtype.kind not in "iuf" or not np.isfinite(x).all():
            raise CodegenError(f"{where}: holds values that are no finite numbers")
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


def _arrays(data: str, inputs: int) -> list[Any]:
    """The arrays of a .npz in their order, or the rows of a .csv as the only input."""
    try:
        if data.endswith(".csv"):
            return [np.loadtxt(data, delimiter=",", ndmin=2)]
        with Path(data).open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise CodegenError(f"{data}: one array alone; write them with numpy.savez")
            found = [np.asarray(arrays[key]) for key in arrays.files]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise CodegenError(f"{data}: cannot be read: {error}") from error
    if len(found) < inputs:
        raise CodegenError(f"{data}: {len(found)} arrays found, expected {inputs}")
    return found[:inputs]


def _print_report(found: Report, out: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
        return
    click.echo(f"{out}: {found.verdict}")
    for output in found.outputs:
        click.echo(
            f"  {report.printable(output.output)}: largest error {output.absolute:.3g} absolute, "
            f"{output.relative:.3g} relative to 1 + |expected|"
        )
    if found.single_step is not None:
        click.echo(f"  single steps from the reference's state: {found.single_step:.3g}")
    for layer in found.layers:
        click.echo(f"  behind layer {report.printable(layer.layer)}: {layer.relative:.3g}")
    if found.growth:
        growth = ", ".join(f"{steps}: {error:.2g}" for steps, error in found.growth)
        click.echo(f"  by number of steps: {growth}")


@contextmanager
def _progress(model: str) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal for a file that may take seconds."""
    path = Path(model)
    large = path.is_dir() or (path.exists() and path.stat().st_size > LARGE_FILE)
    hidden = not (large and sys.stderr.isatty())
    with click.progressbar(
        length=4, label="convert", file=sys.stderr, hidden=hidden, item_show_func=lambda item: item
    ) as bar:

        def advance(what: str) -> None:
            bar.update(1, what)

        yield advance


if __name__ == "__main__":
    main()
