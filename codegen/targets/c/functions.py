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
    "sigmoid": ("tanh",),
    "sigmoid_libm": ("exp",),
    "expm1": ("exp",),
    "softplus": ("exp",),
    "softplus_libm": ("exp", "log1p"),
    "sigmoid_each": ("tanh_each",),
    "tanh_each": (),
}
FAST = ("exp", "expm1", "tanh", "sigmoid", "softplus")
HELPERS = ("hard_sigmoid", "hard_sigmoid_3", "min", "max")
KERNELS_IN_FUNCTIONS = ("floor_div", "min_length", "max_length", "ring")


def functions(header: Header) -> list[str]:
    """Source of every function that is used, each after what it is built on."""
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        fast = header.math == "fast" and name in FAST
        key = name if fast or f"{name}_libm" not in NEEDS else f"{name}_libm"
        for needed in NEEDS.get(key, ()) if fast or key.endswith("_libm") else ():
            add(needed)
        done[name] = _function(header, name, fast)

    # Before the hooks: they ask whether a macro is the user's, which the next lines would hide.
    each = header.used.kernels & {"tanh_each", "sigmoid_each"}
    if each:
        done["tanh_each"] = _each(header, "tanh")
        if "sigmoid_each" in each:
            done["sigmoid_each"] = _each(header, "sigmoid")
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


def _function(header: Header, name: str, fast: bool) -> str:
    """A function behind its hook."""
    macro = f"{header.upper}_{name.upper()}"
    if fast or name in ("sigmoid", "softplus"):
        file = name if fast else f"{name}_libm"
        source = _source(header, f"c/functions/{file}.c")
        return f"#ifndef {macro}\n{source}#define {macro}(x) {header.prefix}_{name}(x)\n#endif\n"
    arguments = "x, y" if name == "pow" else "x"
    call = f"{name}{header.suffix}({arguments})"
    return f"#ifndef {macro}\n#define {macro}({arguments}) {call}\n#endif\n"


def _each(header: Header, name: str) -> str:
    """A function of a whole array; one element at a time where the user brings the function."""
    kernel = _source(header, f"c/kernels/{name}_each.c")
    macro = f"{header.upper}_{name.upper()}"
    head = f"static {header.upper}_INLINE void {header.prefix}_{name}_each({header.real} *v, int n)"
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
