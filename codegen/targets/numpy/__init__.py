"""The numpy target: a module with one class, whole-array operations throughout.

This file knows the page and the methods step and predict. `plan` makes instructions of ops,
with `elementwise` and `windows`; `text` writes them with `views`.
`numpy_weights`, `numpy_states` and `numpy_selftest` write the rest of the file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from codegen.commands.explain import equations
from codegen.lowered import Lowered
from codegen.model import FACTS
from codegen.passes.fold_gates import fold_gates
from codegen.passes.join_products import join_in_loops, join_products
from codegen.passes.split_loops import split_loops
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Binary,
    Block,
    Buffer,
    Call,
    Elementwise,
    Expr,
    Number,
    Port,
    Program,
    Reduce,
    State,
    Vec,
    rows_looked_up,
    temps,
    walk,
    walk_ops,
)
from codegen.recorded import TOLERANCE
from codegen.targets.base import facts
from codegen.targets.numpy.instructions import Dot, Instruction, Ufunc
from codegen.targets.numpy.plan import Planner, buffers_of, expand, names_of
from codegen.targets.numpy.selftest import selftest_lines
from codegen.targets.numpy.states import States
from codegen.targets.numpy.text import (
    WIDTH,
    Module,
    Scope,
    StepScope,
    folded,
    fresh,
    indented,
    lines_of,
    wrapped,
)
from codegen.targets.numpy.views import Base, shape_text
from codegen.targets.numpy.weights import Weights
from codegen.targets.spine.outline import Outline
from codegen.text import banner, templates
from codegen.text.banner import Origin, Sizes
from codegen.text.names import Names, comment
from codegen.text.words import PYTHON_WORDS

# Names of the file itself, which no name from a model may take.
MODULE_NAMES = [
    *("np", "Model", "array", "accept", "accept_ids", "aligned", "clip", "grid", "product", "erf"),
    *("b64decode", "selftest", "math"),
    *("add", "subtract", "multiply", "divide", "absolute", "floor", "rint", "sqrt"),
    *("exp", "expm1", "log", "log1p", "tanh", "power", "minimum", "maximum", "matmul", "copyto"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    *("empty", "ones", "zeros", "arange", "float32", "float64", "int32", "bool"),
    *("len", "range", "zip", "enumerate", "max", "min", "getattr", "abs", "any", "int", "tuple"),
    *("ValueError", "SystemExit", "print"),
    *(name.upper() for name in FACTS),
]
METHOD_NAMES = ["self", "lead", "axis", "batch", "states"]
ATTRIBUTES = [
    "batch",
    "lead",
    "seen",
    "states",
    "step",
    "predict",
    "reset",
    "get_state",
    "set_state",
]
# For step, and for predict, where loops stay only around what they carry.
PASSES = (fold_gates, join_products, expand)
WHOLE_PASSES = (fold_gates, split_loops, join_in_loops, expand)
MOST_EQUATIONS = 24
RISKY = ("exp", "sigmoid", "expm1", "log", "log1p", "pow", "sqrt")


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The text of the module `name`.py in pieces."""
    outline = Outline(lowered, options, PASSES, WHOLE_PASSES)
    return _File(outline, name, options["weights"], origin).text()


class _File:
    """Everything that the template needs, made from the programs of one model."""

    def __init__(self, outline: Outline, name: str, weights: str, origin: Origin) -> None:
        self.outline, self.lowered = outline, outline.lowered
        lowered = self.lowered
        self.name = name
        self.weights = weights
        self.origin = origin
        self.module = Module(outline.dtype, Names(PYTHON_WORDS, MODULE_NAMES))
        self.program = lowered.step or lowered.whole
        self.states = States(lowered, self.program, self.module)
        self.symbols = sorted({s for p in (lowered.whole, lowered.step) if p for s in _symbols(p)})
        arguments = Names(PYTHON_WORDS, MODULE_NAMES, METHOD_NAMES, self.symbols)
        self.inputs = [arguments(port.buffer.name) for port in lowered.whole.inputs]
        self.attributes = Names(PYTHON_WORDS, ATTRIBUTES)
        self.input_attributes = [self.attributes(n) for n in self.inputs]
        self.init = Names(PYTHON_WORDS, MODULE_NAMES, METHOD_NAMES)
        self.bases: dict[Buffer, Base] = {}
        self.setup: list[str] = []
        self.scratch: list[Buffer] = []
        self.homes: dict[Buffer, tuple[Buffer, int]] = {}
        self.hints: dict[Vec, str] = {}
        self.reads_axis = False  # whether step asks for the number of leading axes

    def text(self) -> Iterator[str]:
        """The whole file in pieces."""
        step = self._step()
        predict = self._predict()
        module = self.module
        float_name = module.use(module.dtype)
        written = Weights(module, self.weights)
        selftest = selftest_lines(self.lowered, written)
        packed = [written.composed(b, n) for b, n in module.composed.items()]
        packed += [written.packed(p, n) for p, n in module.packed.items()]
        reset = self.states.reset()  # names the arrays that states start from
        constants = [written.constant(b, n) for b, n in module.arrays.items()]
        numbers = [
            f"{n} = np.array({module.literal(v)}, {float_name})" for v, n in module.numbers.items()
        ]
        width = 8 if module.dtype == "float64" else 4
        kept = sum(dims.fixed(s.buffer.size) for s in self.program.states)
        weights = sum(dims.fixed(b.size) for b in module.arrays)
        scratch = [dims.product(b.shape) for b in self.scratch]
        sizes = Sizes(
            width * weights, width * kept, sum(width * n for n in scratch if isinstance(n, int))
        )
        return templates.render(
            "numpy/model.py.j2",
            banner=banner.banner(self.lowered, self.origin, sizes),
            name=self.name,
            arguments=", ".join(self.inputs),
            imports=self._imports(),
            facts=facts(self.lowered),
            functions=self._functions(),
            constants=constants,
            packed=packed,
            numbers=numbers,
            summary=comment(f"{self.lowered.name}, from {self.lowered.model.source}.", 90),
            init=folded(self.setup, 8),
            step=step and {**step, "lines": folded(step["lines"], 8)},
            predict={**predict, "lines": folded(predict["lines"], 8)},
            reset=reset,
            states=self.states.names(),
            get_state=self.states.get_state(),
            set_state=self.states.set_state(),
            warmup=self.lowered.warmup,
            selftest=selftest,
            tolerance=f"{TOLERANCE:g}",
        )

    # ---- methods ------------------------------------------------------------------------

    def _step(self) -> dict[str, Any] | None:
        program = self.lowered.step
        states = self.program.states
        if program is None:
            scope = self._init_scope("")
            self._keep_states(scope, states)
            return None
        lines: list[str] = []
        body: list[str] = []
        assert self.outline.step is not None
        planned = self._plan(self.outline.step, step=True)
        final = max(number for number, part in enumerate(planned) if part) if any(planned) else -1
        given_back = False
        for number, (block, part) in enumerate(zip(program.blocks, planned, strict=True)):
            last = part[-1] if number == final and self._returns(program, part[-1]) else None
            own, given_back = self._step_block(block, part, last)
            body += own
        scope = self._init_scope("")
        for port, attribute in zip(program.inputs, self.input_attributes, strict=True):
            argument = self.inputs[program.inputs.index(port)]
            array = self._shaped(scope, port)
            self.setup.append(f"self.{attribute} = {array}")
            shape = self.attributes(f"{attribute}_shape")
            self.setup.append(f"self.{shape} = self.{attribute}.shape")
            if limit := self._rows_of(port):
                given = f'{argument}, "{argument}", self.{shape}, {limit}'
                lines.append(f"{argument} = accept_ids({given})")
                continue
            lines += [
                f'if getattr({argument}, "shape", None) != self.{shape}:',
                f"    array = self.{attribute}",
                f'    {argument} = accept({argument}, "{argument}", array.dtype, array.shape)',
            ]
        lines += [
            f"self.{attribute}[...] = {argument}"
            for argument, attribute in zip(self.inputs, self.input_attributes, strict=True)
        ]
        self._keep_states(scope, states)
        results = []
        for number, port in enumerate(program.outputs if not given_back else ()):
            attribute = self.attributes("y" if len(program.outputs) == 1 else f"y_{number}")
            self.setup.append(f"self.{attribute} = {self._shaped(scope, port)}")
            results.append(f"self.{attribute}.copy()")
        if self.reads_axis:
            lines.append("axis = len(self.lead)")
        lines += self._guarded(program, body)
        if not given_back:
            lines.append("")
        if self.lowered.warmup:
            lines += [
                f"if self.seen < {self.lowered.warmup}:",
                "    self.seen += 1",
                "    return None",
            ]
        lines += _returned(results) if results else []
        rows = f" of {self.lowered.hop} rows" if self.lowered.hop > 1 else ""
        late = f"; None for the first {self.lowered.warmup}" if self.lowered.warmup else ""
        return {"summary": f"One step{rows}{late}. The state is kept.", "lines": lines}

    def _rows_of(self, port: Port) -> int | None:
        """How many rows the smallest table has that this input looks up, None if it does not."""
        programs = (self.lowered.whole, self.lowered.step)
        return rows_looked_up(port.name, [program for program in programs if program])

    def _returns(self, program: Program, last: Instruction) -> bool:
        """Whether `last` computes all that step returns, so that it may come back as it is."""
        port = program.outputs[0]
        alone = len(program.outputs) == 1 and not self.lowered.warmup and len(port.shape) == 1
        return alone and isinstance(last, (Ufunc, Dot)) and last.out == port.buffer.vec()

    def _plan(self, program: Program, step: bool) -> list[list[Instruction]]:
        """The instructions of each block."""
        planner = Planner([(block.name, block.ops) for block in program.blocks], step)
        planned = planner.plan_blocks()
        self.homes.update(planner.homes)
        every = [op for part in planned for op in part]
        self.hints = {
            **{
                Vec(buffer, offset, size): name
                for buffer in temps(program)
                for name, offset, size in buffer.places
            },
            **names_of(every),
            **planner.local_places(),
            **planner.window_names,
        }
        return planned

    def _guarded(self, program: Program, body: list[str]) -> list[str]:
        if not _is_risky(program):
            return body
        # Infinities are what Keras gives there too, without a warning.
        self.module.use("errstate")
        return ['with np.errstate(all="ignore"):', *indented(body)]

    def _init_scope(self, prefix: str) -> StepScope:
        reserved = [*MODULE_NAMES, *METHOD_NAMES, *self.symbols, *self.inputs]
        scope = StepScope(self.module, self.init, reserved, self.bases, prefix)
        scope.setup = self.setup
        scope.scratch = self.scratch
        scope.homes = self.homes
        scope.hints = self.hints
        return scope

    def _step_block(
        self, block: Block, instructions: Sequence[Instruction], last: Instruction | None
    ) -> tuple[list[str], bool]:
        """The lines of a block; the value of `last`, where it is new, is returned by them."""
        scope = self._init_scope(block.name)
        before = len(self.setup)
        body = lines_of(instructions if last is None else instructions[:-1], scope)
        value = None if last is None else fresh(last, scope)
        if last is not None:
            body += [f"return {value}"] if value else lines_of([last], scope)
        self.reads_axis |= scope.reads_axis
        if not body:
            return [], False
        title = f"# {comment(block.title, 88)}"
        self.setup.insert(before, title)
        lines = ["", title, *_equations(block)]
        if scope.kept:
            attribute = self.attributes(block.name)
            self.setup += wrapped(f"self.{attribute} = (", list(scope.kept), ")")
            lines += wrapped("(", list(scope.kept.values()), f") = self.{attribute}")
        return lines + body, value is not None

    def _shaped(self, scope: Scope, port: Port) -> str:
        base = scope.base(port.buffer)
        if tuple(base.shape) == tuple(port.shape):
            return base.name
        return f"{base.name}.reshape({_shape(port.shape)})"

    def _keep_states(self, scope: Scope, states: Sequence[State]) -> None:
        names = [scope.base(s.buffer).name for s in states]
        self.setup += wrapped("self.states = (", names, ")")
        if self.lowered.warmup:
            self.setup.append("self.seen = 0")

    def _predict(self) -> dict[str, Any]:
        program = self.lowered.whole
        reserved = [*MODULE_NAMES, *METHOD_NAMES, *self.symbols, *self.inputs]
        names = Names(PYTHON_WORDS, reserved)
        scope = Scope(self.module, names)
        head = ["lead = self.lead"]
        known: set[str] = set()
        late: list[str] = []
        for argument, port in zip(self.inputs, program.inputs, strict=True):
            wanted = []
            for axis, length in enumerate(port.shape):
                text = dims.text(length)
                if not isinstance(length, int) and text not in known:
                    known.add(text)
                    at = f"len(lead) + {axis}" if axis else "len(lead)"
                    late.append(f"{text} = {argument}.shape[{at}]")
                    text = "None"
                wanted.append(text)
            shape = f"({wanted[0]},)" if len(wanted) == 1 else f"({', '.join(wanted)})"
            kind = self._dtype(port.buffer)
            given = f'{argument}, "{argument}"'
            if limit := self._rows_of(port):
                head.append(f"{argument} = accept_ids({given}, lead + {shape}, {limit})")
            else:
                head.append(f"{argument} = accept({given}, {kind}, lead + {shape})")
            head += late
            late.clear()
            scope.bases[port.buffer] = Base(argument, port.shape)
        for left, relation, right in program.checks:
            if relation == ">=" and right == 1 and dims.text(left) in program.lengths:
                continue  # accept has seen to it
            condition = f"{dims.text(left)} {relation} {dims.text(right)}"
            found = ", ".join(f"{s} = %d" for s in program.lengths)
            values = ", ".join(program.lengths)
            head += [
                f"if not {condition}:",
                "    raise ValueError(",
                f'        "expected {condition}, "',
                f'        "found {found}" % ({values},)',
                "    )",
            ]
        states = self.program.states
        state_names = [names(s.buffer.name) for s in states]
        for state, name in zip(states, state_names, strict=True):
            scope.bases[state.buffer] = Base(name, state.buffer.shape or (state.buffer.size,))
        if states:
            head += wrapped("(", state_names, ") = self.states")
        fresh = [(n, s) for n, s in zip(state_names, states, strict=True) if not s.carried]
        for name, state in fresh:
            head.append(f"{name}[...] = {self.states.initial(state)}")
        body: list[str] = []
        planned = self._plan(self.outline.whole, step=False)
        scope.hints, scope.homes = self.hints, self.homes
        taken = [*reserved, *self._shared(planned, scope)]
        for block, instructions in zip(program.blocks, planned, strict=True):
            scope.names, scope.prefix = Names(PYTHON_WORDS, taken), block.name
            lines = lines_of(instructions, scope)
            if lines:
                # A model with a step has its equations there.
                told = [] if self.lowered.step else _equations(block)
                body += ["", f"# {comment(block.title, 88)}", *told, *lines]
        results = []
        for port in program.outputs:
            base = scope.base(port.buffer)
            fresh_array = port.buffer.kind == "output" and base.name not in results
            text = base.name
            if tuple(base.shape) != tuple(port.shape):
                text = f"{text}.reshape({_shape(port.shape)})"
            results.append(text if fresh_array else f"{text}.copy()")
        body = scope.take() + body
        if scope.reads_axis:
            head.append("axis = len(lead)  # that of time, in arrays that have it")
        lines = [*head, *self._guarded(program, body), ""]
        if self.lowered.warmup:
            steps = program.lengths[0]
            count = steps if self.lowered.hop == 1 else f"{steps} // {self.lowered.hop}"
            lines.append(f"self.seen = min({count}, {self.lowered.warmup})")
        lines += _returned(results)
        return {"summary": self._predict_summary(), "lines": lines}

    def _shared(self, planned: Sequence[Sequence[Instruction]], scope: Scope) -> list[str]:
        """Names of the arrays that more than one block uses: these keep the name of their block."""
        first: dict[Buffer, int] = {}
        for number, instructions in enumerate(planned):
            for buffer in buffers_of(instructions):
                if first.setdefault(buffer, number) != number:
                    scope.full_names.setdefault(buffer, scope.names(buffer.name))
        for port in self.lowered.whole.outputs:
            scope.full_names.setdefault(port.buffer, scope.names(port.buffer.name))
        bases = [base.name for base in scope.bases.values()]
        return [*bases, *scope.full_names.values()]

    def _predict_summary(self) -> str:
        kept = any(s.carried for s in self.program.states)
        if not self.program.states:
            return "The outputs for one whole input."
        if kept:
            return "The outputs for one whole input; stateful layers go on from their state."
        return "The outputs for one whole input, from the initial state."

    def _dtype(self, buffer: Buffer) -> str:
        return self.module.use("int32" if buffer.dtype == "int32" else self.module.dtype)

    # ---- module level ---------------------------------------------------------------------

    def _imports(self) -> list[str]:
        others = ("product", "bool", "errstate", "clip")
        names = sorted(n for n in self.module.used if hasattr(np, n) and n not in others)
        lines = ["from base64 import b64decode", ""] if self.weights == "base64" else []
        if "erf" in self.module.used and self.module.dtype == "float64":
            lines = ["import math", *lines]
        lines += ["import numpy as np"]
        return lines + wrapped("from numpy import (", names, ")")

    def _functions(self) -> str:
        parts = [
            templates.source(f"numpy/array_{self.weights}.py"),
            templates.source("numpy/accept.py"),
        ]
        if any(self._rows_of(port) for port in self.lowered.whole.inputs):
            parts.append(templates.source("numpy/accept_ids.py"))
        helpers = [h for h in ("aligned", "clip", "grid", "product") if h in self.module.used]
        parts += [templates.source(f"numpy/{helper}.py") for helper in helpers]
        parts = [part.replace("FLOAT", self.module.dtype) for part in parts]
        if "erf" in self.module.used:
            parts.append(templates.source(f"numpy/erf_{self.module.dtype}.py"))
        return "\n\n\n".join(part.strip("\n") for part in parts)


def _equations(block: Block) -> list[str]:
    """The equations of a block as comments, without its name in front of every vector."""
    lines: list[str] = []
    for op in block.ops:
        lines += equations(op)
    comments = []
    for line in lines[:MOST_EQUATIONS]:
        depth = len(line) - len(line.lstrip())
        text = comment(line.replace(f"{block.name}_", ""))
        comments += textwrap.wrap(
            text, WIDTH - 10, initial_indent="#   " + " " * depth, subsequent_indent="#       "
        )
    return [*comments, "#   ..."] if len(lines) > MOST_EQUATIONS else comments


def _returned(results: Sequence[str]) -> list[str]:
    if len(results) == 1:
        return [f"return {results[0]}"]
    return wrapped("return (", results, ")")


def _symbols(program: Program) -> set[str]:
    found = set(program.lengths)
    for op in walk_ops(program.ops):
        counter = getattr(op, "counter", None)
        if counter:
            found.add(counter)
    return found


def _is_risky(program: Program) -> bool:
    """Whether something may overflow or divide by zero, as it then does in Keras."""
    roots: list[Expr] = []
    for op in walk_ops(program.ops):
        if isinstance(op, Elementwise):
            roots += [e for _, e in op.locals] + [e for _, e in op.stores]
        elif isinstance(op, Reduce):
            roots.append(op.value)
    for root in roots:
        for node in walk(root):
            if isinstance(node, Call) and node.function in RISKY:
                return True
            if (
                isinstance(node, Binary)
                and node.operator == "/"
                and not isinstance(node.right, Number)
            ):
                return True
    return False


def _shape(shape: Sequence[Dim]) -> str:
    return shape_text(shape) if shape else "lead"
