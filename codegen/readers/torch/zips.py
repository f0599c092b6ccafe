"""State dicts as torch 1.6 and later saves them: a zip of one pickle and its storages.

`ROOT/data.pkl` names storages by keys, `ROOT/data/KEY` holds their numbers; ROOT may be anything.
"""

from __future__ import annotations

import io
from functools import cache

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.archive import Archive
from codegen.readers.files.limits import Budget
from codegen.readers.torch import pickles, state_dict
from codegen.readers.torch.pickles import Storage
from codegen.readers.torch.tensors import Weights

PICKLE = "/data.pkl"


def read(archive: Archive, label: str, budget: Budget) -> Weights:
    """The state dict in an open archive."""
    roots = [name[: -len(PICKLE)] for name in archive.names if name.endswith(PICKLE)]
    if len(roots) != 1:
        raise ReadError(f"{label}: the archive has {len(roots)} members data.pkl")
    (root,) = roots
    if any(name.startswith(f"{root}/code/") for name in archive.names):
        raise ReadError(
            f"{label}: a TorchScript archive, which holds code; save the weights alone: "
            "torch.save(model.state_dict(), ...)"
        )
    data = archive.read(f"{root}{PICKLE}", pickles.MAX_BYTES)
    value = pickles.Interpreter(io.BytesIO(data), label).load()
    order = "<"
    if f"{root}/byteorder" in archive.names:
        said = archive.read(f"{root}/byteorder", 16)
        if said not in (b"little", b"big"):
            raise ReadError(f"{label}: byteorder is {said!r}")
        order = ">" if said == b"big" else "<"

    @cache
    def block(storage: Storage) -> Array:
        name = f"{root}/data/{storage.key}"
        if name not in archive.names:
            raise ReadError(f"{label}: storage {storage.key!r} is not in the archive")
        return state_dict.elements(archive.read(name, budget.limit), storage, order, label)

    return state_dict.weights(value, "torch_zip", label, budget, block)
