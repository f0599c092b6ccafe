"""The Pythons that generated files have to run under, and how to run a script in each.

| name | what |
| --- | --- |
| `cpython3.6` ... `cpython3.14` | every CPython found: by pyenv, and as `python3.X` on PATH |
| `pypy` | PyPy 3 |
| `micropython` | MicroPython, unix port; its heap can be chosen |
| `micropython-wasm`, `pyodide` | MicroPython and CPython as WebAssembly, in node |
| `microbit` | MicroPython 1.9.2 on an emulated Cortex-M0 with 16 KiB of RAM, single precision |

    result = run(found()["pypy"], folder / "main.py")
    assert result.status == 0, result.text
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SUPPORT = Path(__file__).parent
CPYTHONS = tuple(f"3.{minor}" for minor in range(6, 15))
ALWAYS = ("pypy", "micropython", "micropython-wasm", "pyodide", "microbit")


@dataclass(frozen=True)
class Interpreter:
    """One Python: how to start it, in front of the script's path."""

    name: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Result:
    """How a script ended: its status, and what it wrote."""

    status: int
    out: str
    errors: str

    @property
    def text(self) -> str:
        """All that it wrote, for a message."""
        return f"{self.out}{self.errors}"


@cache
def found() -> dict[str, Interpreter]:
    """Every interpreter of this machine by name, in the order of the table above.

    RuntimeError where one of ALWAYS is missing, which `make test` installs.
    """
    result = {
        f"cpython{version}": Interpreter(f"cpython{version}", (path,))
        for version in CPYTHONS
        if (path := _cpython(version)) is not None
    }
    beside = Path(sys.executable).parent / "micropython"
    commands = {
        "pypy": _tool("pypy3"),
        "micropython": str(beside) if beside.exists() else _tool("micropython"),
        "node": _tool("node"),
        "microbit": _tool("qemu-system-arm"),
    }
    missing = [name for name, path in commands.items() if path is None]
    if missing:
        raise RuntimeError(f"not found: {', '.join(missing)}; `make test` installs them")
    for name in ("pypy", "micropython"):
        result[name] = Interpreter(name, (str(commands[name]),))
    for name, kind in (("micropython-wasm", "micropython"), ("pyodide", "pyodide")):
        command = (str(commands["node"]), str(SUPPORT / "wasm.mjs"), kind)
        result[name] = Interpreter(name, command)
    result["microbit"] = Interpreter("microbit", (str(commands["microbit"]),))
    return result


def run(
    interpreter: Interpreter,
    script: Path,
    *,
    stdin: str = "",
    heap: str = "",
    timeout: float = 120,
) -> Result:
    """Run a script in its own folder, so that it can import the files beside it.

    `heap` is that of MicroPython's unix port, such as "400K"; in node it grows. The two in node
    and the micro:bit have no standard input. On the micro:bit the script is alone, at most 8 KB
    of it, and its status is 0, or 1 where it raised. A script that takes longer than `timeout`
    seconds has the status 124.
    """
    if interpreter.name in ("micropython-wasm", "pyodide", "microbit") and stdin:
        raise ValueError(f"{interpreter} has no standard input")
    if interpreter.name == "microbit":
        return _run_on_microbit(interpreter, script, timeout)
    command = [*interpreter.command]
    if heap and interpreter.name == "micropython":
        command += ["-X", f"heapsize={heap}"]
    command.append(str(script.resolve()))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            command,
            cwd=script.parent,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as late:
        return Result(124, _text(late.stdout), _text(late.stderr))
    return Result(done.returncode, done.stdout, done.stderr)


def _text(output: str | bytes | None) -> str:
    """What a process wrote before it was ended; its type depends on the version of Python."""
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output or "")


def _tool(name: str) -> str | None:
    return shutil.which(name)


def _cpython(version: str) -> str | None:
    """The CPython of this minor version, from pyenv's folder or from PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    if installed:
        return str(installed[-1])
    path = shutil.which(f"python{version}")
    if path is None:
        return None
    # pyenv's own commands are on PATH for versions that are not there
    done = subprocess.run([path, "-c", "print(42)"], capture_output=True, check=False)
    return path if done.stdout.strip() == b"42" else None


def _run_on_microbit(interpreter: Interpreter, script: Path, timeout: float) -> Result:
    """Start the firmware that `uflash` carries with this script as its main.py.

    The firmware never ends: after the script it greets at its prompt, which is where this stops.
    """
    import uflash

    source = script.read_bytes()
    try:
        firmware = _first_version(uflash.embed_fs_uhex(uflash._RUNTIME, source))
    except ValueError as error:
        return Result(1, "", f"{script.name}: {len(source)} bytes: {error}\n")
    lines: list[str] = []
    status = 124
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "firmware.hex"
        image.write_text(firmware)
        board = ["-M", "microbit", "-device", f"loader,file={image}"]
        terminal = ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        with subprocess.Popen(
            [*interpreter.command, *board, *terminal],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as machine:
            clock = threading.Timer(timeout, machine.kill)
            clock.start()
            assert machine.stdout is not None
            raised = False
            for raw in machine.stdout:
                line = raw.decode("utf-8", "replace").replace("\0", "").rstrip("\r\n")
                if not lines:  # the line settles: the first character is noise
                    line = line.lstrip("\ufffd \t")
                if line.startswith("MicroPython v"):
                    status = 0
                    break
                lines.append(line)
                if line.startswith("Traceback"):
                    raised = True
                elif line.startswith("MemoryError") or (raised and not line.startswith(" ")):
                    status = 1  # this line names the exception
                    break
            clock.cancel()
            machine.kill()
    out = "".join(f"{line}\n" for line in lines)
    return Result(status, out, "")


def _first_version(universal: str) -> str:
    """The records of a universal hex file that are for the board's first version.

    The file is made of blocks; a record of type 10 opens one and names its board.
    """
    first, wanted = ("9900", "9901"), True
    records = []
    for record in universal.split():
        kind = int(record[7:9], 16)
        if kind == 10:
            wanted = record[9:13] in first
        elif wanted and kind in (0, 2, 3, 4, 5):
            records.append(record)
    return "\n".join([*records, ":00000001FF", ""])


def version_of(interpreter: Interpreter) -> tuple[int, ...]:
    """The version of the language that a CPython's name tells."""
    return tuple(int(part) for part in re.findall(r"\d+", interpreter.name))


@cache
def environments() -> dict[str, str]:
    """Every other CPython here from 3.10 on, and this one with NumPy 1, by name.

    Each gets an environment of its own with what the generator needs, once; one for which pip
    finds no packages is left out. Values are paths of Pythons.
    """
    wanted: dict[str, tuple[Sequence[str], str]] = {"numpy1": ([sys.executable], "numpy<2")}
    for name, interpreter in found().items():
        version = re.fullmatch(r"cpython3\.(\d+)", name)
        if version and int(version[1]) >= 10 and int(version[1]) != sys.version_info.minor:
            wanted[name] = (interpreter.command, "numpy")
    pythons = {}
    for name, (command, numpy) in wanted.items():
        environment = Path(sys.prefix) / "others" / name
        python = str(environment / "bin" / "python")
        if not (environment / "complete").exists():
            made = subprocess.run(
                [*command, "-m", "venv", "--clear", environment], capture_output=True, check=False
            )
            needed = [numpy, "h5py", "jinja2", "click"]
            install = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *needed]
            if made.returncode or subprocess.run(install, check=False).returncode:
                continue
            (environment / "complete").touch()
        pythons[name] = python
    return pythons
