"""Digits of the functions: every one in every target, against the interpreter in more digits.

What counts is the error relative to the result, not to 1 + it: a mask of 1e-8 is multiplied up, a
probability of 1e-30 has a logarithm.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from codegen.layers.core import ActivationLayer, Dense
from codegen.layers.merging import Merge
from codegen.layers.operations import Operation
from codegen.layers.recurrent import GRUCell, LSTMCell, Recurrent, SimpleRNNCell
from codegen.layers.shared.formulas import UNARY
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from codegen.program.activations import ELEMENTWISE, Activation
from codegen.program.evaluate import MEANING
from codegen.program.ops import FUNCTIONS, Expr, call
from codegen.targets.python.parts import function_texts, used_functions
from tests.support import interpreters
from tests.support.models import PARAMETERS
from tests.support.targets import rendered, started

Bound = Callable[[Array, Array, float], Array]  # of x, the result and eps: the error allowed

SINGLE: dict[str, Callable[[Expr], Expr]] = {
    **{name: (lambda x, f=name: call(f, x)) for name, count in FUNCTIONS.items() if count == 1},
    "pow_of_x": lambda x: call("pow", call("abs", x), 2.25),
    "pow_to_x": lambda x: call("pow", 1.75, x),
    **{f"the activation {a}": Activation(a, PARAMETERS.get(a, ())) for a in ELEMENTWISE},
    **{f"the operation {name}": formula for name, formula in UNARY.items()},
}  # fmt: skip


def _few(_x: Array, y: Array, eps: float) -> Array:
    return 4 * eps * np.abs(y)  # four units in the last place, or two


def _twice_as_many(x: Array, y: Array, eps: float) -> Array:
    return 2 * _few(x, y, eps)


def _of_one(_x: Array, _y: Array, eps: float) -> Array:
    return np.asarray(1.5 * eps)


def _of_x(x: Array, y: Array, eps: float) -> Array:
    return 4 * eps * (np.abs(x) + np.abs(y))


# What may differ by more, most as in Keras, which computes the same formula in the same type.
LOOSE: Mapping[str, Bound] = {
    # JavaScript has no erf: its exp(-x^2) is off by as much as rounding changes x^2.
    "erf": _twice_as_many,
    "the operation erf": _twice_as_many,
    # Gates are multiplied with numbers of unit size and added to such.
    "gate_sigmoid": _of_one,
    "the activation gate_sigmoid": _of_one,
    # Where the line meets 0, the sum of two numbers of unit size is what is left.
    "hard_sigmoid": _of_one,
    "hard_sigmoid_3": _of_one,
    "the activation hard_sigmoid": _of_one,
    "the activation hard_sigmoid_3": _of_one,
    "the activation hard_silu": _of_x,
    "the activation affine": _of_x,
    "the activation clipped_line": _of_x,
    # 1 + erf is a difference of almost equal numbers below 0: Keras gives -1.49e-6 for gelu(-5),
    # which is -1.43e-6. So are x + sqrt(x^2 + 4) there and x - tanh x around 0.
    "the activation gelu": _of_x,
    "the activation squareplus": _of_x,
    "the activation tanh_shrink": _of_x,
    # The argument of its sigmoid is a sum of powers of x, and rounded before exp is taken; x times
    # a sigmoid that is too small to be a normal number.
    "the activation gelu_tanh": lambda x, y, eps: (
        4 * eps * np.abs(y) * (1 + np.abs(x) ** 3 / 4) + 1.2e-38 * np.abs(x)
    ),
}

Case = tuple[str, str, dict[str, str]]  # target, type, options
NUMBERS = {"float32": np.float64, "float64": np.longdouble}
# Within these no intermediate result of a formula leaves the range of the type.
REACH = {"float32": 87.0, "float64": 700.0}
CASES: tuple[Case, ...] = (
    ("numpy", "float32", {}),
    ("numpy", "float64", {}),
    ("python", "float64", {}),
    ("javascript", "float32", {}),
    ("javascript", "float64", {}),
    ("c", "float32", {"profile": "host"}),
    ("c", "float32", {"profile": "mcu"}),
    ("c", "float32", {"profile": "host", "math": "libm"}),
    ("c", "float32", {"profile": "mcu", "math": "libm"}),
    ("c", "float64", {"profile": "host"}),
    ("c", "float64", {"profile": "mcu"}),
)
every_target = pytest.mark.parametrize(
    "case", CASES, ids=lambda c: "-".join((*c[:2], *c[2].values()))
)


def sweep(dtype: str) -> Array:
    """Numbers of every size and sign that the functions take."""
    reach = REACH[dtype]
    parts = [np.linspace(0, bound, 501) for bound in (1, 12, reach)]
    parts.append(np.geomspace(1e-37, 1, 300))
    half = np.concatenate(parts)
    return np.concatenate([half, -half]).astype(dtype)


def graph(
    layers: Sequence[tuple[Layer, Sequence[int]]], shape: tuple[int | None, ...], dtype: str
) -> Lowered:
    """Each layer on the nodes of the numbers beside it, 0 being the input; all are outputs."""
    nodes = [Node(Input(name="x", class_name="InputLayer", shape=shape))]
    nodes += [Node(layer, tuple(map(Ref, sources))) for layer, sources in layers]
    outputs = tuple(Ref(k) for k in range(1, len(nodes)))
    return lower(
        Model(
            "net",
            Graph(tuple(nodes), (0,), outputs),
            "keras_h5",
            "2.1.5",
            "net.h5",
            "0" * 16,
            dtype,
        )
    )


def activation(name: str, chosen: Activation) -> ActivationLayer:
    return ActivationLayer(name=name, class_name="Activation", activation=chosen)


def reference(lowered: Lowered, dtype: str, *inputs: Array) -> list[Array]:
    kind = NUMBERS[dtype]
    model = Reference(lowered, 1, kind)
    return [y[0] for y in model.predict(*(x.astype(kind)[None] for x in inputs))]


def too_far(found: Array, expected: Array, allowed: Array | float, dtype: str) -> Array:
    """Where the error is larger than that.

    Numbers that have lost digits since they are too small may be any such number, or 0.
    """
    info = np.finfo(dtype)
    smallest, largest = info.smallest_normal, info.max * (1 - 8 * info.eps)
    with np.errstate(all="ignore"):
        y = np.asarray(found, expected.dtype)
        same = (np.abs(expected) < smallest) & (np.abs(y) <= smallest)
        same |= (np.abs(expected) > largest) & (np.abs(y) > largest) & (expected * y > 0)
        same |= np.isnan(expected) & np.isnan(y)
        return np.asarray(~(same | (np.abs(y - expected) <= allowed)))


@every_target
def test_function(case: Case, tmp_path: Path) -> None:
    target, dtype, options = case
    x = sweep(dtype)
    layers = [
        (activation(f"act_{n}", Activation("own", function=f)), (0,))
        for n, f in enumerate(SINGLE.values())
    ]
    lowered = graph(layers, (x.size,), dtype)
    found = started(target, lowered, tmp_path, **options).predict(x)
    eps = float(np.finfo(dtype).eps)
    wrong = {}
    for name, y, expected in zip(SINGLE, found, reference(lowered, dtype, x), strict=True):
        far = too_far(y, expected, LOOSE.get(name, _few)(x, expected, eps), dtype)
        if far.any():
            k = int(np.argmax(far))
            wrong[name] = f"{np.sum(far)}, of x = {x[k]}: {y[k]}, expected {expected[k]}"
    assert wrong == {}


@every_target
def test_where_a_value_ends(case: Case, tmp_path: Path) -> None:
    """As output, as operand, as input of what follows; by a product, too."""
    target, dtype, options = case
    x = np.array([-70, -50, -20, -16.5, -10, -1, 3, 16], dtype)
    ones, wide = np.eye(8), np.concatenate([np.eye(8), np.eye(8)[::-1]], axis=1)
    layers: list[tuple[Layer, tuple[int, ...]]] = []
    for name in ("sigmoid", "exponential", "softplus", "softmax"):
        start = len(layers) + 1
        layers += [
            (dense(f"{name}_start", ones, name), (0,)),
            (arithmetic(f"{name}_scaled", "multiply", 1e6), (start,)),
            (arithmetic(f"{name}_inverse", "divide", 1.0, position=0), (start,)),
            (arithmetic(f"{name}_log", "log"), (start,)),
            (Merge(name=f"{name}_mask", class_name="Multiply", mode="multiply"), (0, start)),
            (dense(f"{name}_after", 2.0**30 * ones), (start,)),
        ]
    layers += [
        (dense("gated", wide, "glu"), (0,)),
        (dense("silu", ones, "silu"), (0,)),
        (dense("log_sigmoid", ones, "log_sigmoid"), (0,)),
        (dense("log_softmax", ones, "log_softmax"), (0,)),
    ]
    lowered = graph(layers, x.shape, dtype)
    found = started(target, lowered, tmp_path, **options).predict(x)
    eps = float(np.finfo(dtype).eps)
    wrong = {}
    for (layer, _), y, expected in zip(layers, found, reference(lowered, dtype, x), strict=True):
        allowed = 6 * eps * np.abs(expected)
        if "log" in layer.name:  # of a number next to 1 that has been rounded, as Keras rounds it
            allowed = allowed + 2 * eps
        if too_far(y, expected, allowed, dtype).any():
            wrong[layer.name] = (y, expected)
    assert wrong == {}


def dense(name: str, kernel: Array, act: str = "linear") -> Dense:
    return Dense(
        name=name, class_name="Dense", kernel=kernel, bias=None, activation=Activation(act)
    )


def arithmetic(name: str, operator: str, constant: float | None = None, position: int = 1) -> Layer:
    operands = (constant, None) if position == 0 else (None, constant)
    settings = {} if constant is None else {"operands": operands}
    return Operation(name=name, class_name="Op", rule=operator, settings=settings)


@every_target
def test_far_from_zero(case: Case, tmp_path: Path) -> None:
    """Where exp overflows or leaves the normal numbers."""
    target, dtype, options = case
    half = np.array([88, 89, 90, 100, 104, 110, 720, 1000, 1e30, np.inf])
    x = np.concatenate([half, -half]).astype(dtype)
    names = ("sigmoid", "softplus", "exponential", "elu", "tanh", "log_sigmoid")
    layers = [(activation(name, Activation(name)), (0,)) for name in names]
    lowered = graph(layers, x.shape, dtype)
    found = started(target, lowered, tmp_path, **options).predict(x)
    for name, y, expected in zip(names, found, reference(lowered, dtype, x), strict=True):
        assert not too_far(y, expected, 4 * np.finfo(dtype).eps * np.abs(expected), dtype).any(), (
            name
        )


@every_target
def test_state_that_is_a_sigmoid(case: Case, tmp_path: Path) -> None:
    """It is what the layer puts out; only gates are excepted."""
    target, dtype, options = case
    cell = SimpleRNNCell(
        name="rnn",
        class_name="SimpleRNNCell",
        kernel=np.eye(4),
        recurrent_kernel=np.zeros((4, 4)),
        bias=np.zeros(4),
        activation=Activation("sigmoid"),
    )
    rnn = Recurrent(name="rnn", class_name="SimpleRNN", cell=cell, return_sequences=True)
    x = np.array([[-86, -50, -20, -16.5], [-10, -1, 3, 16]], dtype)
    lowered = graph([(rnn, (0,))], (None, 4), dtype)
    (found,) = started(target, lowered, tmp_path, **options).predict(x)
    (expected,) = reference(lowered, dtype, x)
    assert not too_far(found, expected, 4 * np.finfo(dtype).eps * expected, dtype).any()


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gates_need_no_exponential(kind: str, profile: str) -> None:
    count, cell = (3, GRUCell) if kind == "GRU" else (4, LSTMCell)
    rng = np.random.default_rng(0)
    layer = Recurrent(
        name="layer",
        class_name=kind,
        cell=cell(
            name="cell",
            class_name=f"{kind}Cell",
            kernel=rng.normal(size=(4, count * 8)),
            recurrent_kernel=rng.normal(size=(8, count * 8)),
            bias=rng.normal(size=count * 8),
        ),
    )
    lowered = graph([(layer, (0,))], (None, 4), "float32")
    assert not re.search(r"expf?\(|_EXP", rendered(lowered, "c", profile=profile))
    assert "exp(" not in rendered(lowered, "numpy")
    assert "def sigmoid" not in rendered(lowered, "python")


SMALL = {"micropython", "microbit"}  # what --runtime micropython writes
PYTHONS = {"cpython3.6": 2.0**-52, "pypy": 2.0**-52, "micropython": 2.0**-52, "microbit": 2.0**-21}
POINTS = (
    -87.0,
    -50.0,
    -16.5,
    -5.0,
    -1.0,
    -0.25,
    -0.125,
    -1e-3,
    -1e-7,
    1e-20,
    1e-7,
    1e-3,
    0.125,
    0.25,
)
POINTS += (1.0, 2.5, 5.0, 16.5, 50.0)
# Fractions as whole numbers: not every Python prints all digits of a float.
SCRIPT = """
for f in ({functions}):
    for x in {points}:
        y = f(x)
        m, e = math.frexp(y)
        print(int(m * 1073741824.0), int(e))
"""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.emulator] * (name == "microbit")) for name in PYTHONS],
)
def test_functions_of_plain_python(name: str, tmp_path: Path) -> None:
    """The micro:bit has floats of 22 digits."""
    functions = ("sigmoid", "softplus", "tanh", "expm1", "exp")
    file = types.SimpleNamespace(integers=False, small=name in SMALL)
    used = used_functions(types.SimpleNamespace(functions=set(functions)))
    source = "\n\n".join(
        [
            "import math\nINF = float('inf')\nNAN = float('nan')",
            *function_texts(file, used),
        ]
    )
    script = tmp_path / "main.py"
    script.write_text(source + SCRIPT.format(functions=", ".join(functions), points=POINTS))
    result = interpreters.run(interpreters.found()[name], script)
    assert result.status == 0, result.text
    lines = iter(result.out.split("\n"))
    for function in functions:
        for x in POINTS:
            fraction, exponent = map(int, next(lines).split())
            y, expected = fraction * 2.0 ** (exponent - 30), float(MEANING[function](np.float64(x)))
            assert abs(y - expected) <= max(8 * PYTHONS[name], 2.0**-29) * abs(expected), (
                function,
                x,
            )
