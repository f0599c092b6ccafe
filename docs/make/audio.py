"""The table of docs/audio.md: formats, layers and activations, from the readers' own tables.

`python -m docs.make.audio` prints the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from codegen.readers.audio import guitarml, nam, rtneural

PAGE = Path(__file__).parents[1] / "audio.md"
START, END = "<!-- table -->\n", "<!-- end of table -->\n"


def rows() -> list[str]:
    """A line for each format."""
    plain = [name for name in rtneural.ACTIVATIONS if name]
    of_nam = (*nam.PLAIN, *nam.SLOPED, nam.LEAKY)
    keys = "`architecture`, `config`, `weights`"
    return [
        "| Format | Told by the keys | Layers | Activations |",
        "| --- | --- | --- | --- |",
        f"| RTNeural, AIDA-X | `in_shape`, `layers` | {_list(rtneural.KINDS)} | {_list(plain)} |",
        f"| GuitarML, Proteus | `model_data`, `state_dict` | {_list(guitarml.UNITS)}, Linear | |",
        f"| NAM | {keys} | {_list(nam.ARCHITECTURES)} | {_list(of_nam)} |",
    ]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def markdown() -> str:
    """docs/audio.md with the table as the readers have it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    table = "\n".join(rows())
    return f"{before}{START}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
