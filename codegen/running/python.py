"""Runs a generated Python file: it is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.program.ops import Array
from codegen.running import Made, Outputs, Runner


def start(made: Made) -> Runner:
    """The model in the file."""
    return PythonRunner(made.path)


class PythonRunner:
    """A file of the numpy or python target."""

    longest = None

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location(f"generated_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise CodegenError(f"{path.name}: cannot be imported as Python")
        module = importlib.util.module_from_spec(spec)
        self.name = path.name
        try:
            spec.loader.exec_module(module)
            self.model: Any = module.Model()
        except Exception as error:  # whatever the file raises is its own message
            raise CodegenError(f"{path.name}: cannot be imported: {error!r}") from error

    @property
    def saturated(self) -> int:
        """How many numbers of a file of integers were beyond their range."""
        return int(self.model.saturated)

    def reset(self) -> None:
        """Every state at its start."""
        self.model.reset()

    def step(self, *inputs: Array) -> Outputs | None:
        """One step."""
        found = self._call("step", inputs)
        return None if found is None else _outputs(found)

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input."""
        return _outputs(self._call("predict", inputs))

    def _call(self, method: str, inputs: Sequence[Array]) -> Any:
        try:
            return getattr(self.model, method)(*(_plain(x) for x in inputs))
        except (AttributeError, TypeError) as error:  # no such method, or other inputs
            raise CodegenError(f"{self.name}: made from another model: {error}") from error

    def get_state(self) -> list[Array]:
        """Copies of the states."""
        return [np.ravel(np.asarray(s, np.float64)) for s in self.model.get_state()]

    def set_state(self, states: Sequence[Array]) -> None:
        """Put the states, given flat, back in the shapes that the file has them in."""
        own = self.model.get_state()
        shaped = [np.reshape(s, np.shape(o)) for s, o in zip(states, own, strict=True)]
        self.model.set_state([_plain(s) for s in shaped])


def _plain(x: Array) -> Any:
    """Lists, which every Python target takes."""
    return x.tolist()


def _outputs(found: Any) -> Outputs:
    parts = found if isinstance(found, tuple) else (found,)
    return tuple(np.asarray(y, np.float64) for y in parts)
