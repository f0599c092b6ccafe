"""Instructions of a step on cores that a model may run on, estimated from counted ones.

`benchmarks/results/cores.json` has the counts: 17 models, with floats and with rounded weights, on
emulated cores, by GCC 12 at -O2; `benchmarks/run_cores.py` fits the prices to them. `off` is how
far they were from a model that was left out of the fit, at worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.lowered import Lowered
from codegen.report.work import Work, work

COUNTED = 17  # models
OTHER_SET = 0.5  # `off` for a core whose own instructions nobody has counted


@dataclass(frozen=True)
class Prices:
    """Instructions for each kind of work."""

    each: Work
    off: float


@dataclass(frozen=True)
class Core:
    """A core, and the emulated one that stands for it."""

    name: str
    boards: str
    emulated: str
    counted: bool = True  # on its own instruction set


CORES = (
    Core("Cortex-M0", "micro:bit, Zero, Pico", "microbit"),
    Core("Cortex-M4F", "Nano 33 BLE, micro:bit 2, STM32F4", "m4f"),
    Core("Cortex-M7", "STM32F7, STM32H7, Teensy 4", "m7"),
    Core("ESP32-C3", "RISC-V without FPU", "rv32"),
    Core("ESP32, ESP32-S3", "Xtensa with FPU", "rv32f", counted=False),
)

PRICES: Mapping[tuple[str, str], Prices] = {
    ("microbit", "float"): Prices(Work(105, 0, 170, 0, 79.9, 2960), 0.4),
    ("microbit", "weights"): Prices(Work(2590, 0, 222, 0, 8.97, 3170), 0.6),
    ("m4f", "float"): Prices(Work(29, 5.7, 2.4, 2.64, 0, 24.4), 0.2),
    ("m4f", "weights"): Prices(Work(25, 14.8, 4.74, 1.78, 1.04, 26.1), 0.15),
    ("m7", "float"): Prices(Work(33.3, 5.37, 2.41, 2.53, 0, 24.6), 0.2),
    ("m7", "weights"): Prices(Work(27.8, 14.5, 4.75, 1.7, 1.05, 26.4), 0.15),
    ("rv32", "float"): Prices(Work(106, 0, 167, 0, 74.7, 2410), 0.3),
    ("rv32", "weights"): Prices(Work(2320, 13.7, 220, 0, 12.1, 2620), 0.55),
    ("rv32f", "float"): Prices(Work(0, 9.61, 3.2, 3.35, 0, 21.8), 0.2),
    ("rv32f", "weights"): Prices(Work(0, 21, 4.43, 3.42, 0, 21.2), 0.15),
}


@dataclass(frozen=True)
class Estimate:
    """Instructions of one step, and between which they should be."""

    core: Core
    instructions: float
    off: float

    @property
    def low(self) -> float:
        """The least."""
        return self.instructions / (1 + self.off)

    @property
    def high(self) -> float:
        """The most."""
        return self.instructions * (1 + self.off)


def scheme_of(lowered: Lowered) -> str:
    """By what name its prices go."""
    return "float" if lowered.quantised is None else lowered.quantised.scheme


def estimates(lowered: Lowered) -> list[Estimate]:
    """For each core; none where nothing of the kind was ever counted."""
    if lowered.model.dtype == "float64":
        return []
    done, scheme = work(lowered), scheme_of(lowered)
    found = []
    for core in CORES:
        prices = PRICES.get((core.emulated, scheme))
        if prices is not None:
            off = prices.off if core.counted else max(prices.off, OTHER_SET)
            found.append(Estimate(core, done.cost(prices.each), off))
    return found
