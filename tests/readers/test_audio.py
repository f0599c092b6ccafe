"""Models of RTNeural, AIDA-X, GuitarML and NAM: what they compute, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.main import main
from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.lowering import lower
from codegen.model import Model
from codegen.readers import _read
from codegen.readers.options import Options
from docs.make import audio
from tests.readers import audio_files, audio_reference
from tests.support import targets

NAM = audio_files.nam_models()
MODELS = {**audio_files.small(), **NAM}
# Of each kind the models that all targets run; the others run as NumPy.
EVERYWHERE = (
    "convolutions",
    "features and filters",
    "aida-x with a knob",
    "guitarml",
    "lstm",
    "gated wavenet",
)
Change = Callable[[dict[str, Any]], None]


def read(folder: Path, value: object, **options: Any) -> Model:
    """The model of a JSON file."""
    path = folder / "model.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return codegen.read(path, **options)


@pytest.mark.parametrize(
    ("name", "target"),
    [(name, t) for name in MODELS for t in targets.TARGETS if t == "numpy" or name in EVERYWHERE],
)
def test_the_file_computes_what_the_definition_says(name: str, target: str, tmp_path: Path) -> None:
    lowered = lower(read(tmp_path, MODELS[name]))
    model = targets.started(target, lowered, tmp_path)
    width = lowered.model.inputs[0].shape[-1]
    x = np.random.default_rng(1).normal(0, 1, (37, width or 0)).astype(np.float32)
    expected = audio_reference.outputs(MODELS[name], x.astype(np.float64))
    assert targets.worst(model.predict(x), [expected]) < targets.TOLERANCE
    for cut in (1, 2, 20):  # a call of predict, then steps that go on from it
        model.reset()
        model.predict(x[:cut])
        rest = targets.stepped(model, lowered, [x[cut:]])
        assert targets.worst(rest, [expected[cut:]]) < targets.TOLERANCE
    assert targets.selftest(model)


def test_commands_take_the_file(tmp_path: Path) -> None:
    for number, name in enumerate(EVERYWHERE):
        path, out = tmp_path / f"m{number}.json", tmp_path / f"m{number}.py"
        path.write_text(json.dumps(MODELS[name]), encoding="utf-8")
        for command in (
            ["convert", path, "-o", out], ["verify", path, out], ["check", out],
            ["explain", path], ["inspect", path],
        ):  # fmt: skip
            result = CliRunner().invoke(main, list(map(str, command)))
            assert result.exit_code == 0, result.output
        result = CliRunner().invoke(main, ["inspect", str(path), "--json"])
        found = json.loads(result.stdout)
        writer = "NAM 0.5.4" if name in NAM else ""
        assert (found["supported"], found["writer"], found["streamable"]) == (True, writer, True)
        forms = {"guitarml": "guitarml", "lstm": "nam", "gated wavenet": "nam"}
        assert found["format"] == forms.get(name, "rtneural")


@pytest.mark.parametrize("target", targets.TARGETS)
def test_facts_are_constants_of_the_file(target: str, tmp_path: Path) -> None:
    value = copy.deepcopy(MODELS["lstm"])
    value["metadata"] = {"loudness": -24.5, "input_level_dbu": "no number", "gain": 3}
    lowered = lower(read(tmp_path, value))
    text = targets.rendered(lowered, target)
    for name, number in (("SAMPLE_RATE", 48000), ("LOUDNESS", -24.5)):
        forms = {
            "c": f"#define MODEL_{name} {number if number > 0 else f'({number})'}\n",
            "javascript": f"\nexport const {name} = {number};\n",
        }
        assert forms.get(target, f"\n{name} = {number}\n") in text
    assert "INPUT_LEVEL_DBU" not in text
    inspected = [
        CliRunner().invoke(main, ["inspect", str(tmp_path / "model.json"), *more]).output
        for more in ([], ["--json"])
    ]
    assert "sample rate 48000 Hz, loudness -24.5 dB\n" in inspected[0]
    assert json.loads(inspected[1])["facts"] == {"sample_rate": 48000, "loudness": -24.5}
    assert targets.selftest(targets.loaded(target, text, lowered, tmp_path))


def test_a_sample_rate_may_be_a_text(tmp_path: Path) -> None:
    assert read(tmp_path, MODELS["aida-x"]).facts == (("sample_rate", 48000.0),)
    for other in ("", "1e400", "nan", None, True, [48000]):
        assert read(tmp_path, {**MODELS["aida-x"], "samplerate": other}).facts == ()


def test_the_page_is_current() -> None:
    assert audio.markdown() == audio.PAGE.read_text(encoding="utf-8"), "python -m docs.make.audio"


# ---- what is refused ------------------------------------------------------------------------


def _layer(number: int, **changes: Any) -> Change:
    return lambda value: value["layers"][number].update(changes)


def _first(number: int, value: Any) -> Change:
    def change(model: dict[str, Any]) -> None:
        weights = model["layers"][number]["weights"]
        while isinstance(weights[0], list):
            weights = weights[0]
        weights[0] = value

    return change


def _data(**changes: Any) -> Change:
    return lambda value: value["model_data"].update(changes)


def _config(**changes: Any) -> Change:
    return lambda value: value["config"].update(changes)


def _in_array(**changes: Any) -> Change:
    return lambda value: value["config"]["layers"][0].update(changes)


def _state(**changes: Any) -> Change:
    return lambda value: value["state_dict"].update(
        {key.replace("__", "."): one for key, one in changes.items()}
    )


def _nested(value: dict[str, Any]) -> dict[str, Any]:
    """A model whose condition is a model, and so on."""
    found = copy.deepcopy(value)
    for _ in range(6):
        found = {**found, "config": {**found["config"], "condition_dsp": found}}
    return found


def _fewer_rows(value: dict[str, Any]) -> None:
    value["in_shape"] = [None, 64, 2]
    value["layers"][0]["shape"] = [None, 30, 4]


FILM = audio_files.FILM
REFUSED: list[tuple[str, Change, str]] = [
    ("aida-x", _layer(0, type="conv3d"), r"'layer_1' \(conv3d\): type is \"conv3d\", expected one"),
    ("aida-x", _layer(0, type="unknown"), r"did not know the layer, .* delete it from the file if"),
    ("convolutions", _fewer_rows, r"its 64 time steps become 30, as with strides or pooling"),
    ("convolutions", _layer(0, dilation=[2**24]), r"window reaches over 67108864 numbers"),
    ("features and filters", _layer(0, padding="causal"), r"padding is \"causal\", expected '"),
    ("features and filters", _layer(0, num_features_in=6), r"6 times num_filters_in 2 is not 14"),
    ("features and filters", _layer(0, strides=2), r"gives 15 values, its window 3 features"),
    ("features and filters", _layer(0, kernel_size_feature=9), r"is 9, of 7 features"),
    ("features and filters", _layer(0, num_filters_out=[3, 3]), r"num_filters_out is \[3, 3\]"),
    ("features and filters", _layer(0, shape=[None, None, 15, 2]), r"shape gives 30 values"),
    ("features and filters", _layer(0, weights=[[]]), r"weights: 1 arrays found, expected 2"),
    ("features and filters", _layer(1, num_filters_in=5), r"5 times num_filters_in 5 is not 15"),
    ("features and filters", _layer(1, groups=5), r"an unknown key \"groups\""),
    ("aida-x", _layer(0, type=None), r"'layer_1' \(layer\): type is null"),
    ("aida-x", _layer(0, activation="relu"), r"'lstm' .*activation is \"relu\""),
    ("aida-x", _layer(1, activation="swish"), r"'dense' .*activation is \"swish\", expected"),
    ("aida-x", _layer(0, shape=[None, None, 16]), r"shape \[1, 16\], expected \[1, 64\]"),
    ("aida-x", _layer(0, shape="4"), r"shape is \"4\", expected a list of lengths"),
    ("aida-x", _layer(0, shape=[None, None, 2.5]), r"shape is 2\.5, expected a whole number"),
    ("aida-x", _layer(0, stateful=True), r"an unknown key \"stateful\""),
    ("aida-x", _layer(1, weights=[]), r"weights: 0 arrays found, expected 1 or 2"),
    ("aida-x", _layer(1, weights={}), r"weights: \{\} arrays found"),
    ("aida-x", _first(0, "0.5"), r"kernel holds \"0\.5\", expected a number"),
    ("aida-x", _first(0, True), r"kernel holds true, expected a number"),
    ("aida-x", _first(0, None), r"kernel holds null, expected a number"),
    ("aida-x", _first(0, [1.0]), r"kernel has rows of different lengths"),
    ("aida-x", _first(0, float("nan")), r"kernel has values that are not finite"),
    ("aida-x", _first(0, 1e39), r"kernel has values that are not finite"),
    ("aida-x", _first(0, 10**40), r"kernel has values that are not finite"),
    ("aida-x", lambda v: v.update(in_skip=2), r"in_skip is 2, expected a whole number from 0 to 1"),
    ("aida-x", lambda v: v.update(in_gain="3"), r"in_gain is \"3\", expected a number"),
    ("aida-x", lambda v: v.update(out_gain=1e6), r"out_gain is 1e\+06 dB"),
    ("aida-x", lambda v: v.update(in_gian=1), r"unknown key \"in_gian\", did you mean 'in_gain'"),
    ("aida-x", lambda v: v["layers"].pop(), r"in_skip adds one signal to an output of 4"),
    ("aida-x", lambda v: v["layers"].append(3), r"'layer_3' \(layer\): it is 3"),
    ("convolutions", _layer(0, strides=[2]), r"strides other than 1"),
    ("convolutions", _layer(0, dilation=[0]), r"dilation is 0"),
    ("convolutions", _layer(0, kernel_size=[3, 3]), r"kernel_size is \[3, 3\], expected 1"),
    ("convolutions", _layer(3, groups=4), r"groups is 4, which does not divide 4 and 6"),
    ("convolutions", _layer(3, groups=1), r"kernel is of shape \[2, 2, 6\], expected \[2, 4, 6\]"),
    ("convolutions", _layer(1, epsilon=-1), r"epsilon is -1"),
    ("convolutions", _layer(1, weights=[[1.0] * 4] * 3), r"3 arrays found, expected 2 or 4"),
    ("convolutions", _layer(1, weights=[[1.0] * 4, [-1.0] * 4]), r"variance is negative"),
    ("convolutions", _layer(2, weights=[[[1.0] * 3]]), r"alpha is of shape \[1, 3\]"),
    ("convolutions", _layer(2, shape=[None, None, 5]), r"shape ends with 5, its input has 4"),
    ("guitarml", _data(model="GatedConvNet"), r"model is \"GatedConvNet\", expected 'SimpleRNN'"),
    ("guitarml", _data(unit_type="QRNN"), r"unit_type is \"QRNN\""),
    ("guitarml", _data(hidden_size=5), r"hidden_size is 5, its tensors say 4"),
    ("guitarml", _data(num_layers=2), r"num_layers is 2, its tensors say 1"),
    ("guitarml", _data(input_size=2), r"weight_ih_l0' is of shape \[16, 1\], expected \[any, 2\]"),
    ("guitarml", _data(bias_fl=False), r"bias is false, its tensors say true"),
    ("guitarml", _data(skip=2), r"skip is 2, of 1 inputs and 1 outputs"),
    ("guitarml", _data(dropout=0.5), r"model_data has an unknown key \"dropout\""),
    ("guitarml", _state(other__weight=[1.0]), r"no layer uses: other\.weight \(float32 \[1\]\)"),
    ("guitarml", _state(lin__weight=[[1, 2, 3]]), r"'lin' .*shape \[1, 3\]|in_features"),
    ("guitarml", _state(lin__weight=[[1, 2], 3]), r"lin\.weight has rows of different lengths"),
    ("guitarml", _state(lin__bias=["1"]), r"lin\.bias holds \"1\", expected a number"),
    ("guitarml", _state(lin__bias=[float("inf")]), r"'bias' has values that are not finite"),
    ("lstm", lambda v: v.update(version="0.4.2"), r"version is \"0\.4\.2\", expected 0\.5\.0"),
    ("lstm", lambda v: v.update(version=None), r"version is null"),
    ("lstm", lambda v: v.update(architecture="CatLSTM"), r"architecture \"CatLSTM\" is not supp"),
    ("lstm", lambda v: v.update(architecture="SlimmableContainer"), r"one of its submodels"),
    ("lstm", lambda v: v["weights"].pop(), r"weights are too few: 159 in the file, 1 needed"),
    ("lstm", lambda v: v["weights"].append(0.5), r"weights: 161 found, expected 160"),
    ("lstm", lambda v: v.update(weights=[[0.5]]), r"weights is not a flat list"),
    ("lstm", lambda v: v.update(weights=None), r"weights is null"),
    ("lstm", _config(hidden_size=2**30), r"hidden_size is 1073741824, expected .* to 4096"),
    ("lstm", _config(input_size=2), r"input_size is 2, in_channels 1"),
    ("lstm", _config(skip=True), r"unknown key \"skip\""),
    ("linear", _config(out_channels=2), r"out_channels is 2"),
    ("linear", _config(receptive_field=2**23), r"weights are too few: 7 in the file, 8388608"),
    ("convnet", _config(activation="Gelu"), r"type is \"Gelu\""),
    ("convnet", _config(activation={"type": "LeakyHardtanh", "min_val": 2}), r"min_val is above"),
    ("condition", lambda v: v["config"]["condition_dsp"]["config"].update(layers=[3]),
     r"1 problem\(s\):\n.*'condition/array_1' \(NAM\): it is 3"),
    ("convnet", _config(activation={"type": "Tanh", "gain": 2}), r"unknown key \"gain\""),
    ("convnet", _config(activation={"type": "PReLU", "negative_slopes": [1]}),
     r"1 negative_slopes for 4 channels"),
    ("convnet", _config(groups=3), r"3 groups do not divide 1 and 4 channels"),
    ("convnet with batchnorm", lambda v: v["weights"].__setitem__(slice(12, 16), [-1.0] * 4),
     r"variance is negative"),
    ("wavenet", _in_array(layer1x1_post_film=FILM), r"layer1x1_post_film is supported in"),
    ("wavenet", _in_array(head1x1_post_film=FILM), r"head1x1_post_film without head1x1"),
    ("wavenet", _in_array(conv_pre_film={"gain": 1}), r"'array_1' \(NAM\): .*key \"gain\""),
    ("wavenet", _in_array(conv_pre_film=1), r"conv_pre_film is 1, expected an object"),
    ("wavenet", _in_array(slimmable={"method": "slice_channels_uniform"}), r"slimmable is not"),
    ("wavenet", _in_array(condition_size=2), r"array_1: condition_size is 2, expected 1"),
    ("wavenet", _in_array(head_size=3), r"array_2: the sum for its head is 2, expected 3"),
    ("wavenet", _in_array(channels=4), r"array_2: input_size is 3, expected 4"),
    ("wavenet", _in_array(kernel_sizes=[3, 3]), r"one of kernel_size and kernel_sizes"),
    ("wavenet", _in_array(activation=["Tanh"]), r"activation has 1 entries for 2 dilations"),
    ("wavenet", _in_array(gating_mode="other"), r"gating_mode is \"other\", expected none or"),
    ("wavenet", _config(layers=[]), r"layers is \[\], expected a list of arrays"),
    ("wavenet", _config(head={"channels": 3}), r"no 'kernel_sizes'"),
    ("condition", lambda v: v["config"]["condition_dsp"].update(version="1.0.0"), r"version is"),
    ("condition", lambda v: v["config"].update(condition_dsp=_nested(v)), r"nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_what_is_not_exact_is_refused(
    name: str, change: Change, message: str, tmp_path: Path
) -> None:
    value = copy.deepcopy(MODELS[name])
    change(value)
    with pytest.raises(UnsupportedError, match=message):
        lower(read(tmp_path, value))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    value = copy.deepcopy(MODELS["aida-x"])
    value["in_skip"] = 7
    for one in value["layers"]:
        one["activation"] = "swish"
    with pytest.raises(UnsupportedError) as caught:
        lower(read(tmp_path, value))
    assert [problem.layer for problem in caught.value.problems] == ["model", "lstm", "dense"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"in_shape": [None, None, 0], "layers": [{}]}, "in_shape is 0"),
        ({"in_shape": None, "layers": [{}]}, "in_shape is null"),
        ({"in_shape": [None, 1], "layers": []}, r"layers is \[\]"),
        ({"in_shape": [None, 1], "layers": {"type": "gru"}}, "layers is"),
        ({"model_data": [], "state_dict": {}}, r"model_data is \[\], expected an object"),
        ({"model_data": {}, "state_dict": None}, "state_dict is null, expected an object"),
        ('{"in_shape": [1], "layers": ' + "[" * 500 + "]" * 500 + "}", "nested too deeply"),
        ('{"in_shape": [1], "layers": [', "not valid JSON"),
    ],
)
def test_a_file_that_is_no_model_is_refused(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=message):
        read(tmp_path, value)


def test_infinite_weights_are_taken_where_they_are_wanted(tmp_path: Path) -> None:
    value = copy.deepcopy(MODELS["aida-x"])
    value["layers"][1]["weights"][1] = [float("inf")]
    lower(read(tmp_path, value, allow_nonfinite=True))


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="leave --config and --by-name out"):
        read(tmp_path, MODELS["gru"], by_name=True)


def test_weights_count_in_the_limit(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="more than 100 bytes"):
        read(tmp_path, MODELS["gru"], max_bytes=100)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_value_of_another_kind_has_an_answer(name: str, tmp_path: Path) -> None:
    """Every value of the file in turn, but for most of the numbers, becomes something else."""
    text = json.dumps(MODELS[name])
    for place in _places(MODELS[name]):
        for other in (None, -1, 1e300, "x", [], {}, [[[[[[1]]]]]]):
            value = json.loads(text)
            inside = value
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = other
            path = tmp_path / "model.json"
            path.write_text(json.dumps(value), encoding="utf-8")
            try:
                lower(_read(path, Options()))
            except CodegenError:
                continue


def _places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value is; of a list of numbers, the first."""
    found = [before] if before else []
    if isinstance(value, dict):
        return found + [p for key, one in value.items() for p in _places(one, (*before, key))]
    if isinstance(value, list):
        some = value if value and isinstance(value[0], dict) else value[:1]
        return found + [p for n, one in enumerate(some) for p in _places(one, (*before, n))]
    return found
