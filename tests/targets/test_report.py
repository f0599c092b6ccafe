"""The report of costs: exact where it claims to be, and near what a compiler says elsewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from codegen.commands import boards as report
from tests.support.models import dense, gru, lstm
from tests.targets.test_c import model, render

MODELS = {
    "small": lambda: model(lstm(1, 20), dense(20, 1), shape=(None, 1)),
    "seed": lambda: model(
        *(gru(4 if k == 0 else 24, 24, f"gru_{k}", stateful=True) for k in range(3)),
        dense(24, 2, "softmax"),
        shape=(None, 4),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_bytes_are_those_of_the_header(name: str) -> None:
    lowered = MODELS[name]()
    found = report.cost(lowered)
    text = render(lowered, profile="mcu")
    weights = text.split("#ifdef NET_SELFTEST\n\n")[0]
    counted = sum(
        int(n) for n in re.findall(r"^static const float \w+\[(\d+)\]", weights, re.MULTILINE)
    )
    assert found.weights == 4 * counted == 4 * sum(r.parameters for r in lowered.layers)
    members = re.search(r"typedef struct net_state \{(.*?)\}", text, re.DOTALL)
    assert members is not None
    assert found.state + found.scratch == 4 * sum(
        int(n) for n in re.findall(r"\[(\d+)\];", members[1])
    )
    assert f"Bytes: weights {found.weights}, state {found.state}, scratch {found.scratch}." in text


def test_boards() -> None:
    found = report.cost(MODELS["seed"]())
    assert found.fits(report.BOARDS["stm32f4"])
    assert not found.fits(report.BOARDS["uno"])
    assert "does not fit" in found.verdict(report.BOARDS["uno"])
    assert "total" in report.table(found)


@pytest.mark.parametrize(("name", "profile"), [("small", "mcu"), ("seed", "mcu"), ("seed", "host")])
def test_stack_is_near_the_compilers(name: str, profile: str, tmp_path: Path) -> None:
    lowered = MODELS[name]()
    (tmp_path / "net.h").write_text(render(lowered, profile=profile))
    (tmp_path / "net.c").write_text('#define NET_IMPLEMENTATION\n#include "net.h"\n')
    options = "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -mthumb -std=c99 -O2"
    command = ["arm-none-eabi-gcc", *options.split(), "-fstack-usage", "-c", "net.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    usage = {
        line.split("\t")[0].rsplit(":", 1)[1].split(".")[0]: int(line.split("\t")[1])
        for line in (tmp_path / "net.su").read_text().splitlines()
    }
    called = {"net_affine", "net_product", "net_dot", "net_softmax"}
    kernels = [n for f, n in usage.items() if f in called]
    step = usage["net_step"] + usage.get("net_step_body", 0)
    real = usage["net_predict"] + step + max(kernels)
    found = report.cost(lowered, {"profile": profile})
    assert abs(found.stack - real) <= max(0.1 * real, 16)
