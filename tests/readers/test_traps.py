"""Each trap of Keras' formats by name: read right, and seen when the trap is opened again.

Every row says what a reader gets wrong, the recorded models that tell, and how to make this reader
do it. With it, each model must predict something else or be refused; else the row proves nothing.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import codegen
from codegen import readers
from codegen.errors import CodegenError, UnsupportedError
from codegen.layers.core import Identity
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers import sniff
from codegen.readers.files.hdf5 import Group
from codegen.readers.keras import weights
from codegen.readers.keras.era import Era
from codegen.readers.keras.items import Item, Slot
from codegen.readers.keras.layers import recurrent as recurrent_layers
from codegen.readers.keras.weights import PathFile
from tests.readers.hostile import Sequential, dense, good_members, gru, zipped
from tests.support.fixtures import FIXTURES, Case, cases
from tests.support.targets import worst

Patch = Callable[[pytest.MonkeyPatch], object]
CASES = {str(case): case for case in cases()}
OPTIONS = {"tf115/masking_bidirectional": "tf1.15", "tf21/masking_bidirectional": "tf2.1"}


def error(case: Case) -> float:
    """The worst error over the recorded calls, of every file of the case."""
    found = 0.0
    for path, config in case.sources:
        model = codegen.read(path, config, keras_version=OPTIONS.get(str(case)))
        reference = Reference(lower(model), len(case.calls[0].inputs[0]))
        for call in case.calls:
            if call.reset:
                reference.reset()
            found = max(found, worst(reference.predict(*call.inputs), call.outputs))
    return found


def _constant(owner: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, value)


def _property(name: str, value: Any) -> Patch:
    """An answer of `Era` that is the same for every era."""
    return lambda patch: patch.setattr(Era, name, property(lambda _era: value))


def _unfrozen(item: Item) -> list[tuple[Item, Slot]]:
    return [(one, slot) for one, _ in item.walk() for slot in one.slots]


def _own_first(item: Item) -> list[tuple[Item, Slot]]:
    """Trainable ones first, but a frozen layer counts as any other."""
    slots = _unfrozen(item)
    return [s for s in slots if s[1].trainable] + [s for s in slots if not s[1].trainable]


def _by_layer_name(_file: PathFile, item: Item) -> list[tuple[str, Item]]:
    """Counters given out in the order of the layers' names."""
    keys = [key for key, part in item.parts if key]
    parts = [part for key, part in item.parts if key]
    stems = [re.sub(r"_\d+$", "", key) for key in keys]
    found = []
    for stem in dict.fromkeys(stems):
        own = [k for k, s in zip(keys, stems, strict=True) if s == stem]
        theirs = [p for p, s in zip(parts, stems, strict=True) if s == stem]
        found += list(zip(own, sorted(theirs, key=lambda p: p.name), strict=True))
    return found


def _single_count(_file: PathFile, item: Item) -> list[tuple[str, Item]]:
    return [(key, part) for key, part in item.parts if key]


def _unchunked(group: Group, name: str) -> list[str] | None:
    return group._list(group._group.attrs, name) if group.has_attribute(name) else None


def _by_suffix(path: Path, label: str) -> str:
    return sniff.ZIP if path.suffix == ".keras" else sniff.HDF5


def _plain_mask(era: Era, unroll: bool, sequences: bool, fused: bool) -> str:
    return era.mask_rule(unroll, False)


@dataclass(frozen=True)
class Trap:
    """One thing to get wrong."""

    cases: tuple[str, ...]
    open: Patch


TRAPS = {
    "weights of a frozen inner layer come last": Trap(
        ("keras215/nested_frozen", "tf24/nested_frozen"),
        _constant(weights, "flat_slots", _own_first),
    ),
    "a nested model lists all trainable weights first": Trap(
        ("keras215/nested_deep", "keras224/nested_deep", "tf24/nested_deep"),
        _constant(weights, "flat_slots", _unfrozen),
    ),
    "paths count classes, not names": Trap(
        ("keras3_15/class_counter", "tf212/class_counter"),
        _constant(PathFile, "keys", _by_layer_name),
    ),
    "Keras 2.12 counts layers with weights twice": Trap(
        ("tf212/class_counter", "tf212/eleven_plus"),
        _constant(PathFile, "keys", _single_count),
    ),
    "long attributes are split": Trap(
        ("keras224/many_layers_chunked_attr", "keras3_15/chunked_attr"),
        _constant(Group, "texts", _unchunked),
    ),
    "a .keras file may be HDF5": Trap(
        ("tf212/hdf5_inside", "tf24/hdf5_inside"), _constant(sniff, "kind", _by_suffix)
    ),
    "hard_sigmoid of Keras 1 and 2": Trap(
        ("keras215/gru_hard_sigmoid", "keras122/gru", "tf24/gru_hard_sigmoid"),
        _property("hard_sigmoid", "hard_sigmoid_3"),
    ),
    "hard_sigmoid of Keras 3": Trap(
        ("keras3_15/gru_hard_sigmoid",), _property("hard_sigmoid", "hard_sigmoid")
    ),
    "a missing reset_after means False": Trap(
        ("keras122/gru", "keras208/gru"), _property("reset_after", True)
    ),
    "CuDNN keeps its matrices transposed": Trap(
        ("keras224/cudnn_gru", "keras231/cudnn_lstm", "tf24/cudnn_gru"),
        _constant(
            recurrent_layers, "_from_cudnn", lambda kernel, recurrent, units: (kernel, recurrent)
        ),
    ),
    "Keras 1 stores an LSTM's gates as i, c, f, o": Trap(
        ("keras122/lstm",),
        lambda patch: patch.setattr(weights, "flat_slots", _reordered),
    ),
    "a masked first step gave the carried state": Trap(
        ("keras215/mask_stateful_leading", "keras224/mask_stateful_leading"),
        _constant(Era, "mask_rule", lambda era, unroll, zeros, fused: "previous"),
    ),
    "a masked first step gives zeros": Trap(
        ("tf24/mask_stateful_leading", "keras3_15/mask_stateful_leading"),
        _constant(Era, "mask_rule", lambda era, unroll, zeros, fused: "state"),
    ),
    "Bidirectional puts zeros at masked steps": Trap(
        ("tf115/masking_bidirectional", "tf24/masking_bidirectional"),
        _constant(Era, "bidirectional_mask_rule", _plain_mask),
    ),
    "a stateful Bidirectional forgot its state": Trap(
        ("keras215/bidirectional_stateful", "keras224/bidirectional_stateful"),
        _property("bidirectional_carries", True),
    ),
    "a stateful Bidirectional carries its state": Trap(
        ("keras208/bidirectional_stateful", "tf24/bidirectional_stateful"),
        _property("bidirectional_carries", False),
    ),
    "states of stacked cells came last first": Trap(
        ("keras215/stacked_cells_state",), _property("last_cell_first", False)
    ),
    "states of stacked cells come in order": Trap(
        ("keras224/stacked_cells_state", "keras3_15/stacked_cells_state"),
        _property("last_cell_first", True),
    ),
}


def _reordered(item: Item) -> list[tuple[Item, Slot]]:
    """Gates of an LSTM in the order i, f, c, o."""
    slots = _unfrozen(item)
    order = [s for g in "ifco" for s in slots if s[1].name.endswith(f"_{g}")]
    return order if len(order) == len(slots) else slots


@pytest.mark.parametrize(("trap", "name"), [(t, n) for t in TRAPS for n in TRAPS[t].cases])
def test_trap(trap: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    assert error(case) < 2e-5
    TRAPS[trap].open(monkeypatch)
    try:
        found = error(case)
    except (CodegenError, AssertionError):
        return  # refused, or another shape: it is seen
    assert not found < 1e-3, "with the trap open the model predicts the same"


@pytest.mark.parametrize("name", ["tf115/masking_bidirectional", "tf115/bidirectional_stateful"])
def test_2_2_4_tf_is_two_things(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"2\.2\.4-tf.*--keras-version.*tf1\.15 or tf2\.1"):
        lower(codegen.read(*CASES[name].sources[0]))


def test_hard_sigmoid_of_an_unknown_writer_is_the_old_one(tmp_path: Path) -> None:
    """Weights and configuration without a version are of Keras 1 or 2: Keras 3 names modules."""
    model = Sequential([gru("g", 2, 3)], version="")
    layers = model.config()["config"]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    path = model.save(tmp_path / "m.h5", json.dumps(config))
    text = codegen.generate(codegen.read(path), "python")
    assert "recurrent_activation=hard_sigmoid)" in text


def test_the_configuration_must_not_contradict_the_bias(tmp_path: Path) -> None:
    """reset_after tells the shape of the bias: neither is taken where they differ."""
    path = Sequential([gru("g", 2, 3, reset_after=True)]).save(tmp_path / "m.h5")
    with pytest.raises(UnsupportedError, match=r"'bias' has shape \(9,\), expected \(2, 9\)"):
        lower(codegen.read(path))


def test_groups_in_any_order(tmp_path: Path) -> None:
    """The list of layers counts, whatever the order of the groups in the file."""
    layers = [gru("b", 2, 3), dense("a", 3, 3), dense("c", 3, 2)]
    first = Sequential(layers).save(tmp_path / "m.h5")
    second = tmp_path / "n.h5"
    with h5py.File(first) as old, h5py.File(second, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        names = list(old["model_weights"].attrs["layer_names"])
        group = new.create_group("model_weights")
        group.attrs["layer_names"] = [b"z", b"y", b"x"]
        for name, turned in zip(reversed(names), (b"x", b"y", b"z"), strict=True):
            old.copy(old["model_weights"][name], group, turned.decode())
    x = np.random.default_rng(0).normal(size=(1, 4, 2))
    found, wanted = (Reference(lower(readers.read(p))).predict(x) for p in (first, second))
    assert worst(found, wanted) == 0.0


def test_order_tells_not_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested Sequential lost its name up to Keras 2.1: what the file calls it tells nothing."""
    model = Sequential([gru("g", 2, 3), dense("d", 3, 3), dense("e", 3, 3)])
    model.layers[1]["_arrays"][0] *= -1
    path = model.save(tmp_path / "m.h5")
    x = np.random.default_rng(0).normal(size=(1, 4, 2))
    wanted = Reference(lower(codegen.read(path))).predict(x)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        # The names of the Dense layers, each at the place of the other.
        for old, new in (("layer_0", "g"), ("layer_1", "e"), ("layer_2", "d")):
            group.move(old, new)
        group.attrs["layer_names"] = [b"g", b"e", b"d"]
    assert worst(Reference(lower(codegen.read(path))).predict(x), wanted) == 0.0
    monkeypatch.setattr(weights, "bind_in_order", weights.bind_by_name)
    assert worst(Reference(lower(codegen.read(path))).predict(x), wanted) > 1e-3


def test_10_comes_after_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object with more than ten variables has them under numbers, which are no texts."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        for number in range(12):
            group[str(number)] = np.full(1, number, "f4")
    members = dict(good_members()) | {"model.weights.h5": buffer.getvalue()}
    path = zipped(*members.items())(tmp_path)
    seen: list[list[float]] = []

    def hook(config: Any, arrays: list[Any], name: str) -> Identity:
        seen.append([float(a[0]) for a in arrays])
        return Identity(name=name, class_name="Dense")

    codegen.read(path, custom={"Dense": hook})
    assert seen == [list(range(12))]
    monkeypatch.setattr(weights, "int", str, raising=False)
    codegen.read(path, custom={"Dense": hook})
    assert seen[1] != seen[0]


def test_a_layer_may_be_called_model_weights(tmp_path: Path) -> None:
    model = Sequential([gru("model_weights", 2, 3), dense("d", 3, 2)])
    path, config = tmp_path / "w.h5", tmp_path / "c.json"
    config.write_text(json.dumps({**model.config(), "keras_version": "2.1.5"}))
    with h5py.File(path, "w") as file:
        model.write_weights(file)
        file.move("layer_0", "model_weights")
        file.attrs["layer_names"] = [b"model_weights", b"layer_1"]
    x = np.random.default_rng(0).normal(size=(1, 4, 2))
    wanted = Reference(lower(codegen.read(model.save(tmp_path / "m.h5")))).predict(x)
    assert worst(Reference(lower(codegen.read(path, config))).predict(x), wanted) == 0.0


def test_every_fixture_of_a_trap_is_there() -> None:
    named = {name for trap in TRAPS.values() for name in trap.cases}
    assert sorted(name for name in named if not (FIXTURES / name).is_dir()) == []
