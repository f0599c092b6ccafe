"""`convert --package cmake`: configured, built, tested, installed, and found by another project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from tests.support.packages import command, listing

EXAMPLES = Path(__file__).parents[2] / "generated_examples"
FILES = [
    *("CMakeLists.txt", "README.md", "cmake/SeedConfig.cmake", "include/Seed.h", "src/Seed.c"),
    "tests/selftest.c",
]
USER = """\
cmake_minimum_required(VERSION 3.14)
project(user LANGUAGES CXX)
find_package(Seed 1.0 CONFIG REQUIRED)
add_executable(user main.cpp)
target_compile_features(user PRIVATE cxx_std_20)
target_link_libraries(user PRIVATE Seed::Seed)
"""
MAIN = """\
#include <Seed.h>
#include <cstdio>
int main()
{
    seed_model model;
    float x[SEED_INPUT_SIZE], y[SEED_OUTPUT_SIZE];
    while (std::scanf("%f%f%f%f", x, x + 1, x + 2, x + 3) == 4) {
        model.step(x, y);
        std::printf("%.9g\\n", y[1]);
    }
}
"""


def run(*command: str | Path, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    return done.stdout


def test_it_is_built_installed_and_found(tmp_path: Path) -> None:
    """As a shared library; the static one is in the test below."""
    source, build, prefix, user = (tmp_path / n for n in ("Seed", "build", "prefix", "user"))
    model = EXAMPLES / "seed" / "seed.h5"
    assert command("convert", model, "-o", source, "--package", "cmake").exit_code == 0
    assert listing(source) == FILES
    flags = ["-G", "Unix Makefiles", "-DBUILD_SHARED_LIBS=ON"]
    flags += ["-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror -O1"]
    run("cmake", "-S", source, "-B", build, *flags)
    run("cmake", "--build", build)
    run("ctest", "--test-dir", build)
    run("cmake", "--install", build, "--prefix", prefix)
    user.mkdir()
    (user / "CMakeLists.txt").write_text(USER)
    (user / "main.cpp").write_text(MAIN)
    run("cmake", "-S", user, "-B", user / "build", f"-DCMAKE_PREFIX_PATH={prefix}", *flags[:2])
    run("cmake", "--build", user / "build")
    with np.load(EXAMPLES / "seed" / "recorded.npz") as stored:
        x, y = stored["x"][:100], stored["y"][:100]
    lines = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in x)
    found = np.array(run(user / "build" / "user", stdin=lines).split(), float)
    np.testing.assert_allclose(found, y[:, 1], atol=2e-6)


def test_it_may_be_a_folder_of_another_project(tmp_path: Path) -> None:
    model = EXAMPLES / "bidirectional" / "bidirectional.keras"
    options = ["--max-steps", "16", "--package", "cmake"]
    assert command("convert", model, "-o", tmp_path / "both", *options).exit_code == 0
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.14)\nproject(whole LANGUAGES C CXX)\n"
        "add_subdirectory(both)\nadd_executable(whole main.cpp)\n"
        "target_compile_features(whole PRIVATE cxx_std_17)\n"
        "target_link_libraries(whole PRIVATE both::both)\n"
    )
    (tmp_path / "main.cpp").write_text(
        "#include <both.h>\nint main() { both_model m; float x[3] = {}, y[8]; "
        "return m.predict(1, x, y) ? 0 : 1; }\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-DCMAKE_CXX_EXTENSIONS=OFF")
    run("cmake", "--build", tmp_path / "build")
    run(tmp_path / "build" / "whole")
