"""The picture of README: what was forecast, and what came."""

from datetime import date, timedelta

LINES = ("riders", "low", "likely", "high")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 320, 64, 46, 16, 56
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.range { fill: #0969da; fill-opacity: 0.18; }
.likely { fill: none; stroke: #0969da; stroke-width: 1.5; }
.came { fill: #24292f; }
.unusual { fill: none; stroke: #cf222e; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text, .came { fill: #e6edf3; }
  .range { fill: #58a6ff; fill-opacity: 0.28; }
  .likely { stroke: #58a6ff; }
  .unusual { stroke: #ff7b72; }
}
"""


def draw(found):
    """An SVG of the numbers of some days, one after the other from `first` on."""
    first, days = date.fromisoformat(found["first"]), len(found["riders"])
    top = 1000 * (max(found["high"] + found["riders"]) // 1000 + 1)
    bottom = HEIGHT - BOTTOM

    def x(n):
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (n + 0.5) / days:.1f}"

    def y(value):
        return f"{bottom - (bottom - TOP) * value / top:.1f}"

    def points(line):
        return [f"{x(n)} {y(value)}" for n, value in enumerate(found[line])]

    shape = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    about = f"Riders a day at {found['station']}, and what was forecast on the day before"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img">',
        f"<title>{about}</title>",
        f"<style>\n{STYLE}</style>",
    ]
    for value in range(0, top + 1, 2000):
        parts.append(f'<path class="grid" d="M{LEFT} {y(value)}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{float(y(value)) + 4:.1f}" text-anchor="end">{value:,}</text>'
        )
    for n in range(0, days, 7):
        day = first + timedelta(n)
        parts.append(f'<path class="grid" d="M{x(n)} {TOP}V{bottom + 4}"/>')
        parts.append(
            f'<text x="{x(n)}" y="{bottom + 18}" text-anchor="middle">{day.day} {day:%b}</text>'
        )
    back = reversed(points("low"))
    parts.append(f'<path class="range" d="M{"L".join([*points("high"), *back])}Z"/>')
    parts.append(f'<path class="likely" d="M{"L".join(points("likely"))}"/>')
    for n, value in enumerate(found["riders"]):
        parts.append(f'<circle class="came" cx="{x(n)}" cy="{y(value)}" r="2.6"/>')
    parts += [
        f'<circle class="unusual" cx="{x(n)}" cy="{y(found["riders"][n])}" r="7"/>'
        for n in found["unusual"]
    ]
    middle, centre = f"{(TOP + bottom) / 2:.0f}", f"{(LEFT + WIDTH - RIGHT) / 2:.0f}"
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle})"'
    years = f"{first.year} to {(first + timedelta(days - 1)).year}"
    parts += [
        f'<text x="14" y="{middle}" {turned}>riders a day</text>',
        f'<text x="{centre}" y="{HEIGHT - 16}" text-anchor="middle">Mondays, {years}</text>',
        f'<circle class="came" cx="{LEFT + 6}" cy="20" r="2.6"/>',
        f'<text x="{LEFT + 16}" y="24">actual</text>',
        f'<path class="likely" d="M{LEFT + 70} 20h20"/>',
        f'<text x="{LEFT + 96}" y="24">forecast</text>',
        f'<rect class="range" x="{LEFT + 162}" y="13" width="20" height="14"/>',
        f'<text x="{LEFT + 188}" y="24">range of nine in ten</text>',
        f'<circle class="unusual" cx="{LEFT + 338}" cy="20" r="7"/>',
        f'<text x="{LEFT + 352}" y="24">unusual</text>',
        "</svg>",
        "",
    ]
    return "\n".join(parts)
