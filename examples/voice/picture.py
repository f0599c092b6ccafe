"""The figures of results.json as curve.svg: plain SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.axis { text-anchor: middle; }
.right { text-anchor: end; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.float { stroke: #0969da; } .int8 { stroke: #bf3989; } .energy { stroke: #bc4c00; }
.curve { fill: none; stroke-width: 2; }
.int8 { stroke-width: 5; stroke-linecap: round; stroke-dasharray: 0.1 12; }
.energy { stroke-dasharray: 7 4; }
circle { fill: #0969da; }
.other { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .float { stroke: #58a6ff; } .int8 { stroke: #f778ba; } .energy { stroke: #f0883e; }
  circle { fill: #58a6ff; }
  .other { fill: #f0883e; }
}
"""
TOP, BOTTOM = 50, 330
Place = Callable[[float], float]


def line(kind: str, points: Iterable[tuple[float, float]]) -> str:
    """A curve through points of the picture."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="curve {kind}" d="M{path}"/>'


def frame(
    title: str, across: str, up: str, x: Place, y: Place, marks: tuple[tuple, tuple]
) -> list[str]:
    """Grid, numbers and names of two axes; marks are (number, text)."""
    left, right = x(marks[0][0][0]), x(marks[0][-1][0])
    middle = (left + right) / 2
    parts = [f'<text class="title" x="{left:.1f}" y="{TOP - 24}">{title}</text>']
    for value, text in marks[0]:
        at = x(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text class="axis" x="{at:.1f}" y="{BOTTOM + 18}">{text}</text>')
    for value, text in marks[1]:
        at = y(value)
        parts.append(f'<path class="grid" d="M{left:.1f} {at:.1f}H{right:.1f}"/>')
        parts.append(f'<text class="right" x="{left - 7:.1f}" y="{at + 4:.1f}">{text}</text>')
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{BOTTOM + 40}">{across}</text>')
    turned = f"rotate(-90 {left - 46:.1f} {(TOP + BOTTOM) / 2:.1f})"
    parts.append(
        f'<text class="axis" x="{left - 46:.1f}" y="{(TOP + BOTTOM) / 2:.1f}"'
        f' transform="{turned}">{up}</text>'
    )
    return parts


def draw(results: dict) -> str:
    """Two panels: missed against false alarms, and the area under the curve at each ratio."""
    files, energy = results["files"], results["energy"]
    lowest = math.log(0.005)

    def x(share: float) -> float:
        return 70 + 330 * (1 - math.log(max(share, 0.005)) / lowest)

    def y(share: float) -> float:
        return TOP + (BOTTOM - TOP) * math.log(max(share, 0.005)) / lowest

    shares = tuple((v, f"{v:.1%}".replace(".0%", "%")) for v in (0.005, 0.02, 0.1, 0.3, 1))
    parts = frame("All sounds of the test", "false alarms", "missed speech", x, y, (shares, shares))
    for kind in ("energy", "float", "int8"):
        inside = [p for p in results["curves"][kind] if min(p) >= 0.005]
        parts.append(line(kind, [(x(a), y(b)) for a, b in inside]))
    at = files["float"]
    parts.append(f'<circle cx="{x(at["alarms"]):.1f}" cy="{y(at["missed"]):.1f}" r="5"/>')
    names = (
        ("float", f"floats, area {at['area']:.3f}"),
        ("int8", f"int8, area {files['int8']['area']:.3f}"),
        ("energy", f"energy, area {energy['area']:.3f}"),
    )
    for i, (kind, text) in enumerate(names):
        height = BOTTOM - 52 + 18 * i
        parts.append(line(kind, [(82, height), (112, height)]))
        parts.append(f'<text x="119" y="{height + 4}">{text}</text>')

    ratios = [float(ratio) for ratio in at["snr"]]

    def across(ratio: float) -> float:
        return 500 + 300 * (ratio - ratios[0]) / (ratios[-1] - ratios[0])

    def up(share: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (share - 0.5) / 0.5

    parts += frame(
        "From loud noise to faint",
        "speech to noise, dB",
        "area under the curve",
        across,
        up,
        (
            tuple((ratio, f"{ratio:g}") for ratio in ratios),
            tuple((v, f"{v:.1f}") for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1)),
        ),
    )
    for kind, of, more in (("energy", energy, ' class="other"'), ("float", at, "")):
        points = [(across(float(ratio)), up(one["area"])) for ratio, one in of["snr"].items()]
        parts.append(line(kind, points))
        parts += [f'<circle{more} cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in points]
    size = 'viewBox="0 0 830 385" width="830" height="385"'
    about = "Missed speech and false alarms of the network and of an energy threshold"
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">']
    head += [f"<title>{about}</title>", f"<style>\n{STYLE}</style>"]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"
