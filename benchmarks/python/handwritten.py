"""The networks in NumPy as people write them: equations, one array operation after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: Array) -> Array:
    """As Keras 2 has it."""
    return np.clip(0.2 * x + 0.5, 0, 1)


def relu(x: Array) -> Array:
    """Positive part."""
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    """Over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def linear(x: Array) -> Array:
    """The same."""
    return x


ACTIVATIONS = {
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "tanh": np.tanh,
    "relu": relu,
    "softmax": softmax,
    "linear": linear,
}


class Gru:
    """One layer; `batch` () or (B,)."""

    def __init__(self, layer: Layer, weights: tuple[Array, ...], batch: tuple[int, ...]) -> None:
        self.W, self.U, self.b = weights
        self.n, self.reset_after = layer.units, layer.reset_after
        self.gate = ACTIVATIONS[layer.recurrent_activation]
        self.act = ACTIVATIONS[layer.activation]
        self.shape = (*batch, layer.units)
        self.reset()

    def reset(self) -> None:
        """Zero state."""
        self.h = np.zeros(self.shape, np.float32)

    def __call__(self, x: Array) -> Array:
        """One step."""
        n, h = self.n, self.h
        if self.reset_after:
            wx = x @ self.W + self.b[0]
            uh = h @ self.U + self.b[1]
            z = self.gate(wx[..., :n] + uh[..., :n])
            r = self.gate(wx[..., n : 2 * n] + uh[..., n : 2 * n])
            c = self.act(wx[..., 2 * n :] + r * uh[..., 2 * n :])
        else:
            wx = x @ self.W + self.b
            z = self.gate(wx[..., :n] + h @ self.U[:, :n])
            r = self.gate(wx[..., n : 2 * n] + h @ self.U[:, n : 2 * n])
            c = self.act(wx[..., 2 * n :] + (r * h) @ self.U[:, 2 * n :])
        self.h = z * h + (1 - z) * c
        return self.h


class Lstm:
    """One layer; `batch` () or (B,)."""

    def __init__(self, layer: Layer, weights: tuple[Array, ...], batch: tuple[int, ...]) -> None:
        self.W, self.U, self.b = weights
        self.n = layer.units
        self.gate = ACTIVATIONS[layer.recurrent_activation]
        self.act = ACTIVATIONS[layer.activation]
        self.shape = (*batch, layer.units)
        self.reset()

    def reset(self) -> None:
        """Zero state."""
        self.h = np.zeros(self.shape, np.float32)
        self.c = np.zeros(self.shape, np.float32)

    def __call__(self, x: Array) -> Array:
        """One step."""
        n = self.n
        a = x @ self.W + self.h @ self.U + self.b
        i = self.gate(a[..., :n])
        f = self.gate(a[..., n : 2 * n])
        g = self.act(a[..., 2 * n : 3 * n])
        o = self.gate(a[..., 3 * n :])
        self.c = f * self.c + i * g
        self.h = o * self.act(self.c)
        return self.h


class Dense:
    """One layer."""

    def __init__(self, layer: Layer, weights: tuple[Array, ...], batch: tuple[int, ...]) -> None:
        self.W, self.b = weights
        self.act = ACTIVATIONS[layer.activation]

    def reset(self) -> None:
        """Nothing to do."""

    def __call__(self, x: Array) -> Array:
        """One step."""
        return self.act(x @ self.W + self.b)


class Conv:
    """A causal convolution with the inputs that it still needs."""

    def __init__(self, layer: Layer, weights: tuple[Array, ...], batch: tuple[int, ...]) -> None:
        self.W, self.b = weights
        self.d = layer.dilation
        self.act = ACTIVATIONS[layer.activation]
        self.shape = (layer.delay + 1, *batch, self.W.shape[1])
        self.reset()

    def reset(self) -> None:
        """Zeros before the first input."""
        self.past = np.zeros(self.shape, np.float32)

    def __call__(self, x: Array) -> Array:
        """One step."""
        self.past = np.roll(self.past, -1, axis=0)
        self.past[-1] = x
        total = sum(self.past[i * self.d] @ self.W[i] for i in range(KERNEL_WIDTH))
        return self.act(total + self.b)


KINDS = {"gru": Gru, "lstm": Lstm, "dense": Dense, "conv": Conv}


class Model:
    """The graph, layer by layer."""

    def __init__(self, case: Case, batch: int | None = None) -> None:
        lead = () if batch is None else (batch,)
        self.outputs = case.network.outputs
        self.layers = [
            (layer.name, layer.inputs, KINDS[layer.kind](layer, case.weights[layer.name], lead))
            for layer in case.network.layers
        ]

    def reset(self) -> None:
        """Zero states."""
        for _, _, layer in self.layers:
            layer.reset()

    def step(self, x: Array) -> list[Array]:
        """The outputs."""
        values = {INPUT: x}
        for name, inputs, layer in self.layers:
            if len(inputs) == 1:
                values[name] = layer(values[inputs[0]])
            else:
                values[name] = layer(np.concatenate([values[i] for i in inputs], axis=-1))
        return [values[name] for name in self.outputs]
