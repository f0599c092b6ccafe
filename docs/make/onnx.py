"""The tables of docs/onnx.md: the operators, from the reader's own, and what is refused of them.

`python -m docs.make.onnx` prints the page. Each row of what is refused has a part of the message,
by which the tests find it: the published node tests that are refused are told by these rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.table import TABLE

PAGE = Path(__file__).parents[1] / "onnx.md"
START, END = "<!-- operators -->\n", "<!-- end of operators -->\n"


@dataclass(frozen=True)
class Refusal:
    """Node tests that are refused: their operators, the reason, a part of the message."""

    operators: str
    reason: str
    says: str


REFUSED = (
    Refusal(
        "Add, Sub, Mul",
        "integers of 8 and 16 bits, and unsigned ones: their sums wrap around, floats do not",
        r"in which sums and products wrap around",
    ),
    Refusal(
        "AveragePool, ConvTranspose, LpPool, MaxPool",
        "windows over three axes",
        r"its input has 5 axes; 3 or 4 are supported",
    ),
    Refusal(
        "MaxPool",
        "the places of the maxima, its second output",
        r"its second output, the places of the maxima, is used",
    ),
    Refusal(
        "BatchNormalization, Dropout",
        "training mode",
        r"training_mode is not a constant|it is in training mode",
    ),
    Refusal(
        "GatherElements",
        "indices that are inputs, or thousands in no order",
        r"its indices is not a constant|in no order",
    ),
    Refusal(
        "Reduce operators, Reshape, Shape, Slice, Split, Trilu",
        "tensors without elements",
        r"length 0 found|is free; say how long it is|an empty tensor|its starts is not a constant",
    ),
    Refusal(
        "If, Loop, Range",
        "conditions and numbers of runs that are inputs",
        r"its condition is computed|its number of runs is not known",
    ),
    Refusal("Scan", "opset 8, which has another form", r"Scan of opset 8 is not supported"),
    Refusal("Equal", "texts", r"numbers of type STRING"),
    Refusal("Not", "opset 1 (7 is the first)", r"of version \(opset\) 1,"),
    Refusal("Constant", "a model without inputs", r"the graph has no input"),
)


def markdown() -> str:
    """Both tables."""
    return "".join((*_operators(), "\n", *_refused()))


def _operators() -> Iterator[str]:
    yield "| operator | supported |\n| --- | --- |\n"
    plain = sorted({row.name for row in TABLE if not _note(row)})
    yield f"| {', '.join(plain)} | as ONNX defines them |\n"
    notes: dict[str, list[str]] = {}
    for row in TABLE:
        if _note(row):
            notes.setdefault(_note(row), []).append(row.name)
    for note, names in sorted(notes.items(), key=lambda pair: min(pair[1])):
        yield f"| {', '.join(sorted({*names}))} | {note} |\n"


def _note(row: Operator) -> str:
    """What the rows of an operator say, of all opsets."""
    return "; ".join(dict.fromkeys(one.note for one in TABLE if one.name == row.name and one.note))


def _refused() -> Iterator[str]:
    yield "| node tests of | that are refused |\n| --- | --- |\n"
    for row in REFUSED:
        yield f"| {row.operators} | {row.reason} |\n"


def page(text: str) -> str:
    """The page with new tables."""
    head, _, rest = text.partition(START)
    return f"{head}{START}{markdown()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.stdout.write(page(PAGE.read_text(encoding="utf-8")))
