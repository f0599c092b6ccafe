"""The drawings of docs/how-it-works.md: boxes and arrows as SVG, light and dark.

`python -m docs.make.drawings` writes them into docs/pictures.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "pictures"
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; text-anchor: middle; }
.note { font-size: 11px; fill: #57606a; }
rect { fill: #f6f8fa; stroke: #57606a; }
.data { fill: #ddf4ff; }
path { fill: none; stroke: #57606a; stroke-width: 1.5; }
.head { fill: #57606a; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  rect { fill: #21262d; stroke: #9198a1; }
  .data { fill: #0c2d6b; }
  path { stroke: #9198a1; }
  .head { fill: #9198a1; }
}
"""


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """The parts as one drawing with a title for those who do not see it."""
    shape = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}</style>",
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def box(x: int, y: int, width: int, text: str, note: str = "", kind: str = "") -> list[str]:
    """A box of 36 units' height with its text inside and a note below."""
    middle = x + width // 2
    shape = f' class="{kind}"' if kind else ""
    parts = [
        f'<rect{shape} x="{x}" y="{y}" width="{width}" height="36" rx="6"/>',
        f'<text x="{middle}" y="{y + 23}">{escape(text)}</text>',
    ]
    if note:
        parts.append(f'<text class="note" x="{middle}" y="{y + 52}">{escape(note)}</text>')
    return parts


def arrow(*points: tuple[int, int]) -> list[str]:
    """A line through the points with a head at the last one, level or upright."""
    (x0, y0), (x, y) = points[-2:]
    line = "M" + "L".join(f"{a} {b}" for a, b in points)
    if x == x0:
        way = 1 if y > y0 else -1
        head = f"M{x} {y}l-4 {-7 * way}h8z"
    else:
        way = 1 if x > x0 else -1
        head = f"M{x} {y}l{-7 * way} -4v8z"
    return [f'<path d="{line}"/>', f'<path class="head" d="{head}"/>']


def way() -> str:
    """From file to text: data in blue, the code between them in grey."""
    stages = (
        ("file", ".h5 .keras .pt", "data"),
        ("reader", "every Keras version", ""),
        ("Model", "in Keras' words", "data"),
        ("lower", "each layer itself", ""),
        ("Program", "eight vector ops", "data"),
        ("target", "passes, printer", ""),
        ("text", ".h .py .js", "data"),
    )
    parts: list[str] = []
    for index, (text, note, kind) in enumerate(stages):
        x = 10 + 116 * index
        parts += box(x, 16, 92, text, note, kind)
        if index:
            parts += arrow((x - 24, 34), (x - 2, 34))
    return svg(818, 82, "file, reader, Model, lower, Program, target, text", parts)


def gru() -> str:
    """One step of a GRU with reset_after as the ops of its Program."""
    parts = [
        *box(10, 36, 60, "x", "input", "data"),
        *box(10, 136, 60, "h", "state", "data"),
        *box(130, 10, 170, "Affine: gates", ""),
        *box(130, 76, 170, "Affine: candidate", ""),
        *box(130, 142, 170, "Affine: recurrent", ""),
        *box(370, 10, 150, "z, r = sigmoid"),
        *box(370, 108, 150, "c = tanh(a + r * b)"),
        *box(580, 58, 150, "h' = z h + (1 - z) c"),
        *arrow((70, 54), (100, 54), (100, 28), (128, 28)),
        *arrow((70, 54), (100, 54), (100, 94), (128, 94)),
        *arrow((70, 154), (112, 154), (112, 38), (128, 38)),
        *arrow((70, 154), (112, 154), (112, 160), (128, 160)),
        *arrow((300, 28), (368, 28)),
        *arrow((300, 94), (334, 94), (334, 120), (368, 120)),
        *arrow((300, 160), (334, 160), (334, 132), (368, 132)),
        *arrow((445, 46), (445, 106)),
        *arrow((520, 28), (550, 28), (550, 70), (578, 70)),
        *arrow((520, 126), (550, 126), (550, 82), (578, 82)),
        *arrow((655, 94), (655, 206), (40, 206), (40, 196)),
        '<text class="note" x="385" y="222">the new state replaces the old one</text>',
    ]
    return svg(744, 232, "One step of a GRU: three products, two gates, a candidate, h'", parts)


DRAWINGS = {"way.svg": way, "gru.svg": gru}


def main() -> None:
    """Write the drawings."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
