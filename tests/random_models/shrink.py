"""The smallest description that still fails, and the folder that it is kept in.

A kept folder has the form of a recorded model, tests/fixtures/ERA/CASE: one that matters is moved
there, which makes it a test.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.random_models.build import Spec, Step, kinds_in, text
from tests.random_models.draw import references, without_unused
from tests.random_models.judge import KerasCannotError, Verdict, run, saved
from tests.random_models.table import KINDS

Judge = Callable[[Spec], Verdict]


def shrunk(spec: Spec, judge: Judge, rounds: int = 200) -> Spec:
    """The description without all that can go while `judge` still finds the same kind of fault."""
    what = judge(spec).what
    again = True
    while again and rounds > 0:
        again = False
        for smaller in candidates(spec):
            rounds -= 1
            if rounds < 0:
                break
            if judge(smaller).what == what:
                spec, again = smaller, True
                break
    return spec


def candidates(spec: Spec) -> Iterator[Spec]:
    """Descriptions with one thing less, those with most less first."""
    if len(spec["outputs"]) > 1:
        for ref in spec["outputs"]:
            yield without_unused({**spec, "outputs": [ref]})
    for step in reversed(spec["steps"]):
        for ref in references(step):
            yield _bypassed(spec, step, ref)
    if len(spec["calls"]) > 1:
        yield {**spec, "calls": spec["calls"][:1]}
    if spec["container"] != "keras":
        yield {**spec, "container": "keras"}
    for number, step in enumerate(spec["steps"]):
        for smaller in _smaller(step):
            steps = [*spec["steps"][:number], smaller, *spec["steps"][number + 1 :]]
            yield without_unused({**spec, "steps": steps})
    if spec.get("fixed_batch"):
        yield {**spec, "fixed_batch": False}


def _bypassed(spec: Spec, step: Step, ref: list[int]) -> Spec:
    """Without a step: what used its outputs uses one of its inputs."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {"ref": ref} if value.get("ref", [None])[0] == step["id"] else value
        return [changed(v) for v in value] if isinstance(value, list) else value

    steps = []
    for other in spec["steps"]:
        if other is step or other.get("share") == step["id"]:
            continue
        named = {k: changed(v) for k, v in other.get("kwargs", {}).items()}
        args = changed(other.get("args", []))
        steps.append(
            other if other["class"] == "Input" else {**other, "args": args, "kwargs": named}
        )
    outputs = [o for o in changed(spec["outputs"]) if any(s["id"] == o["ref"][0] for s in steps)]
    there = {s["id"] for s in steps}
    if not outputs or any(r[0] not in there for s in steps for r in references(s)):
        return spec
    return without_unused({**spec, "steps": steps, "outputs": outputs})


def _smaller(step: Step) -> Iterator[Step]:
    """The step with an option or a keyword less, or with fewer layers inside."""
    kind = KINDS.get(step["class"])
    for key in step.get("kwargs", {}):
        yield {**step, "kwargs": {k: v for k, v in step["kwargs"].items() if k != key}}
    for key, value in step["options"].items():
        if kind is None or key not in kind.needs:
            yield {**step, "options": {k: v for k, v in step["options"].items() if k != key}}
        for smaller in _less_inside(value):
            yield {**step, "options": {**step["options"], key: smaller}}


def _less_inside(value: Any) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    if "layer" in value:
        layer = value["layer"]
        kind = KINDS.get(layer["class"])
        for key, given in layer["options"].items():
            if kind is not None and key not in kind.needs:
                rest = {k: v for k, v in layer["options"].items() if k != key}
                yield {"layer": {**layer, "options": rest}}
            if key == "layers" and len(given) > 1:
                for number in range(len(given)):
                    fewer = given[:number] + given[number + 1 :]
                    yield {"layer": {**layer, "options": {**layer["options"], "layers": fewer}}}
    if "layers" in value and len(value["layers"]) > 1:
        for number in range(len(value["layers"])):
            yield {"layers": value["layers"][:number] + value["layers"][number + 1 :]}


def keep(spec: Spec, verdict: Verdict, folder: Path) -> Path | None:
    """Write the model, what Keras computes, and the description; None where Keras cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text(f"{text(spec)}\n\n{verdict.message}\n", encoding="utf-8")
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    try:
        live = run(spec)
        source, _ = saved(live.model, spec["container"], folder)
    except KerasCannotError:
        return None
    if source.suffix == ".h5":
        packed = gzip.compress(source.read_bytes(), 9, mtime=0)
        source.with_name(f"{source.name}.gz").write_bytes(packed)
    arrays = {}
    for number, (inputs, outputs) in enumerate(zip(live.calls, live.expected, strict=True)):
        arrays |= {f"in_{number}_{k}": x for k, x in enumerate(inputs)}
        arrays |= {f"out_{number}_{k}": y.astype(np.float32) for k, y in enumerate(outputs)}
    np.savez(folder / "io.npz", **arrays)
    meta = {
        "batch": spec["batch"] if spec.get("fixed_batch") else None,
        "calls": [{"reset": number == 0} for number in range(len(live.calls))],
        "era": "keras3_15",
        "keras_version": keras.__version__,
        "layers": sorted(set(kinds_in(spec))),
        "stateful": bool(spec.get("fixed_batch")),
        "what": f"a random model of seed {spec['seed']}",
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return folder
