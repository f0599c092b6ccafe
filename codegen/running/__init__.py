"""Runs a generated file from here, with the same methods whatever its language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codegen.lowered import Lowered
from codegen.program.ops import Array

Outputs = tuple[Array, ...]


@dataclass(frozen=True)
class Made:
    """A generated file: where it is, and what it was made of.

    `folder` is there for as long as the file runs; a compiler may write into it.
    """

    path: Path
    name: str
    lowered: Lowered
    dtype: str
    folder: Path


class Runner(Protocol):
    """A generated model; arrays have no batch axis."""

    @property
    def longest(self) -> int | None:
        """The largest number of time steps that predict takes, if there is one."""

    def reset(self) -> None:
        """Every state at its start."""

    def step(self, *inputs: Array) -> Outputs | None:
        """One step; None while warming up."""

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input; ValueError where its length is not accepted."""

    def get_state(self) -> list[Array]:
        """Copies of the states, each flattened."""

    def set_state(self, states: Sequence[Array]) -> None:
        """Put back what get_state gave."""
