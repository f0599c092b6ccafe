"""Which layers recorded models of which Keras hold: `python -m tests.support.eras > docs/eras.md`.

A layer counts for an era where a model with it, written by that era, is in tests/fixtures and
converts; tests/test_fixtures.py holds each of them to the era's own numbers in every target.
"""

from __future__ import annotations

from collections.abc import Iterator

from codegen.errors import CodegenError
from codegen.model import Layer
from tests.support import fixtures
from tests.support.recorded import NEEDED, entry, read

# In the order of their release, with the name that users know them by.
ERAS = {
    "keras122": "Keras 1.2.2",
    "keras208": "2.0.8",
    "keras215": "2.1.5",
    "keras224": "2.2.4",
    "keras231": "2.3.1",
    "tf115": "TF 1.15",
    "tf21": "2.1",
    "tf24": "2.4",
    "tf210": "2.10",
    "tf212": "2.12",
    "tf215": "2.15",
    "tf_keras221": "tf_keras 2.21",
    "keras3_0": "Keras 3.0",
    "keras3_5": "3.5",
    "keras3_15": "3.15",
}

HEAD = """\
# Layers by the Keras that wrote them

<!-- Made by `python -m tests.support.eras > docs/eras.md`; a test keeps it current. -->

**p**: a model with this layer, written by this release, is among the recorded models, and
*predict* agrees with what that release computed, in every target. **ps**: so does *step*, in a
model that can be stepped. An empty cell means only that no such model was recorded (what behaves
alike is recorded once, to keep the set small); reading does not depend on it. Whether a layer can
be stepped at all, and why not, is in [layers.md](layers.md).

"""


def marks(era: str) -> dict[str, str]:
    """The column of an era: each layer that its models hold, with `p` or `ps`."""
    found: dict[str, str] = {}
    for case in fixtures.cases(era):
        if entry(NEEDED, case):
            continue  # a class of one's own, or a release that the file does not tell
        for source in range(len(case.sources)):
            try:
                lowered = read(case, source)
            except CodegenError:
                continue
            mark = "p" if lowered.step is None else "ps"
            for name in classes(lowered.model.layers):
                found[name] = max(mark, found.get(name, ""))
            break  # the other files of a case hold the same model
    return found


def table(columns: dict[str, dict[str, str]]) -> str:
    """The page as Markdown, of the marks of each era."""
    lines = ["| layer | " + " | ".join(ERAS.values()) + " |"]
    lines.append("| --- |" + " :---: |" * len(ERAS))
    for name in sorted({name for column in columns.values() for name in column}):
        cells = (columns[era].get(name, "") for era in ERAS)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


def classes(layers: tuple[Layer, ...]) -> Iterator[str]:
    """Names of all classes, those inside wrappers too."""
    for layer in layers:
        if layer.class_name.isidentifier():
            yield layer.class_name
        yield from classes(layer.inner)


if __name__ == "__main__":
    print(table({era: marks(era) for era in ERAS}), end="")  # noqa: T201  # the page goes to standard output
