"""Vectors of a desktop processor: what the compilers make of the kernels, and the same numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Input, Node, Ref
from tests.support.agreement import inputs
from tests.support.compilers import WARNINGS, CModel
from tests.support.models import dense, gru, of_nodes
from tests.targets.test_c import CASES, ON_X86, assembly, model, render


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_whole_vector_registers_are_used(compiler: str, tmp_path: Path) -> None:
    """Both compilers prefer half of a register on processors with AVX-512."""
    if ON_X86:
        lowered = model(gru(4, 16), shape=(None, 4))
        text = assembly(lowered, tmp_path, compiler, "-O3", "-march=skylake-avx512", *WARNINGS)
        assert "%zmm" in text


def test_no_pass_of_a_product_needs_more_registers_than_there_are(tmp_path: Path) -> None:
    """A loop over rows with more sums than registers would load and store them."""
    if ON_X86:
        lowered = model(dense(64, 64), shape=(None, 64))
        text = assembly(lowered, tmp_path, "gcc", "-O3", "-DNET_AVX2=0")
        passes = re.split(r"\n\.L\d+:", text)
        assert max(part.count("mulps") for part in passes) == 8


@pytest.mark.parametrize("by", ["gcc", "clang", "g++"])
@pytest.mark.parametrize("case", CASES)
def test_the_copy_for_avx2_gives_the_same_numbers(case: str, by: str, tmp_path: Path) -> None:
    """To the bit: more columns at once, but the same sums in the same order."""
    lowered = CASES[case]()
    x = inputs(lowered.whole.inputs, 9)
    text = render(lowered)
    found = []
    for supported in ('__builtin_cpu_supports("avx2")', "0") if ON_X86 else ():
        assert '__builtin_cpu_supports("avx2")' in text
        as_if = text.replace('__builtin_cpu_supports("avx2")', supported)
        with CModel(as_if, "net", tmp_path, compiler=by) as c:
            found.append([y.tobytes() for y in c.predict(*x)])
    assert not found or found[0] == found[1]


def test_the_copy_for_avx2_leaves_no_register_half_full(tmp_path: Path) -> None:
    """Everything is inlined: GCC forgets `vzeroupper` after a call to a function of this file.

    All the SSE code that follows would then be some five times slower.
    """
    if ON_X86:
        lowered = model(gru(4, 16), dense(16, 2, "softmax"), shape=(None, 4))
        text = assembly(lowered, tmp_path, "gcc", "-O2")
        copy = text.split("net_step_avx2:")[1].split(".cfi_endproc")[0]
        assert "%ymm" in copy
        assert "vzeroupper" in copy
        assert "call" not in copy


# Rows and columns of a product: less than a vector, tiles of one and more sums a column, two tiles,
# passes of four rows; last vectors that overlap; sums of more than 512 rows.
SIZES = [
    (9, 4), (3, 7), (6, 8), (13, 9), (5, 15), (9, 16), (21, 17), (2, 24), (11, 31), (26, 72),
    (8, 48), (9, 47), (9, 49), (33, 64), (64, 96), (65, 100), (17, 128), (16, 129), (31, 192),
    (12, 193), (12, 288), (40, 384), (10, 385), (6, 769), (512, 96), (513, 96), (7, 96),
]  # fmt: skip


def products(dtype: str, sizes: Sequence[tuple[int, int]] = SIZES) -> Lowered:
    """A dense layer of each size, beside each other."""
    nodes = [
        Node(Input(name=f"x{k}", class_name="InputLayer", shape=(None, rows)))
        for k, (rows, _) in enumerate(sizes)
    ]
    for k, (rows, columns) in enumerate(sizes):
        nodes.append(Node(dense(rows, columns, name=f"dense_{k}"), (Ref(k),)))
    count = len(sizes)
    ends = tuple(Ref(count + k) for k in range(count))
    return lower(of_nodes(nodes, ends, "net", dtype))


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimise", ["-O0", "-O2", "-O3 -march=native"])
def test_products_of_every_size(optimise: str, dtype: str, compiler: str, tmp_path: Path) -> None:
    """Blocks and passes give what NumPy does in double, within what the sums may round."""
    lowered = products(dtype)
    x = inputs(lowered.whole.inputs, 3)
    level, *flags = optimise.split()
    options = {"compiler": compiler, "optimise": level, "options": [*WARNINGS, *flags]}
    with CModel(render(lowered, dtype=dtype), "net", tmp_path, **options) as c:
        found = c.predict(*x)
    for k, (rows, columns) in enumerate(SIZES):
        layer = dense(rows, columns)
        given, kernel = x[k].astype(np.float64), layer.kernel.astype(np.float64)
        want = given @ kernel + layer.bias
        room = np.abs(given) @ np.abs(kernel) + np.abs(layer.bias)
        assert (np.abs(found[k] - want) <= 2 * np.finfo(dtype).eps * room).all(), (rows, columns)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", ["-O2", "-O3", "-O3 -march=skylake-avx512", "-O3 -march=haswell"])
@pytest.mark.parametrize("size", [(64, 48), (20, 80), (64, 96), (64, 128), (64, 192)])
def test_sums_stay_in_registers(
    size: tuple[int, int], flags: str, compiler: str, tmp_path: Path
) -> None:
    """The loop over rows reads no sum from the stack."""
    if ON_X86:
        lowered = model(dense(*size), shape=(None, size[0]))
        text = assembly(lowered, tmp_path, compiler, *flags.split())
        name = "net_step" if "march" in flags else "net_step_avx2"
        loops = [body for body in inner_loops(text, name) if "mulps" in body or "fmadd" in body]
        assert loops
        read = [line for body in loops for line in re.findall(r".*\(%r[sb]p\), .*", body)]
        assert read == []


def inner_loops(text: str, name: str) -> list[str]:
    """The bodies of the loops of a function, in assembly, that have no loop inside."""
    body = re.split(rf"\n{name}[.\w]*:", text, maxsplit=1)[1].split(".cfi_endproc")[0]
    lines = body.splitlines()
    labels = {line.split(":")[0]: k for k, line in enumerate(lines) if line.startswith(".L")}
    spans = []
    for k, line in enumerate(lines):
        jump = re.match(r"\tj\w+\t(\.L\w+)", line)
        if jump and labels.get(jump[1], k) < k:
            spans.append((labels[jump[1]], k))
    inner = [s for s in spans if not any(s[0] <= t[0] and t[1] < s[1] for t in spans)]
    return ["\n".join(lines[start:end]) for start, end in inner]
