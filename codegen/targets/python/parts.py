"""The helpers and functions of a plain Python file, as far as it uses them."""

from __future__ import annotations

import re
from typing import Any

from codegen.targets.python.file import WIDEST, File
from codegen.text.templates import render, source

# What each part of the file refers to besides itself.
NEEDS = {
    "expm1": ("INF",),
    "exp": ("INF",),
    "log": ("INF",),
    "log1p": ("log",),
    "softplus": ("log1p",),
    "sqrt": ("INF",),
    "power": ("INF",),
    "fmod": ("INF",),
    "sin": ("INF",),
    "cos": ("INF",),
    "divide": ("INF",),
    "read_whole": ("read",),
}
WITHOUT_MATH = frozenset(("larger", "smaller", "hard_sigmoid", "hard_sigmoid_3", "divide", "INF"))
# In the order in which they stand in the file, from templates/python/runtime; for a small board
# from templates/python/small where there is a form of it.
RUNTIME = (
    *("start", "scaled", "beside", "affine", "requantised", "dot", "lookup", "pick", "ring"),
    *("turned", "read", "read_whole", "length", "nest"),
)
SMALL = (
    "numbers",
    "integers",
    "zeros",
    "vector",
    "store",
    "affine",
    "affine_int8",
    "read",
    "length",
)
SMALL_RUNTIME = (
    *(*SMALL, "scaled", "requantised", "dot", "lookup", "pick", "ring", "turned"),
    *("read_whole", "nest"),
)
# Parts that integers have in a form of their own, from templates/python/integers and, for a small
# board, from templates/python/small_integers; the kernels there are from templates/python/kernels.
INTEGERS = ("lookup",)
SMALL_INTEGERS = ("numbers", "integers", "zeros", "affine", "lookup", "pick", "read_whole")
KERNELS = ("product", "product_int16", "curve", "scaled", "saturated")
INTEGER_FUNCTIONS = ("saturated", "softmax")
INTEGER_METHODS = ("fixed", "limited")
INTEGER_PARTS = (*KERNELS, *INTEGER_FUNCTIONS, "unpacked", "same", "affine", "exp")
FUNCTIONS = (
    "larger",
    "smaller",
    "divide",
    "exp",
    "log",
    "log1p",
    "expm1",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "hard_sigmoid_3",
    "softplus",
    "erf",
    "sin",
    "cos",
    "atan",
    "sqrt",
    "floor",
    "round_even",
    "power",
    "fmod",
    "softmax",
    "log_softmax",
)
_DOCSTRING = re.compile(r'^ +""".*"""\n', re.MULTILINE)


def used_functions(file: File) -> set[str]:
    """The functions that the file needs, and INF where one of them does."""
    used: set[str] = set()
    waiting = sorted(file.functions)
    while waiting:
        part = waiting.pop()
        if part not in used:
            used.add(part)
            waiting += NEEDS.get(part, ())
    return used


def runtime_texts(file: File) -> list[str]:
    """The helpers on lists."""
    needed = {"start", *file.runtime}
    if "read_whole" in needed:
        needed.add("read")
    return [
        _helper(file, part) for part in (SMALL_RUNTIME if file.small else RUNTIME) if part in needed
    ]


def function_texts(file: File, used: set[str]) -> list[str]:
    """The functions on numbers, on vectors at the end."""
    if not file.integers:
        return [part_text("functions", part, file.small) for part in FUNCTIONS if part in used]
    folder, texts = "integers", []
    if file.small:
        folder = "small_integers"
        kernels = [part_text("kernels", part) for part in KERNELS if part in file.kernels]
        if kernels:
            texts.append("".join(render("python/small_integers/kernels.py.j2", kernels=kernels)))
    elif file.curves:
        curves = list(file.curves.values())
        texts.append("".join(render("python/integers/curve.py.j2", curves=curves)))
    return [*texts, *(part_text(folder, part) for part in INTEGER_FUNCTIONS if part in used)]


def method_texts(file: File) -> list[str]:
    """The methods that integers need besides."""
    used = [part for part in INTEGER_METHODS if part in file.methods]
    return [part_text("integers", part, file.small) for part in used]


def part_text(folder: str, part: str, small: bool = False) -> str:
    """A part of the file as it stands in the templates, without docstrings for a small board."""
    text = source(f"python/{folder}/{part}.py").rstrip() + "\n"
    return _DOCSTRING.sub("", text) if small else text


def _helper(file: File, part: str) -> str:
    if part in ("start", "affine") and not file.small:
        row = "data[size * r : size * r + size]"
        return "".join(
            render(
                f"python/{part}.py.j2",
                integers=file.integers,
                zero="0" if file.integers else "0.0",
                forms=[product_form(width) for width in sorted(file.widths)],
                widest=WIDEST,
                first=0 if file.integers else 1,  # a bias stands before a row of floats
                row=row if file.integers else f"vector({row})",
            )
        )
    folder = "small" if file.small and part in SMALL else "runtime"
    if file.integers and part in (SMALL_INTEGERS if file.small else INTEGERS):
        folder = "small_integers" if file.small else "integers"
    return part_text(folder, part, file.small)


def product_form(width: int) -> dict[str, Any]:
    """The texts of a sum of so many products."""
    values, weights = ([f"{letter}{k}" for k in range(width)] for letter in "vw")
    return {
        "width": width,
        "values": ", ".join(values) + "," * (width == 1),
        "weights": ", ".join(weights) + "," * (width == 1),
        "products": " + ".join(f"{v} * {w}" for v, w in zip(values, weights, strict=True)),
    }
