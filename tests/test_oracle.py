"""Models built by the Keras that is installed, saved as .keras and .h5: every target agrees.

Random stacks and graphs with random weights everywhere (zero biases would hide a wrong gate
order), states carried over calls, masks at any step; and the numbers at which naive formulas fail.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import keras
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

import codegen
from codegen.errors import UnsupportedError
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from tests.support.targets import (
    TARGETS,
    TOLERANCE,
    flat,
    inputs_of_step,
    module,
    options,
    rendered,
    started,
    stepped,
    worst,
)

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

L = keras.layers
Array = npt.NDArray[Any]
Spec = tuple[str, dict[str, Any]]
BATCH = 2


def examples(count: int) -> Callable[..., Any]:
    """So many in an ordinary run; the profile `fuzz` says how many by itself."""
    wanted = hypothesis.settings().max_examples
    return hypothesis.settings(
        max_examples=wanted if wanted > 100 else count,
        phases=[p for p in hypothesis.Phase if p is not hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )


# ---- agreement -------------------------------------------------------------------------------


def randomised(model: Any, seed: int, size: float = 0.6) -> Any:
    """The model with random weights, biases and moving statistics too."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(0, size, weight.shape)
        if weight.name.endswith("variance"):
            value = 0.5 + np.abs(value)
        weight.assign(value.astype(np.float32))
    return model


def every_layer(model: Any) -> list[Any]:
    found = []
    for layer in model.layers:
        inner = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
        found += [layer, *(one for one in inner if one is not None)]
        if hasattr(layer, "layers"):
            found += every_layer(layer)
    return found


def reset(model: Any) -> None:
    """Every state at zero; in Keras 3.15 layers with stacked cells cannot do it themselves."""
    for layer in every_layer(model):
        if getattr(layer, "stateful", False):
            for state in keras.tree.flatten(getattr(layer, "states", None) or []):
                state.assign(np.zeros(state.shape, np.float32))


def predicted(model: Any, inputs: Sequence[Array]) -> list[Array]:
    found = model.predict(
        inputs[0] if len(inputs) == 1 else list(inputs), batch_size=BATCH, verbose=0
    )
    return [np.asarray(y) for y in (found if isinstance(found, (list, tuple)) else [found])]


def texts(lowered: Lowered) -> list[str]:
    """The lines of a file but for those that name the model's own."""
    named = re.compile(r"model\.(h5|keras)")
    return [line for line in rendered(lowered, "numpy").splitlines() if not named.search(line)]


def agree(model: Any, calls: Sequence[Sequence[Array]], again: int | None = None) -> Lowered:
    """Assert that both files, read by anyone, give what `model` predicts call by call.

    Before the call with the number `again`, every state is reset.
    """
    reset(model)
    expected = []
    for number, inputs in enumerate(calls):
        if number == again:
            reset(model)
        expected.append(predicted(model, inputs))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readings = []
        for suffix in ("keras", "h5"):
            model.save(folder / f"model.{suffix}")
            readings.append(lower(codegen.read(folder / f"model.{suffix}")))
        assert list(difflib.unified_diff(*map(texts, readings), lineterm="")) == []
        for lowered in readings:
            run_all(Reference(lowered, BATCH), calls, expected, again)
        lowered = readings[0]
        run_all(module(rendered(lowered, "numpy")).Model(batch=BATCH), calls, expected, again)
        for target in TARGETS:
            runner = started(target, lowered, folder, **options(target, lowered, calls))
            for row in range(BATCH):
                runner.reset()
                ones = [[x[row] for x in call] for call in calls]
                run_all(runner, ones, [[y[row] for y in call] for call in expected], again)
            if lowered.step is not None:
                steps_agree(runner, lowered, [x[0] for x in calls[-1]])
    return lowered


def run_all(
    model: Any,
    calls: Sequence[Sequence[Array]],
    expected: Sequence[Sequence[Array]],
    again: int | None,
) -> None:
    for number, (inputs, wanted) in enumerate(zip(calls, expected, strict=True)):
        if number == again:
            model.reset()
        found = model.predict(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        assert worst(found, wanted) <= TOLERANCE, (type(model), number)


def steps_agree(model: Any, lowered: Lowered, inputs: Sequence[Array]) -> None:
    assert lowered.step is not None
    steps = min(len(x) for x, p in zip(inputs, lowered.step.inputs, strict=True) if p.time)
    steps = steps // lowered.hop * lowered.hop
    cut = [x[:steps] if p.time else x for x, p in zip(inputs, lowered.step.inputs, strict=True)]
    model.reset()
    wanted, states = model.predict(*cut), flat(model.get_state())
    model.reset()
    assert worst(stepped(model, lowered, cut), wanted) <= TOLERANCE
    assert worst([flat(model.get_state())], [states]) <= TOLERANCE
    model.set_state(model.get_state())
    assert model.step(*inputs_of_step(lowered, cut, 0)) is not None


# ---- random layers ---------------------------------------------------------------------------

# Bounded, so that rounding stays rounding over some steps; and those for what is not a state.
GATES = ["sigmoid", "hard_sigmoid", "tanh", "softsign", "hard_tanh", "sparse_sigmoid"]
SHAPES = [*GATES, "linear", "relu", "softplus", "elu", "selu", "silu", "gelu", "leaky_relu"]
SHAPES += ["relu6", "mish", "celu", "log_sigmoid", "hard_silu", "squareplus", "softmax"]
UNITS = st.integers(1, 7)


@st.composite
def recurrent(draw: Any, sequences: bool = True, carried: bool = False) -> Spec:
    """GRU, LSTM, SimpleRNN or a stack of cells, with any options."""
    name = draw(st.sampled_from(["GRU", "LSTM", "SimpleRNN", "RNN"]))
    options: dict[str, Any] = {"return_sequences": sequences}
    if carried:
        options["stateful"] = draw(st.booleans())
    if name == "RNN":
        kinds = st.sampled_from(["GRUCell", "LSTMCell", "SimpleRNNCell"])
        cells = draw(st.lists(st.tuples(kinds, UNITS), min_size=1, max_size=3))
        return name, {"cells": cells, **options}
    options["units"] = draw(UNITS)
    options["use_bias"] = draw(st.sampled_from([True, True, False]))
    options["activation"] = draw(st.sampled_from(["tanh", *GATES]))
    if name != "SimpleRNN":
        # From 0 to 1: with negative gates a state may grow, and rounding with it.
        gates = ["sigmoid", "hard_sigmoid", "sparse_sigmoid"]
        options["recurrent_activation"] = draw(st.sampled_from(gates))
    if name == "GRU":
        options["reset_after"] = draw(st.booleans())
    return name, options


@st.composite
def dense(draw: Any) -> Spec:
    name = draw(st.sampled_from(["Dense", "TimeDistributed"]))
    shape = draw(st.sampled_from(SHAPES))
    return name, {"units": draw(UNITS), "activation": shape, "use_bias": draw(st.booleans())}


POINTWISE: list[Spec] = [
    ("Activation", {"activation": "tanh"}),
    ("LeakyReLU", {"negative_slope": 0.15}),
    ("ELU", {"alpha": 0.7}),
    ("ReLU", {"max_value": 0.8, "negative_slope": 0.1, "threshold": 0.2}),
    ("PReLU", {"shared_axes": [1]}),
    ("Softmax", {}),
    ("Dropout", {"rate": 0.5}),
    ("SpatialDropout1D", {"rate": 0.5}),
    ("GaussianNoise", {"stddev": 1.0}),
    ("BatchNormalization", {"epsilon": 0.01}),
    ("LayerNormalization", {}),
    ("Rescaling", {"scale": 0.5, "offset": -0.25}),
    ("Identity", {}),
]


@st.composite
def convolution(draw: Any, padding: str) -> Spec:
    return "Conv1D", {
        "filters": draw(UNITS),
        "kernel_size": draw(st.integers(1, 4)),
        "dilation_rate": draw(st.integers(1, 3)),
        "padding": padding,
        "activation": draw(st.sampled_from(["linear", "relu", "tanh"])),
    }


@st.composite
def bidirectional(draw: Any, sequences: bool = True) -> Spec:
    name, options = draw(recurrent(sequences))
    modes = ["concat", "sum", "mul", "ave"]
    return "Bidirectional", {
        "layer": (name, options),
        "merge_mode": draw(st.sampled_from(modes)),
    }


def built(spec: Spec) -> Any:
    """The Keras layer."""
    name, options = spec[0], dict(spec[1])
    if name == "RNN":
        cells = [getattr(L, kind)(units) for kind, units in options.pop("cells")]
        return L.RNN(cells if len(cells) > 1 else cells[0], **options)
    if name == "TimeDistributed":
        return L.TimeDistributed(L.Dense(**options))
    if name == "Bidirectional":
        return L.Bidirectional(built(options["layer"]), merge_mode=options["merge_mode"])
    return getattr(L, name)(**options)


LENGTHS = st.lists(st.integers(1, 7), min_size=2, max_size=3)
WIDTH = 3


def normal(seed: int, lengths: Sequence[int], width: int = WIDTH) -> list[list[Array]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(BATCH, n, width)).astype(np.float32)] for n in lengths]


def sequential(specs: Sequence[Spec], seed: int, shape: tuple[int | None, ...]) -> Any:
    keras.utils.clear_session(free_memory=False)
    first = keras.Input(batch_shape=(BATCH, *shape))
    return randomised(keras.Sequential([first, *map(built, specs)]), seed)


SEEDS = st.integers(0, 2**16)


@examples(24)
@hypothesis.given(
    specs=st.lists(
        st.one_of(
            recurrent(carried=True),
            recurrent(carried=True),
            dense(),
            convolution("causal"),
            st.sampled_from(POINTWISE),
        ),
        min_size=1,
        max_size=5,
    ),
    last=st.one_of(st.none(), recurrent(sequences=False, carried=True)),
    lengths=LENGTHS,
    seed=SEEDS,
)
def test_streams(specs: list[Spec], last: Spec | None, lengths: list[int], seed: int) -> None:
    """Layers that need the past alone: states carried where stateful, and steps as predict."""
    specs = [*specs, *([last, ("Dense", {"units": 2})] if last else [])]
    model = sequential(specs, seed, (None, WIDTH))
    lowered = agree(model, normal(seed, lengths), again=len(lengths) - 1)
    assert lowered.step is not None


def unmask(calls: list[list[Array]]) -> None:
    """Let later calls begin with a step that counts.

    Where a stateful layer begins with a masked step, backends differ: TensorFlow puts out zeros,
    which the fixtures hold, NumPy and JAX the state.
    """
    for (x,) in calls[1:]:
        x[:, 0] = np.where(x[:, 0] == 0, 1, x[:, 0])


@examples(8)
@hypothesis.given(cell=recurrent(carried=True), zero=st.booleans(), lengths=LENGTHS, seed=SEEDS)
def test_ids(cell: Spec, zero: bool, lengths: list[int], seed: int) -> None:
    """Integers through an Embedding, with and without a mask."""
    specs: list[Spec] = [
        ("Embedding", {"input_dim": 6, "output_dim": 4, "mask_zero": zero}),
        cell,
        ("Dense", {"units": 6, "activation": "softmax"}),
    ]
    rng = np.random.default_rng(seed)
    calls = [[rng.integers(0, 6, (BATCH, n)).astype(np.int32)] for n in lengths]
    if zero and cell[1].get("stateful"):
        unmask(calls)
    agree(sequential(specs, seed, (None,)), calls)


@examples(12)
@hypothesis.given(
    specs=st.lists(
        st.one_of(
            recurrent(carried=True),
            bidirectional(),
            dense(),
            st.sampled_from([("Dropout", {"rate": 0.1}), ("Activation", {"activation": "tanh"})]),
        ),
        min_size=1,
        max_size=3,
    ),
    last=st.one_of(st.none(), recurrent(sequences=False), bidirectional(sequences=False)),
    lengths=LENGTHS,
    seed=SEEDS,
)
def test_masks(specs: list[Spec], last: Spec | None, lengths: list[int], seed: int) -> None:
    """Any steps masked, in one sample or both, whole samples too."""
    model = sequential([("Masking", {}), *specs, *([last] if last else [])], seed, (None, WIDTH))
    calls = normal(seed, lengths)
    rng = np.random.default_rng(seed + 1)
    for (x,) in calls:
        x[rng.random(x.shape[:2]) < 0.4] = 0.0
    if any(options.get("stateful") for _, options in specs):
        unmask(calls)
    agree(model, calls, again=1)


@examples(14)
@hypothesis.given(
    specs=st.lists(
        st.one_of(
            bidirectional(),
            bidirectional(),
            recurrent(),
            convolution("same"),
            dense(),
            st.sampled_from(POINTWISE),
        ),
        min_size=1,
        max_size=3,
    ),
    last=st.one_of(
        st.none(),
        bidirectional(sequences=False),
        st.sampled_from([("GlobalMaxPooling1D", {}), ("GlobalAveragePooling1D", {})]),
    ),
    backwards=st.booleans(),
    fixed=st.booleans(),
    lengths=LENGTHS,
    seed=SEEDS,
)
def test_whole_sequences(
    specs: list[Spec],
    last: Spec | None,
    backwards: bool,
    fixed: bool,
    lengths: list[int],
    seed: int,
) -> None:
    """Layers that read from the end or need a window around each step."""
    if backwards:
        specs = [("GRU", {"units": 3, "return_sequences": True, "go_backwards": True}), *specs]
    lengths = [lengths[0]] * len(lengths) if fixed else lengths
    shape = (lengths[0] if fixed else None, WIDTH)
    model = sequential([*specs, *([last] if last else [])], seed, shape)
    agree(model, normal(seed, lengths))


@examples(14)
@hypothesis.given(
    left=recurrent(carried=True),
    right=st.one_of(recurrent(), dense(), convolution("causal")),
    shared=recurrent(),
    merges=st.lists(
        st.sampled_from(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]),
        min_size=1,
        max_size=2,
    ),
    concatenate=st.booleans(),
    vector=st.booleans(),
    nested=st.booleans(),
    lengths=LENGTHS,
    seed=SEEDS,
)
def test_graphs(
    left: Spec,
    right: Spec,
    shared: Spec,
    merges: list[str],
    concatenate: bool,
    vector: bool,
    nested: bool,
    lengths: list[int],
    seed: int,
) -> None:
    """Two inputs, a layer called twice, branches that meet, a nested model, two outputs."""
    keras.utils.clear_session(free_memory=False)
    inputs = [keras.Input(batch_shape=(BATCH, None, WIDTH)) for _ in range(2)]
    twice = built(shared)
    a, b = twice(inputs[0]), twice(inputs[1])
    for name in merges:
        a, b = getattr(L, name)()([a, b]), a
    if concatenate:
        a = L.Concatenate()([a, b])
    y = built(left)(a)
    if nested:
        inner = keras.Input(y.shape[1:])
        y = keras.Model(inner, L.Dense(4, activation="tanh")(L.Dense(3)(inner)))(y)
    z = built(right)(b)
    if vector:
        z = L.GRU(3)(z)
    model = randomised(keras.Model(inputs, [y, z]), seed)
    rng = np.random.default_rng(seed)
    calls = [
        [rng.normal(size=(BATCH, n, WIDTH)).astype(np.float32) for _ in inputs] for n in lengths
    ]
    lowered = agree(model, calls)
    assert lowered.step is not None


# ---- numbers ---------------------------------------------------------------------------------

FAR = [-1e18, -1000.0, -104.0, -88.0, -20.0, -9.5, -3.0, -2.5, -1.0, -0.5, -1e-3, -1e-8]
FAR += [*(-x for x in FAR), 0.0, 1e-30]
BY_ELEMENT = """
linear relu relu6 sigmoid hard_sigmoid tanh softplus softsign exponential elu selu silu gelu
leaky_relu mish celu log_sigmoid hard_silu squareplus soft_shrink hard_shrink tanh_shrink hard_tanh
sparse_sigmoid sparse_plus
""".split()


def saved(model: Any) -> Lowered:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return lower(codegen.read(path))


def values(
    model: Any, target: str, folder: Path, x: Sequence[Array], **options: Any
) -> tuple[list[Array], list[Array]]:
    """What one sample gives in Keras and in the target."""
    with np.errstate(all="ignore"):
        expected = [np.asarray(y)[0] for y in model([part[None] for part in x])]
    return expected, list(started(target, saved(model), folder, **options).predict(*x))


@pytest.mark.parametrize("target", TARGETS)
def test_every_activation_far_from_zero(target: str, tmp_path: Path) -> None:
    """From -1e18 to 1e18, corners and tiny numbers; infinite exactly where Keras is."""
    names = [*BY_ELEMENT, "softmax", "log_softmax", "glu"]
    far = np.array(FAR, np.float32)
    x = keras.Input((len(far),))
    model = keras.Model([x], [L.Activation(name)(x) for name in names])
    expected, found = values(model, target, tmp_path, [far])
    for name, own, wanted in zip(names, found, expected, strict=True):
        with np.errstate(over="ignore"):  # Python computes in double precision
            y = own.astype(np.float32)
        infinite = np.isinf(wanted)
        np.testing.assert_array_equal(np.isinf(y), infinite, err_msg=name)
        finite = np.where(infinite, 0, wanted)
        assert worst([np.where(infinite, 0, y)], [finite]) <= TOLERANCE, name


@pytest.mark.parametrize("target", TARGETS)
def test_every_activation_as_a_gate(target: str, tmp_path: Path) -> None:
    x = keras.Input((None, 3))
    outputs = []
    for name in BY_ELEMENT:
        shape = "tanh" if name == "exponential" else name  # of itself, it would leave float32
        gates = {"activation": shape, "recurrent_activation": name, "return_sequences": True}
        outputs += [
            L.GRU(2, reset_after=False, **gates)(x),
            L.GRU(2, **gates)(x),
            L.LSTM(2, **gates)(x),
            L.SimpleRNN(2, activation=shape, return_sequences=True)(x),
        ]
    model = randomised(keras.Model([x], outputs), 5, 0.4)
    data = np.random.default_rng(6).normal(size=(4, 3)).astype(np.float32)
    expected, found = values(model, target, tmp_path, [data])
    for number, (y, wanted) in enumerate(zip(found, expected, strict=True)):
        assert worst([y], [wanted]) <= TOLERANCE, (BY_ELEMENT[number // 4], number % 4)


@pytest.mark.parametrize("target", TARGETS)
def test_gates_that_saturate(target: str, tmp_path: Path) -> None:
    """Sums of +-1000 and more, as badly scaled inputs give: states stay finite, gates 0 or 1."""
    x = keras.Input((None, 2))
    layers = [L.GRU(3, return_sequences=True), L.LSTM(3, return_sequences=True), L.SimpleRNN(3)]
    model = randomised(keras.Model([x], [layer(x) for layer in layers]), 3)
    data = np.array([[1e4, -1e4], [-3e4, 2e4], [1e30, 1e30], [0, 0]], np.float32)
    expected, found = values(model, target, tmp_path, [data])
    assert worst(found, expected) <= TOLERANCE
    assert all(np.abs(y).max() <= 1 for y in found)


EXACT = [
    ("softmax", [100, 0], [1, 0]),
    ("softmax", [1000, 1000], [0.5, 0.5]),
    ("softmax", [-1000, -1001], [0.7310585786, 0.2689414214]),
    ("log_softmax", [100, 0], [0, -100]),
    ("softplus", [100, -100], [100, 0]),
    ("sigmoid", [-1000, 1000], [0, 1]),
    ("log_sigmoid", [-1000, 1000], [-1000, 0]),
    ("tanh", [-1000, 1000], [-1, 1]),
    ("exponential", [-1000, 80], [0, 5.540622384e34]),
    ("elu", [-1000, 1000], [-1, 1000]),
    ("selu", [-1000, 1000], [-1.7580993408, 1050.7009873555]),
    ("gelu", [-1000, 1000], [0, 1000]),
    ("silu", [-1000, 1000], [0, 1000]),
    ("mish", [-1000, 1000], [0, 1000]),
    ("softsign", [-1000, 1000], [-1000 / 1001, 1000 / 1001]),
    ("hard_sigmoid", [-2.75, 2.75], [0.25 / 6, 5.75 / 6]),
]
SETTINGS = [("numpy", {}), ("python", {}), ("c", {"math": "fast"}), ("c", {"math": "libm"})]


@pytest.mark.parametrize(("target", "options"), SETTINGS, ids=str)
def test_known_values(target: str, options: dict[str, str], tmp_path: Path) -> None:
    inputs = [keras.Input((len(x),)) for _, x, _ in EXACT]
    outputs = [L.Activation(name)(x) for (name, *_), x in zip(EXACT, inputs, strict=True)]
    model = keras.Model(inputs, outputs)
    data = [np.array(x, np.float32) for _, x, _ in EXACT]
    keras_says, found = values(model, target, tmp_path, data, **options)
    for (name, _, wanted), y, other in zip(EXACT, found, keras_says, strict=True):
        assert worst([y], [np.array(wanted)]) <= 2e-6, name
        assert worst([other], [np.array(wanted)]) <= 2e-6, name


def test_an_activation_that_keras_itself_gets_wrong_is_refused() -> None:
    x = keras.Input((4,))
    with pytest.raises(UnsupportedError, match="sparsemax"):
        saved(keras.Model(x, L.Activation("sparsemax")(x)))
