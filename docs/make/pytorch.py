"""The table of docs/pytorch.md: each class of LAYERS.json with its options, from the reader's own.

`python -m docs.make.pytorch` prints the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from codegen.readers.torch.layers import KINDS
from codegen.readers.torch.layers.bound import Kind

PAGE = Path(__file__).parents[1] / "pytorch.md"
START, END = "<!-- layers -->\n", "<!-- end of layers -->\n"

NOTES = {
    "RNN": "tanh or relu; otherwise as GRU",
    "GRU": "layers, directions and biases as the tensors have them; `final`: see above",
    "LSTM": "as GRU; projected where there is `weight_hr`",
    "RNNCell": "called at each time step",
    "GRUCell": "called at each time step",
    "LSTMCell": "called at each time step",
    "Embedding": "`max_norm` shortens the rows of the table",
    "PReLU": "one weight, or one a channel",
    "Softmax": "`dim` is needed for a sequence",
    "LogSoftmax": "`dim` is needed for a sequence",
    "GLU": "along the last axis",
    "Concat": "`torch.cat`; takes several inputs",
    "Last": "`x[:, -1]`, the last time step",
    "Flatten": "all axes; `channels_first` says the order after a convolution",
    "Conv1d": "along time; padding of zeros, numbers, `same` or `valid`",
    "Conv2d": "on (channels, height, width)",
    "ConvTranspose1d": "along time",
    "MaxPool1d": "along time; `ceil_mode` with a stride needs the whole sequence",
    "AvgPool1d": "as MaxPool1d; so does `count_include_pad=False` with padding",
    "ConstantPad1d": "along time; numbers below 0 cut",
    "ConstantPad2d": "numbers below 0 cut",
    "RReLU": "as in evaluation mode: the mean of its slopes",
    "Unsqueeze": "`x.unsqueeze(dim)`: with 1 a vector meets every step of a sequence",
    "Upsample": "nearest; linear and bilinear without `align_corners`",
    "BatchNorm1d": "by its running statistics",
    "BatchNorm2d": "by its running statistics",
    "GroupNorm": "over time too: needs the whole sequence",
    "InstanceNorm1d": "over time: needs the whole sequence",
    "RMSNorm": "`eps` is that of the numbers' type where none is given",
}
MERGES = "takes several inputs (`from`)"


def rows() -> list[str]:
    """A line for each class."""
    found = ["| Class | Options | Notes |", "| --- | --- | --- |"]
    for name, kind in KINDS.items():
        options = ", ".join(f"`{option}`" for option in kind.options)
        found.append(f"| {name} | {options} | {_note(name, kind)} |")
    return found


def _note(name: str, kind: Kind) -> str:
    if name in NOTES:
        return NOTES[name]
    return MERGES if kind.inputs[0] > 1 else ""


def markdown() -> str:
    """docs/pytorch.md with the table as the reader has it."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    table = "\n".join(rows())
    return f"{before}{START}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
