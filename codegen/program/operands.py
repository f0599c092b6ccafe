"""Constants as operands of layers: which of their axes is the batch axis.

Keras knows no constants: each is a tensor whose batch axis has length 1, or that of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.tensor import Tensor

Keywords = Mapping[str, tuple[Tensor, ...]]


def settled(
    layer: Layer, inputs: Sequence[Tensor], keywords: Keywords
) -> tuple[list[Tensor], dict[str, tuple[Tensor, ...]]]:
    """The operands of one call, constants without their batch axis."""
    ranks = {len(x.shape) for x in inputs if not x.stored}
    rank = max(ranks, default=0)
    if layer.aligns and len(ranks) > 1:
        raise LayerError(
            f"its operands have {min(ranks) + 1} and {rank + 1} axes, of which the last meet: the "
            "batch axis of one meets another axis; an expand_dims before it says which is meant"
        )

    def operand(x: Tensor, key: str = "") -> Tensor:
        if not x.stored:
            return x
        axes = len(x.shape)
        if layer.aligns and not key:
            batched = axes > rank
            if axes > rank + 1:
                raise LayerError(
                    f"its constant of shape {x.shape} has more axes than what it meets"
                )
        else:  # Keras takes an attention mask for all samples, too
            batched = not (key == "attention_mask" and axes == 2)
        found = values(x)
        if key.endswith("mask") and found is not None and not np.isin(found, (0.0, 1.0)).all():
            raise LayerError(f"its {key} is a constant that holds other than true and false")
        return _sample(x) if batched else replace(x, stored=False)

    return (
        [operand(x) for x in inputs],
        {key: tuple(operand(x, key) for x in xs) for key, xs in keywords.items()},
    )


def values(x: Tensor) -> Array | None:
    """The numbers of a tensor that is constant, else None."""
    if x.buffer.kind != "const" or x.buffer.data is None:
        return None
    start, shape = dims.fixed(x.offset), tuple(dims.fixed(n) for n in x.shape)
    return x.buffer.data[start : start + math.prod(shape)].reshape(shape)


def _sample(x: Tensor) -> Tensor:
    """A constant as each sample of the batch meets it."""
    found = values(x)
    if found is None or not found.ndim:
        raise LayerError("its constant is a number, which has no batch axis")
    if len(found) > 1 and (found != found[:1]).any():
        raise LayerError(
            f"its constant of shape {found.shape} differs from sample to sample; one with a batch "
            "axis of 1 is supported"
        )
    return replace(x.at(0), stored=False)
