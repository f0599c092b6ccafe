"""The state dict in what a pickle of torch holds: alone, or among other things in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget
from codegen.readers.sniff import WRAPPERS
from codegen.readers.torch.pickles import Opaque, Storage, TensorRef
from codegen.readers.torch.tensors import (
    Stored,
    Weights,
    as_numbers,
    checked,
    size,
    stored_type,
)

Block = Callable[[Storage], Array]  # the elements of a storage, as they are stored


def select(value: Any, label: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The state dict, and the names of what stands beside it."""
    if isinstance(value, TensorRef):
        raise ReadError(f"{label}: holds one tensor without a name; expected a state dict")
    if not isinstance(value, dict):
        what = value.what if isinstance(value, Opaque) else type(value).__name__
        raise ReadError(f"{label}: holds a {what}, expected a state dict")
    if _is_state_dict(value):
        return _named(value), ()
    inside = {key: part for key, part in value.items() if _is_state_dict(part)}
    known = [key for key in WRAPPERS if key in inside]
    if not known and len(inside) == 1:
        known = list(inside)
    if not inside:  # one level deeper, where there is but one way
        deeper = [key for key in WRAPPERS if isinstance(value.get(key), dict)]
        if deeper:
            chosen, aside = select(value[deeper[0]], label)
            return chosen, (*(str(key) for key in value if key != deeper[0]), *aside)
    if not known:
        listed = ", ".join(str(key) for key in list(inside or value)[:20]) or "nothing"
        found = "several state dicts" if inside else "no state dict"
        raise ReadError(
            f"{label}: holds {found} (found: {listed}); save the one that is meant alone, or "
            f"under the name {WRAPPERS[0]!r}"
        )
    aside = tuple(str(key) for key in value if key != known[0])
    return _named(inside[known[0]]), aside


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(part, TensorRef) for part in value.values())


def _named(value: dict[Any, Any]) -> dict[str, Any]:
    """The entries that are tensors of any kind; what stands beside them counts for nothing."""
    return {
        key: part
        for key, part in value.items()
        if isinstance(key, str)
        and (isinstance(part, TensorRef) or (isinstance(part, Opaque) and part.is_tensor))
    }


def weights(value: Any, form: str, label: str, budget: Budget, block: Block) -> Weights:
    """The tensors of the state dict in `value`, each counted in the budget."""
    chosen, aside = select(value, label)
    tensors: dict[str, Stored] = {}
    counted: set[str] = set()
    for name, found in chosen.items():
        where = f"{label}: tensor {name!r}"
        if isinstance(found, Opaque):
            raise ReadError(f"{where} is a {found.what}, which is not supported")
        storage = found.storage
        total = size(found.shape, storage.dtype, where)
        if storage.key not in counted:
            counted.add(storage.key)
            total = max(total, size((storage.count,), storage.dtype, where))
        budget.take(total, where)
        tensors[name] = _stored(found, block)
    return Weights(checked(tensors, label), form, "PyTorch", aside)


def _stored(ref: TensorRef, block: Block) -> Stored:
    dtype = ref.storage.dtype

    def load() -> Array:
        raw = block(ref.storage)
        if 0 in ref.shape:
            return as_numbers(np.zeros(ref.shape, raw.dtype), dtype)
        strides = tuple(n * raw.itemsize for n in ref.strides)
        view = np.lib.stride_tricks.as_strided(raw[ref.offset :], ref.shape, strides)
        return as_numbers(view, dtype)

    return Stored(ref.shape, dtype, load)


def elements(data: bytes, storage: Storage, order: str, label: str) -> Array:
    """The elements of a storage out of the bytes of its block."""
    kind = stored_type(storage.dtype, order)
    start, count = storage.start, storage.count
    if (start + count) * kind.itemsize > len(data):
        raise ReadError(f"{label}: storage {storage.key!r} is shorter than declared")
    return np.frombuffer(data, kind, count, start * kind.itemsize)
