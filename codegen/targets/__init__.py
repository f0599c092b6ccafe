"""The languages that a model can be converted to."""

from __future__ import annotations

from codegen.targets import c, javascript, numpy, python
from codegen.targets.base import Target

TARGETS: dict[str, Target] = {
    t.name: t for t in (c.TARGET, numpy.TARGET, python.TARGET, javascript.TARGET)
}
