"""Draws names.svg: what the network expects at each letter of a name that it never saw."""

from __future__ import annotations

from pathlib import Path

from names_plain import Model
from write_names import LETTERS, shares

HERE = Path(__file__).parent
LANGUAGE, NAME = "Icelandic", "guðmundur"
RANKS = 5
WIDTH, ROW = 90, 26  # of a cell
LEFT, TOP = 12, 76
STYLE = """\
text { font: 14px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.note { font-size: 12px; fill: #57606a; }
.number { font-size: 11px; text-anchor: end; }
.head { font-size: 13px; font-weight: 600; text-anchor: middle; }
.bar { fill: #d0d7de; }
.came { fill: #8ac8ff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .bar { fill: #3d444d; }
  .came { fill: #1f6feb; }
}
"""


def shown(letter: str) -> str:
    """A letter, or what stands for the end of the name."""
    return "end" if letter == LETTERS[0] else letter


def column(at: int, before: str, came: str, p: list[float]) -> list[str]:
    """One letter: the likeliest, and below them the one that came if it is not among them."""
    x = LEFT + at * WIDTH
    likely = sorted(range(len(p)), key=lambda index: -p[index])[:RANKS]
    wanted = LETTERS.index(came)
    lines = [f'<text class="head" x="{x + WIDTH / 2 - 5:.0f}" y="{TOP - 12}">{before}</text>']
    rows = [*enumerate(likely)]
    if wanted not in likely:
        rows.append((RANKS, wanted))
    for rank, index in rows:
        y = TOP + rank * ROW
        kind = "came" if index == wanted else "bar"
        width = p[index] * (WIDTH - 10)
        number = f"{100 * p[index]:.0f} %" if p[index] >= 0.005 else "&lt;1 %"
        lines += [
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="{ROW - 4}" rx="2"/>',
            f'<text x="{x + 4}" y="{y + 16}">{shown(LETTERS[index])}</text>',
            f'<text class="number" x="{x + WIDTH - 12}" y="{y + 16}">{number}</text>',
        ]
    return lines


def picture() -> str:
    """The whole drawing."""
    model, language = Model(), shares(LANGUAGE)
    parts: list[str] = []
    before = LETTERS[0]
    for at, came in enumerate(NAME + LETTERS[0]):
        p = model.step(LETTERS.index(before), language)
        parts += column(at, "start" if at == 0 else NAME[:at].title(), came, p)
        before = came
    width, height = 2 * LEFT + WIDTH * (len(NAME) + 1) - 8, TOP + (RANKS + 1) * ROW + 6
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    title = f"{NAME.title()}, a name that the network never saw, letter by letter"
    note = "Below what stands so far: the likeliest next letters. Blue: the letter that comes."
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{title}: {note}</title>",
        f"<style>\n{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="20">{title}</text>',
        f'<text class="note" x="{LEFT}" y="39">{note}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    (HERE / "names.svg").write_text(picture(), encoding="utf-8")
