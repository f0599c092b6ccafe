"""What a generated header costs on a microcontroller: flash, RAM, stack, and whether it fits.

Weights, state and scratch are exact: they follow from the layout. Code and stack are estimates
from what GCC 12 makes of the kernels for a Cortex-M4F at -O2, the worst of the cores tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.errors import LONGEST_CELL, visible
from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.ops import Buffer, Program, bytes_of, reads, walk_ops
from codegen.targets.c import sizes

KIB = 1024


@dataclass(frozen=True)
class Board:
    """A board with the bytes that a program can use of it."""

    name: str
    chip: str
    flash: int
    ram: int


# Flash without boot loaders and, on ESP, without other partitions; RAM as data sheets give it.
BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        Board("uno", "ATmega328P", 32256, 2 * KIB),
        Board("mega", "ATmega2560", 248 * KIB, 8 * KIB),
        Board("zero", "SAMD21G18", 248 * KIB, 32 * KIB),
        Board("microbit", "nRF51822", 256 * KIB, 16 * KIB),
        Board("microbit2", "nRF52833", 512 * KIB, 128 * KIB),
        Board("nano33ble", "nRF52840", 960 * KIB, 256 * KIB),
        Board("bluepill", "STM32F103C8", 64 * KIB, 20 * KIB),
        Board("stm32l4", "STM32L432KC", 256 * KIB, 64 * KIB),
        Board("stm32f4", "STM32F407VG", 1024 * KIB, 128 * KIB),
        Board("stm32f7", "STM32F746ZG", 1024 * KIB, 320 * KIB),
        Board("stm32h7", "STM32H743ZI", 2048 * KIB, 512 * KIB),
        Board("pico", "RP2040", 2048 * KIB, 264 * KIB),
        Board("pico2", "RP2350", 4096 * KIB, 520 * KIB),
        Board("esp8266", "ESP8266", 1024 * KIB, 80 * KIB),
        Board("esp32", "ESP32", 1280 * KIB, 320 * KIB),
        Board("esp32c3", "ESP32-C3", 1280 * KIB, 400 * KIB),
        Board("teensy40", "i.MX RT1062", 1984 * KIB, 512 * KIB),
    )
}

# Stack frames in bytes, from -fstack-usage.
PREDICT_FRAME = 24
STEP_FRAME = 36  # saved registers
STEP_FRAME_LONG = 76  # with what is spilled once a step has several layers
LAYERS_OF_SHORT_STEP = 2
KERNEL_FRAMES: Mapping[str, int] = {
    "affine": 68,
    "affine_int8": 60,
    "dot": 48,
    "dot_int8": 32,
    "gather": 24,
    "gather_int8": 24,
    "product": 36,
    "push": 20,
    "shift": 20,
}
LEAF_FRAME = 32  # of any other function

# Code in bytes: what a header needs anyway, each kernel, each layer's statements.
CODE_BASE = 500
CODE_KERNEL = 350
CODE_LAYER = 350


@dataclass(frozen=True)
class LayerCost:
    """One layer. `flash` for its weights, `ram` for its states."""

    name: str
    parameters: int
    macs: int
    flash: int
    ram: int


@dataclass(frozen=True)
class Cost:
    """Bytes of one header with `options`; `code` and `stack` are estimates."""

    layers: tuple[LayerCost, ...]
    weights: int
    state: int
    scratch: int
    code: int
    stack: int

    @property
    def flash(self) -> int:
        """Weights and code."""
        return self.weights + self.code

    @property
    def ram(self) -> int:
        """State, scratch and stack."""
        return self.state + self.scratch + self.stack

    def fits(self, board: Board) -> bool:
        """Whether the board holds it, with nothing else on it."""
        return self.flash <= board.flash and self.ram <= board.ram

    def verdict(self, board: Board) -> str:
        """A sentence about the board."""
        parts = [
            f"{what} {have:,} of {room:,} bytes ({100 * have / room:.0f} %)"
            for what, have, room in (
                ("flash", self.flash, board.flash),
                ("RAM", self.ram, board.ram),
            )
        ]
        answer = "fits" if self.fits(board) else "does not fit"
        return f"{board.name} ({board.chip}): {answer}: {', '.join(parts)}"


def cost(lowered: Lowered, options: Mapping[str, Any] | None = None) -> Cost:
    """What the header costs with these options of the C target; the mcu profile if not said."""
    options = {"profile": "mcu", **(options or {})}
    total, kernels = sizes(lowered, options)
    item = 8 if (options.get("dtype") or lowered.model.dtype) == "float64" else 4
    program = lowered.step or lowered.whole
    states: dict[str, int] = {}
    starts: dict[str, int] = {}
    for state in program.states:
        size = item * dims.fixed(state.buffer.size)
        states[state.layer] = states.get(state.layer, 0) + size
        if state.initial is not None and np.any(state.initial):
            starts[state.layer] = starts.get(state.layer, 0) + size
    weights = _rounded_weights(program, item) if lowered.quantised else {}
    layers = tuple(
        LayerCost(
            r.name,
            r.parameters,
            r.macs,
            (weights.get(r.name, 0) if lowered.quantised else item * r.parameters)
            + starts.get(r.name, 0),
            states.get(r.name, 0),
        )
        for r in lowered.layers
    )
    blocks = len(program.blocks)
    frame = STEP_FRAME if blocks <= LAYERS_OF_SHORT_STEP else STEP_FRAME_LONG
    deepest = max([LEAF_FRAME, *(KERNEL_FRAMES.get(k, LEAF_FRAME) for k in kernels)])
    outer = PREDICT_FRAME if lowered.step is not None else 0
    code = CODE_BASE + CODE_KERNEL * len(kernels) + CODE_LAYER * blocks
    return Cost(layers, total.weights, total.state, total.scratch, code, outer + frame + deepest)


def _rounded_weights(program: Program, item: int) -> dict[str, int]:
    """Bytes of the constants by the layer that is the first to read them."""
    found: dict[str, int] = {}
    seen: set[Buffer] = set()
    for block in program.blocks:
        for source in (source for op in walk_ops(block.ops) for source in reads(op)):
            if source.buffer.kind == "const" and source.buffer not in seen:
                seen.add(source.buffer)
                found[block.name] = found.get(block.name, 0) + bytes_of(source.buffer, item)
    return found


def table(found: Cost) -> str:
    """One line a layer, then the totals."""
    rows = [("layer", "parameters", "multiply-adds", "flash", "RAM")]
    rows += [
        (
            visible(r.name, LONGEST_CELL),
            f"{r.parameters:,}",
            f"{r.macs:,}",
            f"{r.flash:,}",
            f"{r.ram:,}",
        )
        for r in found.layers
    ]
    rows += [
        ("scratch", "", "", "", f"{found.scratch:,}"),
        ("code, stack (estimated)", "", "", f"{found.code:,}", f"{found.stack:,}"),
        (
            "total",
            f"{sum(r.parameters for r in found.layers):,}",
            f"{sum(r.macs for r in found.layers):,}",
            f"{found.flash:,}",
            f"{found.ram:,}",
        ),
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
