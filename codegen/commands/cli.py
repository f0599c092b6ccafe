"""The commands: each parses its options, calls the API and prints. No logic of their own.

What only one command needs is loaded by it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from codegen.commands import convert as conversion
from codegen.commands import inspect as inspecting
from codegen.commands.check import check as check_file
from codegen.commands.check import is_generated, read_banner, request_of
from codegen.commands.convert import FILES, RUNNING, Request, bare_weights, read_model, split
from codegen.commands.options import (
    Sectioned,
    board_option,
    custom_option,
    data_option,
    examples,
    json_option,
    plot_option,
    reading_options,
    steps_option,
    target_options,
)
from codegen.errors import (
    LONGEST_WORD,
    CodegenError,
    Problem,
    UnsupportedError,
    visible,
    visible_lines,
)
from codegen.lowered import Lowered
from codegen.lowered.differences import text as measures
from codegen.lowering import lower
from codegen.model import Model
from codegen.packages import PACKAGES
from codegen.packages.folder import write as write_package
from codegen.readers import running
from codegen.running import Made, Runner
from codegen.targets import TARGETS, target_of
from codegen.text import terminal
from codegen.text.names import identifier
from codegen.text.writing import refuse_source_as_out, write

if TYPE_CHECKING:
    from codegen.commands.report.measured import File
    from codegen.commands.verify import Report
    from codegen.readers.torch.reader import Bare

VERIFIED_STEPS = 100  # of noise, where no number is given
ERRORS = "the largest error at each step"
LARGE_FILE = 1 << 20  # bytes; from here on a conversion may take seconds
PRINTED_FROM_MEMORY = 1 << 24  # bytes; what is longer waits in a temporary file
FILE_WIDTH = 80  # columns of what is printed, but not to a terminal


@target_options
@click.command(
    cls=Sectioned,
    epilog=examples(
        "convert model.h5 -o model.h",
        "convert model.keras -o model.py --target python",
        "convert weights.pt --config LAYERS.json -o model.js",
    ),
)
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, help="Output file; - for standard output.")
@click.option(
    "--target",
    type=click.Choice(list(TARGETS)),
    help="Output language.  [default: from the suffix of OUT]",
)
@click.option("--name", help="Prefix for generated names.  [default: from the name of OUT]")
@click.option(
    "--package",
    type=click.Choice(list(PACKAGES)),
    help="Write a folder that this tool chain builds as it is (docs/packages.md).",
)
@board_option
@reading_options
def convert(
    model: str,
    out: str,
    target: str | None,
    name: str | None,
    package: str | None,
    board: str | None,
    **options: Any,
) -> None:
    """Convert MODEL to a source file."""
    reading, own = split(options)
    if out != "-" and package is None:
        refuse_source_as_out(out, model, *_files(reading), own.get("calibration"))
    with _progress("convert", 4, _is_large(model)) as advance:
        request = Request(model, out, target, name, package, reading, own)
        made = conversion.convert(request, advance)
        if made.files:
            size = write_package(out, model, made.files)
        elif out == "-":
            size = _print_whole(made.text)
        else:
            size = write(out, made.text)
        advance("done")
    if made.warning:
        click.echo(visible_lines(made.warning), err=True)
    click.echo(made.summary(size, board), err=True)


@click.command(
    cls=Sectioned,
    epilog=examples("inspect model.h5", "inspect weights.pt --layers LAYERS.json"),
)
@click.argument("model", type=click.Path())
@json_option
@click.option(
    "--layers",
    metavar="LAYERS.json",
    help="For a file of weights: write the layer description that fits, for --config.",
)
@click.option(
    "--quantize",
    is_flag=True,
    help="Show flash, RAM and error in floats, with rounded weights and in integers.",
)
@click.option("--calibration", type=click.Path(), help="With --quantize: as for convert.")
@click.option("--input-range", multiple=True, help="With --quantize: as for convert.")
@plot_option("multiply-adds and parameters of the layers")
@board_option
@reading_options
def inspect(
    model: str,
    as_json: bool,
    layers: str | None,
    quantize: bool,
    calibration: str | None,
    input_range: tuple[str, ...],
    plot: str | None,
    board: str | None,
    **options: Any,
) -> None:
    """Show the layers, sizes and problems of MODEL."""
    reading, _ = split(options)
    if plot is not None:
        refuse_source_as_out(plot, model, *_files(reading), calibration)
    bare = bare_weights(model, reading)
    if bare is not None:
        if plot is not None:
            raise click.UsageError("--plot needs the layers of the model, and it has none")
        _inspect_bare(bare, model, as_json, layers)
        return
    if layers is not None:
        raise click.UsageError("--layers works only for weights without a layer description")
    lowered, problems = None, tuple[Problem, ...]()
    with _progress("inspect", 2, _is_large(model)) as advance:
        found = read_model(model, reading)
        advance("read")
        try:
            lowered = lower(found)
        except UnsupportedError as error:
            problems = error.problems
        advance("lowered")
    if plot is not None:
        if lowered is None:
            raise UnsupportedError(found.source, problems)
        from codegen.commands.report import plots

        _write_plot(plot, plots.layers(lowered))
    if as_json:
        _print_json(inspecting.inspect_json(found, lowered, problems))
        return
    era = f", written by {found.writer}" if found.writer else ""
    click.echo(visible(f"{found.source}: {found.format}{era}"))
    if lowered is None:
        click.echo("cannot be converted exactly:")
        for problem in problems:
            click.echo(visible(f"  {problem}"))
        for line in inspecting.states(found):
            click.echo(line)
        return
    click.echo(inspecting.table(lowered, terminal.columns()))
    if terminal.can_draw():
        click.echo(inspecting.bars(lowered))
    for line in inspecting.taken(found):
        click.echo(line)
    click.echo(inspecting.footprint(lowered, {}, board))
    if quantize:
        known = {"calibration": calibration, "input_range": input_range}
        click.echo(visible_lines(inspecting.schemes(lowered, known)))
    told = (*inspecting.facts(found), inspecting.streaming(lowered), *inspecting.states(found))
    for line in told:
        click.echo(line)


@click.command(cls=Sectioned, epilog=examples("verify model.h5 model.h --steps 1000"))
@click.argument("model", type=click.Path())
@click.argument("out", type=click.Path())
@steps_option(VERIFIED_STEPS)
@data_option
@json_option
@click.option(
    "--against",
    type=click.Choice(["interpreter", "keras"]),
    default="interpreter",
    show_default=True,
    help="Compare with our float64 interpreter, or with the installed Keras, which loads MODEL.",
)
@click.option(
    "--layers",
    is_flag=True,
    help="With --against keras: show the first layer that differs. For a file of integers: the "
    "error after each layer.",
)
@plot_option(ERRORS)
@reading_options
def verify(
    model: str,
    out: str,
    steps: int,
    data: str | None,
    as_json: bool,
    against: str,
    layers: bool,
    plot: str | None,
    **options: Any,
) -> None:
    """Run a generated file and compare its numbers with MODEL."""
    from codegen.commands import verify as verifying
    from codegen.lowered.samples import read_samples

    if plot is not None:
        refuse_source_as_out(plot, model, out, data, *_files(options))
    reading, _ = split(options)
    trained = _as_trained(model, reading)
    path = Path(out)
    params = _banner_params(path)
    run = _as_run(trained, reading, params)
    if against == "keras" and run.running:
        flags = " and ".join(f"--{key.replace('_', '-')}" for key in RUNNING)
        raise click.UsageError(f"--against keras: Keras has no {flags}")
    lowered = _as_made(run, params, path, model)
    if layers and against != "keras" and not lowered.whole.integers:
        raise click.UsageError("--layers needs --against keras, or a file of integers")
    dtype = params.get("dtype") or lowered.model.dtype
    samples = None if data is None else read_samples(data, lowered)
    with tempfile.TemporaryDirectory() as folder:
        runner = _started(path, params, lowered, Path(folder))
        steps = min(steps, runner.longest or steps)
        if against == "keras":
            given = verifying.samples(lowered, steps) if samples is None else samples
            config = reading["config"]
            found = verifying.verify_against_keras(model, config, lowered, runner, given, layers)
        else:
            count = verifying.steps_of(lowered, steps, samples)
            with _progress("verify", count, count >= terminal.LONG_RUN) as advance:
                found = verifying.verify(
                    lowered, runner, steps, samples, dtype, lambda: advance("")
                )
    _print_report(found, out, as_json, lowered.warmup, layers)
    if plot is not None:
        _write_plot(plot, _plotted({path.name: found.curve}, lowered.warmup))
    if not found.same:
        raise click.exceptions.Exit(1)


@click.command(cls=Sectioned, epilog=examples("compare model.h model_int8.h --data recorded.npz"))
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@data_option
@steps_option(100)
@click.option("--model", type=click.Path(), help="Path of the model, if it is not next to FIRST.")
@click.option(
    "--tolerance", type=click.FloatRange(0), help="Fail if the largest error is above this."
)
@json_option
@plot_option(ERRORS)
@custom_option
def compare(
    first: str,
    second: str,
    data: str | None,
    steps: int,
    model: str | None,
    tolerance: float | None,
    as_json: bool,
    plot: str | None,
    custom: tuple[str, ...],
) -> None:
    """Run two generated files of one model and compare their numbers."""
    if plot is not None:
        refuse_source_as_out(plot, first, second, data, model)
    from codegen.commands import compare as comparing
    from codegen.commands.pairs import in_real_numbers
    from codegen.commands.verify import samples as samples_for
    from codegen.commands.verify import steps_of
    from codegen.integers.quantisation import quantised
    from codegen.lowered.samples import read_samples

    with tempfile.TemporaryDirectory() as folder:
        paths = (Path(first), Path(second))
        digests = {read_banner(path).digest for path in paths}
        if len(digests) > 1:
            raise CodegenError(
                f"{first}, {second}: made from two models; files of one are compared"
            )
        files, models = [], []
        for number, path in enumerate(paths):
            params = _banner_params(path)
            request = request_of(path, params, model, custom)
            model = request.model
            lowered = lower(read_model(model, request.reading))
            made = quantised(lowered, request.options)
            place = Path(folder) / str(number)
            place.mkdir()
            models.append(made)
            files.append(in_real_numbers(made, _started(path, params, made, place)))
        count = min([steps, *(f.longest for f in files if f.longest is not None)])
        integers = next((made for made in models if made.whole.integers), lowered)
        inputs = samples_for(integers, count) if data is None else read_samples(data, lowered)
        total = steps_of(lowered, count, inputs)
        with _progress("compare", total, total >= terminal.LONG_RUN) as advance:
            found = comparing.compare(lowered, (files[0], files[1]), inputs, lambda: advance(""))
    if as_json:
        _print_json({"first": first, "second": second, **found.as_dict()})
    else:
        for output in found.outputs:
            click.echo(visible(f"{output.output}: {measures(output)}"))
        _draw_curve("errors over time:", found.curve, lowered.warmup)
    if plot is not None:
        curves = {Path(second).name: found.curve}
        _write_plot(plot, _plotted(curves, lowered.warmup))
    if tolerance is not None and not found.largest <= tolerance:
        raise click.exceptions.Exit(1)


@click.command(
    cls=Sectioned,
    epilog=examples("check model.h", "check firmware/*.h --model models/model.h5"),
)
@click.argument("out", nargs=-1, required=True, type=click.Path())
@click.option("--model", type=click.Path(), help="Path of the model, if it is not next to OUT.")
@custom_option
@click.option(
    "--verify",
    "run",
    is_flag=True,
    help="Also run each file and compare its numbers with its model.",
)
def check(out: tuple[str, ...], model: str | None, custom: tuple[str, ...], run: bool) -> None:
    """Check that generated files are up to date with their models."""
    differ = 0
    for file in out:
        path, same = Path(file), False
        try:
            params = _banner_params(path)
            found = check_file(path, params, model, custom)
            same = found == "same"
            if same and run and is_generated(path, params):
                numbers = _verified(path, params, model, custom)
                same, found = numbers.same, f"same; {numbers.verdict}"
        except CodegenError as error:
            found = str(error).removeprefix(f"{path}: ")
        except (OSError, MemoryError, RecursionError) as error:
            found = str(error) or type(error).__name__
        differ += not same
        if same:
            click.echo(f"{visible(file)}: {terminal.coloured(visible(found), 'green')}")
        else:
            click.echo(visible_lines(f"{file}: {found}"), err=True)
    if differ:
        raise click.exceptions.Exit(1)


@click.command(
    cls=Sectioned,
    epilog=examples("explain model.h5", "explain weights.pt --config LAYERS.json"),
)
@click.argument("model", type=click.Path())
@reading_options
def explain(model: str, **options: Any) -> None:
    """Print the equations of MODEL."""
    from codegen.commands.explain import explain as explain_text

    lowered = lower(read_model(model, split(options)[0]))
    click.echo(explain_text(lowered, terminal.columns() or FILE_WIDTH), nl=False)


@click.command(
    cls=Sectioned,
    epilog=examples(
        "report model.h5 -o report.html",
        "report model.h5 model.h model_int8.h --data recorded.npz -o report.html",
    ),
)
@click.argument("model", type=click.Path())
@click.argument("out", nargs=-1, type=click.Path())
@click.option(
    "-o",
    "--page",
    required=True,
    metavar="FILE.html",
    help="The page to write; - for standard output.",
)
@data_option
@steps_option(200)
@reading_options
def report(
    model: str, out: tuple[str, ...], page: str, data: str | None, steps: int, **options: Any
) -> None:
    """Write an HTML page that shows MODEL and the errors of generated files."""
    from codegen.commands.report import page as reporting
    from codegen.commands.verify import samples as samples_for
    from codegen.lowered.samples import read_samples

    reading, _ = split(options)
    if page != "-":
        refuse_source_as_out(page, model, *out, data, *_files(reading))
    with (
        tempfile.TemporaryDirectory() as folder,
        _progress("report", reporting.stages(len(out)) + 1) as advance,
    ):
        trained = _as_trained(model, reading)
        lowered = lower(_as_run(trained, reading, {}))
        advance("read")
        files = []
        for number, name in enumerate(out):
            place = Path(folder) / str(number)
            place.mkdir()
            files.append(_file(Path(name), model, trained, reading, place))
        steps = min([steps, *(f.runner.longest for f in files if f.runner.longest is not None)])
        if data is None:
            integers = (f.lowered for f in files if f.lowered.whole.integers)  # these have ranges
            inputs = samples_for(next(integers, lowered), steps)
            about = reporting.noise(lowered, steps)
        else:
            inputs, about = read_samples(data, lowered), Path(data).name
        wanted = reporting.Wanted(lowered, inputs, about, files, steps)
        text = reporting.page(wanted, advance)
        if page == "-":
            _print_whole(text)
            return
        size = write(page, text)
    click.echo(visible(f"{page}: {size:,} bytes"), err=True)


# ---- helpers -------------------------------------------------------------------------------


def _as_trained(model: str, reading: Mapping[str, Any]) -> Model:
    """The model as it runs where it was trained."""
    return read_model(model, {**reading, **dict.fromkeys(RUNNING)})


def _as_run(trained: Model, reading: Mapping[str, Any], params: Mapping[str, Any]) -> Model:
    """The model as asked for here, else as the file with these parameters in its banner runs."""
    chosen = {key: reading[key] or params.get(key) for key in RUNNING}
    return running(trained, chosen["rate_ratio"] or 1.0, chosen["prewarm"] or 0)


def _as_made(run: Model, params: dict[str, Any], path: Path, model: str) -> Lowered:
    """The model as it was when the file with these parameters was printed, rounded or not."""
    from codegen.integers.quantisation import quantised

    return quantised(lower(run), _calibrated(params, path, model))


def _file(path: Path, model: str, trained: Model, reading: Mapping[str, Any], folder: Path) -> File:
    """A generated file of the model, running."""
    from codegen.commands.report.measured import File

    digest = read_banner(path).digest
    if digest != trained.digest:
        raise CodegenError(
            f"{path}: was made from another model (its banner says SHA-256 {digest}, the model is "
            f"{trained.digest}); convert it again"
        )
    params = _banner_params(path)
    lowered = _as_made(_as_run(trained, reading, params), params, path, model)
    target = target_of(path.name, params["target"]).name
    dtype = params.get("dtype") or lowered.model.dtype
    return File(path, target, dtype, params, lowered, _started(path, params, lowered, folder))


def _verified(
    path: Path, params: Mapping[str, Any], model: str | None, custom: tuple[str, ...]
) -> Report:
    """How the numbers of a generated file compare with those of the model in its banner."""
    from codegen.commands import verify as verifying

    request = request_of(path, params, model, custom)
    trained = _as_trained(request.model, request.reading)
    with tempfile.TemporaryDirectory() as folder:
        file = _file(path, request.model, trained, request.reading, Path(folder))
        steps = min(VERIFIED_STEPS, file.runner.longest or VERIFIED_STEPS)
        return verifying.verify(file.lowered, file.runner, steps, None, file.dtype)


def _inspect_bare(found: Bare, model: str, as_json: bool, layers: str | None) -> None:
    """Weights without a description: the tensors, and the LAYERS.json that fits them."""
    from codegen.readers.torch.propose import text as proposal_text

    text = proposal_text(found.proposal)
    if layers is not None:
        refuse_source_as_out(layers, model)
        write(layers, [text])
    if as_json:
        _print_json(inspecting.bare_json(found))
        return
    era = f", written by {found.writer}" if found.writer else ""
    click.echo(visible(f"{found.source}: {found.format}{era}, {found.parameters:,} parameters"))
    click.echo(inspecting.bare_text(found))
    if layers is None:
        click.echo("\nThe layers that fit the tensors (--layers LAYERS.json writes them):\n")
        click.echo(visible_lines(text), nl=False)
    else:
        click.echo(visible(f"{layers}: written. Read its notes, then run"))
        click.echo(visible(f"  rnn-codegen convert {model} --config {layers} -o model.h"))


def _print_whole(pieces: Iterable[str]) -> int:
    """Print the pieces once all of them are there; returns the number of bytes."""
    size = 0
    with tempfile.SpooledTemporaryFile(PRINTED_FROM_MEMORY, "w+", encoding="utf-8") as file:
        for piece in pieces:
            size += len(piece.encode("utf-8"))
            file.write(piece)
        file.seek(0)
        while part := file.read(1 << 20):
            click.echo(part, nl=False)
    return size


def _banner_params(path: Path) -> dict[str, Any]:
    """The parameters of the convert command in the banner, without those that change no text."""
    arguments = list(read_banner(path).arguments)
    try:
        # --help has no place in a banner
        context = convert.make_context("convert", arguments, help_option_names=[])
    except click.ClickException as error:
        message = error.format_message()
        raise CodegenError(f"{path}: its banner's command is refused: {message}") from error
    return {key: value for key, value in context.params.items() if key != "board"}


def _calibrated(params: dict[str, Any], out: Path, model: str) -> dict[str, Any]:
    """The options of the banner, with the file of samples where it is: beside OUT, or MODEL."""
    name = params.get("calibration")
    if not name:
        return params
    if Path(name).name != name:
        raise CodegenError(f"{out}: its banner names a file elsewhere: {name!r}")
    places = [folder / name for folder in dict.fromkeys((out.parent, Path(model).parent))]
    found = next(filter(Path.exists, places), None)
    if found is None:
        raise CodegenError(
            f"{out}: was made with --calibration {name}, which is needed to make it again; "
            f"copy that file to {' or '.join(map(str, places))}"
        )
    return {**params, "calibration": str(found)}


def _started(path: Path, params: dict[str, Any], lowered: Lowered, folder: Path) -> Runner:
    """The generated file, running."""
    name = params["name"] or identifier(path.stem)
    dtype = params.get("dtype") or lowered.model.dtype
    target = target_of(path.name, params["target"])
    return target.start(Made(path, name, lowered, dtype, folder))


def _print_json(value: Any) -> None:
    """Print one object; JSON makes odd characters visible itself."""
    click.echo(json.dumps(_shortened(value), indent=2))


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_WORD else visible(value)
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in value.items()}
    return [_shortened(one) for one in value] if isinstance(value, list | tuple) else value


def _draw_curve(name: str, curve: Sequence[float], warmup: int) -> None:
    """Errors over steps, on a terminal."""
    if len(curve) > 1 and terminal.can_draw():
        click.echo(terminal.drawn(name, curve, warmup + 1))


def _plotted(curves: Mapping[str, Sequence[float]], warmup: int) -> tuple[str, str]:
    """The plot of errors over steps, and the text that stands for it."""
    from codegen.commands.report.page import drift

    if not all(curves.values()):
        raise CodegenError("--plot: no output of the model has steps, so there is no curve")
    return drift({name: (warmup + 1, np.array(curve)) for name, curve in curves.items()})


def _write_plot(plot: str, drawn: tuple[str, str]) -> None:
    """A plot with its text as an SVG file."""
    from codegen.commands.report.plots import standing

    write(plot, [standing(*drawn)])


def _print_report(found: Report, out: str, as_json: bool, warmup: int, layers: bool) -> None:
    if as_json:
        _print_json(found.as_dict())
        return
    verdict = terminal.coloured(visible(found.verdict), "green" if found.same else "red")
    click.echo(f"{visible(out)}: {verdict}")
    for output in found.outputs:
        click.echo(
            f"  {visible(output.output)}: largest error {output.absolute:.3g} absolute, "
            f"{output.relative:.3g} relative to 1 + |expected|"
        )
    if found.single_step is not None:
        click.echo(f"  single steps from the reference's state: {found.single_step:.3g}")
    for one in found.against_floats:
        click.echo(visible(f"  {one.output}, against the model in floats: {measures(one)}"))
    if found.left:
        click.echo(f"  {found.left} numbers were outside of their range and are limited to it")
    for error in found.layer_errors if layers else ():
        click.echo(
            f"  behind layer {visible(error.layer)}: largest error {error.error:.2g} of numbers up "
            f"to {error.largest:.3g}"
        )
    for layer in found.layers:
        click.echo(f"  behind layer {visible(layer.layer)}: {layer.relative:.3g}")
    if found.growth:
        growth = ", ".join(f"{steps}: {error:.2g}" for steps, error in found.growth)
        click.echo(f"  by number of steps: {growth}")
    _draw_curve("errors over time:", found.curve, warmup)


def _files(reading: Mapping[str, Any]) -> Iterator[str | None]:
    """The files beside MODEL that options of reading name."""
    return (reading[key] for key in FILES)


def _is_large(model: str) -> bool:
    """Whether reading the file may take seconds."""
    path = Path(model)
    return path.is_dir() or (path.exists() and path.stat().st_size > LARGE_FILE)


@contextmanager
def _progress(label: str, length: int, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, of so many parts, for work that may take seconds."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    with click.progressbar(
        length=length, label=label, file=sys.stderr, item_show_func=lambda item: item
    ) as bar:
        yield lambda what: bar.update(1, what)


COMMANDS: dict[str, click.Command] = {
    command.name: command
    for command in (convert, inspect, verify, compare, check, explain, report)
    if command.name is not None
}
