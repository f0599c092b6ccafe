"""How a file is read, as its user asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """The options of `codegen.read`; each reader takes those that it knows."""

    config: Path | None = None
    by_name: bool = False
    keras_version: str | None = None
    allow_nonfinite: bool = False
    inference: bool = False
    max_bytes: int = 256 * 2**20
    rate_ratio: float = 1.0
    prewarm: int = 0
    custom: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None  # of a live torch module: its inputs
    states: Mapping[str, Any] = field(default_factory=dict)  # input or argument: what it becomes
    axes: Mapping[str, str] = field(default_factory=dict)  # of ONNX: BT_ by input or output
    constants: Mapping[str, float] = field(default_factory=dict)  # of ONNX: the value of an input
    initial_state: Path | None = None  # of ONNX: .npz
