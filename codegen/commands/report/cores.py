"""Instructions of a step on cores that a model may run on, estimated from counted ones.

`benchmarks/results/cores.json` has the counts: 17 models in floats, with rounded weights and in
integers (without those that integers do not have), on emulated cores, by GCC 12 at -O2;
`benchmarks/run_cores.py` fits the prices to them. `off` is how far they were from a model that was
left out of the fit, at worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.commands.report.work import Work, work
from codegen.lowered import Lowered

OTHER_SET = 0.5  # `off` for a core whose own instructions nobody has counted


@dataclass(frozen=True)
class Prices:
    """Instructions for each kind of work."""

    each: Work
    off: float
    models: int  # that were counted


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
    ("microbit", "float"): Prices(Work(105, 0, 170, 0, 79.9, 2960, 0), 0.45, 17),
    ("microbit", "weights"): Prices(Work(2590, 0, 222, 0, 8.97, 3170, 0), 0.6, 17),
    ("microbit", "int8"): Prices(Work(0, 46.7, 4.51, 0, 7.72, 18.4, 389), 0.5, 15),
    ("microbit", "int16"): Prices(Work(0, 43, 4.75, 0, 8.1, 19.9, 387), 0.55, 15),
    ("m4f", "float"): Prices(Work(25.7, 8.4, 1.4, 2.27, 0, 21.6, 6.36), 0.35, 17),
    ("m4f", "weights"): Prices(Work(32.7, 18.1, 4.68, 0.561, 1.33, 21.8, 7.85), 0.1, 17),
    ("m4f", "int8"): Prices(Work(16.7, 18.5, 1.42, 1.64, 2.93, 13.6, 22), 0.2, 15),
    ("m4f", "int16"): Prices(Work(13.5, 19, 1.3, 1.85, 2.78, 12.9, 22.4), 0.2, 15),
    ("m7", "float"): Prices(Work(29.8, 8.1, 1.41, 2.17, 0, 21.9, 6.31), 0.35, 17),
    ("m7", "weights"): Prices(Work(35.8, 17.9, 4.68, 0.435, 1.35, 21.8, 8.15), 0.1, 17),
    ("m7", "int8"): Prices(Work(15.4, 19.7, 1.42, 0.91, 3.03, 13.4, 24.7), 0.2, 15),
    ("m7", "int16"): Prices(Work(27.2, 18.5, 1.36, 0.454, 3.13, 13.2, 25.8), 0.2, 15),
    ("rv32", "float"): Prices(Work(106, 0, 167, 0, 74.7, 2410, 0), 0.3, 17),
    ("rv32", "weights"): Prices(Work(2320, 13.7, 220, 0, 12.1, 2620, 0), 0.55, 17),
    ("rv32", "int8"): Prices(Work(0, 30.1, 4.75, 1.3, 3.52, 0, 335), 0.6, 15),
    ("rv32", "int16"): Prices(Work(0, 30.2, 4.73, 1.44, 3.37, 0, 336), 0.6, 15),
    ("rv32f", "float"): Prices(Work(0, 14.3, 3.1, 2.4, 0, 15.9, 10.3), 0.2, 17),
    ("rv32f", "weights"): Prices(Work(4.53, 24.6, 4.36, 2.52, 0, 16.5, 8.07), 0.15, 17),
    ("rv32f", "int8"): Prices(Work(0, 28, 4.8, 4.12, 0, 4.04, 24.6), 0.35, 15),
    ("rv32f", "int16"): Prices(Work(0, 28.2, 4.79, 4.1, 0, 3.87, 24.9), 0.35, 15),
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


def estimates(lowered: Lowered, scheme: str) -> list[Estimate]:
    """For each core, of a model in floats when it is converted with this `--quantize`.

    Empty where nothing of the kind was ever counted.
    """
    if lowered.model.dtype == "float64":
        return []
    done = work(lowered)
    found = []
    for core in CORES:
        prices = PRICES.get((core.emulated, scheme))
        if prices is not None:
            off = prices.off if core.counted else max(prices.off, OTHER_SET)
            found.append(Estimate(core, done.cost(prices.each), off))
    return found
