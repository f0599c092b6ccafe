"""The networks in Numba: loops over rows that its compiler vectorises, one compiled step.

The source is put together for each network, since a step must be one call: every call from Python
into compiled code costs as much as a small layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(inline="always")
def sigmoid(x: Any) -> Any:
    """The logistic function."""
    return np.float32(1) / (np.float32(1) + np.exp(-x))


@numba.njit(inline="always")
def hard_sigmoid(x: Any) -> Any:
    """As Keras 2 has it."""
    return min(max(np.float32(0.2) * x + np.float32(0.5), np.float32(0)), np.float32(1))


@numba.njit(inline="always")
def relu(x: Any) -> Any:
    """Positive part."""
    return max(x, np.float32(0))


@numba.njit(inline="always")
def linear(x: Any) -> Any:
    """The same."""
    return x


@numba.njit
def product(x: Any, w: Any, y: Any) -> None:
    """Adds x w to y, four rows at once."""
    rows, columns = w.shape
    whole = rows - rows % 4
    for j in range(0, whole, 4):
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        for i in range(columns):
            y[i] += a * w[j, i] + b * w[j + 1, i] + c * w[j + 2, i] + d * w[j + 3, i]
    for j in range(whole, rows):
        for i in range(columns):
            y[i] += x[j] * w[j, i]


HELPERS: dict[str, Any] = {
    "np": np,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "relu": relu,
    "linear": linear,
    "product": product,
}
ONE = "np.float32(1)"
GRU_AFTER = """
    a = {l}_b.copy(); product({x}, {l}_k, a)
    b = {l}_b2.copy(); product({h}, {l}_u, b)
    for i in range({n}):
        z = {gate}(a[i] + b[i])
        r = {gate}(a[{n} + i] + b[{n} + i])
        {h}[i] = z * {h}[i] + ({one} - z) * {act}(a[2 * {n} + i] + r * b[2 * {n} + i])
"""
GRU_BEFORE = """
    a = {l}_b.copy(); product({x}, {l}_k, a)
    product({h}, {l}_u, a[: 2 * {n}])
    rh = np.empty({n}, np.float32)
    for i in range({n}):
        rh[i] = {gate}(a[{n} + i]) * {h}[i]
    product(rh, {l}_v, a[2 * {n} :])
    for i in range({n}):
        z = {gate}(a[i])
        {h}[i] = z * {h}[i] + ({one} - z) * {act}(a[2 * {n} + i])
"""
LSTM = """
    a = {l}_b.copy(); product({x}, {l}_k, a); product({h}, {l}_u, a)
    for i in range({n}):
        {c}[i] = {gate}(a[{n} + i]) * {c}[i] + {gate}(a[i]) * {act}(a[2 * {n} + i])
        {h}[i] = {gate}(a[3 * {n} + i]) * {act}({c}[i])
"""
DENSE = """
    {l} = {l}_b.copy(); product({x}, {l}_k, {l})
    for i in range({n}):
        {l}[i] = {act}({l}[i])
"""
SOFTMAX = """
    {l} = {l}_b.copy(); product({x}, {l}_k, {l})
    {l} = np.exp({l} - {l}.max())
    {l} = {l} / {l}.sum()
"""
CONV = """
    {p}[:-{m}] = {p}[{m}:].copy(); {p}[-{m}:] = {x}
    {l} = {l}_b.copy()
    for i in range({taps}):
        product({p}[i * {d} * {m} : i * {d} * {m} + {m}], {l}_k[i], {l})
    for i in range({n}):
        {l}[i] = {act}({l}[i])
"""


def _weights(layer: Layer, arrays: tuple[NDArray[np.float32], ...]) -> dict[str, Any]:
    kernel, bias = arrays[0], arrays[-1]
    found = {"k": kernel, "b": bias}
    if layer.kind == "lstm":
        found["u"] = arrays[1]
    if layer.kind == "gru":
        n = layer.units
        found["u"] = arrays[1] if layer.reset_after else arrays[1][:, : 2 * n]
        found["v"] = arrays[1][:, 2 * n :]
        if layer.reset_after:
            found["b"], found["b2"] = bias
    return {f"{layer.name}_{key}": np.ascontiguousarray(value) for key, value in found.items()}


def _template(layer: Layer) -> str:
    if layer.kind == "gru":
        return GRU_AFTER if layer.reset_after else GRU_BEFORE
    if layer.kind == "dense":
        return SOFTMAX if layer.activation == "softmax" else DENSE
    return LSTM if layer.kind == "lstm" else CONV


class Model:
    """The network as one compiled function of the input and of all states in one array."""

    def __init__(self, case: Case) -> None:
        network = case.network
        names: dict[str, Any] = dict(HELPERS)
        body, at, value = "", 0, {INPUT: "x"}
        for name, size in network.states():
            # A convolution's window holds the newest input too.
            newest = network.size(_input_of(case, name)) if name.endswith("_past") else 0
            body += f"    {name} = state[{at} : {at + size + newest}]\n"
            at += size + newest
        for layer in network.layers:
            names.update(_weights(layer, case.weights[layer.name]))
            x = value[layer.inputs[0]]
            if len(layer.inputs) > 1:
                joined = ", ".join(value[name] for name in layer.inputs)
                x = f"{layer.name}_x"
                body += f"    {x} = np.concatenate(({joined}))\n"
            body += _template(layer).format(
                l=layer.name,
                x=x,
                n=layer.units,
                m=network.input_of(layer),
                d=layer.dilation,
                taps=KERNEL_WIDTH,
                h=f"{layer.name}_h",
                c=f"{layer.name}_c",
                p=f"{layer.name}_past",
                gate=layer.recurrent_activation,
                act=layer.activation,
                one=ONE,
            )
            value[layer.name] = layer.name if layer.kind in {"dense", "conv"} else f"{layer.name}_h"
        outputs = [value[name] for name in network.outputs]
        copies = ", ".join(f"{name}.copy()" for name in outputs)
        source = f"def step(x, state):\n{body}    return ({copies},)\n"
        exec(source, names)  # noqa: S102  # our own text, see above
        self.compiled = numba.njit(names["step"])
        self.state = np.zeros(at, np.float32)

    def reset(self) -> None:
        """Zero states."""
        self.state[:] = 0

    def step(self, x: NDArray[np.float32]) -> Any:
        """The outputs."""
        return self.compiled(x, self.state)


def _input_of(case: Case, state: str) -> str:
    """The name of what a convolution reads."""
    layer = next(layer for layer in case.network.layers if f"{layer.name}_past" == state)
    return layer.inputs[0]
