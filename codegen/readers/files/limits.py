"""What reading a file may take: bytes of weights, and time and memory in a child process.

The HDF5 library is large and written in C: some damaged files make it loop for ever, crash or ask
for all the memory there is. `rehearse` reads a file once in a child, which may die or hang in the
parent's place. What a child has read to its end, the parent reads the same way; what the child
refuses, the parent refuses in the same words, without another try. Where there is no fork (Windows)
files are read without this.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from codegen.errors import ReadError
from codegen.readers.settings import MAX_TEXT

SECONDS = 10  # of CPU time, and one more for every BYTES_PER_SECOND of the file
BYTES_PER_SECOND = 4 << 20
PATIENCE = 20  # times as long by the clock
MEMORY = 1 << 30  # beside what is there already and PER_BYTE for each byte of weights allowed
PER_BYTE = 4
MESSAGE = 60_000  # bytes of a refusal; a pipe holds 65,536

_DONE, _REFUSED, _NO_MEMORY = 0, 1, 2


def rehearse(
    work: Callable[[], object], label: str, size: int, max_bytes: int, final: bool = True
) -> None:
    """Run `work` in a child; ReadError if it does not come to an end, however that is.

    Without `final` the child's refusals are left for the parent to meet: it knows more.
    """
    if sys.platform == "win32" or not hasattr(os, "fork"):
        return
    seconds = SECONDS + size // BYTES_PER_SECOND
    receive, send = os.pipe()
    with warnings.catch_warnings():
        # Threads of a numerical library (JAX warns of its own) do not matter: the child only reads
        # and exits.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        _run(work, seconds, MEMORY + PER_BYTE * max_bytes, send)
    os.close(send)
    try:
        status = _wait(child, PATIENCE * seconds)
        message = os.read(receive, MESSAGE).decode("utf-8", "replace")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(receive)
    if status is not None and os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        if code == _REFUSED and final:
            raise ReadError(*message.split("\n"))
        if code == _NO_MEMORY:
            raise ReadError(f"{label}: reading it takes more memory than its weights could need")
        return
    if status is None or os.WIFSIGNALED(status):
        raise ReadError(f"{label}: damaged file: reading it does not finish")


def _run(work: Callable[[], object], seconds: int, memory: int, send: int) -> None:
    """The child: a refusal is sent, any other error is left for the parent to meet again."""
    import resource

    code = _DONE
    try:
        limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: seconds}
        if taken := _address_space():
            limits[resource.RLIMIT_AS] = taken + memory
        for kind, limit in limits.items():
            hard = resource.getrlimit(kind)[1]
            own = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (own, hard))
        work()
    except ReadError as error:
        code = _REFUSED
        os.write(send, str(error).encode("utf-8", "replace")[:MESSAGE])
    except MemoryError:
        code = _NO_MEMORY
    except BaseException:  # noqa: BLE001, S110  # nothing may leave the child but its end
        pass
    finally:
        os._exit(code)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _wait(child: int, seconds: float) -> int | None:
    """The exit status of the child, None where it took longer."""
    end, pause = time.monotonic() + seconds, 0.0005
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class Budget:
    """How many bytes of numbers may still be read, over all files of a model."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int, where: str) -> None:
        """Count `size` bytes, or refuse; `where` names the file and the array in it."""
        self.used += size
        if self.used > self.limit:
            raise ReadError(
                f"{where} brings the weights to {self.used:,}, more than {self.limit:,} bytes; "
                "raise the limit (--max-bytes) if you trust the file"
            )


class Digest:
    """The SHA-256 over the files of a model, in a fixed order; generated files name it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, path: Path) -> None:
        """Count a whole file."""
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    self._hash.update(block)
        except OSError as error:
            raise ReadError(f"{path.name}: cannot be read ({error.strerror})") from None

    def text(self, path: Path, counted: bool = True) -> bytes:
        """The content of a file of text, which is counted too."""
        try:
            if not path.is_file():
                raise ReadError(f"{path.name}: no such file")
            if path.stat().st_size > MAX_TEXT:
                raise ReadError(f"{path.name}: too large for a configuration")
            data = path.read_bytes()
        except OSError as error:
            raise ReadError(f"{path.name}: cannot be read ({error.strerror})") from None
        if counted:
            self._hash.update(data)
        return data

    @property
    def short(self) -> str:
        """Its first 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]
