"""From a class of `torch.nn`, its options and tensors to canonical layers.

Options have torch's names and the defaults of torch 2. Formulas: the documentation of `torch.nn`.
"""

from __future__ import annotations

import difflib

from codegen.errors import LayerError
from codegen.model import Layer
from codegen.readers.torch.description import unknown
from codegen.readers.torch.layers import core, normalization, recurrent, windows
from codegen.readers.torch.layers.bound import Bound, Kind

__all__ = ["ELEMENTWISE", "KINDS", "UNKNOWN", "Bound", "build"]

ELEMENTWISE = (*core.ACTIVATIONS, *core.NOTHING)  # whatever the axes are

UNKNOWN = "Unknown"  # in a proposal: what only the user can tell

KINDS: dict[str, Kind] = {
    **recurrent.KINDS,
    **core.KINDS,
    **windows.KINDS,
    **normalization.KINDS,
}


def build(b: Bound, inputs: int) -> tuple[Layer, ...]:
    """The canonical layers that the class is, one after the other; LayerError where it is none."""
    if b.class_name == UNKNOWN:
        raise LayerError("it is still to be filled in: name a layer for this place, or remove it")
    kind = KINDS.get(b.class_name)
    if kind is None:
        close = difflib.get_close_matches(b.class_name, KINDS, 1)
        hint = f"did you mean {close[0]}?" if close else "docs/pytorch.md lists those that are"
        raise LayerError(f"the class is not supported; {hint}")
    for key in b.options:
        if key not in kind.options:
            raise LayerError(f"it has {unknown(key, kind.options)}")
    unset = [key for key, value in b.options.items() if value is None and key not in kind.nullable]
    if unset:
        are = "is null" if len(unset) == 1 else "are null"
        raise LayerError(f"{', '.join(unset)} {are}: give what the tensors do not tell")
    low, high = kind.inputs
    if not low <= inputs <= high:
        raise LayerError(f"it takes {inputs} inputs, expected {low if low == high else 'several'}")
    found = kind.build(b)
    return found if isinstance(found, tuple) else (found,)
