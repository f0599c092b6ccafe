"""Generated headers under sanitizers and static analysers; deviations are in docs/misra.md."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import codegen
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from tests.support.compilers import CModel
from tests.support.fixtures import cases
from tests.support.targets import worst

PAGE = Path(__file__).parents[1] / "docs" / "misra.md"
# A stream, every kind of cell, something that needs the whole input, and windows.
MODELS = (
    "keras215/seed_like",
    "keras3_15/stack_mixed",
    "keras3_15/bidirectional_concat",
    "keras215/conv_causal_gru",
)
CASES = {str(case): case for case in cases() if str(case) in MODELS}
PROFILES = ("host", "mcu")
LEFT_OUT = (
    "bugprone-easily-swappable-parameters",
    "bugprone-implicit-widening-of-multiplication-result",
)


def header(name: str, profile: str) -> tuple[Lowered, str]:
    model = codegen.read(CASES[name].sources[0][0])
    lowered = lower(model)
    needs_steps = lowered.step is None and lowered.whole.lengths
    options = {"max_steps": 20} if needs_steps else {}
    return lowered, codegen.generate(model, "c", "net", profile=profile, **options)


def source(name: str, profile: str, folder: Path, flaw: str = "") -> Path:
    """A file that includes the implementation and the self-test, and nothing else."""
    (folder / "net.h").write_text(header(name, profile)[1], encoding="utf-8")
    path = folder / "net.c"
    path.write_text(f'#define NET_IMPLEMENTATION\n#define NET_SELFTEST\n#include "net.h"\n{flaw}')
    return path


def said(*command: str) -> str:
    """Everything that a checker prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("compiler", "sanitize"),
    [("gcc", "address,undefined"), ("clang", "address,undefined"), ("clang", "memory")],
)
def test_sanitizers(compiler: str, sanitize: str, name: str, profile: str, tmp_path: Path) -> None:
    """Whole inputs, steps, states and the self-test, with every fault ending the process."""
    lowered, text = header(name, profile)
    x = CASES[name].calls[0].inputs[0][0]
    expected = Reference(lowered).predict(x[None])
    defines = ["NET_SELFTEST"]
    with CModel(
        text, "net", tmp_path, compiler=compiler, sanitize=sanitize, defines=defines, optimise="-O1"
    ) as c:
        assert c.selftest() == 0
        found = c.predict(x)
        flat = [np.reshape(y, e[0].shape) for y, e in zip(found, expected, strict=True)]
        assert worst(flat, [e[0] for e in expected]) < 2e-5
        c.set_state(c.get_state())
        if c.streamable:
            c.reset()
            for row in x:
                c.step(row)
        if sanitize != "memory":  # there the harness sends outputs back that were never written
            with pytest.raises(ValueError, match="refused"):
                c.predict(x, lengths=[-1] * len(c.lengths))


def misra(path: Path) -> set[str]:
    """The rules that cppcheck finds broken; anything else that it finds fails."""
    text = said(
        "cppcheck",
        "--std=c99",
        "--max-configs=30",  # of the macros that the header asks for; 12 if not given
        "--addon=misra",
        "--enable=warning,style,performance,portability",
        "--suppress=missingIncludeSystem",
        "--quiet",
        "--template={file}:{line}: {message} [{id}]",
        str(path),
    )
    ids = set(re.findall(r"\[([A-Za-z][\w.-]*)\]$", text, re.MULTILINE))
    other = {i for i in ids if not i.startswith("misra-c2012-")}
    assert not other, text
    return {i.removeprefix("misra-c2012-") for i in ids}


def documented() -> set[str]:
    return set(re.findall(r"^\| (\d+\.\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", MODELS)
def test_misra_deviations_are_documented(name: str, profile: str, tmp_path: Path) -> None:
    assert misra(source(name, profile, tmp_path)) - documented() == set()


def tidy(path: Path) -> str:
    checks = (
        "-*,bugprone-*,cert-*,clang-analyzer-*,concurrency-*,misc-*,performance-*,portability-*"
    )
    checks += "".join(f",-{name}" for name in LEFT_OUT)
    words = ("--quiet", "-header-filter=.*", f"-checks={checks}", str(path), "--", "-std=c99")
    return "\n".join(line for line in said("clang-tidy", *words).splitlines() if "warning:" in line)


def analyzed(path: Path) -> str:
    return said(
        "gcc", "-std=c99", "-O1", "-fanalyzer", "-Wall", "-Wextra", "-c", str(path), "-o/dev/null"
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", MODELS)
def test_clang_tidy_and_analyzer(name: str, profile: str, tmp_path: Path) -> None:
    path = source(name, profile, tmp_path)
    assert not tidy(path)
    assert not analyzed(path)


def test_the_checkers_see_faults(tmp_path: Path) -> None:
    """A silent checker proves nothing: each finds what is put there for it."""
    flaw = (
        "int flaw(int n);\n"
        "int flaw(int n) { int a[2]; int *p = 0; a[0] = n; a[5] = 1; if (n == 3) *p = 1; "
        "return a[0]; }\n"
    )
    path = source(MODELS[0], "host", tmp_path, flaw)
    assert "null" in tidy(path)
    assert "null" in analyzed(path) or "NULL" in analyzed(path)
    with pytest.raises(AssertionError):
        misra(path)
    clean = source(
        MODELS[0],
        "host",
        tmp_path,
        "int flaw(int n);\nint flaw(int n) { goto out; out: return n; }\n",
    )
    assert misra(clean) - documented()
