"""`--cpp`: the class in the C header, in each standard that has it, and its cost for others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import codegen
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Graph, Input, Model, Node, Ref
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin
from tests.support.compilers import WARNINGS
from tests.support.emulators import BOARDS
from tests.targets.test_c import CASES, LONG, TARGET, dense, embedding, gru, render

EXAMPLES = Path(__file__).parents[2] / "generated_examples"
STANDARDS = ("c++17", "c++20")
COMPILERS = ("g++", "clang++")


def compiled(*command: str | Path) -> None:
    """A compiler that says nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def two() -> Lowered:
    """A sequence, an index and a condition in; two tensors out."""
    sound = Input(name="in", class_name="InputLayer", shape=(None, 3))
    knob = Input(name="out", class_name="InputLayer", shape=(3,))
    token = Input(name="values", class_name="InputLayer", shape=(None,), dtype="int32")
    nodes = (
        *(Node(layer) for layer in (sound, knob, token)),
        Node(gru(3, 6), (Ref(0),)),
        Node(dense(3, 2, name="side"), (Ref(1),)),
        Node(embedding(), (Ref(2),)),
    )
    graph = Graph(nodes, (0, 1, 2), (Ref(3), Ref(4), Ref(5)))
    return lower(Model("net", graph, "keras_zip", "Keras 3.0", "net.keras", "0" * 16))


MODELS = {**CASES, "two": two}


@pytest.mark.parametrize(("name", "standard"), [("net", "c++17"), (LONG, "c++20")])
@pytest.mark.parametrize("case", MODELS)
def test_the_class_of_every_model_compiles_without_a_warning(
    case: str, name: str, standard: str, tmp_path: Path
) -> None:
    lowered = MODELS[case]()
    options = TARGET.complete({"cpp": True, "max_steps": 9 if lowered.step is None else None})
    text = "".join(TARGETS["c"].render(lowered, name, options, Origin("net.hpp")))
    assert max(map(len, text.splitlines())) <= 100
    path = tmp_path / "net.hpp"
    path.write_text(text)
    (tmp_path / "use.cpp").write_text(
        f'#include "net.hpp"\n{name}_model make() {{ return {{}}; }}\n'
    )
    compiled("g++", f"-std={standard}", *WARNINGS, "-fsyntax-only", tmp_path / "use.cpp")


MAIN = """\
#include "seed.h"
#include <cstdio>
static_assert(seed_model::input_0_size == 4 && seed_model::output_0_size == 2);
static_assert(seed_model::input_size == 4 && seed_model::output_size == 2);
static_assert(seed_model::state_size == 192);
int main()
{
    seed_model model, other;
    std::array<float, seed_model::input_0_size> x{};
    std::array<float, seed_model::output_0_size> y{}, again{};
    std::array<float, seed_model::state_size> state{};
    std::array<float, 12> three{};
    std::array<float, 6> outputs{};
    while (std::scanf("%f%f%f%f", &x[0], &x[1], &x[2], &x[3]) == 4) {
        model.get_state(state);
        other.set_state(state);
        if (!model.step(x, y) || !other.step(x, again) || y != again) return 1;
        std::printf("%.9g %.9g\\n", y[0], y[1]);
    }
    model.reset();
    other = model;
    if (!other.step(x, y)) return 2;
    for (int k = 0; k < 12; ++k) three[k] = x[k % 4];
#ifdef __cpp_lib_span
    if (!model.predict(3, three, outputs) || model.predict(4, three, outputs)) return 3;
    if (model.predict(-1, three, outputs) || model.predict(0, {}, {})) return 4;
    const float row[4] = {x[0], x[1], x[2], x[3]};
    if (!other.step(row, y)) return 5;
#else
    if (!model.predict(3, three.data(), outputs.data())) return 3;
    if (model.predict(0, three.data(), outputs.data())) return 4;
    if (!other.step(x, y)) return 5;
#endif
    return outputs[2] == y[0] && outputs[3] == y[1] ? 0 : 6;
}
"""


def test_it_hears_what_keras_heard(tmp_path: Path) -> None:
    model = codegen.read(EXAMPLES / "seed" / "seed.h5")
    (tmp_path / "seed.h").write_text(codegen.generate(model, "c", "seed", cpp=True))
    (tmp_path / "seed.c").write_text('#define SEED_IMPLEMENTATION\n#include "seed.h"\n')
    (tmp_path / "main.cpp").write_text(MAIN)
    library = tmp_path / "seed.o"
    compiled("gcc", "-std=c99", "-O1", *WARNINGS, "-c", tmp_path / "seed.c", "-o", library)
    with np.load(EXAMPLES / "seed" / "recorded.npz") as stored:
        x, y = stored["x"][:100], stored["y"][:100]
    lines = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in x)
    for compiler in COMPILERS:
        for standard in STANDARDS:
            program = tmp_path / f"{compiler}-{standard}"
            flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"]
            compiled(compiler, *flags, tmp_path / "main.cpp", library, "-o", program, "-lm")
            done = subprocess.run(
                [program], input=lines, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0
            found = np.array(done.stdout.split(), float).reshape(-1, 2)
            np.testing.assert_allclose(found, y, atol=2e-6)


def test_nothing_else_grows(tmp_path: Path) -> None:
    lowered = CASES["seed"]()
    plain, both = (render(lowered, profile="mcu", cpp=cpp) for cpp in (False, True))
    assert "class" not in plain
    start, end = both.index("#if defined(__cplusplus) &&"), both.index("#ifdef NET_IMPLEMENTATION")
    kept = both[:start] + both[end - len("#endif\n\n") :]
    assert [a for a in kept.splitlines() if "rnn-codegen convert" not in a] == [
        b for b in plain.splitlines() if "rnn-codegen convert" not in b
    ]
    board = BOARDS["m4f"]
    objects = []
    for text in (plain, both):
        (tmp_path / "net.h").write_text(text)
        for language, flags in (("gcc", ["-std=c99"]), ("g++", ["-x", "c++", "-std=c++17"])):
            source = tmp_path / "net.c"
            source.write_text('#define NET_IMPLEMENTATION\n#include "net.h"\n')
            target = tmp_path / f"{language}.o"
            tool = f"{board.prefix}{language}"
            freestanding = ["-nostdinc++"] if language == "g++" else []
            compiled(tool, *board.options, *flags, *freestanding, "-Os", "-c", source, "-o", target)
            objects.append(target.read_bytes())
    assert objects[:2] == objects[2:]
