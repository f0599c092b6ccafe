"""Small ONNX models, made in a test, and what onnxruntime gives for them.

path = saved(folder, [make("Relu", ["x"], ["y"])], {"x": (1, 3)}, ["y"])
agrees("c", path, {"x": x}, folder)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import codegen
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array
from tests.support.targets import TOLERANCE, started

Shape = Sequence[int | str]
make = helper.make_node


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Shape],
    outputs: Sequence[str],
    arrays: Mapping[str, Array] | None = None,
    *,
    opset: int = 17,
    producer: str = "test",
    functions: Sequence[Any] = (),
    types: Mapping[str, int] | None = None,
) -> Any:
    """A ModelProto; inputs are of float32 unless `types` says otherwise."""
    kinds = types or {}

    def value(name: str, shape: Shape | None) -> Any:
        return helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)

    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, shape) for name, shape in inputs.items()],
        [value(name, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (arrays or {}).items()],
    )
    domains = {"": opset, **{function.domain: 1 for function in functions}}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    made = helper.make_model(
        graph, opset_imports=imports, producer_name=producer, functions=list(functions)
    )
    made.ir_version = 8
    return made


def saved(folder: Path, *arguments: Any, **keywords: Any) -> Path:
    """A file with such a model."""
    path = folder / "model.onnx"
    onnx.save(model(*arguments, **keywords), str(path))
    return path


class Session:
    """onnxruntime on a file; `states` are carried from one run to the next."""

    def __init__(self, path: Path, states: Mapping[str, str] | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options)
        self._states = dict(states or {})
        self._held: dict[str, Array] = {}
        for one in self._session.get_inputs():
            if one.name in self._states:
                shape = [n if isinstance(n, int) else 1 for n in one.shape]
                self._held[one.name] = np.zeros(shape, np.float32)

    def start(self, states: Mapping[str, Array]) -> None:
        """Replace states."""
        self._held.update(states)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs of one run that are no states."""
        names = [one.name for one in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(names, {**feeds, **self._held}), strict=True))
        self._held = {name: found[out] for name, out in self._states.items()}
        return [found[name] for name in names if name not in self._states.values()]


def worst(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest error over 1 + |expected|; shapes may differ by axes of length 1."""
    assert len(found) == len(expected)
    errors = [0.0]
    for y, wanted in zip(found, expected, strict=True):
        assert np.size(y) == np.size(wanted), (np.shape(y), np.shape(wanted))
        exact = np.asarray(wanted, np.float64).ravel()
        errors.append(float(np.max(np.abs(np.ravel(y) - exact) / (1 + np.abs(exact)), initial=0)))
    return max(errors)


def lowered(path: Path, **reading: Any) -> Lowered:
    """The model of a file, lowered."""
    return lower(codegen.read(path, **reading))


def _runner(target: str, made: Lowered, folder: Path) -> Any:
    return Reference(made) if target == "interpreter" else started(target, made, folder)


def agrees(
    target: str,
    path: Path,
    feeds: Mapping[str, Array],
    folder: Path,
    turn: Any = lambda x: x[0],
    **reading: Any,
) -> None:
    """Assert that predict gives what onnxruntime gives.

    `turn` makes of an input of ONNX that of the generated file; "interpreter" is a target, too.
    """
    made = lowered(path, **reading)
    constants = {k: np.float32(v) for k, v in reading.get("constants", {}).items()}
    expected = Session(path).run({**feeds, **constants})
    runner = _runner(target, made, folder)
    given = [np.asarray(turn(x)) for name, x in feeds.items()]
    if target == "interpreter":
        given = [x[None] for x in given]
    assert worst(runner.predict(*given), expected) <= TOLERANCE


def steps_agree(
    target: str,
    path: Path,
    feeds: Mapping[str, Array],
    folder: Path,
    *,
    states: Mapping[str, str],
    fixed: Mapping[str, Array] | None = None,
    start: Mapping[str, Array] | None = None,
    **reading: Any,
) -> float:
    """The largest error of steps with carried states; each feed has an axis of steps before all.

    `fixed` are inputs that never change, as onnxruntime needs them.
    """
    made = lowered(path, states=states, **reading)
    session = Session(path, states)
    session.start(start or {})
    assert made.step is not None
    runner = _runner(target, made, folder)
    count = len(next(iter(feeds.values())))
    largest = 0.0
    for t in range(count):
        now = {name: x[t] for name, x in feeds.items()}
        expected = session.run({**now, **(fixed or {})})
        given = [
            np.asarray(x).reshape(port.shape)
            for x, port in zip(now.values(), made.step.inputs, strict=True)
        ]
        if target == "interpreter":
            given = [x[None] for x in given]
        found = runner.step(*given)
        largest = max(
            largest, worst(found if isinstance(found, (tuple, list)) else [found], expected)
        )
    return largest
