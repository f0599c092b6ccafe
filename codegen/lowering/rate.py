"""`--rate-ratio`: a recurrent model at another sample rate than that of its training.

At R times the rate a step is R times shorter, so the state that the model was trained to see, that
of one step ago, is that of R steps ago. Each recurrent layer keeps the states of its last steps and
goes on from one of them, or from one between two. That is also what it puts out: its output comes
R - 1 steps late. The layers of RTNeural correct for the sample rate in this way (`GRULayerT` and
`LSTMLayerT` with a SampleRateCorrectionMode). Every other layer must do without the past.
"""

from __future__ import annotations

from dataclasses import replace

from codegen.errors import Problem
from codegen.layers.recurrent import GRUCell, LSTMCell, Recurrent, SimpleRNNCell
from codegen.lowered import Lowered
from codegen.model import Layer, Model, Node

LARGEST = 64.0  # 512 kHz for a model of 8 kHz
CELLS = (GRUCell, LSTMCell, SimpleRNNCell)


def at_ratio(model: Model, ratio: float) -> Model:
    """The model with the states of its recurrent layers delayed; its sample rate goes up too."""
    if not 1 <= ratio <= LARGEST:
        message = f"{ratio:g} is not from 1 to {LARGEST:g}; at a lower rate no state is old enough"
        return replace(model, problems=(*model.problems, _of_model(message)))
    changed: dict[int, Layer] = {}
    for layer in model.layers:
        if isinstance(layer, Recurrent) and isinstance(layer.cell, CELLS):
            changed[id(layer)] = replace(layer, delay=float(ratio))

    def at(node: Node) -> Node:
        return replace(node, layer=changed.get(id(node.layer), node.layer))

    # A quotient of two rates is a little off: 96000 / 44100 times 44100 is more than 96000.
    facts = tuple((k, round(v * ratio, 3) if k == "sample_rate" else v) for k, v in model.facts)
    graph = replace(model.graph, nodes=tuple(map(at, model.graph.nodes)))
    return replace(model, graph=graph, facts=facts, rate_ratio=ratio)


def problems_at_ratio(lowered: Lowered) -> tuple[Problem, ...]:
    """Why the model cannot run at another rate: what of the past it has besides delayed states."""
    if lowered.step is None:
        return (_of_model(f"the model has no step: {lowered.reason}"),)
    layers = {layer.name: layer for layer in lowered.model.layers}
    found: dict[str, Problem] = {}
    for state in lowered.step.states:
        layer = layers.get(state.layer)
        if isinstance(layer, Recurrent) and layer.delay != 1:
            continue
        kind = "layer" if layer is None else layer.class_name
        message = (
            "--rate-ratio: it keeps rows of the past, which belong to the rate of the training. "
            "Only GRU, LSTM and SimpleRNN can be delayed; resample the signal instead"
        )
        found.setdefault(state.layer, Problem(state.layer, kind, message))
    if not lowered.step.states:
        return (_of_model("the model has no recurrent layer, so the rate makes no difference"),)
    return tuple(found.values())


def _of_model(message: str) -> Problem:
    return Problem("model", "Model", f"--rate-ratio: {message}")
