"""Runs a generated JavaScript file: node imports it, and takes calls from here."""

from __future__ import annotations

import atexit
import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.program import dims
from codegen.program.ops import Array, Port
from codegen.running import Made, Outputs, Runner

# One request a line in, one answer a line out. Arrays are the base64 text of their float64 bytes.
DRIVER = """
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
const started = [];
const array = (text) => new Float64Array(Uint8Array.from(Buffer.from(text, "base64")).buffer);
const text = (x) => Buffer.from(Float64Array.from(x).buffer).toString("base64");
const read = (x) => typeof x === "string" ? array(x) : Array.isArray(x) ? x.map(read) : x;
const write = (x) => ArrayBuffer.isView(x) ? text(x) : Array.isArray(x) ? x.map(write) : x ?? null;
async function answer({ path, number, method, given }) {
  if (path !== undefined) {
    const module = await import(`${pathToFileURL(path)}?${started.length}`);
    return started.push({ module, model: new module.Model() }) - 1;
  }
  const { module, model } = started[number];
  if (method === "selftest") return module.selftest();
  if (method === "saturated") return model.saturated;
  return write(model[method](...read(given)));
}
for await (const line of createInterface({ input: process.stdin })) {
  let found;
  try {
    found = { result: await answer(JSON.parse(line)) };
  } catch (error) {
    found = { error: error.message, kind: error.name };
  }
  process.stdout.write(JSON.stringify(found) + "\\n");
}
"""


class Node:
    """A process of node that runs generated files until this program ends."""

    def __init__(self) -> None:
        program = shutil.which("node")
        if program is None:
            raise CodegenError("node is not there to run JavaScript: install Node.js 18 or later")
        pipe = subprocess.PIPE
        command = [program, "--input-type=module", "--eval", DRIVER]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        atexit.register(self.close)

    def close(self) -> None:
        """End the process: it has no more to read."""
        with self.process:
            pass

    def ask(self, **request: Any) -> Any:
        """What node answers; ValueError with the message of an error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise CodegenError("node has ended while it ran the file")
        found = json.loads(line)
        if "error" in found:
            raise ValueError(f"{found['kind']}: {found['error']}")
        return found["result"]


@cache
def node() -> Node:
    """The one process."""
    return Node()


def start(made: Made) -> Runner:
    """The model in the file."""
    return JavaScriptRunner(made)


class JavaScriptRunner:
    """A file of the javascript target."""

    longest = None

    def __init__(self, made: Made) -> None:
        self.lowered, self.node = made.lowered, node()
        program = self.lowered.step or self.lowered.whole
        self.states = len(program.states)
        try:
            self.number = self.node.ask(path=str(made.path.resolve()))
        except ValueError as error:
            raise CodegenError(f"{made.path.name}: cannot be imported: {error}") from error

    def _call(self, method: str, *given: Any) -> Any:
        return self.node.ask(number=self.number, method=method, given=given)

    def reset(self) -> None:
        """Every state at its start."""
        self._call("reset")

    def selftest(self) -> bool:
        """Whether the self-test in the file passes."""
        return bool(self._call("selftest"))

    @property
    def saturated(self) -> int:
        """How many numbers of a file of integers were beyond their range."""
        return int(self._call("saturated"))

    def step(self, *inputs: Array) -> Outputs | None:
        """One step."""
        program = self.lowered.step
        if program is None:
            raise CodegenError(f"the model has no step: {self.lowered.reason}")
        found = self._call("step", *map(_text, inputs))
        return None if found is None else _outputs(found, program.outputs, {})

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input."""
        program = self.lowered.whole
        lengths: dict[str, int] = {}
        for x, port in zip(inputs, program.inputs, strict=True):
            for name in dims.symbols(port.shape[0]) if port.shape else ():
                if lengths.setdefault(name, len(x)) != len(x):
                    raise ValueError(f"expected inputs of {lengths[name]} steps, found {len(x)}")
        steps = [lengths[name] for name in program.lengths]
        return _outputs(
            self._call("predict", *map(_text, inputs), *steps), program.outputs, lengths
        )

    def get_state(self) -> list[Array]:
        """Copies of the states."""
        return [_array(text) for text in self._call("getState")]

    def set_state(self, states: Sequence[Array]) -> None:
        """Put back what get_state gave."""
        self._call("setState", [_text(state) for state in states])


def _text(x: Array) -> str:
    return base64.b64encode(np.asarray(x, "<f8").tobytes()).decode()


def _array(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text), "<f8")


def _outputs(found: Any, ports: Sequence[Port], lengths: dict[str, int]) -> Outputs:
    texts = found if isinstance(found, list) else [found]
    shapes = [tuple(dims.value(n, lengths) for n in port.shape) for port in ports]
    return tuple(_array(y).reshape(shape) for y, shape in zip(texts, shapes, strict=True))
