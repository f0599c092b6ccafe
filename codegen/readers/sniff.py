"""What a file is, from its first bytes; the suffix is never asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen.errors import ReadError
from codegen.readers import formats
from codegen.readers.files import archive
from codegen.readers.files.limits import Digest
from codegen.readers.settings import parse_object

HDF5, ZIP, DIRECTORY, JSON = "hdf5", "zip", "directory", "json"
TORCH_ZIP, TORCH_LEGACY, SAFETENSORS, NPZ = "torch_zip", "torch_legacy", "safetensors", "npz"
TORCH_JSON = "torch_json"
OF_TORCH = (TORCH_ZIP, TORCH_LEGACY, SAFETENSORS, NPZ, TORCH_JSON)
ONNX = "onnx"
RTNEURAL, GUITARML, NAM = "rtneural", "guitarml", "nam"

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
# The pickle of the number with which torch before 1.6 began its files.
_TORCH_LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_AGAIN = "save the model again as .h5 or .keras"
# Where checkpoints of torch keep a state dict, the usual names first.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# Audio models, by the keys of their JSON object.
_OBJECTS = (
    ({"model_data", "state_dict"}, GUITARML),
    ({"architecture", "config", "weights"}, NAM),
    ({"in_shape", "layers"}, RTNEURAL),
)


def kind(path: Path, label: str) -> str:
    """One of the kinds above; a ReadError says what else was found."""
    try:
        if path.is_dir():
            if (path / "saved_model.pb").exists() or (path / "variables").is_dir():
                raise ReadError(f"{label}: a SavedModel directory; {_AGAIN}")
            if (path / "config.json").is_file():
                return DIRECTORY
            raise ReadError(f"{label}: a directory without config.json, so no Keras model")
        if not path.exists():
            raise ReadError(f"{label}: no such file")
        if not path.is_file():
            raise ReadError(f"{label}: not a regular file")
        with path.open("rb") as file:
            start = file.read(4096)
            file.seek(0, 2)
            size = file.tell()
            # HDF5 may start after a block of the user's own: at 512, 1024, 2048, ... In a .keras
            # file, whose members are not packed, the weights start there once in a while.
            offset = 512
            known = start.startswith((_HDF5_SIGNATURE, *_ZIP_SIGNATURES))
            while not known and offset < min(size, 2**20):
                file.seek(offset)
                if file.read(8) == _HDF5_SIGNATURE:
                    return HDF5
                offset *= 2
    except OSError as error:
        raise ReadError(f"{label}: cannot be opened ({error.strerror})") from None
    except ValueError as error:  # a null byte in the path, or half a character
        raise ReadError(f"{label!r}: not a file name ({error})") from None
    if start.startswith(_ZIP_SIGNATURES):
        return _archive(path, label)
    found = _from_bytes(start, size, label)
    return _object(path, label) if found == JSON else found


def _object(path: Path, label: str) -> str:
    """What a JSON object is, by its keys; what is none, and any other, is left to Keras' reader."""
    try:
        value = parse_object(Digest().text(path), label)
    except ReadError:
        return JSON
    found = next((kind for own, kind in _OBJECTS if own <= value.keys()), JSON)
    if found != JSON:
        return found
    return JSON if state_dict(value) is None else TORCH_JSON


def state_dict(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of a JSON object that is a state dict, if there is one."""
    inside = (value.get(name) for name in WRAPPERS)
    return next((part for part in (value, *inside) if _is_state_dict(part)), None)


def _is_state_dict(value: Any) -> bool:
    """Whether it holds nothing but numbers and lists of them, by names of tensors."""
    if not isinstance(value, dict) or not any(isinstance(part, list) for part in value.values()):
        return False
    return all(_begins_with_number(part) for part in value.values()) and any(
        name.rpartition(".")[2].startswith(("weight", "bias")) for name in value
    )


def _begins_with_number(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _archive(path: Path, label: str) -> str:
    """What a zip archive holds, by the names of its members."""
    with archive.opened(path, label) as found:
        names = found.names
    if "config.json" in names:
        return ZIP
    if any(name.endswith("/data.pkl") for name in names):
        return TORCH_ZIP
    return NPZ if any(name.endswith(".npy") for name in names) else ZIP


def _from_bytes(start: bytes, size: int, label: str) -> str:
    if start.startswith(_HDF5_SIGNATURE):
        return HDF5
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return JSON
    if start[2:].startswith(_TORCH_LEGACY):
        return TORCH_LEGACY
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 8 + header <= size:
        return SAFETENSORS
    if _is_onnx(start):
        return ONNX
    found = formats.of_bytes(start)
    if found is not None:
        raise ReadError(f"{label}: {found}")
    raise ReadError(
        f"{label}: neither HDF5 nor a zip archive; expected a model of Keras (.h5, .keras), "
        "weights of PyTorch, safetensors or npz, ONNX, or JSON of an audio tool"
    )


def _is_onnx(start: bytes) -> bool:
    """A protocol buffer: the version of the format, then its producer, graph or operators."""
    return (
        start[:1] == b"\x08"
        and b"\x03" <= start[1:2] <= b"\x1e"
        and start[2:3] in (b"\x12", b"\x3a", b"\x42")
    )
