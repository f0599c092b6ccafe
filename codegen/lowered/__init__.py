"""What lowering returns and every target starts from: a model as Programs, with its facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codegen.lowered.differences import Difference
from codegen.model import Model
from codegen.program.ops import Program


@dataclass(frozen=True)
class LayerReport:
    """One layer for tables: `output_shape` has None for a free length."""

    name: str
    class_name: str
    describe: str
    output_shape: tuple[int | None, ...]
    parameters: int
    macs: int  # multiply-adds of one step (of one predict where there is no step)
    stateful: bool


@dataclass(frozen=True)
class Quantised:
    """The model as it was in floats, and what rounding does: how it is done, and how far off it is.

    The `errors` are those of the outputs over `steps` time steps of `data`, noise or a file's name.
    The `inputs` have their ranges in integers, and `told` says for the banner where these are from
    and what else saturates.
    """

    original: Lowered
    scheme: str  # weights, int8, int16
    steps: int
    errors: tuple[Difference, ...]
    data: str = "noise"
    inputs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lowered:
    """What targets start from.

    `step` is None where the model cannot run one step at a time, and `reason` says why. A step
    takes `hop` rows of each input that has a time axis; the first `warmup` steps give nothing.
    `whole` is predict; it has the same states as `step` where there is one, and starts with all
    that are not carried at their initial value. With `fills_up` a window of `whole` may be short of
    rows where the sequence ends (padding='same'), which no step sees. With `by_row` there is no
    step, but predict of one row is one: its states are inputs and outputs. `quantised` where
    weights are rounded.
    """

    model: Model
    whole: Program
    step: Program | None
    reason: str | None
    warmup: int
    hop: int
    layers: tuple[LayerReport, ...]
    fills_up: bool = False
    by_row: bool = False
    quantised: Quantised | None = None

    @property
    def loops(self) -> bool:
        """Whether predict is a loop around the step: one row a step, one length for all inputs."""
        lengths = {str(p.shape[0]) for p in self.whole.inputs if p.time}
        return self.step is not None and self.hop == 1 and len(lengths) <= 1

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name
