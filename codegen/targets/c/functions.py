"""The functions and kernels of a C header, from the sources in `templates/c`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from codegen.program.ops import constants
from codegen.targets.c.header import Header
from codegen.targets.c.text import HOOKS
from codegen.text import templates

# What each function or kernel is built on.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "sigmoid": ("exp",),
    "expm1": ("exp",),
    "softplus": ("exp",),
    "softplus_libm": ("exp", "log1p"),
}
# What each kernel for whole arrays is built on, and the function that a user may bring instead.
EACH: Mapping[str, tuple[tuple[str, ...], str]] = {
    "tanh_each": ((), "tanh"),
    "sigmoid_each": ((), "sigmoid"),
    "gate_sigmoid_each": (("tanh_each",), "sigmoid"),
}
OWN = ("sigmoid", "softplus")  # what the C library does not have
FAST = ("exp", "expm1", "tanh", "softplus")
HELPERS = ("hard_sigmoid", "hard_sigmoid_3", "min", "max")
KERNELS_IN_FUNCTIONS = ("floor_div", "min_length", "max_length", "ring")


def functions(header: Header) -> list[str]:
    """Source of every function that is used, each after what it is built on."""
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        key = f"{name}_libm" if header.math != "fast" and f"{name}_libm" in NEEDS else name
        own = name in OWN or (header.math == "fast" and name in FAST)
        for needed in NEEDS.get(key, ()) if own else ():
            add(needed)
        done[name] = _function(header, name, key if own else "")

    # Before the hooks: they ask whether a macro is the user's, which the next lines would hide.
    each = [name for name in EACH if name in header.used.kernels]
    for name in dict.fromkeys(n for kernel in each for n in (*EACH[kernel][0], kernel)):
        done[name] = _each(header, name)
    if "gate_sigmoid" in header.used.functions:
        add("tanh")
        done["gate_sigmoid"] = _gate(header)
    for name in HOOKS:
        if name in header.used.functions:
            add(name)
    for name in sorted(header.used.functions):
        if name in HELPERS:
            done[name] = _source(header, f"c/functions/{name}.c")
    for name in sorted(header.used.kernels & set(KERNELS_IN_FUNCTIONS)):
        done[name] = _source(header, f"c/functions/{name}.c")
    for name in sorted(header.used.kernels):
        if name not in done:
            done[name] = _source(header, f"c/kernels/{name}.c")
    return [text for text in done.values() if text]


def _function(header: Header, name: str, file: str) -> str:
    """A function behind its hook: from a source file, or the C library's where that is ""."""
    macro = f"{header.upper}_{name.upper()}"
    if file:
        source = _source(header, f"c/functions/{file}.c")
        return f"#ifndef {macro}\n{source}#define {macro}(x) {header.prefix}_{name}(x)\n#endif\n"
    arguments = "x, y" if name == "pow" else "x"
    call = f"{name}{header.suffix}({arguments})"
    return f"#ifndef {macro}\n#define {macro}({arguments}) {call}\n#endif\n"


def _gate(header: Header) -> str:
    """The sigmoid of gates, which is the user's where there is one."""
    source, name = _source(header, "c/functions/gate_sigmoid.c"), f"{header.prefix}_gate_sigmoid"
    macro = f"{header.upper}_SIGMOID"
    return f"#ifndef {macro}\n{source}#else\n#define {name}(x) {macro}(x)\n#endif\n"


def _each(header: Header, name: str) -> str:
    """A function of a whole array; one element at a time where the user brings the function."""
    kernel = _source(header, f"c/kernels/{name}.c")
    macro = f"{header.upper}_{EACH[name][1].upper()}"
    head = f"static {header.upper}_INLINE void {header.prefix}_{name}({header.real} *v, int n)"
    body = f"    for (int i = 0; i < n; ++i) {{\n        v[i] = {macro}(v[i]);\n    }}\n"
    loop = f"{head}\n{{\n{body}}}\n"
    return f"#ifndef {macro}\n{kernel}#else\n{loop}#endif\n"


def _source(header: Header, path: str) -> str:
    """A plain source file with this file's prefix and number type."""
    text = templates.source(path)
    text = re.sub(r"\brnn_", f"{header.prefix}_", text)
    text = re.sub(r"\bRNN_", f"{header.upper}_", text)
    if header.dtype == "float64":
        text = re.sub(r"\bfloat\b", "double", text)
        text = re.sub(r"(\d\.\d*(?:e[+-]?\d+)?)f\b", r"\1", text)
    return text


def needs_math(header: Header, text: str, is_finite: bool) -> bool:
    """Whether the code calls a function of `<math.h>`, or it or a weight is a macro of it."""
    library = re.compile(r"\b(?:exp|expm1|log|log1p|tanh|erf|pow|sqrt|fabs|floor|rint)f?\(")
    given = [*constants(header.lowered.step or header.lowered.whole), *header.used.raw]
    finite = is_finite and all(b.data is None or np.isfinite(b.data).all() for b in given)
    return not finite or bool(
        library.search(text) or re.search(r"HUGE_VAL|\b(INFINITY|NAN)\b", text)
    )
