"""What is installed as a package and runs models from Python: ONNX Runtime, LiteRT, Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.networks import INPUT, Case

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class OnnxRuntimeStep:
    """One step a call, inputs and states bound to fixed memory: its fastest way from Python.

    States alternate between two bindings, so nothing is copied between steps.
    """

    def __init__(self, path: Path, case: Case) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.case = case
        shapes = {value.name: value.shape for value in self.session.get_inputs()}
        self.x = np.zeros(shapes.pop(INPUT), np.float32)
        make = onnxruntime.OrtValue.ortvalue_from_numpy
        x = self.x_value = make(self.x)
        self.x = self._view(x, self.x.shape)
        states = [{n: make(np.zeros(s, np.float32)) for n, s in shapes.items()} for _ in (0, 1)]
        self.states = states
        self.outputs = [
            make(np.zeros((1, 1, case.network.size(n)), np.float32)) for n in case.network.outputs
        ]
        self.views = [self._view(value, value.shape()) for value in self.outputs]
        self.bindings = [self._binding(states[i], states[1 - i]) for i in (0, 1)]
        self.now = 0

    @staticmethod
    def _view(value: Any, shape: Any) -> NDArray[np.float32]:
        """An array on the memory of an OrtValue."""
        import ctypes

        pointer = ctypes.cast(value.data_ptr(), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, tuple(shape))

    def _binding(self, before: dict[str, Any], after: dict[str, Any]) -> Any:
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(INPUT, self.x_value)
        for name, value in before.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(f"{name}_next", after[name])
        for name, value in zip(self.case.network.outputs, self.outputs, strict=True):
            binding.bind_ortvalue_output(f"{name}_out", value)
        return binding

    def reset(self) -> None:
        """Zero states."""
        self.now = 0
        for states in self.states:
            for value in states.values():
                self._view(value, value.shape())[...] = 0

    def step(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs; the same memory every time."""
        self.x[0, 0] = x
        self.session._sess.run_with_iobinding(self.bindings[self.now]._iobinding, None)  # noqa: SLF001  # the public method adds only a check
        self.now = 1 - self.now
        return self.views


class OnnxRuntimeSequence:
    """A whole sequence in one call, from zero state: not streaming, but without call overhead."""

    def __init__(self, path: Path, case: Case) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.feed = {INPUT: np.ascontiguousarray(case.x[:, None])}
        self.length = len(case.x)

    def run(self, times: int) -> None:
        """That many whole sequences."""
        for _ in range(times):
            self.session.run(None, self.feed)

    def outputs(self) -> NDArray[np.float32]:
        """Side by side, (steps, outputs)."""
        found = self.session.run(None, self.feed)
        return np.concatenate([np.asarray(y)[:, 0] for y in found], axis=-1)


class LiteRtStep:
    """One step a call; states are copied back by the caller, as its interface wants it."""

    def __init__(self, path: Path, case: Case) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        signature = self.interpreter.get_signature_list()["serving_default"]
        runner = self.interpreter.get_signature_runner()
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        assert len(signature["inputs"]) == len(inputs)
        tensor = self.interpreter.tensor
        self.x = tensor(inputs[INPUT]["index"])
        self.outputs = [
            tensor(outputs[f"out_{i}"]["index"]) for i in range(len(case.network.outputs))
        ]
        self.pairs = [
            (tensor(inputs[name]["index"]), tensor(outputs[f"next_{name}"]["index"]))
            for name, _ in case.network.states()
        ]
        self.invoke = self.interpreter._interpreter.Invoke  # noqa: SLF001  # the public method adds only a check

    def reset(self) -> None:
        """Zero states."""
        for before, _ in self.pairs:
            before()[...] = 0

    def step(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs."""
        self.x()[0] = x
        self.invoke()
        for before, after in self.pairs:
            before()[...] = after()
        return [output()[0] for output in self.outputs]


class KerasStep:
    """A stateful Keras model given one step a call, by `predict` or by `predict_on_batch`."""

    def __init__(self, case: Case, method: str) -> None:
        from benchmarks.workloads import build

        self.model = build(case.network, 1, stateful=True)
        if method == "predict":
            self.call = lambda x: self.model.predict(x, verbose=0)
        else:
            self.call = self.model.predict_on_batch

    def reset(self) -> None:
        """Zero states, whatever this Keras calls it."""
        reset = getattr(self.model, "reset_states", None)
        if reset is not None:
            reset()
            return
        for layer in self.model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()

    def step(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs."""
        found = self.call(x[None, None])
        outputs = found if isinstance(found, list) else [found]
        return [np.asarray(y)[0, 0] for y in outputs]


class Stepper:
    """Walks over the recorded input with a `step` method."""

    def __init__(self, peer: Any, case: Case) -> None:
        self.peer, self.rows = peer, list(case.x)
        self.at = 0

    def run(self, steps: int) -> None:
        """That many steps."""
        step, rows, at = self.peer.step, self.rows, self.at
        length = len(rows)
        for _ in range(steps):
            step(rows[at])
            at += 1
            if at == length:
                at = 0
        self.at = at

    def error(self, case: Case, length: int | None = None) -> float:
        """Largest difference from Keras, from zero state."""
        self.peer.reset()
        worst = 0.0
        for x, y in list(zip(case.x, case.y, strict=True))[:length]:
            found = self.peer.step(x)
            joined = np.concatenate([np.ravel(part) for part in found])
            worst = max(worst, float(np.abs(joined - y).max()))
        return worst
