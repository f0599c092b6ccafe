"""Which of the recorded models convert, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import codegen
from codegen.layers.core import Rescaling
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Array, Layer
from tests.support.fixtures import QUICK, Case, cases, quick_cases, torch_cases

# What is refused, by ERA/CASE or by CASE in every era, and a part of the reason given.
REFUSED = {
    "lambda_layer": "holds Python code, which is never run",
    "tf21/time_major_bidirectional": "reversed the batch instead of time",
    "lora_h5": "LoRA weights are stored separately from the kernel; save the model as .keras",
    "quantised_int8": "quantised .* save the model as it was before quantize",
    "training_dropout": "training=True, so it is random even in predict",
    "training_batch_norm": "training=True, so it normalises by the current batch",
    # By the statistics of the current batch: not a function of one input.
    "keras122/normalisation_batchwise": "mode 2 normalises by the current batch",
    # Keras 3.0 saved the group of this layer without what belongs there.
    "keras3_0/time_distributed_model": "its weights are not in the file",
    "keras122/theano_same": "Theano pads windows of 2 with stride 1 unlike TensorFlow",
}


def scale(config: Mapping[str, Any], arrays: list[Array], name: str) -> Layer:
    """What a user writes for the fixtures' own class: y = x * scale."""
    (factors,) = arrays
    return Rescaling(name=name, class_name="Scale", scale=factors, offset=np.zeros(1))


# What has to be said to read a file, by ERA/CASE or by CASE; without it the file is refused.
NEEDED: dict[str, dict[str, Any]] = {
    "custom_layer": {"custom": {"Scale": scale}},
    # "2.2.4-tf" is written by TensorFlow 1.13 to 2.1, which differ in these.
    "tf115/bidirectional_state_stateful": {"keras_version": "tf1.15"},
    "tf115/masking_bidirectional_kinds": {"keras_version": "tf1.15"},
    "tf21/bidirectional_state_stateful": {"keras_version": "tf2.1"},
    "tf21/masking_bidirectional_kinds": {"keras_version": "tf2.1"},
    "tf115/bidirectional_stateful": {"keras_version": "tf1.15"},
    "tf115/initial_state_stateful": {"keras_version": "tf1.15"},
    "tf115/masking_bidirectional": {"keras_version": "tf1.15"},
    "tf21/bidirectional_stateful": {"keras_version": "tf2.1"},
    "tf21/initial_state_stateful": {"keras_version": "tf2.1"},
    "tf21/masking_bidirectional": {"keras_version": "tf2.1"},
}


def entry(table: Mapping[str, Any], case: Case) -> Any:
    return table.get(str(case), table.get(case.name))


EVERY = [*cases(), *torch_cases()]
ALL = quick_cases() if QUICK else EVERY
KEPT = [case for case in ALL if entry(REFUSED, case) is None]


_READ: dict[tuple[Path, int], Lowered] = {}


def read(case: Case, source: int = 0) -> Lowered:
    """The model of one of its files. It is read once for all tests: nothing changes a Lowered."""
    key = (case.folder, source)
    if key not in _READ:
        path, config = case.sources[source]
        _READ[key] = lower(codegen.read(path, config, **(entry(NEEDED, case) or {})))
    return _READ[key]
