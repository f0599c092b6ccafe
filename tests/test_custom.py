"""The worked example of docs/custom-layers.md, in every target, by option and from Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.main import main
from codegen.errors import CodegenError, UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.running import Made
from codegen.targets import TARGETS as FOUND
from docs.make.blocks import blocks
from tests.readers.hostile import Sequential, dense, gru
from tests.support.targets import TARGETS, started, worst

Array = npt.NDArray[Any]
PAGE = Path(__file__).parents[1] / "docs" / "custom-layers.md"
NAMES = {"Squash": "squash", "MinimalCell": "minimal_cell", "bent": "bent"}
OPTIONS = [
    word
    for key, name in NAMES.items()
    for word in ("--custom", f"my_layers:{name}" if key == name else f"{key}=my_layers:{name}")
]


@pytest.fixture
def my_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The page's own code as a module of the user's, in the folder where he is."""
    found = blocks(PAGE.read_text(encoding="utf-8"), PAGE.name)
    (code,) = (block.text for block in found if block.markers.get("file") == "my_layers.py")
    (tmp_path / "my_layers.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("my_layers", None)
    sys.path.insert(0, str(tmp_path))
    import my_layers  # type: ignore[import-not-found]

    sys.path.remove(str(tmp_path))
    yield {key: getattr(my_layers, name) for key, name in NAMES.items()}
    sys.modules.pop("my_layers", None)


@pytest.fixture(scope="module")
def keras_model() -> Any:
    """The three as a user wrote them for Keras."""
    import keras
    from keras import ops

    class Squash(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(shape[-1],), name="scale")

        def call(self, x: Any) -> Any:
            return self.scale * ops.tanh(x / self.scale)

        # Keras would find it by a call on whatever is in memory, which may overflow.
        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    class MinimalCell(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, units: int, **more: Any) -> None:
            super().__init__(**more)
            self.units = self.state_size = units

        def build(self, shape: Any) -> None:
            n = self.units
            self.kernel = self.add_weight(shape=(shape[-1], 2 * n), name="kernel")
            self.recurrent = self.add_weight(shape=(n, 2 * n), name="recurrent_kernel")
            self.bias = self.add_weight(shape=(2 * n,), name="bias")

        def call(self, x: Any, states: Any, training: bool = False) -> Any:
            n, (h, *_) = self.units, states
            z = ops.matmul(x, self.kernel) + self.bias
            f = ops.sigmoid(z[:, :n] + ops.matmul(h, self.recurrent[:, :n]))
            c = ops.tanh(z[:, n:] + ops.matmul(f * h, self.recurrent[:, n:]))
            h = (1 - f) * h + f * c
            return h, [h]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    def bent(x: Any) -> Any:
        return (ops.sqrt(x * x + 1) - 1) / 2 + x

    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.RNN(MinimalCell(5), return_sequences=True),
            Squash(),
            keras.layers.GRU(4, return_sequences=True, activation=bent),
            keras.layers.Dense(2, activation=bent),
        ]
    )
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype("f4") for w in model.weights])
    return model


def expected(model: Any) -> tuple[Array, Array]:
    x = np.random.default_rng(4).normal(size=(6, 3)).astype("f4")
    return x, np.asarray(model(x[None]))[0]


@pytest.mark.oracle
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("target", TARGETS)
def test_by_option(
    target: str, suffix: str, keras_model: Any, my_layers: dict[str, Any], tmp_path: Path
) -> None:
    source = f"model{suffix}"
    keras_model.save(source)
    out = f"made{FOUND[target].suffixes[0]}"
    words = [source, "-o", out, "--target", target]
    run = CliRunner().invoke
    refused = run(main, ["convert", *words])
    assert refused.exit_code == 1
    for name in ("MinimalCell", "Squash", "bent"):
        assert name in refused.stderr
    done = run(main, ["convert", *words, *OPTIONS])
    assert done.exit_code == 0, done.output
    assert run(main, ["verify", source, out, *OPTIONS]).exit_code == 0
    again = run(main, ["check", out])
    assert again.exit_code == 1
    assert "give the same --custom here" in again.stderr
    assert run(main, ["check", out, *OPTIONS]).exit_code == 0
    lowered = lower(codegen.read(source, custom=my_layers))
    model = FOUND[target].start(Made(tmp_path / out, "made", lowered, "float32", tmp_path))
    x, y = expected(keras_model)
    assert worst(model.predict(x), [y]) < 2e-5


@pytest.mark.oracle
@pytest.mark.parametrize("target", TARGETS)
def test_of_a_live_model(
    target: str, keras_model: Any, my_layers: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError):
        codegen.generate(codegen.read(keras_model), target)
    lowered = lower(codegen.read(keras_model, custom=my_layers))
    assert lowered.step is not None
    x, y = expected(keras_model)
    model = started(target, lowered, tmp_path)
    assert worst(model.predict(x), [y]) < 2e-5
    model.reset()
    steps = [model.step(row) for row in x]
    assert worst([np.stack([s[0] for s in steps if s is not None])], [y]) < 2e-5
    assert worst([Reference(lowered).predict(x[None])[0][0]], [y]) < 2e-5


@pytest.mark.oracle
def test_a_live_model_needs_no_config(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3)])
    assert codegen.generate(codegen.read(model), "python")
    with pytest.raises(CodegenError, match="leave config out"):
        codegen.read(model, tmp_path / "c.json")
    with pytest.raises(CodegenError, match="expected a path or a Keras model, found int"):
        codegen.read(5)


def mystery(folder: Path) -> Path:
    entry = {"class_name": "Mystery", "config": {"name": "who"}, "_arrays": [np.ones(3, "f4")]}
    return Sequential([gru("g", 2, 3), entry, dense("d", 3, 2, activation="odd")]).save(
        folder / "m.h5"
    )


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        ({"Mystery": lambda *_: 1 / 0}, r"'who' \(Mystery\): .*--custom failed: ZeroDivisionError"),
        (
            {"Mystery": lambda *_: 5},
            r"'who' \(Mystery\): .*--custom returned int, expected a Layer",
        ),
        ({"odd": lambda x: x.gone}, r"'d' \(Dense\): .*--custom failed: AttributeError"),
        ({"odd": lambda x: "x"}, r"'d' \(Dense\): .*--custom returned str, expected an expression"),
        ({"odd": lambda: 5}, r"'d' \(Dense\): .*--custom failed: TypeError"),
    ],
)
def test_a_faulty_function_is_told(custom: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=said):
        codegen.generate(codegen.read(mystery(tmp_path), custom=custom))


# ---- classes that extend one of Keras -------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_class_that_changes_nothing(suffix: str, tmp_path: Path) -> None:
    """`--custom MyLSTM=LSTM`: the numbers are those of Keras with the user's class."""
    import keras

    class MyLSTM(keras.layers.LSTM):  # type: ignore[misc]
        pass

    class MyGRUCell(keras.layers.GRUCell):  # type: ignore[misc]
        pass

    keras.utils.set_random_seed(3)
    made = keras.Sequential(
        [
            keras.Input((5, 3)),
            MyLSTM(4, return_sequences=True),
            keras.layers.LSTM(3, return_sequences=True),
            keras.layers.RNN([MyGRUCell(2), MyGRUCell(3)]),
        ]
    )
    path = tmp_path / f"model{suffix}"
    made.save(path)
    options = ["--custom", "MyLSTM=LSTM", "--custom", "MyGRUCell=GRUCell"]
    x = np.random.default_rng(1).normal(size=(1, 5, 3)).astype(np.float32)
    custom = {"MyLSTM": "LSTM", "MyGRUCell": "GRUCell"}
    found = Reference(lower(codegen.read(path, custom=custom)), 1).predict(x)
    assert worst([made.predict(x, verbose=0)], found) < 2e-6
    out = tmp_path / "model.py"
    done = CliRunner().invoke(main, ["convert", str(path), "-o", str(out), *options])
    assert done.exit_code == 0, done.output
    assert "--custom MyLSTM=LSTM" in out.read_text(encoding="utf-8")
    checked = CliRunner().invoke(main, ["check", str(out)])  # it runs no code, so nobody is asked
    assert checked.output.endswith(": same\n")
    with pytest.raises(UnsupportedError, match=r"MyLSTM"):
        lower(codegen.read(path))


def test_a_class_that_extends_none_that_is_known(tmp_path: Path) -> None:
    entry = {**gru("g", 2, 3), "class_name": "Mine"}
    path = Sequential([entry]).save(tmp_path / "m.h5")
    with pytest.raises(UnsupportedError, match="reads it as a Lambda, which is not supported"):
        lower(codegen.read(path, custom={"Mine": "Lambda"}))
    entry["config"]["wobble"] = 3
    with pytest.raises(UnsupportedError, match="setting wobble=3 is unknown"):
        lower(codegen.read(Sequential([entry]).save(tmp_path / "m.h5"), custom={"Mine": "GRU"}))
    entry = gru("g", 2, 3, activation="mine")
    with pytest.raises(UnsupportedError, match="but it is an activation"):
        lower(codegen.read(Sequential([entry]).save(tmp_path / "m.h5"), custom={"mine": "GRU"}))
