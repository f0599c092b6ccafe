"""Writing a generated file whole or not at all, and never over a model."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from codegen.errors import CodegenError


def refuse_source_as_out(out: str, *sources: str | None) -> None:
    """OUT must be no file that is read for it, none in a folder that is, and hold no model."""
    try:
        path = Path(out)
        if not path.exists():
            return
        read = [Path(source) for source in sources if source and Path(source).exists()]
        if any(map(path.samefile, read)):
            raise CodegenError(f"{out}: is read here; choose another name for what is written")
        if path.is_dir():
            raise CodegenError(f"{out}: is a directory; choose another OUT")
        if not path.is_file():
            raise CodegenError(f"{out}: is not a regular file; use -o - for standard output")
        inside = any(one.is_dir() and path.resolve().parent == one.resolve() for one in read)
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise CodegenError(f"{out}: cannot be written: {error.strerror}") from error
    except ValueError as error:
        raise CodegenError(f"{out!r}: cannot be written: {error}") from error
    if inside or start.startswith((b"\x89HDF", b"PK\x03\x04")):
        raise CodegenError(f"{out}: holds a model; choose another OUT")


def write(out: str, pieces: Iterable[str]) -> int:
    """`write_atomic` for a file that the user named; CodegenError where it cannot be written."""
    try:
        return write_atomic(out, pieces)
    except CodegenError:  # of the pieces; some are a ValueError too
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CodegenError(f"{out}: cannot be written: {reason}") from error


def write_atomic(path: str | os.PathLike[str], pieces: Iterable[str]) -> int:
    """Make `path` hold the pieces, all of them or none; returns the number of bytes.

    Permissions of an existing file are kept, and all of it where it holds exactly that already; a
    symbolic link keeps pointing at the new content.
    """
    target = Path(os.path.realpath(path))
    mode: int | None = None
    try:
        status = target.stat()
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path}: not a regular file")
    except FileNotFoundError:
        pass
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        size = Path(name).stat().st_size
        if mode is not None and filecmp.cmp(name, target, shallow=False):
            Path(name).unlink()
        else:
            Path(name).chmod(_default_mode() if mode is None else mode)
            Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return size


def write_folder(out: str, texts: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Make the folder hold the files, given by their paths in it, all of them or none.

    What else is in the folder stays. Returns the number of bytes of each; CodegenError where one
    cannot be written, with the folder as it was.
    """
    root = Path(os.path.realpath(out))
    undo: list[Callable[[], object]] = []
    try:
        home = next(folder for folder in (root, *root.parents) if folder.is_dir())
        with tempfile.TemporaryDirectory(prefix=".rnn-codegen.", dir=home) as stage:
            try:
                sizes = {}
                for number, text in enumerate(texts.values()):
                    sizes[number] = write_atomic(Path(stage) / str(number), text)
                for number, path in enumerate(texts):
                    _move(Path(stage) / str(number), root, path, undo)
            except BaseException:
                for step in reversed(undo):
                    step()
                raise
    except CodegenError:  # of the pieces; some are a ValueError too
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CodegenError(f"{out}: cannot be written: {reason}") from error
    return {path: sizes[number] for number, path in enumerate(texts)}


def _move(new: Path, root: Path, path: str, undo: list[Callable[[], object]]) -> None:
    """Put a file into its place in the folder; what would take that back goes to `undo`."""
    target = Path(os.path.realpath(root / path))
    missing = [folder for folder in target.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        undo.append(folder.rmdir)
    if target.exists():
        if not target.is_file():
            raise OSError(f"{path} is no regular file")
        if filecmp.cmp(new, target, shallow=False):
            return
        old = new.with_suffix(".old")
        shutil.copy2(target, old)
        new.chmod(stat.S_IMODE(target.stat().st_mode))
        new.replace(target)
        undo.append(lambda: old.replace(target))
    else:
        new.replace(target)
        undo.append(target.unlink)


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
