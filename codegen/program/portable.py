"""A machine whose numbers are the same to the last bit wherever it runs.

BLAS sums in an order of its own, and the C library and NumPy compute exp and tanh by other
instructions on other machines. Here everything is made of +, -, *, / and sqrt, which IEEE 754
rounds in one way, and sums run from the first number to the last. Errors are a few units in the
last place of float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from codegen.program.evaluate import MEANING, Machine
from codegen.program.ops import Array, Call, Expr, Softmax

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # their sum is ln 2
_LARGEST, _SMALLEST = 709.782712893384, -745.2  # beyond them exp is infinite or zero
_ROOT = math.sqrt(0.5)
_TERMS = 14  # of the series of exp, for |x| <= ln(2) / 2
_ATANH_TERMS = 11  # for |x| <= 0.172
_ERF_TERMS = 140  # for |x| <= 6
_WAVE_TERMS = 12  # for |x| <= pi / 4
_ATAN_TERMS = 14  # for |x| <= tan(pi / 16)


def _expm1_series(x: Array) -> Array:
    """exp(x) - 1 near 0."""
    total = np.ones_like(x)
    for k in range(_TERMS, 1, -1):
        total = 1.0 + x / k * total
    return np.asarray(x * total)


def exp(x: Array) -> Array:
    """2^k times exp of what is left, of which |r| <= ln(2) / 2."""
    inside = np.minimum(np.maximum(x, _SMALLEST), _LARGEST)
    k = np.rint(np.where(np.isnan(x), 0.0, inside) / math.log(2.0))
    r = inside - k * _LN2_HIGH - k * _LN2_LOW
    found = np.ldexp(1.0 + _expm1_series(r), k.astype(np.int64))
    return np.where(x > _LARGEST, np.inf, np.where(x < _SMALLEST, 0.0, found))


def expm1(x: Array) -> Array:
    """exp(x) - 1, without cancellation near 0."""
    near = np.abs(x) < 0.35
    return np.where(near, _expm1_series(np.where(near, x, 0.0)), exp(x) - 1.0)


def log(x: Array) -> Array:
    """That of x = m 2^e: e ln 2 + 2 atanh((m - 1) / (m + 1))."""
    ordinary = (x > 0) & np.isfinite(x)
    m, e = np.frexp(np.where(ordinary, x, 1.0))
    low = m < _ROOT
    m, e = np.where(low, 2.0 * m, m), e - low
    s = (m - 1.0) / (m + 1.0)
    square, total = s * s, np.zeros_like(s)
    for k in range(_ATANH_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * k + 1)
    found = e * _LN2_HIGH + (2.0 * s * total + e * _LN2_LOW)
    other = np.where(x == 0, -np.inf, np.where(x < 0, np.nan, x))
    return np.where(ordinary, found, other)


def log1p(x: Array) -> Array:
    """log(1 + x); the factor corrects what rounding 1 + x has changed."""
    whole = 1.0 + x
    rest = np.where((whole == 1.0) | ~np.isfinite(whole), 1.0, whole - 1.0)
    factor = np.where((whole == 1.0) | ~np.isfinite(whole), 1.0, np.where(x == 0, 1.0, x) / rest)
    return np.where(whole == 1.0, x, log(whole) * factor)


def tanh(x: Array) -> Array:
    """By expm1 of -2 |x|."""
    t = expm1(-2.0 * np.abs(x))
    return np.copysign(-t / (t + 2.0), x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    e = exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1.0) / (1.0 + e))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0) + log1p(exp(-np.abs(x))))


def erf(x: Array) -> Array:
    """2 x exp(-x^2) / sqrt(pi) times the sum of (2 x^2)^n / (1 3 5 ... (2 n + 1))."""
    inside = np.minimum(np.maximum(x, -6.0), 6.0)
    square, total = 2.0 * inside * inside, np.ones_like(inside)
    for n in range(_ERF_TERMS, 0, -1):
        total = 1.0 + square / (2 * n + 1) * total
    found = 2.0 / math.sqrt(math.pi) * inside * exp(-inside * inside) * total
    return np.where(np.abs(x) >= 6.0, np.sign(x), found)


def _half_pi(bits: int) -> int:
    """2^bits times pi / 2, cut off, by Machin's formula: 8 atan(1/5) - 2 atan(1/239)."""
    one, total = 1 << (bits + 32), 0
    for factor, n in ((8, 5), (-2, 239)):
        term, k = one // n, 1
        while term:
            total += factor * (term // k if k % 4 == 1 else -(term // k))
            term, k = term // (n * n), k + 2
    return total >> 32


_BITS = 1200  # of pi / 2: what the largest float64 is reduced by, and what is left of it
_HALF_PI = _half_pi(_BITS)


def _turned(x: float) -> tuple[int, float]:
    """Quarter turns in the angle, the nearest whole number of them, and what is left."""
    if abs(x) <= 0.78:
        return 0, x
    above, below = x.as_integer_ratio()
    scaled = (above << _BITS) // below
    turns = (2 * scaled + _HALF_PI) // (2 * _HALF_PI)
    return turns % 4, (scaled - turns * _HALF_PI) / (1 << _BITS)


def _wave(x: Array, ahead: int) -> Array:
    """The sine of x and `ahead` quarter turns."""
    finite = np.isfinite(x)
    pairs = [_turned(float(v)) for v in np.where(finite, x, 0.0).ravel()]
    turns = (np.array([n for n, _ in pairs]).reshape(x.shape) + ahead) % 4
    r = np.array([rest for _, rest in pairs]).reshape(x.shape)
    square = r * r
    sine, cosine = np.ones_like(r), np.ones_like(r)
    for k in range(_WAVE_TERMS, 0, -1):
        sine = 1.0 - square / ((2 * k) * (2 * k + 1)) * sine
        cosine = 1.0 - square / ((2 * k - 1) * (2 * k)) * cosine
    found = np.where(turns % 2 == 0, r * sine, cosine)
    return np.where(finite, np.where(turns < 2, found, -found), np.nan)


def sin(x: Array) -> Array:
    """By series, of what is left after whole quarter turns."""
    return _wave(x, 0)


def cos(x: Array) -> Array:
    """The sine a quarter turn on."""
    return _wave(x, 1)


def atan(x: Array) -> Array:
    """By series, after halving the angle twice: its tangent becomes x / (1 + sqrt(1 + x^2))."""
    far = np.abs(x) > 1.0
    r = np.abs(np.where(far, 1.0 / np.where(far, x, 1.0), x))
    for _ in range(2):
        r = r / (1.0 + np.sqrt(1.0 + r * r))
    square, total = r * r, np.zeros_like(r)
    for k in range(_ATAN_TERMS, -1, -1):
        total = 1.0 / (2 * k + 1) - square * total
    found = 4.0 * r * total
    return np.copysign(np.where(far, math.pi / 2 - found, found), x)


def power(x: Array, y: Array) -> Array:
    """exp(y log|x|), with the sign of an odd power."""
    whole, odd = np.rint(y) == y, np.abs(np.fmod(np.where(np.isfinite(y), y, 0.0), 2.0)) == 1.0
    size = exp(y * log(np.abs(x)))
    other = np.where(np.isinf(x), size, np.nan)
    found = np.where(x < 0, np.where(whole, np.where(odd, -size, size), other), size)
    return np.where((y == 0) | (x == 1), 1.0, found)


OWN: dict[str, Any] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "gate_sigmoid": sigmoid,
    "softplus": softplus,
    "erf": erf,
    "sin": sin,
    "cos": cos,
    "atan": atan,
    "pow": power,
}


class Portable(Machine):
    """The machine with functions and sums of its own."""

    def value(self, node: Expr, local: dict[str, Array]) -> Array:
        """An expression for all elements."""
        if not isinstance(node, Call):
            return super().value(node, local)
        arguments = [self.value(a, local) for a in node.arguments]
        function = OWN.get(node.function, MEANING[node.function])
        return np.asarray(function(*arguments), self.dtype)

    def product(self, matrix: Array, x: Array) -> Array:
        """Matrix times column, each sum in order."""
        terms = np.asarray(matrix, self.dtype) * np.swapaxes(x, -1, -2)
        return _summed(terms)

    def _softmax(self, op: Softmax) -> None:
        x = self.read(op.x)
        x = x - x.max(axis=-1, keepdims=True)
        powers = exp(x)
        total = _summed(powers)
        self.write(op.out, x - log(total) if op.log else powers / total)


def _summed(terms: Array) -> Array:
    """The sum along the last axis, which stays: a running sum, since np.sum adds in pairs."""
    if terms.shape[-1] == 0:
        return np.zeros((*terms.shape[:-1], 1))
    return np.asarray(np.add.accumulate(terms, axis=-1)[..., -1:])
