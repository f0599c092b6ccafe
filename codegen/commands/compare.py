"""Two generated files of one model, run on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codegen.commands.pairs import error_curve, measured, outputs_of
from codegen.lowered import Lowered
from codegen.lowered.differences import Difference, worst_of
from codegen.model import Array
from codegen.running import Runner


@dataclass(frozen=True)
class Comparison:
    """How far the outputs of a second file are from those of a first, over so many time steps."""

    steps: int
    outputs: tuple[Difference, ...]
    curve: tuple[float, ...] = ()  # the largest error at each step that gives an output

    @property
    def largest(self) -> float:
        """The largest error of all outputs."""
        return max(one.largest for one in self.outputs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the worst of all outputs, then each."""
        outputs = [asdict(one) for one in self.outputs]
        return {"steps": self.steps, **worst_of(self.outputs), "outputs": outputs}


def compare(
    lowered: Lowered,
    files: tuple[Runner, Runner],
    inputs: Sequence[Array],
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Run both files; CodegenError where they cannot take the same inputs."""
    outputs = outputs_of(lowered, *files, inputs, advance)
    timed = [len(x) for x, p in zip(inputs, lowered.whole.inputs, strict=True) if p.time]
    curve = tuple(map(float, error_curve(lowered, *outputs)))
    return Comparison(min(timed, default=0), measured(lowered, *outputs), curve)
