"""The numpy target: a module with one class, whole-array operations throughout.

This file knows the page. `methods` writes the methods: `ops` their statements, with `elementwise`
for what is computed and `rows` and `axes` for where; `scope` writes operands with `views`, and
`weights` the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.lowered.recorded import LARGEST, TOLERANCE, recorded
from codegen.model import FACTS, Array
from codegen.passes.fold_gates import fold_gates
from codegen.passes.split_loops import split_loops
from codegen.program.integers import LIMITS
from codegen.targets.numpy.elementwise import in_calls
from codegen.targets.numpy.integers import Doubles, tables
from codegen.targets.numpy.methods import Methods
from codegen.targets.numpy.ops import METHODS
from codegen.targets.numpy.scope import Module
from codegen.targets.numpy.weights import Weights
from codegen.targets.spine.integers import fractions
from codegen.targets.spine.lines import fitted
from codegen.targets.spine.outline import Origin, Outline, banner, facts
from codegen.targets.spine.python_lines import broken
from codegen.text.names import Names, comment
from codegen.text.templates import render as filled
from codegen.text.words import PYTHON_WORDS

# Helpers of the file, from templates/numpy, in their order.
HELPERS = ("matrix", "outside", "inside", "clip", "grid", "product", "product_of_rows", "softmax")
# Names of the file itself, which no name from a model may take.
MODULE_NAMES = (
    *("np", "Model", "array", "accept", "accept_whole", "erf", *HELPERS),
    *("b64decode", "selftest", "math"),
    *("add", "subtract", "multiply", "divide", "absolute", "floor", "rint", "sqrt"),
    *("exp", "expm1", "log", "log1p", "tanh", "power", "minimum", "maximum", "copyto"),
    *("sin", "cos", "arctan", "fmod"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    *("empty", "ones", "arange", "float32", "float64", "int32", "bool"),
    *("len", "range", "zip", "enumerate", "max", "min", "getattr", "abs", "any", "int", "tuple"),
    *("ValueError", "SystemExit", "print", "TOLERANCE", "CALLS", "RESULTS", "STATES"),
    *(name.upper() for name in FACTS),
)
# For step, and for predict, where loops stay only around what they carry.
PASSES = (fold_gates, in_calls)
WHOLE_PASSES = (fold_gates, split_loops, in_calls)


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The text of the module `name`.py in pieces."""
    outline, taken = Outline(lowered, options, PASSES, WHOLE_PASSES), MODULE_NAMES
    module = Module(outline.dtype, Names(PYTHON_WORDS, taken))
    if lowered.whole.integers:
        doubles = Doubles()
        passes = doubles, in_calls
        outline = Outline(lowered, {"dtype": "float64"}, passes, (split_loops, *passes))
        taken = tuple(name for name in MODULE_NAMES if name not in ("exp", "tanh"))
        module = Module("float64", Names(PYTHON_WORDS, taken), integers=True)
        for program in outline.printed:
            for table in tables(program):
                module.curve(table.vec, table.shift, table.mirror)
    # Integers are told as they are stored elsewhere: here each is a float64.
    sizes = (Outline(lowered, options) if module.integers else outline).sizes()
    methods = Methods(outline, module, (*taken, *(c.name for c in module.curves.values())))
    step, predict = methods.step(), methods.predict()
    both = outline.restart == "restart"
    fresh = methods.starts(outline.fresh, seen=bool(outline.warmup))
    carried = methods.starts(outline.carried, seen=False)
    every = methods.starts(outline.states, seen=bool(outline.warmup))
    seen = ["steps seen"] if outline.warmup else []
    shown = [*(f"{state.layer} {state.role}" for state in outline.states), *seen]
    weights = Weights(module, options["weights"])
    test = selftest(lowered, weights)
    module.use(outline.dtype)
    packed = [weights.packed(matrix, n) for matrix, n in module.packed.items()]
    pieces = filled(
        "numpy/model.py.j2",
        banner=banner(lowered, origin, sizes),
        integers=module.integers,
        fractions=fractions(lowered),
        limits=[f"({-limit}, {limit - 1})" for limit in _limits(lowered)],
        own_methods=[name for name in METHODS if name in module.used],
        name=name,
        arguments=", ".join(methods.inputs),
        imports=_imports(module, options["weights"]),
        facts=facts(lowered),
        functions=_functions(module, options["weights"]),
        constants=[weights.constant(b, n) for b, n in module.arrays.items()],
        packed=packed,
        numbers=[f"{n} = {text}" for text, n in module.numbers.items()],
        summary=comment(f"{lowered.name}, from {lowered.model.source}.", 90),
        init=methods.made(),
        methods=[method for method in (step, predict) if method],
        reset=["self.restart()", *carried] if both else every or ["pass  # there are no states"],
        restart=fresh if both else [],
        states=comment(", ".join(shown) or "there are none", 70),
        count=len(shown),
        dtype=outline.dtype,
        warmup=outline.warmup,
        selftest=test,
        tolerance=f"{TOLERANCE:g}",
        largest=f"{LARGEST:g}",
    )
    return fitted(pieces, broken)


def _imports(module: Module, weights: str) -> list[str]:
    own = {"bool", *HELPERS, *(curve.name for curve in module.curves.values())}
    names = sorted(n for n in module.used - own if hasattr(np, n))
    lines = ["from base64 import b64decode", ""] if weights == "base64" else []
    if "erf" in module.used and module.dtype == "float64":
        lines = ["import math", *lines]
    return [*lines, "import numpy as np", f"from numpy import ({', '.join(names)})"]


def _functions(module: Module, weights: str) -> str:
    whole = ["accept_whole"] if module.integers or "accept_whole" in module.used else []
    names = [f"array_{weights}", "accept", *whole]
    names += [helper for helper in HELPERS if helper in module.used]
    names += [f"erf_{module.dtype}"] if "erf" in module.used else []
    parts = ["".join(filled(f"numpy/{name}.py", dtype=module.dtype)) for name in names]
    curves = module.curves.values()
    parts += ["".join(filled("numpy/curve.py.j2", curve=curve)) for curve in curves]
    return "\n\n\n".join(part.strip("\n") for part in parts)


def _limits(lowered: Lowered) -> Iterator[int]:
    """The limits of the numbers of each state of integers."""
    if lowered.whole.integers:
        yield from (LIMITS[state.buffer.dtype] for state in Outline(lowered, {}).states)
        yield from [LIMITS["int32"]] if lowered.warmup else []


def selftest(lowered: Lowered, weights: Weights) -> dict[str, Any]:
    """The recorded calls: what is called, what comes back, the states at the end."""
    record = recorded(lowered)
    test = record.test
    outputs = [np.stack(parts) for parts in zip(*record.results, strict=True)]
    inputs = [np.stack(parts) for parts in zip(*record.calls, strict=True)]
    program = lowered.step if test.by_step else lowered.whole
    assert program is not None
    kinds = [port.buffer.dtype for port in program.inputs]
    kinds = ["int32" if kind == "int16" else kind for kind in kinds]
    if test.states:
        outputs.append(np.concatenate([np.ravel(state) for state in test.states]))

    def text(values: Array, dtype: str = "float32") -> str:
        return "".join(weights.array(values, dtype)).replace("\n", "\n        ")

    return {
        "method": record.method,
        "inputs": [text(x, kind) for x, kind in zip(inputs, kinds, strict=True)],
        "expected": [text(y) for y in outputs],
        "sizes": ", ".join(f"{n:g}" for n in (*test.sizes, test.state_size)[: len(outputs)]),
        "single": len(test.outputs) == 1,
        "shown": len(test.states),
        "is_finite": test.is_finite,
    }
