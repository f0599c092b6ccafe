"""Packages for microcontrollers: what their tool chains read, and what they compile.

PlatformIO packs its own and checks it. ESP-IDF and Zephyr are too large to have here: their files
are held to the published rules, with CMake, Kconfig and a C compiler on the parts that are theirs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import kconfiglib
import pytest
import yaml

from tests.packages.test_arduino import MODELS
from tests.support.packages import command, listing, package

EXAMPLES = Path(__file__).parents[2] / "generated_examples"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def run(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["platformio", "espidf", "zephyr"])
def test_the_files(kind: str, tmp_path: Path) -> None:
    out = package(kind, MODELS["lstm"](), "Net", tmp_path / "net")
    files = {
        "platformio": [
            "README.md",
            *("examples/Net/Net.ino", "examples/Net_timing/Net_timing.ino", "library.json"),
            *("src/Net.c", "src/Net.h"),
        ],
        "espidf": [
            *("CMakeLists.txt", "Net.c", "README.md", "examples/step/CMakeLists.txt"),
            *("examples/step/main/CMakeLists.txt", "examples/step/main/main.c"),
            *("idf_component.yml", "include/Net.h"),
        ],
        "zephyr": [
            "README.md",
            *("include/Net.h", "samples/step/CMakeLists.txt", "samples/step/prj.conf"),
            *("samples/step/sample.yaml", "samples/step/src/main.c", "src/Net.c"),
            *("zephyr/CMakeLists.txt", "zephyr/Kconfig", "zephyr/module.yml"),
        ],
    }
    assert listing(out) == files[kind]


def test_platformio_packs_the_library(tmp_path: Path) -> None:
    out = package("platformio", MODELS["lstm"](), "net", tmp_path / "net")
    manifest = json.loads((out / "library.json").read_text())
    assert (out / "src" / manifest["headers"]).exists()
    for example in manifest["examples"]:
        assert all((out / example["base"] / file).exists() for file in example["files"])
    pio = [sys.executable, "-m", "platformio"]
    run(*pio, "pkg", "pack", "--output", tmp_path / "net.tar.gz", out)
    with tarfile.open(tmp_path / "net.tar.gz") as archive:
        assert {"library.json", "src/net.c", "src/net.h"} <= set(archive.getnames())


# As much of ESP-IDF and Zephyr as the example calls.
ESP = {
    "esp_cpu.h": "#include <stdint.h>\nstatic uint32_t now;\n"
    "static inline uint32_t esp_cpu_get_cycle_count(void) { return now += 70; }\n",
    "esp_timer.h": "#include <stdint.h>\n"
    "static inline int64_t esp_timer_get_time(void) { return (int64_t)(now / 10); }\n",
}
ZEPHYR = {
    "zephyr/kernel.h": "#include <stdint.h>\nstatic uint32_t now;\n"
    "static inline uint32_t k_cycle_get_32(void) { return now += 7000; }\n"
    "static inline uint64_t k_cyc_to_ns_floor64(uint64_t t) { return t * 100; }\n",
    "zephyr/sys/printk.h": "#include <stdio.h>\n#define printk printf\n",
}


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize(
    ("kind", "stubs", "main", "source"),
    [
        ("espidf", ESP, "examples/step/main/main.c", "net.c"),
        ("zephyr", ZEPHYR, "samples/step/src/main.c", "src/net.c"),
    ],
)
def test_the_example_compiles_and_runs(
    case: str, kind: str, stubs: dict[str, str], main: str, source: str, tmp_path: Path
) -> None:
    out = package(kind, MODELS[case](), "net", tmp_path / "net")
    for path, text in stubs.items():
        (tmp_path / "stubs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stubs" / path).write_text(text)
    start = tmp_path / "start.c"
    start.write_text("void app_main(void);\nint main(void) { app_main(); return 0; }\n")
    include = ["-I", out / "include", "-I", tmp_path / "stubs"]
    sources = [out / main, out / source, *([start] if kind == "espidf" else [])]
    run("gcc", *STRICT, "-O1", *include, *sources, "-o", tmp_path / "run", "-lm")
    *rows, last = run(tmp_path / "run").splitlines()
    assert len(rows) == 10
    assert len({*rows}) > 1
    assert re.fullmatch(r"\d+\.\d\d us, 70 cycles a step", last)


def calls(script: Path, functions: list[str], before: str = "") -> dict[str, list[str]]:
    """What a CMake file calls of functions that are not CMake's, with the arguments."""
    stubs = "".join(
        f'function({name})\n  message("{name};${{ARGV}}")\nendfunction()\n' for name in functions
    )
    driver = script.parent / "driver.cmake"
    driver.write_text(f'{stubs}{before}include("{script}")\n')
    done = subprocess.run(
        ["cmake", "-P", driver], capture_output=True, text=True, check=False, cwd=script.parent
    )
    driver.unlink()
    assert done.returncode == 0, done.stderr
    words = [line.split(";") for line in done.stderr.splitlines() if line]
    return {name: arguments for name, *arguments in words}


def test_espidf_finds_the_component(tmp_path: Path) -> None:
    out = package("espidf", MODELS["lstm"](), "net", tmp_path / "net")
    found = calls(out / "CMakeLists.txt", ["idf_component_register"])["idf_component_register"]
    assert found == ["SRCS", "net.c", "INCLUDE_DIRS", "include"]
    assert all((out / name).exists() for name in (found[1], found[3]))
    main = out / "examples" / "step" / "main"
    found = calls(main / "CMakeLists.txt", ["idf_component_register"])["idf_component_register"]
    assert (main / found[1]).exists()
    # https://docs.espressif.com/projects/idf-component-manager: versions are X.Y.Z
    manifest = yaml.safe_load((out / "idf_component.yml").read_text())
    assert set(manifest) == {"version", "description", "dependencies"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["dependencies"] == {"idf": ">=5.0"}
    project = (out / "examples" / "step" / "CMakeLists.txt").read_text()
    assert "${CMAKE_CURRENT_LIST_DIR}/../.." in project


# Of the schema in Zephyr's scripts/zephyr_module.py, the keys that are used here.
MODULE = {"name": str, "build": {"cmake": str, "kconfig": str}, "samples": [str]}


def fits(value: Any, schema: Any) -> bool:
    """Whether a value of YAML has the keys and types of the schema, and no more."""
    if isinstance(schema, dict):
        same = isinstance(value, dict) and set(value) <= set(schema)
        return same and all(fits(value[key], schema[key]) for key in value)
    if isinstance(schema, list):
        return isinstance(value, list) and all(fits(item, schema[0]) for item in value)
    return isinstance(value, schema)


def test_zephyr_finds_the_module(tmp_path: Path) -> None:
    out = package("zephyr", MODELS["lstm"](), "on", tmp_path / "net")  # `on` is true in YAML
    module = yaml.safe_load((out / "zephyr" / "module.yml").read_text())
    assert fits(module, MODULE)
    assert module["name"] == "on"
    assert (out / module["build"]["cmake"] / "CMakeLists.txt").exists()
    assert all((out / folder).is_dir() for folder in module["samples"])
    sample = yaml.safe_load((out / "samples" / "step" / "sample.yaml").read_text())
    assert sample["sample"]["name"] == "on"
    assert sample["tests"]["sample.on.step"]["harness"] == "console"
    names = ["zephyr_include_directories", "zephyr_library_named", "zephyr_library_sources"]
    script = out / "zephyr" / "CMakeLists.txt"
    assert not calls(script, names)
    found = calls(script, names, "set(CONFIG_MODEL_ON y)\n")
    assert (Path(found["zephyr_include_directories"][0]) / "on.h").exists()
    assert Path(found["zephyr_library_sources"][0]).exists()
    assert found["zephyr_library_named"] == ["on"]


def test_kconfig_has_the_option_that_the_sample_sets(tmp_path: Path) -> None:
    out = package("zephyr", MODELS["lstm"](), "net", tmp_path / "net")
    whole = tmp_path / "Kconfig"
    own = out / "zephyr" / "Kconfig"
    whole.write_text(
        'config CPU_HAS_FPU\n\tbool\n\tdefault y\nconfig FPU\n\tbool "FPU"\n'
        f'config CBPRINTF_FP_SUPPORT\n\tbool "floats"\nosource "{own}"\n'
    )
    found = kconfiglib.Kconfig(str(whole), suppress_traceback=True)
    assert found.syms["MODEL_NET"].str_value == "n"
    found.load_config(str(out / "samples" / "step" / "prj.conf"))
    assert found.syms["MODEL_NET"].str_value == "y"
    assert found.syms["CBPRINTF_FP_SUPPORT"].str_value == "y"
    assert found.syms["FPU"].str_value == "y"
    assert not found.warnings


@pytest.mark.parametrize("kind", ["platformio", "espidf", "zephyr"])
def test_what_has_no_step_is_refused(kind: str, tmp_path: Path) -> None:
    model = EXAMPLES / "bidirectional" / "bidirectional.keras"
    options = ["--max-steps", "16", "--package", kind]
    result = command("convert", model, "-o", tmp_path / "both", *options)
    assert f"--package {kind}: the model needs its whole input at once" in result.output
    assert not (tmp_path / "both").exists()
