"""Reads a file once in a child process, which may die or hang in the parent's place.

The HDF5 library is large and written in C: some damaged files make it loop for ever or crash. What
a child has read to its end, the parent reads the same way. Where there is no fork (Windows) files
are read without this.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable

from codegen.errors import ReadError

SECONDS = 10  # of CPU time, and one more for every BYTES_PER_SECOND of the file
BYTES_PER_SECOND = 4 << 20
PATIENCE = 20  # times as long by the clock


def rehearse(work: Callable[[], object], label: str, size: int) -> None:
    """Run `work` in a child; ReadError if it does not come to an end, however that is."""
    if sys.platform == "win32" or not hasattr(os, "fork"):
        return
    seconds = SECONDS + size // BYTES_PER_SECOND
    with warnings.catch_warnings():
        # Threads of a numerical library (JAX warns of its own) do not matter: the child only reads
        # and exits.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        _run(work, seconds)
    try:
        status = _wait(child, PATIENCE * seconds)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if status is None or os.WIFSIGNALED(status):
        raise ReadError(
            f"{label}: damaged HDF5 file: the HDF5 library does not come to an end with it"
        )


def _run(work: Callable[[], object], seconds: int) -> None:
    """The child: errors are left for the parent to meet again."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        work()
    except BaseException:  # noqa: BLE001, S110  # nothing may leave the child but its end
        pass
    finally:
        os._exit(0)


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
