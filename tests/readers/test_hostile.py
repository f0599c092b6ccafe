"""Every hostile file is refused with one message that says why, quickly and without a trace."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import codegen
from codegen.errors import CodegenError, UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers.keras.reader import Reader
from codegen.readers.options import Options
from tests.readers import hostile
from tests.readers.hostile import Sequential, dense, gru, small
from tests.support.fixtures import FIXTURES
from tests.support.targets import TARGETS, selftest, started, worst


def read(path: Path, **options: Any) -> codegen.lowering.Lowered:
    """Read and lower as `convert` does."""
    return lower(codegen.read(path, **options))


def refusal(path: Path, config: Path | None = None) -> str:
    """The message, which names the file and steers no terminal."""
    start = time.monotonic()
    with pytest.raises(CodegenError) as caught:
        lower(codegen.read(path, config))
    assert time.monotonic() - start < 20
    message = str(caught.value)
    assert message.startswith(path.name)
    assert len(message) < 4000
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*", message)
    return message


@pytest.mark.parametrize("name", list(hostile.CASES))
def test_hostile_file(name: str, tmp_path: Path) -> None:
    make, said = hostile.CASES[name]
    path = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    message = refusal(path)
    assert re.search(said, message), message
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", list(hostile.CASES))
def test_the_reader_itself_refuses(name: str, tmp_path: Path) -> None:
    """The rehearsal in a child is a second fence: the first one must hold without it."""
    path = hostile.CASES[name][0](tmp_path)
    options = Options()
    with pytest.raises(CodegenError):
        lower(Reader(path, None, options).model())


def test_the_good_files_are_good(tmp_path: Path) -> None:
    """Else the hostile ones might be refused for another reason."""
    assert read(small().save(tmp_path / "m.h5")).step is not None
    assert read(hostile.zipped()(tmp_path)).whole.outputs[0].shape == (3,)
    node = [[["i", 0, 0, {}]]]
    graph = hostile.functional({"a": node}, [["i", 0, 0]], [["a", 0, 0]])
    assert read(graph(tmp_path)).whole.outputs[0].shape == (2,)


# ---- settings -----------------------------------------------------------------------------

WRONG: list[Any] = ["64", -1, 0, 2**40, 2**200, 1.5, float("nan"), float("inf"), None, [], {}]
KINDS: dict[str, tuple[str, ...]] = {
    "units": ("GRU", "Dense"),
    "return_sequences": ("GRU",),
    "go_backwards": ("GRU",),
    "stateful": ("GRU",),
    "reset_after": ("GRU",),
    "use_bias": ("GRU", "Dense"),
    "unroll": ("GRU",),
    "activation": ("GRU", "Dense"),
    "recurrent_activation": ("GRU",),
}


FLAGS = ("return_sequences", "go_backwards", "stateful", "reset_after", "use_bias", "unroll")


def is_right(key: str, value: Any) -> bool:
    """Whether the value is one that the setting may have; no activation is the linear one."""
    return (value is True and key in FLAGS) or (value is None and key.endswith("activation"))


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        pytest.param(key, kind, value, id=f"{key}-{kind}-{value!r:.12}")
        for key, kinds in KINDS.items()
        for kind in kinds
        for value in (*WRONG, True, "x" * 10_000)
        if not is_right(key, value)
    ],
)
def test_wrong_type_of_a_setting(key: str, kind: str, value: Any, tmp_path: Path) -> None:
    model = Sequential([gru("g", 2, 3), dense("d", 3, 2)])
    entry = model.layers[0 if kind == "GRU" else 1]
    entry["config"][key] = value
    path = model.save(tmp_path / "m.h5")
    message = refusal(path)
    assert re.search(rf"layer '{entry['config']['name']}' \({kind}\): {key} ", message), message


def test_numbers_beyond_any_float(tmp_path: Path) -> None:
    for number in ("1e400", "-1e400", "9" * 5000, "NaN", "Infinity"):
        text = json.dumps(small().config()).replace('"units": 3', f'"units": {number}')
        message = refusal(small().save(tmp_path / "m.h5", text))
        assert "units is " in message


CONFIGS: dict[str, dict[str, list[Any]]] = {
    "LeakyReLU": {"alpha": ["0.3", True, float("nan"), [], {}]},
    "ReLU": {"max_value": ["6", True, float("nan")], "threshold": ["0", float("inf")]},
    "Softmax": {"axis": ["-1", True, 1.5, 2**40, [None]]},
    "Masking": {"mask_value": ["0", None, float("nan"), [1, 2]]},
    "RepeatVector": {"n": ["3", -1, True, 2**40]},
    "Permute": {"dims": ["12", [1, "2"], [0, 1], [2**40, 1], 3]},
    "Reshape": {"target_shape": ["12", [-2, 3], [2**40], [True], 3, [0]]},
    "Embedding": {"input_dim": ["5", -1, 2**40], "output_dim": ["5", True, None]},
    "TimeDistributed": {"layer": [None, 3, "Dense", [], {"class_name": 3}]},
    "Bidirectional": {"layer": [None, 3, {}], "merge_mode": [3, "wobble", True]},
    "RNN": {"cell": [None, 3, "GRUCell", {"class_name": "Dense"}, [3]]},
    "BatchNormalization": {"epsilon": ["1e-3", None, float("nan"), 1e301], "axis": ["3", 1.5, 99]},
    "Concatenate": {"axis": ["1", 1.5, 2**40, None]},
    "ZeroPadding1D": {"padding": ["1", -1, [1, -1], [1, 2, 3], 2**40, True]},
    "Cropping1D": {"cropping": ["1", -1, 2**40]},
    "UpSampling1D": {"size": ["2", 0, -1, 2**40, True]},
    "Conv1D": {"filters": ["2", 0, 2**40], "kernel_size": ["2", [0], [1, 2]], "padding": [1, "x"]},
    "MaxPooling1D": {"pool_size": ["2", 0, -1, 2**40], "strides": ["2", 0, -1]},
    "Rescaling": {"scale": ["2", None, float("nan")], "offset": ["2", float("inf")]},
    "Discretization": {"bin_boundaries": [[], {}, 1, ["1"]], "output_mode": [[], {}, 3, None]},
}
GOOD: dict[str, dict[str, Any]] = {
    "RepeatVector": {"n": 2},
    "Permute": {"dims": [2, 1]},
    "Reshape": {"target_shape": [2, 2]},
    "Embedding": {"input_dim": 5, "output_dim": 2},
    "ZeroPadding1D": {"padding": 1},
    "Cropping1D": {"cropping": 1},
    "UpSampling1D": {"size": 2},
    "Conv1D": {"filters": 2, "kernel_size": [1], "strides": [1], "padding": "valid"},
    "MaxPooling1D": {"pool_size": 2, "strides": 2, "padding": "valid"},
    "Rescaling": {"scale": 2.0, "offset": 0.0},
    "Discretization": {"bin_boundaries": [0.0, 1.0]},
    "Bidirectional": {"layer": {"class_name": "GRU", "config": {"units": 2, "name": "b"}}},
    "BatchNormalization": {"axis": -1, "epsilon": 1e-3},
}


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [(c, key, v) for c, keys in CONFIGS.items() for key, values in keys.items() for v in values],
    ids=lambda v: repr(v)[:20],
)
def test_wrong_setting_of_a_layer(kind: str, key: str, value: Any, tmp_path: Path) -> None:
    config = {"name": "it", "batch_input_shape": [None, 4, 2], **GOOD.get(kind, {}), key: value}
    path = Sequential([{"class_name": kind, "config": config}]).save(tmp_path / "m.h5")
    try:
        read(path)
    except CodegenError as error:
        assert "m.h5" in str(error)  # noqa: PT017


@pytest.mark.parametrize("shape", [5, "x", [], [None, "4", 2], [None, -1], [None, 2**40, 2], {}])
def test_wrong_shape_of_an_input(shape: Any, tmp_path: Path) -> None:
    model = small()
    model.layers[0]["config"]["batch_input_shape"] = shape
    assert "input shape" in refusal(model.save(tmp_path / "m.h5"))


# ---- weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    model = small()
    model.layers[0]["_arrays"][1][0, 0] = value
    path = model.save(tmp_path / "m.h5")
    message = refusal(path)
    assert "layer 'g' (GRU): its weight 'recurrent_kernel' holds values that are not" in message
    assert "--allow-nonfinite" in message
    lowered = read(path, allow_nonfinite=True)
    for target in TARGETS:
        for dtype in ("float32", "float64"):
            folder = tmp_path / target / dtype
            folder.mkdir(parents=True)
            model = started(target, lowered, folder, dtype=dtype)
            with np.errstate(invalid="ignore"):
                assert selftest(model)
                (y,) = model.predict(np.ones((3, 2)))
            assert np.isnan(y).all()


def test_negative_variance(tmp_path: Path) -> None:
    arrays = [np.ones(2, "f4"), np.zeros(2, "f4"), np.zeros(2, "f4"), np.array([1, -1], "f4")]
    config = {"name": "n", "batch_input_shape": [None, 3, 2], "axis": -1, "epsilon": 1e-3}
    entry = {"class_name": "BatchNormalization", "config": config, "_arrays": arrays}
    path = Sequential([entry]).save(tmp_path / "m.h5")
    assert "its variance is negative somewhere; --allow-nonfinite" in refusal(path)


def test_every_shape_is_checked(tmp_path: Path) -> None:
    for number, shape in ((0, (2, 8)), (0, (2, 9, 1)), (1, (3, 8)), (1, (2, 9)), (2, (10,))):
        model = small()
        model.layers[0]["_arrays"][number] = np.zeros(shape, "f4")
        message = refusal(model.save(tmp_path / "m.h5"))
        assert str(shape) in message
        assert "expected" in message
    model = small()
    model.layers[0]["_arrays"][0] = np.zeros((3, 9), "f4")
    message = refusal(model.save(tmp_path / "m.h5"))
    assert "its kernel expects 3 values, the layer before gives 2" in message


def test_weights_alone_show_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        small().write_weights(file)
    message = refusal(path)
    assert "--config" in message
    assert "  layer_0: (2, 9), (3, 9), (9,)" in message
    assert "  layer_1: (3, 2), (2,)" in message
    config = tmp_path / "c.json"
    config.write_text(json.dumps({**small().config(), "keras_version": "2.1.5"}))
    assert lower(codegen.read(path, config)).step is not None
    other = tmp_path / "o.json"
    other.write_text(json.dumps(Sequential([gru("q", 2, 3)]).config()))
    message = refusal(path, other)
    assert "the configuration has" in message
    assert "the file has" in message


# ---- nothing runs, nothing else is read or written -------------------------------------------


def test_nothing_named_in_a_file_is_imported(tmp_path: Path) -> None:
    """Every place that may name code does, and a fresh process meets none of it."""
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    entry = gru("g", 2, 3, activation="evil>run", kernel_initializer={"module": "evil"})
    foreign = {"class_name": "run", "module": "evil", "registered_name": "evil>run", "config": {}}
    evil = {"class_name": "Lambda", "config": {"name": "l", "module": "evil", "function": "run"}}
    Sequential([entry, foreign, evil]).save(tmp_path / "m.h5")
    program = (
        "import sys, codegen\nfrom codegen.lowering import lower\n"
        "try:\n    lower(codegen.read('m.h5'))\nexcept codegen.CodegenError as e: print(e)\n"
        "bad = {'evil', 'keras', 'tensorflow', 'torch', 'yaml', 'pickle'} & set(sys.modules)\n"
        "assert not bad - {'pickle'}, bad\n"  # NumPy itself loads pickle
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{root}:{tmp_path}", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3 problem(s)" in done.stdout
    assert not (tmp_path / "ran").exists()


def test_no_pickle_yaml_or_evaluation_in_the_readers() -> None:
    root = Path(codegen.__file__).parent
    for path in [
        *(root / "readers").rglob("*.py"),
        *(root / "text").glob("*.py"),
        *(root / "lowering").glob("*.py"),
    ]:
        if path.parent.name == "live":  # a module of its caller's, no file; it imports torch
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(import|from) (pickle|yaml|marshal|importlib)", text, re.MULTILINE
        ), path
        assert not re.search(r"\b(eval|exec|__import__|from_string)\(", text), path


# ---- names --------------------------------------------------------------------------------

NAMES = [
    "*/ int main(void) { return 1; } /*",
    "a\nb\r\nint x;\n#error no",
    "ends with a backslash\\",
    "??/",
    "'''\"\"\"",
    "\u202eright to left\u2066",
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "x" * 10_000,
    "for",
    "None",
    "class",
    "model_step",
    "Model",
    "self",
    "np",
    "step",
    "reset",
    "a b",
    "a_b",
    "A-B",
    "\u00e4\u4e2d\u6587",
    "\ud83d",
    "",
    "9",
    "__init__",
    "../../etc/passwd",
    "$(rm -rf x)`id`",
    "%s%n{0}",
    "\0",
]


@pytest.mark.parametrize("target", TARGETS)
def test_names_are_inert(target: str, tmp_path: Path) -> None:
    """One model with every odd name computes what the same model with plain names does."""
    odd, plain = [], []
    for number, name in enumerate(NAMES):
        entry = gru if number % 2 else dense
        width = 3 if number else 2
        odd.append(entry(name, width, 3))
        plain.append(entry(f"layer{number}", width, 3))
    path = Sequential(odd).save(tmp_path / "odd'\"{{1}}.h5")
    lowered = read(path)
    text = codegen.generate(codegen.read(path), target)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\\\\]\n|\0|\ud83d", text)
    assert max(len(line) for line in text.splitlines()) < 12_000
    assert "49" not in re.findall(r"layer (\S+)", text)
    if target == "c":
        comments = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        assert "int main" not in comments
        assert "??/" not in text
    model = started(target, lowered, tmp_path)
    x = np.random.default_rng(0).normal(size=(5, 2))
    expected = Reference(read(Sequential(plain).save(tmp_path / "plain.h5"))).predict(x[None])
    assert worst(model.predict(x), [y[0] for y in expected]) < 2e-5


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [n for n in NAMES if n != "\ud83d"], ids=lambda n: repr(n)[:20])
def test_one_odd_name(name: str, target: str, tmp_path: Path) -> None:
    """Also as the model's own name, from which the file's prefix is made."""
    entry = gru(name, 2, 3)
    config = {"class_name": "Sequential", "config": {"name": name, "layers": [entry]}}
    config["config"]["layers"] = [{k: v for k, v in entry.items() if k != "_arrays"}]  # type: ignore[index]
    path = Sequential([entry]).save(tmp_path / "m.h5", json.dumps(config))
    text = codegen.generate(codegen.read(path), target)
    if target == "c":
        (tmp_path / "net.h").write_text(text, encoding="utf-8")
        prefix = re.search(r"#define (\w+)_INPUT_SIZE", text)
        assert prefix is not None
        source = tmp_path / "net.c"
        source.write_text(f'#define {prefix[1]}_IMPLEMENTATION\n#include "net.h"\n')
        command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
        subprocess.run([*command, "-trigraphs", str(source)], check=True)
    elif target == "javascript":
        (tmp_path / "net.mjs").write_text(text, encoding="utf-8")
        subprocess.run(["node", "--check", str(tmp_path / "net.mjs")], check=True)
    else:
        compile(text, "net.py", "exec")


# ---- limits -------------------------------------------------------------------------------


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    path = small().save(tmp_path / "m.h5")
    with pytest.raises(CodegenError, match="--max-bytes"):
        codegen.read(path, max_bytes=200)
    assert codegen.read(path, max_bytes=1000)


def test_a_library_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from codegen.readers.files import limits

    monkeypatch.setattr(limits, "SECONDS", 1)

    def spin() -> None:
        while True:
            pass

    for work in (spin, lambda: __import__("os").kill(__import__("os").getpid(), 9)):
        with pytest.raises(CodegenError, match=r"m\.h5: damaged file: reading it"):
            limits.rehearse(work, "m.h5", 10, 2**20)


def test_shards_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "keras3_15" / "sharded", folder)
    index = next(folder.rglob("*.weights.json"))
    text = index.read_text()
    name = next(iter(json.loads(text)["weight_map"].values()))
    name = name[0] if isinstance(name, list) else name
    config = folder / "config.json"
    for wrong in ("../secret.h5", "/etc/passwd", "gone.h5", "x\\0.h5"):
        index.write_text(text.replace(name, wrong.replace("\\", "\\\\")))
        with pytest.raises(CodegenError, match="not a file next to the index"):
            codegen.read(index, config if config.exists() else None)
    (index.parent / "link.h5").symlink_to(index.parent / name)
    index.write_text(text.replace(name, "link.h5"))
    with pytest.raises(CodegenError, match="not a file next to the index"):
        codegen.read(index, config if config.exists() else None)


def test_all_problems_of_a_nested_model_are_told(tmp_path: Path) -> None:
    inner = {"class_name": "Mystery", "config": {"name": "who"}}
    wrapped = {"class_name": "TimeDistributed", "config": {"name": "td", "layer": inner}}
    path = Sequential([gru("g", 2, 3, activation="odd"), wrapped]).save(tmp_path / "m.h5")
    with pytest.raises(UnsupportedError) as caught:
        read(path)
    found = {(p.layer, p.class_name) for p in caught.value.problems}
    assert found == {("g", "GRU"), ("td/who", "Mystery")}


def test_a_second_name_in_an_archive_is_not_heeded(tmp_path: Path) -> None:
    """Python 3.12 and later take the name of a member from such an extra field, others do not."""
    info = zipfile.ZipInfo("other.json")
    own, other = zlib.crc32(b"other.json"), b"config.json"
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, own) + other
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "{}")
        for name, data in hostile.good_members():
            archive.writestr(name, data)
    assert read(path).step is None
