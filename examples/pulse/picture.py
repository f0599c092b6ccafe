"""The picture of README.md, drawn from test.npz: a test person who moves, for light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import baseline
import numpy as np
from detect import RATE, THRESHOLD, Array, decided, rates

FIRST, LAST = 20, 50  # seconds that are shown
LEFT, WIDTH = 70, 770
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.signal { fill: none; stroke: #57606a; stroke-width: 1.2; }
.ours { fill: none; stroke: #0969da; stroke-width: 1.8; }
.dot { fill: #0969da; }
.other { fill: none; stroke: #57606a; stroke-width: 1.4; stroke-dasharray: 2 3; }
.true { fill: none; stroke: #bc4c00; stroke-width: 1.6; }
.dashed { fill: none; stroke: #bc4c00; stroke-width: 1.6; stroke-dasharray: 6 4; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .signal, .other { stroke: #9198a1; }
  .ours { stroke: #58a6ff; }
  .dot { fill: #58a6ff; }
  .true, .dashed { stroke: #f0883e; }
}
"""


class Panel:
    """A diagram over time: its top, its height and the values at its lower and upper edge."""

    def __init__(self, top: float, height: float, low: float, high: float) -> None:
        self.top, self.height, self.low, self.high = top, height, low, high

    def y(self, value: float) -> float:
        """Where a value stands from top to bottom."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.top + self.height * (1 - share), 1)

    def line(self, kind: str, samples: Array, values: Array) -> str:
        """A line through values over time."""
        points = "L".join(f"{x(s):g} {self.y(v):g}" for s, v in zip(samples, values, strict=True))
        return f'<path class="{kind}" d="M{points}"/>'

    def axis(self, title: str, marks: list[float], form: str = "{:g}") -> Iterator[str]:
        """The title, and a line with its number for each mark."""
        yield f'<text class="title" x="{LEFT}" y="{self.top - 10}">{title}</text>'
        for mark in marks:
            yield f'<path class="grid" d="M{LEFT} {self.y(mark):g}h{WIDTH}"/>'
            text = form.format(mark)
            yield f'<text class="end" x="{LEFT - 8}" y="{self.y(mark) + 4:g}">{text}</text>'


def x(sample: float) -> float:
    """Where a sample stands from left to right."""
    return round(LEFT + WIDTH * (sample / RATE - FIRST) / (LAST - FIRST), 1)


def shown(samples: Array) -> Array:
    """Those of the samples that are in the picture."""
    return samples[(samples >= FIRST * RATE) & (samples <= LAST * RATE)]


def lines(counts: Array, true: Array, probability: Array) -> Iterator[str]:
    """All that is drawn."""
    inside = np.arange(FIRST * RATE, LAST * RATE + 1)
    found = decided(probability)
    low, high = float(counts[inside].min()), float(counts[inside].max())
    signal = Panel(58, 150, low, high)
    marks = [float(mark) for mark in range(0, 1024, 200) if low <= mark <= high]
    yield from signal.axis("Sensor, counts", marks)
    yield signal.line("signal", inside, counts[inside])
    for beat in shown(true):
        at = signal.y(float(np.interp(beat, np.arange(len(counts)), counts)))
        yield f'<circle class="true" cx="{x(beat):g}" cy="{at:g}" r="6"/>'
    for beat in shown(found):
        at = signal.y(float(counts[int(beat)]))
        yield f'<circle class="dot" cx="{x(beat):g}" cy="{at:g}" r="3.2"/>'
    yield f'<circle class="true" cx="{LEFT + 380}" cy="{44}" r="6"/>'
    yield f'<text x="{LEFT + 394}" y="48">beat of the heart</text>'
    yield f'<circle class="dot" cx="{LEFT + 560}" cy="{44}" r="3.2"/>'
    yield f'<text x="{LEFT + 574}" y="48">beat found by the network</text>'

    chance = Panel(252, 70, 0, 1)
    yield from chance.axis("Probability of a beat", [0, THRESHOLD, 1])
    yield chance.line("ours", inside, probability[inside])

    minute = Panel(366, 90, 60, 180)
    yield from minute.axis("Beats a minute", [60, 100, 140, 180])
    curves = {"dashed": ("heart", true), "other": ("threshold", baseline.beats(counts))}
    curves["ours"] = ("network", found)
    for i, (kind, (name, beats)) in enumerate(curves.items()):
        rate, at = rates(beats)
        inside = (at >= FIRST * RATE) & (at <= LAST * RATE)
        yield minute.line(kind, at[inside], np.clip(rate[inside], minute.low, minute.high))
        start = LEFT + 380 + 130 * i
        yield f'<path class="{kind}" d="M{start} 352h34"/>'
        yield f'<text x="{start + 42}" y="356">{name}</text>'
    for second in range(FIRST, LAST + 1, 5):
        yield f'<text class="middle" x="{x(second * RATE):g}" y="478">{second}</text>'
    yield f'<text class="middle" x="{LEFT + WIDTH / 2:g}" y="500">seconds</text>'


def picture(file: Path, index: int = 1) -> str:
    """The SVG of a test person whose probabilities PyTorch has computed."""
    data = np.load(file)
    which = data["kept"][index]
    true = np.split(data["beats"].astype(float), np.cumsum(data["beats_of"])[:-1])[which]
    drawn = lines(data["counts"][which].astype(float), true, data["probability"][index])
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 512" role="img">'
    title = "A noisy pulse signal with bursts of motion, and the beats that were found in it"
    parts = [head, f"<title>{title}</title>", f"<style>\n{STYLE}</style>", *drawn, "</svg>"]
    return "\n".join(parts) + "\n"
