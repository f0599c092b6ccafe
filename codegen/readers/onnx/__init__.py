"""From an ONNX graph to a `Model`.

file.py      the file: checked, its functions and branches still in it
tensors.py   arrays in every encoding, in the file and beside it
scope.py     what names stand for: values and arrays, an inner graph sees those outside
values.py    values, their axes as ONNX counts them and as the Model holds them
assembly.py  the nodes one after another: folded, or layers by the rules of their operators
call.py      what a rule is given
folding.py   nodes whose inputs are all known; arithmetic with lengths that are not
table.py     the operators, a row each
rules/       what the rows stand for, by family
axes.py      which axis is time, and which the batch
states.py    outputs of one run that are inputs of the next

To add an operator: a function in `rules/` that takes a `Call` and returns a `Value` (or several),
and its row in the TABLE of that file. Where the operation is element by element, its name in the
column `onnx` of `codegen/readers/operations.py` is enough. What a rule cannot do exactly it refuses
with a LayerError; which attributes it has read is kept account of.
"""

from __future__ import annotations

from pathlib import Path

from codegen.errors import ReadError
from codegen.model import Model
from codegen.readers.options import Options


def read(path: Path, options: Options) -> Model:
    """The model of an ONNX file."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ReadError(
            f"{path.name}: an ONNX model, which needs the onnx package: "
            "pip install rnn-codegen[onnx]"
        ) from None
    from codegen.readers.onnx.reader import read as work

    return work(path, options)
