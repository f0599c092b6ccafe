"""The page: what is measured and drawn, put into the templates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from codegen.commands import boards
from codegen.commands.inspect import facts, has_size, state_bytes, streaming, taken, weight_bytes
from codegen.commands.report import plots
from codegen.commands.report.cores import Estimate, estimates
from codegen.commands.report.graph import draw
from codegen.commands.report.measured import File, Measured, measure
from codegen.commands.report.observed import layer_values, layer_weights, some
from codegen.commands.report.source import MOST as MOST_RECURRENT
from codegen.commands.report.source import recurrent_layers
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.text.templates import render
from codegen.version import __version__

MOST_HISTOGRAMS = 24  # layers
MOST_BARS = 40  # layers beside an axis


@dataclass(frozen=True)
class Wanted:
    """What a page is made of: the model, inputs for it and what they are, files beside it."""

    lowered: Lowered
    inputs: Sequence[Array]
    about_inputs: str
    files: Sequence[File]
    steps: int


@dataclass(frozen=True)
class Plot:
    """A picture with the text that stands for it, and the one below it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Size:
    """What a C header takes; `name` is how it is called in tables."""

    name: str
    cost: boards.Cost


class _Plots:
    """Numbers the plots, so that ids in them are their own."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, svg: str, text: str, caption: str = "") -> Plot:
        self.count += 1
        return Plot(plots.titled(svg, text, self.count), caption)


def noise(lowered: Lowered, steps: int) -> str:
    """How noise of so many steps is called, where lengths may be fixed."""
    known = [p.shape[0] for p in lowered.whole.inputs if p.time]
    count = next((n for n in known if isinstance(n, int)), steps)
    return f"{count} steps of noise" if known else "noise"


def stages(files: int) -> int:
    """How often `page` says what it has done, with so many files."""
    return 2 + 3 * files


def page(wanted: Wanted, advance: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """The HTML in pieces, all measured before the first; `advance` is told what is done."""
    lowered = wanted.lowered
    plot = _Plots()
    values = layer_values(lowered, wanted.inputs)
    advance("layers")
    found = [measure(file, wanted.inputs, wanted.steps, advance) for file in wanted.files]
    sizes = _sizes(lowered, found)
    told = _estimates(lowered, found)
    recurrent = recurrent_layers(lowered, {}) if lowered.layers else []
    text = render(
        "report/page.html.j2",
        version=__version__,
        model=lowered.model,
        lowered=lowered,
        facts=[streaming(lowered), *taken(lowered.model), *facts(lowered.model)],
        totals=_totals(lowered, sizes),
        drawing=draw(lowered),
        layers=lowered.layers,
        per=_per(lowered),
        recurrent=recurrent[:MOST_RECURRENT],
        left_out=len(recurrent) - MOST_RECURRENT,
        memory=_memory(plot, sizes),
        boards=_boards(sizes),
        sizes=sizes,
        instructions=_instructions(plot, told, _per(lowered)),
        estimates=told,
        cores=list(zip(*told.values(), strict=True)),
        percent=_percent,
        short=plots.short,
        inputs=wanted.about_inputs,
        histograms=_histograms(plot, lowered, values),
        files=found,
        drift=_drift(plot, found),
        by_layer=_by_layer(plot, found),
        choice=_choice(plot, found),
    )
    advance("page")
    return text


def _per(lowered: Lowered) -> str:
    """What multiply-adds and instructions are counted for."""
    if lowered.step is not None:
        return "a step"
    return "a step, on average" if lowered.whole.lengths else "a predict"


def _totals(lowered: Lowered, sizes: Sequence[Size]) -> list[tuple[str, str]]:
    item = 8 if lowered.model.dtype == "float64" else 4
    found = [
        (f"{sum(r.parameters for r in lowered.layers):,}", "parameters"),
        (f"{sum(r.macs for r in lowered.layers):,}", f"multiply-adds {_per(lowered)}"),
        (f"{weight_bytes(lowered, item):,}", "bytes of weights"),
        (f"{state_bytes(lowered, item):,}", "bytes of state"),
    ]
    if sizes:
        found.append((f"{sizes[0].cost.flash:,}", "bytes of flash as C"))
        found.append((f"{sizes[0].cost.ram:,}", "bytes of RAM as C"))
    return found


# ---- memory --------------------------------------------------------------------------------


def _sizes(lowered: Lowered, found: Sequence[Measured]) -> list[Size]:
    """Those of the C files; where there is none, of the header for microcontrollers."""
    known = [Size(one.file.path.name, one.cost) for one in found if one.cost is not None]
    if not known and has_size(lowered, {}):
        known.append(Size("C, --profile mcu", boards.cost(lowered)))
    return known


def _memory(plot: _Plots, sizes: Sequence[Size]) -> list[Plot]:
    if not sizes:
        return []
    names = [size.name for size in sizes]
    flash = {
        "weights": [size.cost.weights for size in sizes],
        "code (estimated)": [size.cost.code for size in sizes],
    }
    ram = {
        "state": [size.cost.state for size in sizes],
        "scratch": [size.cost.scratch for size in sizes],
        "stack (estimated)": [size.cost.stack for size in sizes],
    }
    return [
        plot(plots.stacks(names, parts, title), f"{title}: {_said(names, parts)}")
        for title, parts in (("Flash", flash), ("RAM", ram))
    ]


def _said(names: Sequence[str], parts: Mapping[str, Sequence[float]]) -> str:
    """The numbers of a plot as text."""
    told = (
        f"{name}: " + ", ".join(f"{part} {values[k]:,.6g}" for part, values in parts.items())
        for k, name in enumerate(names)
    )
    return "; ".join(told)


@dataclass(frozen=True)
class Room:
    """How much of a board a header takes, in parts of it."""

    flash: float
    ram: float
    fits: bool


def _boards(sizes: Sequence[Size]) -> list[tuple[boards.Board, list[Room]]]:
    return [
        (
            board,
            [
                Room(s.cost.flash / board.flash, s.cost.ram / board.ram, s.cost.fits(board))
                for s in sizes
            ],
        )
        for board in boards.BOARDS.values()
    ]


def _percent(part: float) -> str:
    """A part of a board; never 100 % where that is not enough."""
    share = 100 * part
    if part > 1:
        return f"{math.ceil(share):,} %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %"


SCHEMES = {
    "float": "floats",
    "weights": "rounded weights",
    "int8": "integers, int8 weights",
    "int16": "integers, int16 weights",
}


def _estimates(lowered: Lowered, found: Sequence[Measured]) -> dict[str, list[Estimate]]:
    """By the kind of numbers, floats first, then those of the files."""
    made = [one.file.lowered.quantised for one in found]
    schemes = dict.fromkeys(["float", *(one.scheme for one in made if one is not None)])
    told = {SCHEMES.get(scheme, scheme): estimates(lowered, scheme) for scheme in schemes}
    return {name: each for name, each in told.items() if each}


def _instructions(plot: _Plots, told: Mapping[str, Sequence[Estimate]], per: str) -> Plot | None:
    if not told:
        return None
    svg = plots.bars(
        [one.core.name for one in next(iter(told.values()))],
        {name: [one.instructions for one in each] for name, each in told.items()},
        f"instructions {per}, estimated",
        log=True,
        spread={name: [(one.low, one.high) for one in each] for name, each in told.items()},
    )
    text = "; ".join(
        f"{name} on {e.core.name}: {plots.short(e.low)} to {plots.short(e.high)}"
        for name, each in told.items()
        for e in each
    )
    return plot(svg, f"Instructions {per}, estimated: {text}")


# ---- numbers -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Numbers:
    """The numbers of one layer: a plot, and where they lie."""

    name: str
    plot: Plot
    rows: list[tuple[str, list[str]]]


def _histograms(plot: _Plots, lowered: Lowered, values: Mapping[str, Array]) -> list[Numbers]:
    weights = layer_weights(lowered.step or lowered.whole)
    found = []
    for name in dict.fromkeys((*weights, *values)):
        made, out = some(weights.get(name, np.zeros(0))), some(values.get(name, np.zeros(0)))
        if not made.size and not out.size:
            continue
        rows = [(kind, _where(x)) for kind, x in (("weights", made), ("outputs", out)) if x.size]
        told = "; ".join(f"{kind} from {row[0]} to {row[-1]}" for kind, row in rows)
        text = f"Histograms of layer {plots.label(name, 60)}: {told}"
        found.append(Numbers(name, plot(plots.histograms(made, out), text), rows))
        if len(found) == MOST_HISTOGRAMS:
            break
    return found


def _where(values: Array) -> list[str]:
    """Smallest, 1 %, middle, 99 % and largest."""
    return [f"{v:.3g}" for v in np.quantile(values, (0, 0.01, 0.5, 0.99, 1))]


# ---- files ---------------------------------------------------------------------------------


def drift(found: Mapping[str, tuple[int, Array]]) -> tuple[str, str]:
    """The curves of errors over steps, and the text that stands for them."""
    parts = []
    for name, (first, curve) in found.items():
        worst = int(np.argmax(curve))
        parts.append(f"{name}: {curve[worst]:.2g} at step {first + worst}")
    return plots.curves(found), f"Largest error at each step. Worst: {'; '.join(parts)}"


def _drift(plot: _Plots, found: Sequence[Measured]) -> Plot | None:
    series = {one.file.path.name: (one.first, one.curve) for one in found if one.curve.size}
    if not series:
        return None
    return plot(*drift(series))


def _by_layer(plot: _Plots, found: Sequence[Measured]) -> list[Plot]:
    """A plot for each file: the largest error of what each layer computes, and of its states."""
    made = []
    for one in found:
        layers = one.layers[:MOST_BARS]
        if not layers:
            continue
        groups: dict[str, list[float | None]] = {
            "outputs, in the file's arithmetic": [layer.computed for layer in layers],
            "states, in the file itself": [layer.states for layer in layers],
        }
        groups = {k: v for k, v in groups.items() if any(x is not None for x in v)}
        names = [layer.layer for layer in layers]
        told = "; ".join(
            f"{plots.label(layer.layer, 60)} "
            + ", ".join(f"{x:.2g}" for x in (layer.computed, layer.states) if x is not None)
            for layer in layers
        )
        name = one.file.path.name
        text = f"Largest error of each layer in {plots.label(name, 60)}: {told}"
        made.append(plot(plots.bars(names, groups, "largest error", log=True), text, name))
    return made


def _choice(plot: _Plots, found: Sequence[Measured]) -> list[Plot]:
    """What there is to choose between: error and size, where there are several files."""
    if len(found) < 2:
        return []
    names = [one.file.path.name for one in found]
    rms = [max(d.rms for d in one.outputs) for one in found]
    item = {"float64": 8}
    size = [float(weight_bytes(one.file.lowered, item.get(one.file.dtype, 4))) for one in found]
    pairs = (("rms error", rms, True), ("bytes of weights", size, False))
    return [
        plot(
            plots.bars(names, {title: values}, title, log=log),
            f"{title}: " + "; ".join(f"{n} {v:.3g}" for n, v in zip(names, values, strict=True)),
        )
        for title, values, log in pairs
    ]
