"""The methods of the class of a NumPy file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from codegen.passes.fold_gates import NOTE
from codegen.program import dims
from codegen.program.ops import (
    Affine,
    Binary,
    Block,
    Buffer,
    Call,
    Number,
    Port,
    Program,
    State,
    const,
    roots,
    walk,
    walk_ops,
)
from codegen.targets.numpy.ops import Printer
from codegen.targets.numpy.rows import Rows
from codegen.targets.numpy.scope import Module, Scope, StepScope
from codegen.targets.numpy.views import Base, shape_text
from codegen.targets.spine.equations import LONGEST_EQUATION, Equations
from codegen.targets.spine.lines import broken, indented
from codegen.targets.spine.outline import Outline
from codegen.text.names import Names, comment
from codegen.text.words import PYTHON_WORDS

METHOD_NAMES = ("self", "lead", "unit", "batch", "states")
ATTRIBUTES = (
    *("batch", "lead", "memory", "seen", "states", "step", "predict", "reset", "restart"),
    *("get_state", "set_state"),
)
RISKY = ("exp", "expm1", "log", "log1p", "pow", "fmod", "sin", "cos", "sqrt")
# What a pass has put into weights, by the factor that they have then.
FOLDED = {
    0.5: NOTE,
    0.2: "hard_sigmoid gates come as 0.2 * x + 0.5, of which the part from 0 to 1 counts",
    1 / 6: "hard_sigmoid gates come as x / 6 + 0.5, of which the part from 0 to 1 counts",
}


class Methods:
    """Bodies of the methods, as lines. `step` has to be asked for before `predict`."""

    def __init__(self, outline: Outline, module: Module, words: Sequence[str]) -> None:
        self.outline, self.module = outline, module
        self.taken = (*words, *METHOD_NAMES, *outline.symbols())
        names = Names(PYTHON_WORDS, self.taken)
        self.inputs = [names(port.buffer.name) for port in outline.first.inputs]
        self.attributes = Names(PYTHON_WORDS, ATTRIBUTES)
        self.rows = Rows()
        self.printer = Printer(module, outline.first, self.rows, outline.step is not None, True)
        names = Names(PYTHON_WORDS, words, METHOD_NAMES)
        self.first = StepScope(module, names, self.printer.homes, self.printer.hints)
        self.init = self.first.setup
        self.initials = {
            state.buffer: const(
                f"{state.buffer.name}_initial", np.reshape(state.initial, state.shape)
            )
            for state in outline.states
            if state.initial is not None
        }
        self.numbers = {state.buffer: n for n, state in enumerate(outline.states)}
        self.memory: list[Buffer] = []  # what holds the states: rows, or arrays of their own

    # ---- step -------------------------------------------------------------------------------

    def step(self) -> dict[str, Any] | None:
        """The method step, and what __init__ makes for it."""
        program, first = self.outline.step, self.first
        if program is None:
            self._keep_states()
            return None
        body: list[str] = []
        for block, expanded in zip(program.blocks, self.printer.program.blocks, strict=True):
            body += self._step_block(block, expanded)
        head = [*self._taken(program)]
        self._keep_states()
        results = []
        for number, port in enumerate(program.outputs):
            attribute = self.attributes("y" if len(program.outputs) == 1 else f"y_{number}")
            self.init.append(f"self.{attribute} = {self._outside(first, port)}")
            results.append(f"self.{attribute}.copy()")
        lines = [*_locals(first.inside), *head, *self._guarded(program, body), ""]
        late = self.outline.warmup
        if late:
            lines += [f"if self.seen < {late}:", "    self.seen += 1", "    return None"]
        lines.append(f"return {_one_or_all(results)}")
        rows = f" of {self.outline.hop} rows" if self.outline.hop > 1 else ""
        waits = f"; None for the first {late}" if late else ""
        summary = f"One step{rows}{waits}. The state is kept."
        return {"name": "step", "summary": summary, "lines": lines}

    def _taken(self, program: Program) -> Iterator[str]:
        """The lines that check the inputs and put them into their places."""
        places, use = [], self.module.use
        for port, argument in zip(program.inputs, self.inputs, strict=True):
            attribute = self.attributes(argument)
            shape = self.attributes(f"{attribute}_shape")
            self.init.append(f"self.{attribute} = {self._outside(self.first, port)}")
            self.init.append(f"self.{shape} = self.{attribute}.shape")
            given = f'{argument}, "{argument}"'
            if between := self.outline.between(port):
                yield f"{argument} = {use('accept_whole')}({given}, self.{shape}, {between})"
            else:
                yield f'if getattr({argument}, "shape", None) != self.{shape}:'
                kind = self._kind(port.buffer)
                yield f"    {argument} = accept({given}, {kind}, self.{shape})"
            places.append(f"self.{attribute}[...] = {argument}")
        yield from places

    def _kind(self, buffer: Buffer) -> str:
        return self.module.use(self.module.kind(buffer))

    def _step_block(self, block: Block, expanded: Block) -> list[str]:
        """The lines of a block."""
        before, scope = len(self.init), self.first
        body = self.printer.lines(expanded, scope, Names(PYTHON_WORDS, self.taken, self.inputs))
        if not body:
            return []
        title = f"# {comment(block.title, 88)}"
        self.init.insert(before, title)
        lines = ["", title, *self._told(block)]
        if scope.kept:
            attribute = self.attributes(block.name)
            self.init.append(f"self.{attribute} = ({_listed(map(str, scope.kept))})")
            lines += _unpacked(scope.kept.values(), f"self.{attribute}")
        return lines + body

    def _outside(self, scope: Scope, port: Port | State) -> str:
        """An array with the shape that users see."""
        base = scope.base(port.buffer)
        text = base.name
        if tuple(base.shape) != tuple(port.shape):
            text = f"{text}.reshape({scope.shape(port.shape)})"
        return f"{self.module.use('outside')}({text}, {scope.use('lead')})"

    def _told(self, block: Block) -> list[str]:
        """The equations of a block; those of integers are read in the model's own program."""
        lowered = self.outline.lowered
        if lowered.whole.integers:
            own = lowered.step or lowered.whole
            block = next(other for other in own.blocks if other.name == block.name)
        return _equations(block)

    def _guarded(self, program: Program, body: Iterable[str]) -> list[str]:
        if not _is_risky(program):
            return [*body]
        # Infinities are what Keras gives there too, without a warning.
        return ['with np.errstate(all="ignore"):', *indented(body, "    ")]

    # ---- states -----------------------------------------------------------------------------

    def _keep_states(self) -> None:
        """The lines of __init__ that make the states; their memory is what predict works on."""
        seen = [self._outside(self.first, state) for state in self.outline.states]
        homes = self.printer.homes
        every = [homes.get(state.buffer, (state.buffer, 0))[0] for state in self.outline.states]
        self.memory = list(dict.fromkeys(every))
        self.init.append(f"self.states = ({_listed(seen)})")
        if self.memory:
            names = [self.first.base(buffer).name for buffer in self.memory]
            self.init.append(f"self.memory = ({_listed(names)})")

    def made(self) -> list[str]:
        """The body of __init__."""
        unit = ["unit = (1,) * len(lead)"] if "unit" in self.first.reads else []
        return [*unit, *self.init]

    def starts(self, states: Sequence[State], seen: bool) -> list[str]:
        """Lines that put states at their start."""
        lines = []
        for state in states:
            initial = self.initials.get(state.buffer)
            start = "0" if initial is None else self.module.constant(initial).name
            lines.append(f"self.states[{self.numbers[state.buffer]}][...] = {start}")
        if len(lines) == len(self.outline.states) > 1 and all(s.initial is None for s in states):
            lines = ["for array in self.states:", "    array[...] = 0"]
        return [*lines, *(["self.seen = 0  # steps since the start"] if seen else [])]

    # ---- predict ----------------------------------------------------------------------------

    def predict(self) -> dict[str, Any]:
        """The method predict."""
        outline, program = self.outline, self.outline.whole
        if self.module.integers and outline.loops:
            return {"name": "predict", "summary": self._summary(), "lines": [*self._by_steps()]}
        printer = self.printer
        if outline.step is not None:
            self.rows.next_method()
            printer = Printer(self.module, program, self.rows, False, False)
        names = Names(PYTHON_WORDS, self.taken, self.inputs)
        scope = Scope(self.module, names, printer.homes, printer.hints)
        head = [*self._given(program, scope), *self._refused(program)]
        if outline.restart:
            head.append(f"self.{outline.restart}()")
        if self.memory:
            for buffer in self.memory:
                shape = buffer.shape or (buffer.size,)
                scope.bases[buffer] = Base(names(buffer.name), shape)
            head += _unpacked([scope.bases[buffer].name for buffer in self.memory], "self.memory")
        taken = (*self.taken, *self._shared(printer, scope))
        body: list[str] = []
        for block, expanded in zip(program.blocks, printer.program.blocks, strict=True):
            lines = printer.lines(expanded, scope, Names(PYTHON_WORDS, taken))
            if lines:
                # A model with a step has its equations there.
                told = [] if outline.step else self._told(block)
                body += ["", f"# {comment(block.title, 88)}", *told, *lines]
        scope.lines = []
        results = [self._result(port, scope) for port in program.outputs]
        body = [*scope.lines, *body]
        lines = [*_locals({"lead", *scope.reads}), *head, *self._guarded(program, body), ""]
        if outline.warmup:
            count = dims.text(dims.symbol(program.lengths[0]) // outline.hop)
            lines.append(f"self.seen = min({count}, {outline.warmup})")
        lines.append(f"return {_one_or_all(results)}")
        return {"name": "predict", "summary": self._summary(), "lines": lines}

    def _by_steps(self) -> Iterator[str]:
        """Predict as a loop around the step: integers of the whole sequence have no own program."""
        outline, whole = self.outline, self.outline.whole
        steps: dims.Dim | None = None
        yield "lead = self.lead"
        for argument, port in zip(self.inputs, whole.inputs, strict=True):
            wanted = [*port.shape]
            if port.time and not isinstance(port.shape[0], int):
                wanted[0] = dims.symbol("None") if steps is None else steps
            yield self._accepted(argument, port, wanted)
            if port.time and steps is None:
                steps = dims.symbol("steps")
                yield f"steps = {argument}.shape[len(lead)]"
        yield from self._refused(whole)
        late = outline.warmup
        if late:
            yield f"if steps <= {late}:"
            yield f'    raise ValueError("expected {late + 1} or more steps, found %d" % steps)'
        if outline.restart:
            yield f"self.{outline.restart}()"
        at = "[:, t] if lead else {0}[t]"
        rows = (
            f"{name}{at.format(name)}" if port.time else name
            for name, port in zip(self.inputs, whole.inputs, strict=True)
        )
        yield f"found = [self.step({', '.join(rows)}) for t in range(steps)]"
        yield from [f"found = found[{late}:]"] if late else []
        single = len(whole.outputs) == 1
        results = []
        for number, port in enumerate(whole.outputs):
            result = "found" if single else f"[y[{number}] for y in found]"
            last = "found[-1]" if single else f"found[-1][{number}]"
            results.append(f"np.stack({result}, len(lead))" if port.time else last)
        yield f"return {_one_or_all(results)}"

    def _given(self, program: Program, scope: Scope) -> Iterator[str]:
        """The lines that check the inputs and find the free lengths."""
        known: set[dims.Dim] = set()
        use = self.module.use
        for argument, port in zip(self.inputs, program.inputs, strict=True):
            wanted: list[dims.Dim] = []
            late = []
            for axis, length in enumerate(port.shape):
                new = not isinstance(length, int) and length not in known
                if new:
                    known.add(length)
                    late.append(f"{dims.text(length)} = {argument}.shape[{axis}]")
                wanted.append(dims.symbol("None") if new else length)
            yield self._accepted(argument, port, wanted)
            between = self.outline.between(port)
            whole = between and port.buffer.dtype == "float32"  # of integers, in the file's type
            own = f"{argument}.astype({self._kind(port.buffer)})" if whole else argument
            yield f"{argument} = {use('inside')}({own}, lead)"
            yield from late
            scope.bases[port.buffer] = Base(argument, port.shape)

    def _accepted(self, argument: str, port: Port, wanted: Sequence[dims.Dim]) -> str:
        """The line that checks a whole input."""
        given, shape = f'{argument}, "{argument}"', f"lead + {shape_text(wanted, '')}"
        if between := self.outline.between(port):
            return f"{argument} = {self.module.use('accept_whole')}({given}, {shape}, {between})"
        return f"{argument} = accept({given}, {self._kind(port.buffer)}, {shape})"

    def _refused(self, program: Program) -> Iterator[str]:
        """The lines that refuse lengths which the model cannot take."""
        for left, relation, right in self.outline.conditions(program):
            condition = f"{dims.text(left)} {relation} {dims.text(right)}"
            found = ", ".join(f"{name} = %d" for name in program.lengths)
            yield f"if not {condition}:"
            yield "    raise ValueError("
            yield f'        "expected {condition}, "'
            yield f'        "found {found}" % ({_listed(program.lengths)})'
            yield "    )"

    def _shared(self, printer: Printer, scope: Scope) -> list[str]:
        """Names of the arrays that more than one block uses: these keep the name of their block."""
        first: dict[Buffer, int] = {}
        for number, block in enumerate(printer.program.blocks):
            for buffer in dict.fromkeys(printer.buffers(block)):
                if first.setdefault(buffer, number) != number:
                    scope.full_names.setdefault(buffer, scope.names(buffer.name))
        for port in self.outline.whole.outputs:
            scope.full_names.setdefault(port.buffer, scope.names(port.buffer.name))
        return [*(base.name for base in scope.bases.values()), *scope.full_names.values()]

    def _result(self, port: Port, scope: Scope) -> str:
        text = self._outside(scope, port)
        return text if port.buffer.kind == "output" else f"{text}.copy()"

    def _summary(self) -> str:
        if not self.outline.states:
            return "The outputs for one whole input."
        if self.outline.carried:
            return "The outputs for one whole input; stateful layers go on from their state."
        return "The outputs for one whole input, from the initial state."


def _locals(read: set[str]) -> Iterator[str]:
    """The lines that make locals of a method."""
    if read & {"lead", "unit"}:
        yield "lead = self.lead"
    if "unit" in read:
        yield "unit = (1,) * len(lead)"


def _one_or_all(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({_listed(texts)})"


def _listed(texts: Iterable[str]) -> str:
    """The inside of a tuple."""
    found = [*texts]
    return f"{', '.join(found)}{',' if len(found) == 1 else ''}"


def _unpacked(found: Iterable[str], source: str) -> list[str]:
    """The lines that name the items of a tuple."""
    line = _listed(found)
    if len(line) + len(source) < 84:
        return [f"({line}) = {source}"]
    return ["(", *indented(textwrap.wrap(f"{line.rstrip(',')},", 80), "    "), f") = {source}"]


def _equations(block: Block) -> list[str]:
    """The equations of a block as comments, without its name in front of every vector."""
    lines: list[str] = []
    for op in block.ops:
        for line in Equations(block.name).lines(op):
            depth = len(line) - len(line.lstrip())
            lines += broken(" " * depth + comment(line, LONGEST_EQUATION), 84)
    factors = {
        part.factor
        for op in walk_ops(block.ops)
        if isinstance(op, Affine)
        for mat, _ in op.products
        for part in mat.buffer.parts
    }
    lines += [text for factor, text in FOLDED.items() if factor in factors]
    return [f"#   {line}" for line in lines]


def _is_risky(program: Program) -> bool:
    """Whether something may overflow or divide by zero, as it then does in Keras."""
    for node in (e for op in walk_ops(program.ops) for root in roots(op) for e in walk(root)):
        match node:
            case Call(function=function) if function in RISKY:
                return True
            case Binary(operator="/", right=right) if not isinstance(right, Number):
                return True
    return False
