"""What a person writes in C without tuning: one dot product for each unit and gate, libm.

Weights lie unit by unit, so that every product runs over neighbours in memory.
"""

from __future__ import annotations

import numpy as np

from benchmarks.c.wrappers import loop
from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer, Network

HEAD = """\
#include <math.h>
#include <string.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
static float hard_sigmoid(float x)
{
    x = 0.2f * x + 0.5f;
    return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
}
static float relu(float x) { return x > 0.0f ? x : 0.0f; }
static float linear(float x) { return x; }
static float dot(const float *w, const float *x, int n)
{
    float sum = 0.0f;
    int i;
    for (i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}
"""
C_NAME = {"tanh": "tanhf"}

GRU_AFTER = """\
    for (i = 0; i < {n}; i++) {{
        float z = {gate}(dot({k}[i], {x}, {m}) + {b}[i] + dot({u}[i], {h}, {n}) + {c}[i]);
        float r = {gate}(dot({k}[{n} + i], {x}, {m}) + {b}[{n} + i]
                         + dot({u}[{n} + i], {h}, {n}) + {c}[{n} + i]);
        float c = {act}(dot({k}[2 * {n} + i], {x}, {m}) + {b}[2 * {n} + i]
                        + r * (dot({u}[2 * {n} + i], {h}, {n}) + {c}[2 * {n} + i]));
        new_h[i] = z * {h}[i] + (1.0f - z) * c;
    }}
    memcpy({h}, new_h, {n} * sizeof(float));
"""
GRU_BEFORE = """\
    for (i = 0; i < {n}; i++) {{
        z[i] = {gate}(dot({k}[i], {x}, {m}) + dot({u}[i], {h}, {n}) + {b}[i]);
        rh[i] = {gate}(dot({k}[{n} + i], {x}, {m}) + dot({u}[{n} + i], {h}, {n})
                       + {b}[{n} + i]) * {h}[i];
    }}
    for (i = 0; i < {n}; i++) {{
        float c = {act}(dot({k}[2 * {n} + i], {x}, {m}) + dot({u}[2 * {n} + i], rh, {n})
                        + {b}[2 * {n} + i]);
        {h}[i] = z[i] * {h}[i] + (1.0f - z[i]) * c;
    }}
"""
LSTM = """\
    for (i = 0; i < {n}; i++) {{
        float in_gate = {gate}(dot({k}[i], {x}, {m}) + dot({u}[i], {h}, {n}) + {b}[i]);
        float forget = {gate}(dot({k}[{n} + i], {x}, {m}) + dot({u}[{n} + i], {h}, {n})
                              + {b}[{n} + i]);
        float cell = {act}(dot({k}[2 * {n} + i], {x}, {m}) + dot({u}[2 * {n} + i], {h}, {n})
                           + {b}[2 * {n} + i]);
        float out_gate = {gate}(dot({k}[3 * {n} + i], {x}, {m}) + dot({u}[3 * {n} + i], {h}, {n})
                                + {b}[3 * {n} + i]);
        {s}[i] = forget * {s}[i] + in_gate * cell;
        new_h[i] = out_gate * {act}({s}[i]);
    }}
    memcpy({h}, new_h, {n} * sizeof(float));
"""
DENSE = "    for (i = 0; i < {n}; i++) {y}[i] = {act}(dot({k}[i], {x}, {m}) + {b}[i]);\n"
SOFTMAX = """\
    {{
        float sum = 0.0f;
        for (i = 0; i < {n}; i++) {y}[i] = dot({k}[i], {x}, {m}) + {b}[i];
        for (i = 0; i < {n}; i++) sum += {y}[i] = expf({y}[i]);
        for (i = 0; i < {n}; i++) {y}[i] /= sum;
    }}
"""
CONV = """\
    memcpy({p}[{p}_at], {x}, sizeof {p}[0]);
    for (i = 0; i < {n}; i++) {{
        float sum = {b}[i];
        for (j = 0; j < {taps}; j++)
            sum += dot({k}[i] + j * {m}, {p}[({p}_at + 1 + j * {dilation}) % ({delay} + 1)], {m});
        {y}[i] = {act}(sum);
    }}
    {p}_at = ({p}_at + 1) % ({delay} + 1);
"""


def array(name: str, values: np.ndarray, kind: str = "static const float") -> str:
    """A definition in C, eight numbers a line."""
    shape = "".join(f"[{n}]" for n in values.shape)
    flat = [f"{value:.9g}" for value in values.ravel().tolist()]
    words = [w + "f" if "." in w or "e" in w else w + ".0f" for w in flat]
    lines = ",\n".join(", ".join(words[i : i + 8]) for i in range(0, len(words), 8))
    return f"{kind} {name}{shape} = {{\n{lines}\n}};\n"


def _arrays(case: Case, layer: Layer) -> str:
    """Weights, one row for each unit and gate."""
    arrays = list(case.weights[layer.name])
    bias = arrays.pop()
    names = [f"{layer.name}_k", f"{layer.name}_u"]
    text = "".join(
        array(name, values.reshape(-1, values.shape[-1]).T)
        for name, values in zip(names, arrays, strict=False)
    )
    if bias.ndim == 2:
        return text + array(f"{layer.name}_b", bias[0]) + array(f"{layer.name}_b2", bias[1])
    return text + array(f"{layer.name}_b", bias)


def _step(network: Network, layer: Layer, x: str) -> str:
    names = {"k": "k", "u": "u", "b": "b", "c": "b2", "h": "h", "s": "c", "p": "past", "y": "y"}
    words = {key: f"{layer.name}_{name}" for key, name in names.items()}
    if layer.kind in {"gru", "lstm"}:
        template = LSTM if layer.kind == "lstm" else GRU_AFTER if layer.reset_after else GRU_BEFORE
    elif layer.kind == "conv":
        template = CONV
    else:
        template = SOFTMAX if layer.activation == "softmax" else DENSE
    return template.format(
        n=layer.units,
        m=network.input_of(layer),
        x=x,
        act=C_NAME.get(layer.activation, layer.activation),
        gate=layer.recurrent_activation,
        taps=KERNEL_WIDTH,
        dilation=layer.dilation,
        delay=layer.delay,
        **words,
    )


def _value(network: Network, name: str) -> str:
    """Where the output of a layer lies."""
    if name == INPUT:
        return "in"
    kind = next(layer.kind for layer in network.layers if layer.name == name)
    return f"{name}_h" if kind in {"gru", "lstm"} else f"{name}_y"


def source(case: Case) -> str:
    """The whole file."""
    network = case.network
    parts, resets, steps = [HEAD], [], []
    for layer in network.layers:
        parts.append(_arrays(case, layer))
        m = network.input_of(layer)
        if layer.kind in {"gru", "lstm"}:
            states = [f"{layer.name}_h"] + [f"{layer.name}_c"] * (layer.kind == "lstm")
            parts += [f"static float {state}[{layer.units}];\n" for state in states]
            resets += states
        elif layer.kind == "conv":
            parts.append(f"static float {layer.name}_past[{layer.delay + 1}][{m}];\n")
            parts.append(f"static int {layer.name}_past_at;\n")
            resets.append(f"{layer.name}_past")
        if layer.kind in {"dense", "conv"}:
            parts.append(f"static float {layer.name}_y[{layer.units}];\n")
        x = _value(network, layer.inputs[0])
        if len(layer.inputs) > 1:
            x = f"{layer.name}_x"
            parts.append(f"static float {x}[{m}];\n")
            offset = 0
            for name in layer.inputs:
                size = network.size(name)
                value = _value(network, name)
                steps.append(f"    memcpy({x} + {offset}, {value}, {size} * sizeof(float));\n")
                offset += size
        steps.append(_step(network, layer, x))
    offset = 0
    for name in network.outputs:
        size = network.size(name)
        value = _value(network, name)
        steps.append(f"    memcpy(out + {offset}, {value}, {size} * sizeof(float));\n")
        offset += size
    widest = max(layer.units for layer in network.layers)
    unused = "(void)i; (void)j; (void)z; (void)rh; (void)new_h;"
    parts.append(
        "static void step(const float *in, float *out)\n{\n"
        f"    int i, j;\n    float z[{widest}], rh[{widest}], new_h[{widest}];\n    {unused}\n"
        + "".join(steps)
        + "}\n"
    )
    clear = " ".join(f"memset({name}, 0, sizeof {name});" for name in resets)
    parts.append(f"void bench_reset(void) {{ {clear} }}\n")
    return "".join(parts) + loop(network, "        step(in, out);")
