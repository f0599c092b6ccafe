"""What stands around generated code so that the harness can call it."""

from __future__ import annotations

import re

from benchmarks.networks import INPUT, Network

LOOP = """
void bench_run(int steps, int length, const float *x, float *y)
{{
    int i, t = 0;
    for (i = 0; i < steps; i++) {{
        const float *in = x + t * {inputs};
        float *out = y + t * {outputs};
{call}
        if (++t == length) t = 0;
    }}
}}
"""


def loop(network: Network, call: str) -> str:
    """`bench_run` around a call that reads `in` and writes `out`."""
    return LOOP.format(inputs=network.input_size, outputs=network.output_size, call=call)


def _outputs(network: Network) -> list[str]:
    """Where each output lies in `out`."""
    offset, found = 0, []
    for name in network.outputs:
        found.append(f"out + {offset}")
        offset += network.size(name)
    return found


def ours(network: Network, header: str) -> str:
    """Around the header that the C target writes."""
    n = network.name
    call = f"        {n}_step(&state, in, {', '.join(_outputs(network))});"
    return (
        f'#define {n.upper()}_IMPLEMENTATION\n#include "{header}"\n'
        f"static {n}_state state;\n"
        f"void bench_reset(void) {{ {n}_reset(&state); }}\n" + loop(network, call)
    )


def emx(network: Network, source: str) -> str:
    """Around a file of emx-onnx-cgen: states alternate between two buffers.

    The order of its parameters is read from the file itself.
    """
    found = re.search(r"\nvoid model\(([^{]*)\)\s*\{", source)
    assert found, "emx-onnx-cgen writes another signature than expected"
    names = re.findall(r"(\w+)\[(?:restrict )?\d+\]", found[1])
    types = [part.strip() for part in found[1].split(",")]
    outputs = dict(zip(network.outputs, _outputs(network), strict=True))
    buffers, resets = [], []
    for name, size in network.states():
        buffers.append(f"static float {name}[2][{size}];")
        resets.append(f"memset({name}, 0, sizeof {name});")
    arguments = []
    for name, declared in zip(names, types, strict=True):
        if name == INPUT:
            value = "in"
        elif name.endswith("_out"):
            value = outputs[name.removesuffix("_out")]
        elif name.endswith("_next"):
            value = f"{name.removesuffix('_next')}[1 - now]"
        else:
            value = f"{name}[now]"
        arguments.append(f"({_pointer(declared)})({value})")
    call = f"        model({', '.join(arguments)});\n        now = 1 - now;"
    return (
        "\n".join(["", *buffers, "static int now;"])
        + f"\nvoid bench_reset(void) {{ {' '.join(resets)} }}\n"
        + loop(network, call)
    )


def _pointer(declared: str) -> str:
    """`const float (*)[1][4]` for `const float x[restrict 1][1][4]`."""
    kind = "const float" if declared.startswith("const") else "float"
    return f"{kind} (*)" + "".join(re.findall(r"\[(?:restrict )?\d+\]", declared)[1:])
