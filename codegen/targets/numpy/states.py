"""The states of a NumPy file: how they start, and how they are given and taken."""

from __future__ import annotations

import numpy as np

from codegen.lowered import Lowered
from codegen.program.ops import Buffer, Program, State
from codegen.targets.numpy.text import Module
from codegen.text import names


class States:
    """Bodies of the methods that have to do with states."""

    def __init__(self, lowered: Lowered, program: Program, module: Module) -> None:
        self.lowered, self.program, self.module = lowered, program, module
        self._initials: dict[Buffer, Buffer] = {}

    def initial(self, state: State) -> str:
        """What a state starts from."""
        if state.initial is None:
            return "0"
        buffer = self._initial_buffer(state)
        return self.module.constant(buffer).name

    def _initial_buffer(self, state: State) -> Buffer:
        if state.buffer not in self._initials:
            assert state.initial is not None
            data = np.asarray(state.initial)
            self._initials[state.buffer] = Buffer(
                f"{state.buffer.name}_initial",
                int(data.size),
                "const",
                "float32",
                data.reshape(-1),
                (),
                state.shape,
            )
        return self._initials[state.buffer]

    def reset(self) -> list[str]:
        """The body of reset."""
        lines = []
        given = [s for s in self.program.states if s.initial is not None]
        if len(given) < len(self.program.states):
            lines += ["for array in self.states:", "    array[...] = 0"]
        for number, state in enumerate(self.program.states):
            if state.initial is not None:
                lines.append(f"self.states[{number}][...] = {self.initial(state)}")
        if self.lowered.warmup:
            lines.append("self.seen = 0")
        return lines or ["pass"]

    def names(self) -> str:
        """The states in the order of get_state, for its docstring."""
        shown = [f"{s.layer} {s.role}" for s in self.program.states]
        if self.lowered.warmup:
            shown.append("steps seen")
        text = ", ".join(shown) if shown else "there are none"
        return names.comment(text, 70)

    def get_state(self) -> list[str]:
        """The body of get_state."""
        if self.lowered.warmup:
            seen = f"np.array([self.seen], {self.module.dtype})"
            return [f"return [array.copy() for array in self.states] + [{seen}]"]
        return ["return [array.copy() for array in self.states]"]

    def set_state(self) -> list[str]:
        """The body of set_state."""
        lines = ["own = self.states"]
        count = len(self.program.states) + bool(self.lowered.warmup)
        dtype = self.module.dtype
        shapes = "[array.shape for array in own]"
        if self.lowered.warmup:
            shapes += " + [(1,)]"
        lines += [
            f"shapes = {shapes}",
            "if len(states) != len(shapes):",
            f'    raise ValueError("expected {count} states, found %d" % len(states))',
            "states = [",
            f'    accept(values, "state %d" % n, {dtype}, shape)',
            "    for n, (values, shape) in enumerate(zip(states, shapes))",
            "]",
            "for array, values in zip(own, states):",
            "    array[...] = values",
        ]
        if self.lowered.warmup:
            lines.append("self.seen = int(states[-1][0])")
        return lines
