"""The `.keras` zip: three members by exact name, read into memory within limits."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from codegen.errors import ReadError
from codegen.readers.keras.config import MAX_TEXT

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
MAX_MEMBERS = 10_000
MAX_RATIO = 1_000


def read_members(path: Path, label: str, max_bytes: int) -> dict[str, bytes]:
    """The members of `MEMBERS` that are there; nothing is ever unpacked to disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            for info in infos:  # Python 3.12 and later would take another name from an extra field
                info.filename = info.orig_filename.split("\0")[0]
            names = [info.filename for info in infos]
            if len(names) > MAX_MEMBERS:
                raise ReadError(f"{label}: the archive has {len(names)} members")
            for info in infos:
                if info.filename in MEMBERS:
                    _check(info, names, label, max_bytes)
            if "config.json" not in names:
                raise ReadError(_no_config(names, label))
            if "model.weights.h5" not in names:
                kinds = [name for name in names if name.startswith("model.weights")]
                found = kinds[0] if kinds else "no weights"
                raise ReadError(f"{label}: expected the member model.weights.h5, found {found}")
            return {
                info.filename: _bounded(archive, info, label)
                for info in infos
                if info.filename in MEMBERS
            }
    except ReadError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise ReadError(f"{label}: damaged zip archive ({error})") from None
    except (NotImplementedError, RuntimeError) as error:
        raise ReadError(f"{label}: this zip archive cannot be read ({error})") from None
    except Exception as error:  # noqa: BLE001  # zipfile meets damaged headers with struct.error and others
        raise ReadError(f"{label}: damaged zip archive ({type(error).__name__})") from None


def _no_config(names: list[str], label: str) -> str:
    if any(name.endswith("saved_model.pb") for name in names):
        return f"{label}: a zipped SavedModel; save the model again as .h5 or .keras"
    if any(name.endswith(".npy") for name in names):
        return f"{label}: a NumPy archive, not a Keras model"
    return f"{label}: a zip archive without config.json, so no Keras model"


def _check(info: zipfile.ZipInfo, names: list[str], label: str, max_bytes: int) -> None:
    name = info.filename
    if names.count(name) > 1:
        raise ReadError(f"{label}: the archive has {name} twice")
    if info.flag_bits & 1:
        raise ReadError(f"{label}: member {name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ReadError(f"{label}: member {name} is compressed by an unusual method")
    # HDF5 adds its own bookkeeping to the numbers.
    limit = max_bytes + max_bytes // 4 + 2**24 if name.endswith(".h5") else MAX_TEXT
    if info.file_size > limit:
        raise ReadError(
            f"{label}: member {name} takes {info.file_size / 2**20:.0f} MiB, more than the limit "
            "(--max-bytes)"
        )
    if info.file_size > 65_536 + MAX_RATIO * info.compress_size:
        raise ReadError(f"{label}: member {name} is compressed more than {MAX_RATIO}-fold")


def _bounded(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> bytes:
    """The member's bytes, never more than its header declares."""
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ReadError(f"{label}: member {info.filename} is not as long as declared")
    return data
