"""The languages that a model can be converted to."""

from __future__ import annotations

import importlib
import importlib.util

from codegen.targets.base import Target

TARGETS: dict[str, Target] = {
    name: importlib.import_module(f"codegen.targets.{name}").TARGET
    for name in ("c", "numpy", "python")
    if importlib.util.find_spec(f"codegen.targets.{name}")
}
