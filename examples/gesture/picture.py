"""The picture of README.md, drawn from results.json: plain SVG, light and dark.

python picture.py
"""

import json
from pathlib import Path

from motion import ACTIVITIES, RECORDINGS

HERE = Path(__file__).parent
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.cell { fill: #0969da; stroke: #8c959f; stroke-opacity: 0.35; }
.full { fill: #ffffff; }
.ours { fill: none; stroke: #0969da; stroke-width: 2.5; }
.other { fill: none; stroke: #bc4c00; stroke-width: 2; stroke-dasharray: 6 4; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .full { fill: #0d1117; }
  .cell { fill: #58a6ff; }
  .ours { stroke: #58a6ff; }
  .other { stroke: #f0883e; }
}
"""
CELL, LEFT, TOP = 74, 104, 62  # of the matrix
X, Y, WIDTH, HEIGHT = 490, 62, 350, 296  # of the curves


def matrix(counts):
    """What was answered from 2 s after a change on."""
    middle = LEFT + 2 * CELL
    title = "Answers from 2 s after a change on"
    yield f'<text class="title middle" x="{middle}" y="22">{title}</text>'
    yield f'<text class="middle" x="{middle}" y="{TOP + 4 * CELL + 44}">answered</text>'
    yield f'<text x="{LEFT - 90}" y="{TOP - 12}">what it is</text>'
    for i, (name, row) in enumerate(zip(ACTIVITIES, counts, strict=True)):
        at = TOP + i * CELL
        yield f'<text class="end" x="{LEFT - 10}" y="{at + CELL / 2 + 5:g}">{name}</text>'
        below = TOP + 4 * CELL + 20
        yield f'<text class="middle" x="{LEFT + (i + 0.5) * CELL:g}" y="{below}">{name}</text>'
        for k, count in enumerate(row):
            part = count / sum(row)
            x, kind = LEFT + k * CELL, "middle full" if part > 0.5 else "middle"
            place = f'x="{x + CELL / 2:g}" y="{at + CELL / 2 + 5:g}"'
            yield (
                f'<rect class="cell" x="{x}" y="{at}" width="{CELL}" height="{CELL}"'
                f' fill-opacity="{part:.2f}"/>'
            )
            yield f'<text class="{kind}" {place}>{count}</text>'


def curves(after, recordings):
    """Right answers by the time since the activity changed."""
    yield f'<text class="title" x="{X}" y="22">Right answers after a change of activity</text>'
    for percent in (0, 25, 50, 75, 100):
        y = Y + HEIGHT * (1 - percent / 100)
        yield f'<path class="grid" d="M{X} {y:g}H{X + WIDTH}"/>'
        yield f'<text class="end" x="{X - 8}" y="{y + 5:g}">{percent} %</text>'
    for second in range(0, 11, 2):
        x = X + WIDTH * second / 10
        yield f'<text class="middle" x="{x:g}" y="{Y + HEIGHT + 20}">{second}</text>'
    under = f'x="{X + WIDTH / 2:g}" y="{Y + HEIGHT + 44}"'
    yield f'<text class="middle" {under}>seconds since the change</text>'
    for n, (name, kind, legend) in enumerate(
        (("int8", "ours", "int8 network"), ("no network", "other", "no network"))
    ):
        points = [
            f"{X + WIDTH * (i + 1) / 20:g} {Y + HEIGHT * (1 - count / recordings):g}"
            for i, count in enumerate(after[name])
        ]
        yield f'<path class="{kind}" d="M{"L".join(points)}"/>'
        y = Y + HEIGHT - 46 + 24 * n
        yield f'<path class="{kind}" d="M{X + 170} {y}h34"/>'
        yield f'<text x="{X + 212}" y="{y + 5}">{legend}</text>'


def picture(found):
    """The SVG of what measure.py found."""
    size = 'viewBox="0 0 860 420" width="860" height="420"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>Which activity was recognised as which, and how soon</title>",
        f"<style>\n{STYLE}</style>",
        *matrix(found["answers of int8"]),
        *curves(found["right after"], RECORDINGS),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    results = json.loads((HERE / "results.json").read_text())
    (HERE / "activity.svg").write_text(picture(results))
