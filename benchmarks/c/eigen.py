"""The networks in C++ with Eigen, sizes fixed at compile time, as a person writes it who knows it.

One product for all gates with the bias as a further column, and Eigen's own vectorised exp and
tanh: the arithmetic of the Eigen backend of RTNeural, which is in no package registry.
"""

from __future__ import annotations

import numpy as np

from benchmarks.c.handwritten import array
from benchmarks.c.wrappers import loop
from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer, Network

HEAD = """\
#include <Eigen/Dense>

template <int R, int C = 1> using Mat = Eigen::Matrix<float, R, C>;
template <int R, int C> using View = Eigen::Map<const Mat<R, C>, Eigen::Aligned64>;

template <class V> static inline auto sigmoid(const V &v)
{ return (1.0f + (-v.array()).exp()).inverse().matrix(); }
template <class V> static inline auto hard_sigmoid(const V &v)
{ return (0.2f * v.array() + 0.5f).max(0.0f).min(1.0f).matrix(); }
template <class V> static inline auto relu(const V &v) { return v.array().max(0.0f).matrix(); }
template <class V> static inline auto tanh_(const V &v) { return v.array().tanh().matrix(); }
template <class V> static inline auto linear(const V &v) { return v.array().matrix(); }
"""
CPP_NAME = {"tanh": "tanh_"}
GRU_AFTER = """\
    a.noalias() = View<3 * {n}, {m} + 1>({l}_k) * {l}_x;
    b.noalias() = View<3 * {n}, {n} + 1>({l}_u) * {l}_h;
    g = {gate}(a.head<2 * {n}>() + b.head<2 * {n}>());
    c = {act}(a.tail<{n}>() + g.tail<{n}>().cwiseProduct(b.tail<{n}>()));
    h = (c.array() + g.head<{n}>().array() * (h.array() - c.array())).matrix();
"""
GRU_BEFORE = """\
    a.noalias() = View<3 * {n}, {m} + 1>({l}_k) * {l}_x;
    b.noalias() = View<2 * {n}, {n}>({l}_u) * h;
    g = {gate}(a.head<2 * {n}>() + b);
    c = g.tail<{n}>().cwiseProduct(h);
    d.noalias() = View<{n}, {n}>({l}_v) * c;
    c = {act}(a.tail<{n}>() + d);
    h = (c.array() + g.head<{n}>().array() * (h.array() - c.array())).matrix();
"""
LSTM = """\
    a.noalias() = View<4 * {n}, {m} + {n} + 1>({l}_k) * {l}_x;
    g = {gate}(a.head<3 * {n}>());
    {l}_c = g.segment<{n}>({n}).cwiseProduct({l}_c)
        + g.head<{n}>().cwiseProduct({act}(a.tail<{n}>()));
    {l}_x.segment<{n}>({m}) = g.tail<{n}>().cwiseProduct({act}({l}_c));
"""
DENSE = """\
    {l}_y = {act}(View<{n}, {m} + 1>({l}_k) * {l}_x);
"""
SOFTMAX = """\
    {l}_y.noalias() = View<{n}, {m} + 1>({l}_k) * {l}_x;
    {l}_y = {l}_y.array().exp().matrix();
    {l}_y /= {l}_y.sum();
"""
CONV = """\
    {l}_past.col({l}_at) = {l}_x.head<{m}>();
    a = View<{n}, 1>({l}_b);
    for (int tap = 0; tap < {taps}; tap++)
        a.noalias() += View<{n}, {m}>({l}_k + tap * {n} * {m})
            * {l}_past.col(({l}_at + 1 + tap * {dilation}) % ({delay} + 1));
    {l}_at = ({l}_at + 1) % ({delay} + 1);
    {l}_y = {act}(a);
"""


def _columns(name: str, matrix: np.ndarray) -> str:
    """A matrix with a row for each unit, stored column by column: Keras' own order."""
    return array(name, np.ascontiguousarray(matrix).ravel(), "alignas(64) static const float")


def _weights(case: Case, layer: Layer) -> str:
    arrays = case.weights[layer.name]
    kernel, bias = arrays[0], np.atleast_2d(arrays[-1])
    n, name = layer.units, layer.name
    if layer.kind == "conv":
        return _columns(f"{name}_k", kernel) + _columns(f"{name}_b", bias[0])
    if layer.kind == "lstm":
        joined = np.concatenate([kernel, arrays[1], bias])
        parts = np.split(joined, 4, axis=-1)
        ordered = np.concatenate([parts[0], parts[1], parts[3], parts[2]], axis=-1)
        return _columns(f"{name}_k", ordered)
    text = _columns(f"{name}_k", np.concatenate([kernel, bias[:1]]))
    if layer.kind == "dense":
        return text
    if layer.reset_after:
        return text + _columns(f"{name}_u", np.concatenate([arrays[1], bias[1:]]))
    gates, candidate = arrays[1][:, : 2 * n], arrays[1][:, 2 * n :]
    return text + _columns(f"{name}_u", gates) + _columns(f"{name}_v", candidate)


def _value(network: Network, name: str) -> str:
    layer = next(layer for layer in network.layers if layer.name == name)
    if layer.kind == "gru":
        return f"{name}_h.head<{layer.units}>()"
    if layer.kind == "lstm":
        return f"{name}_x.segment<{layer.units}>({network.input_of(layer)})"
    return f"{name}_y"


def _fill(network: Network, layer: Layer) -> str:
    """Copy the inputs into the vector that the layer multiplies."""
    text, offset = "", 0
    for name in layer.inputs:
        size = network.size(name)
        value = f"Eigen::Map<const Mat<{size}>>(in)" if name == INPUT else _value(network, name)
        text += f"    {layer.name}_x.segment<{size}>({offset}) = {value};\n"
        offset += size
    return text


def _layer(case: Case, layer: Layer) -> tuple[str, list[str]]:
    """The function of a layer with what it keeps, and how to reset that."""
    network = case.network
    n, m, name = layer.units, network.input_of(layer), layer.name
    words = {"n": n, "m": m, "l": name, "taps": KERNEL_WIDTH, "delay": layer.delay}
    kept, local, resets = "", "", []
    total = m + 1 + (n if layer.kind == "lstm" else 0)
    if layer.kind == "gru":
        template = GRU_AFTER if layer.reset_after else GRU_BEFORE
        kept = f"static Mat<{n} + 1> {name}_h;\n"
        columns = 3 * n if layer.reset_after else 2 * n
        local = f"    Mat<3 * {n}> a; Mat<{columns}> b; Mat<2 * {n}> g; Mat<{n}> c, d; (void)d;\n"
        local += f"    auto h = {name}_h.head<{n}>();\n"
        resets.append(f"{name}_h.setZero(); {name}_h({n}) = 1.0f;")
    elif layer.kind == "lstm":
        template = LSTM
        kept = f"static Mat<{n}> {name}_c;\n"
        local = f"    Mat<4 * {n}> a; Mat<3 * {n}> g;\n"
        resets.append(f"{name}_c.setZero();")
    elif layer.kind == "conv":
        template = CONV
        kept = f"static Mat<{n}> {name}_y;\nstatic int {name}_at;\n"
        kept += f"static Mat<{m}, {layer.delay} + 1> {name}_past;\n"
        local = f"    Mat<{n}> a;\n"
        resets.append(f"{name}_past.setZero();")
    else:
        template = SOFTMAX if layer.activation == "softmax" else DENSE
        kept = f"static Mat<{n}> {name}_y;\n"
    kept += f"static Mat<{total}> {name}_x;\n"
    resets.append(f"{name}_x.setZero(); {name}_x({total} - 1) = 1.0f;")
    body = template.format(
        act=CPP_NAME.get(layer.activation, layer.activation),
        gate=layer.recurrent_activation,
        dilation=layer.dilation,
        **words,
    )
    function = f"static inline void {name}(const float *in)\n{{\n    (void)in;\n"
    return f"{kept}{function}{local}{_fill(network, layer)}{body}}}\n", resets


def source(case: Case) -> str:
    """The whole file."""
    network = case.network
    parts, resets, calls = [HEAD], [], []
    for layer in network.layers:
        text, reset = _layer(case, layer)
        parts += [_weights(case, layer), text]
        resets += reset
        calls.append(f"        {layer.name}(in);")
    offset = 0
    for name in network.outputs:
        size = network.size(name)
        target = f"Eigen::Map<Mat<{size}>>(out + {offset})"
        calls.append(f"        {target} = {_value(network, name)};")
        offset += size
    parts.append('extern "C" {\nvoid bench_reset(void) { ' + " ".join(resets) + " }\n")
    return "".join(parts) + loop(network, "\n".join(calls)) + "}\n"
