"""Passes: each makes another program of a program, which computes the same to rounding.

What a target runs stands in its `PASSES`, in order. `layout` is an analysis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from codegen.program.ops import Program

Pass: TypeAlias = Callable[[Program], Program]
