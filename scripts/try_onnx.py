"""Converts ONNX files that lie here, and compares every target with onnxruntime step by step.

    python scripts/try_onnx.py silero_vad.onnx --axes input=B,576 --constant sr=16000
    python scripts/try_onnx.py dtln_1.onnx dtln_2.onnx gtcrn.onnx --targets c,numpy

States are bound as `inspect` proposes them, unless --state says otherwise. It prints the largest
error over 1 + |expected| for each target, and exits with 1 where one is above 2e-5.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime

import codegen
from codegen.commands.convert import pairs
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Array
from codegen.running import Made
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin

TOLERANCE = 2e-5


def expected(
    path: Path, inputs: Mapping[str, Array], states: Mapping[str, str], fixed: Mapping[str, Any]
) -> list[list[Array]]:
    """What onnxruntime gives at every step, without the states."""
    session = onnxruntime.InferenceSession(str(path))
    names = [one.name for one in session.get_outputs()]
    held, given = {}, {}
    for one in session.get_inputs():
        shape = [n if isinstance(n, int) else 1 for n in one.shape]
        if one.name in states:
            held[one.name] = np.zeros(shape, np.float32)
        elif one.name in fixed:
            kind = np.int64 if "int" in one.type else np.float32
            given[one.name] = np.full(shape, fixed[one.name], kind)
    found = []
    for step in range(len(next(iter(inputs.values())))):
        now = {name: rows[step] for name, rows in inputs.items()}
        results = dict(zip(names, session.run(names, {**now, **given, **held}), strict=True))
        held = {name: results[out] for name, out in states.items()}
        found.append([results[name] for name in names if name not in states.values()])
    return found


def samples(path: Path, lowered: Lowered, steps: int) -> dict[str, Array]:
    """Noise of changing loudness for each input, as onnxruntime takes it."""
    assert lowered.step is not None
    declared = {x.name: x.shape for x in onnxruntime.InferenceSession(str(path)).get_inputs()}
    rng, found = np.random.default_rng(0), {}
    loud = 0.3 * (1 + np.sin(np.arange(steps) / 20))
    for port in lowered.step.inputs:
        row = [int(n) for n in port.shape if isinstance(n, int)]
        free = [k for k, n in enumerate(declared[port.name]) if not isinstance(n, int)]
        shape = [n if isinstance(n, int) else 1 for n in declared[port.name]]
        if free:  # the last of them has what the row has more than the others
            shape[free[-1]] = int(np.prod(row)) // int(np.prod(shape))
        noise = rng.standard_normal((steps, *row)) * loud.reshape(-1, *[1] * len(row))
        found[port.name] = noise.astype(np.float32).reshape(steps, *shape)
    return found


def largest(lowered: Lowered, target: str, inputs: Mapping[str, Array], wanted: Any) -> float:
    """The largest error of a target."""
    assert lowered.step is not None
    chosen = TARGETS[target]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"model{chosen.suffixes[0]}"
        options = chosen.complete({})
        text = chosen.render(lowered, "model", options, Origin(out.name, ()))
        out.write_text("".join(text), encoding="utf-8")
        model = chosen.start(Made(out, "model", lowered, "float32", Path(folder)))
        worst = 0.0
        for step, rows in enumerate(wanted):
            ports = zip(inputs.values(), lowered.step.inputs, strict=True)
            found = model.step(*(x[step].reshape(port.shape) for x, port in ports))
            assert found is not None
            for y, right in zip(found, rows, strict=True):
                error = np.abs(np.ravel(y) - right.ravel()) / (1 + np.abs(right.ravel()))
                worst = max(worst, float(error.max()))
    return worst


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--targets", default=",".join(TARGETS), show_default=True)
@click.option("--steps", default=500, show_default=True)
@click.option("--state", multiple=True, metavar="IN=OUT")
@click.option("--axes", multiple=True, metavar="NAME=LETTERS")
@click.option("--constant", multiple=True, metavar="IN=NUMBER")
def main(
    models: tuple[Path, ...],
    targets: str,
    steps: int,
    state: tuple[str, ...],
    axes: tuple[str, ...],
    constant: tuple[str, ...],
) -> None:
    """Compare the generated files of MODELS with onnxruntime."""
    failed = False
    for path in models:
        reading: dict[str, Any] = {
            "axes": pairs("axes", axes),
            "constants": pairs("constant", constant),
        }
        states = pairs("state", state) or dict(codegen.read(path, **reading).proposed_states)
        lowered = lower(codegen.read(path, states=states, **reading))
        if lowered.step is None:
            click.echo(f"{path.name}: no step: {lowered.reason}")
            failed = True
            continue
        inputs = samples(path, lowered, steps)
        wanted = expected(path, inputs, states, reading["constants"])
        for target in targets.split(","):
            error = largest(lowered, target, inputs, wanted)
            failed = failed or error > TOLERANCE
            click.echo(f"{path.name}: {target}: {error:.2g} over {steps} steps")
    sys.exit(failed)


if __name__ == "__main__":
    main()
