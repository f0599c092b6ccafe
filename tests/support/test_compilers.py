from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.compilers import COMPILERS, CModel, CompileError, RunError, compile_c, run
from tests.support.samples import LEAKY, PAIR

SANITIZERS = [
    ("gcc", "address,undefined"),
    ("clang", "address,undefined"),
    ("clang", "memory"),
    ("g++", "address,undefined"),
    ("clang++", "address,undefined"),
]
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def leaky(x: np.ndarray) -> np.ndarray:
    h, rows = np.zeros(3, np.float32), []
    for row in x:
        h = h / 2 + row + 1
        rows.append(h)
    return np.array(rows)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler_runs_a_header(compiler: str, tmp_path: Path) -> None:
    with CModel(LEAKY, "leaky", tmp_path, compiler=compiler) as model:
        assert model.streamable
        assert model.state_size == 3
        np.testing.assert_array_equal(model.predict(X)[0], leaky(X))
        model.reset()
        for row, expected in zip(X, leaky(X), strict=True):
            found = model.step(row)
            assert found is not None
            np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(("compiler", "sanitize"), SANITIZERS)
def test_every_sanitizer_lets_a_right_header_pass(
    compiler: str, sanitize: str, tmp_path: Path
) -> None:
    with CModel(LEAKY, "leaky", tmp_path, compiler=compiler, sanitize=sanitize) as model:
        np.testing.assert_array_equal(model.predict(X)[0], leaky(X))


@pytest.mark.parametrize(
    ("compiler", "sanitize", "right", "wrong"),
    [
        ("gcc", "address", "y + 3 * t)", "y + 3 * t + 1)"),
        ("clang", "address", "y + 3 * t)", "y + 3 * t + 1)"),
        ("clang", "memory", "s->h[i] = 0.0f;", "(void)s;"),
        ("clang", "undefined", "return 1;", "{ volatile int n = 2147483647; return n + 1 < n; }"),
    ],
)
def test_a_sanitizer_stops_a_wrong_header(
    compiler: str, sanitize: str, right: str, wrong: str, tmp_path: Path
) -> None:
    assert right in LEAKY
    with (
        pytest.raises(RunError, match=r"Sanitizer|runtime error"),
        CModel(
            LEAKY.replace(right, wrong), "leaky", tmp_path, compiler=compiler, sanitize=sanitize
        ) as model,
    ):
        model.predict(X)


def test_states_are_independent_and_can_be_copied(tmp_path: Path) -> None:
    with CModel(LEAKY, "leaky", tmp_path) as model:
        model.step(X[0])
        np.testing.assert_array_equal(model.get_state(instance=1), np.zeros(3))
        model.copy(source=0, target=1)
        np.testing.assert_array_equal(model.get_state(instance=1), leaky(X)[0])
        model.set_state([4, 5, 6])
        np.testing.assert_array_equal(model.get_state(), [4, 5, 6])


def test_a_model_with_lengths_of_its_own_and_several_tensors(tmp_path: Path) -> None:
    with CModel(PAIR, "pair", tmp_path, compiler="clang", sanitize="address") as model:
        assert not model.streamable
        assert model.max_steps == 9
        y, sums = model.predict(X[:, :2], [1, 2, 3])
        np.testing.assert_array_equal(y, [[1.5], [1.0], [0.5]])
        np.testing.assert_array_equal(sums, X[:, :2].sum(0))
        with pytest.raises(ValueError, match="refused"):
            model.predict(np.zeros((10, 2)), [1])


def test_selftest_and_timing(tmp_path: Path) -> None:
    with CModel(LEAKY, "leaky", tmp_path, defines=["LEAKY_SELFTEST"]) as model:
        assert model.selftest() == 0
        assert 0 < model.nanoseconds(1000, X[0]) < 1e6


def test_a_refused_call_that_writes_is_noticed(tmp_path: Path) -> None:
    text = LEAKY.replace("return 1;", "return 0;")
    with (
        CModel(text, "leaky", tmp_path) as model,
        pytest.raises(AssertionError, match="wrote an output"),
    ):
        model.step(X[0])


def test_a_crash_is_an_error_of_the_test_alone(tmp_path: Path) -> None:
    text = LEAKY.replace("s->h[i] = 0.0f;", "s->h[i] = *(volatile float *)0;")
    with pytest.raises(RunError, match="status -11"):
        CModel(text, "leaky", tmp_path, optimise="-O0")


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="conversion"):
        CModel(LEAKY.replace("float h[3]", "double h[3]"), "leaky", tmp_path)


def test_a_program_runs_with_arguments_and_input(tmp_path: Path) -> None:
    source = tmp_path / "echo.c"
    source.write_text(
        "#include <stdio.h>\n"
        'int main(int n, char **a) { printf("%s%c", a[n - 1], getchar()); return n; }\n'
    )
    done = run(compile_c(source, tmp_path / "echo"), "word", stdin=b"!")
    assert (done.returncode, done.stdout) == (2, b"word!")
