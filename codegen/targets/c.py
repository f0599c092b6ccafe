"""The C target: one C99 header, also valid C++, that needs no heap and has no changing globals.

`--profile host` stores weights in Keras' orientation for kernels that vectorise; `mcu` stores
eight outputs side by side for kernels that keep sums in registers and code small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen import dims, emit
from codegen.dims import Dim
from codegen.emit import Names, Origin, Sizes, c_number, comment
from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.passes.buffers import Plan, plan
from codegen.passes.derived import Derived
from codegen.passes.gates import EXACT, fold_gates
from codegen.passes.pack import Packed, Packing, pack
from codegen.passes.stage import stage
from codegen.program import (
    Buffer,
    Port,
    Program,
    Shift,
    State,
    When,
    constants,
    reads,
    rows_seen,
    walk_ops,
)
from codegen.selftest import LARGEST, TOLERANCE, record
from codegen.targets.base import SHARED, Option, Target, dtype_of
from codegen.targets.c_text import (
    HOOKS,
    STAGED,
    Printer,
    Used,
    dim_text,
    indent,
    ring_row,
    wrapped,
)

OPTIONS = (
    *SHARED,
    Option(
        "profile",
        "Layout of weights and loops: for processors with vector units, or for microcontrollers.",
        default="host",
        choices=("host", "mcu"),
    ),
    Option(
        "math",
        "tanh, sigmoid, exp and softplus: built in (within 4e-7), or the C library's.",
        default="fast",
        choices=("fast", "libm"),
    ),
    Option(
        "max_steps",
        "The largest number of time steps, for models that need the whole sequence.",
        kind=int,
    ),
)

# A delay line longer than this is a ring: moving it would cost more than finding rows in it.
LONGEST_MOVED = 64
AVR_LARGEST = 32767  # bytes of one object

HALVED = "; sigmoid gates halved: sigmoid x = tanh(x / 2) / 2 + 1 / 2"

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


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The header in pieces."""
    return _Header(lowered, name, options, origin).text()


@dataclass(frozen=True)
class _Array:
    """A constant array of the file."""

    name: str
    type: str
    size: int
    comment: str
    rows: Iterator[str]  # its numbers, made when they are asked for


class _Header:
    def __init__(
        self, lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
    ) -> None:
        self.lowered, self.origin = lowered, origin
        self.prefix, self.upper = name.lower(), name.upper()
        self.dtype = dtype_of(lowered, options)
        self.real = "float" if self.dtype == "float32" else "double"
        self.suffix = "f" if self.dtype == "float32" else ""
        self.bytes = 4 if self.dtype == "float32" else 8
        self.profile = str(options["profile"])
        # The built-in functions are as accurate as float32; double takes the library's.
        self.math = str(options["math"]) if self.dtype == "float32" else "libm"
        self.max_steps = self._max_steps(options.get("max_steps"))
        self.used = Used()

        source = lowered.step or lowered.whole
        vectorised = self.profile == "host" and self.math == "fast"
        self.derived = Derived()
        self.program = self._vectorised(source) if vectorised else source
        self.rings = _rings(self.program)
        self.plan: Plan = plan(
            self.program, dict.fromkeys(self.program.lengths, self.max_steps or 0)
        )
        layout = "columns" if self.profile == "host" else "blocks"
        self.packing: Packing = pack(self.program, layout, lambda b: id(b) in self.rings)

        own = [f"{self.prefix}_{word}" for word in _own_words()]
        self.names = Names([*own, "s", "i", "j", "sum", "total", "found", "steps", "values"])
        self.const_names: dict[int, str] = {}
        for packed in self.packing.arrays:
            self._name_const(id(packed), packed.name)
        for buffer in constants(self.program):
            self._name_const(id(buffer), buffer.name)
        member_names = Names(["scratch", "scratch_int", "seen", "unused"])
        self.members = {id(s.buffer): member_names(s.buffer.name) for s in self.program.states}
        self.parameters = {
            id(port.buffer): self.names(port.buffer.name, ("buffer", id(port.buffer)))
            for port in (*self.program.inputs, *self.program.outputs)
        }
        self.printer = Printer(
            self.prefix,
            self.dtype,
            self.profile,
            self.packing,
            self.plan,
            self.rings,
            self.const_names,
            self.members,
            self.names,
            self.used,
        )
        self.printer.vectorised = vectorised
        # All inputs of a streamable model have the same number of steps.
        free = lowered.whole.lengths
        if lowered.step is not None:
            self.symbols = dict.fromkeys(free, "steps")
        else:
            self.symbols = {
                length: length if length == "steps" else self.names(length, ("length", length))
                for length in free
            }
        self.lengths = list(dict.fromkeys(self.symbols.values()))
        self.printer.symbols.update(self.symbols)

    def _vectorised(self, program: Program) -> Program:
        """The program with sigmoid gates as tanh and the costly functions on whole arrays."""
        folded = iter(fold_gates(program.ops, self.derived, EXACT))
        blocks = [replace(b, ops=tuple(next(folded) for _ in b.ops)) for b in program.blocks]
        return stage(replace(program, blocks=tuple(blocks)), STAGED)

    def _name_const(self, key: int, wanted: str) -> None:
        self.const_names[key] = self.names(f"{self.prefix}_{wanted}", ("const", key))

    def _max_steps(self, given: Any) -> int | None:
        lowered = self.lowered
        if lowered.step is not None or not lowered.whole.lengths:
            return None
        if given is None:
            raise CodegenError(
                f"{lowered.model.source}: the model needs the whole sequence ({lowered.reason}) "
                "and takes any number of time steps: say how many at most, --max-steps N"
            )
        if int(given) < 1:
            raise CodegenError(f"--max-steps {given}: expected 1 or more")
        return int(given)

    # ---- the whole text ---------------------------------------------------------------

    def text(self) -> Iterator[str]:
        lowered = self.lowered
        body = "\n".join(self.printer.block(block) for block in self.program.blocks)
        body = self._scoped(body)
        step = self._step(body) if lowered.step is not None else None
        predict = self._predict(body)
        reset, restart = self._resets()
        get_state, set_state = self._state_access()
        selftest = self._selftest()
        weights = self._weights()
        functions = self._functions()
        joined = "\n".join(functions)
        hooks = [
            f"{self.upper}_{h.upper()}" for h in HOOKS if f"{self.upper}_{h.upper()}" in joined
        ]
        return emit.render(
            "c/model.h.j2",
            p=self.prefix,
            P=self.upper,
            real=self.real,
            banner=emit.banner(lowered, self.origin, self.sizes()),
            hooks_note=_hooks_note([f"{self.upper}_READ", f"{self.upper}_WEIGHTS", *hooks]),
            macros=self._macros(),
            members=self._members(),
            step=step,
            predict=predict,
            state_order=self._state_order(),
            math_header=self._needs_math(joined + body, selftest["is_finite"]),
            string_header="memcpy" in joined,
            restrict=f"{self.upper}_RESTRICT" in joined
            or (step or predict)["definition"].find("RESTRICT") >= 0,
            inline=f"{self.upper}_INLINE" in joined,
            always_inline=f"{self.upper}_ALWAYS_INLINE" in joined,
            compact=f"{self.upper}_COMPACT" in joined,
            wide=self.profile == "host",
            too_large_for_avr=_too_large(weights),
            weights=weights,
            functions=functions,
            restart=restart,
            reset=reset,
            get_state=get_state,
            set_state=set_state,
            selftest=selftest,
            zero=self.number(0.0),
            one=self.number(1.0),
            tolerance=self.number(TOLERANCE),
        )

    def number(self, value: float) -> str:
        return c_number(value, self.dtype, self.suffix)

    def _scoped(self, body: str) -> str:
        """Blocks without declarations lose their braces."""
        return body

    # ---- sizes ------------------------------------------------------------------------

    def _ports(self) -> list[tuple[str, Port, Port]]:
        """Macro stem, port of the whole program, port of the program that runs."""
        result = []
        pairs = (
            ("INPUT", self.lowered.whole.inputs, self.program.inputs),
            ("OUTPUT", self.lowered.whole.outputs, self.program.outputs),
        )
        for kind, whole, run in pairs:
            for k, (a, b) in enumerate(zip(whole, run, strict=True)):
                result.append((f"{self.upper}_{kind}_{k}", a, b))
        return result

    def _varies(self, port: Port) -> bool:
        """Whether the first axis of the whole tensor may have any length."""
        return bool(port.shape) and not isinstance(port.shape[0], int)

    def _size(self, port: Port) -> Dim:
        """Values per time step where the time axis may vary, of the whole tensor otherwise."""
        return dims.product(port.shape[1:] if self._varies(port) else port.shape)

    def _macros(self) -> list[str]:
        lines = []
        arguments = ", ".join(self.lengths)
        symbols = {name: f"({c})" for name, c in self.symbols.items()}
        for stem, port, _ in self._ports():
            size = self._size(port)
            if isinstance(size, int):
                lines.append(f"#define {stem}_SIZE {size}")
            else:
                text, _ = dim_text(size, symbols, self.prefix, None, macro=True)
                lines.append(f"#define {stem}_SIZE({arguments}) ({text})")
            if self._varies(port) and "_OUTPUT_" in stem:
                text, _ = dim_text(port.shape[0], symbols, self.prefix, None, macro=True)
                text = text if text in symbols.values() else f"({text})"
                lines.append(f"#define {stem}_STEPS({arguments}) {text}")
        for kind, ports in (
            ("INPUT", self.lowered.whole.inputs),
            ("OUTPUT", self.lowered.whole.outputs),
        ):
            if len(ports) == 1 and isinstance(self._size(ports[0]), int):
                lines.append(f"#define {self.upper}_{kind}_SIZE {self.upper}_{kind}_0_SIZE")
        lines.append(f"#define {self.upper}_STATE_SIZE {self._state_size()}")
        if self.lowered.step is not None:
            if self.lowered.warmup:
                lines.append(f"#define {self.upper}_WARMUP {self.lowered.warmup}")
            if self.lowered.hop > 1:
                lines.append(f"#define {self.upper}_HOP {self.lowered.hop}")
        if self.max_steps is not None:
            lines.append(f"#define {self.upper}_MAX_STEPS {self.max_steps}")
        return lines

    # ---- state ------------------------------------------------------------------------

    def _shown(self) -> list[State]:
        return [s for s in self.program.states if not s.hidden]

    def _state_size(self) -> int:
        size = sum(dims.fixed(s.buffer.size) for s in self._shown())
        return size + (1 if self._has_seen() and self.lowered.warmup else 0)

    def _state_order(self) -> str:
        shown = [
            f"{s.layer} {s.role}" + (" (oldest first)" if s.line else "") for s in self._shown()
        ]
        if self.lowered.warmup:
            shown.append("the number of steps seen")
        if not shown:
            return ""
        return comment(f", in this order: {', '.join(shown)}", 400)

    def _has_seen(self) -> bool:
        return self.lowered.step is not None and self._warmup() > 0

    def _warmup(self) -> int:
        """Steps to count: until the first output, and until the last op has started."""
        after = [op.after for op in walk_ops(self.program.ops) if isinstance(op, When)]
        return max([self.lowered.warmup, *after])

    def _members(self) -> list[str]:
        lines = []
        for state in self.program.states:
            shape = " x ".join(str(n) for n in state.shape)
            name = self.members[id(state.buffer)]
            ring = ", a ring" if id(state.buffer) in self.rings else ""
            lines.append(
                f"{self.real} {name}[{state.buffer.size}];"
                f" /* {comment(f'{state.layer}: {state.role}, {shape}{ring}')} */"
            )
            if ring:
                lines.append(f"int {name}_at; /* its oldest row */")
        if self._has_seen():
            lines.append("int seen; /* steps since reset, as far as they matter */")
        lines += self._padding_members()
        for dtype, kind, name in (
            ("float32", self.real, "scratch"),
            ("int32", "int32_t", "scratch_int"),
        ):
            if self.plan.sizes[dtype]:
                lines.append(
                    f"{kind} {name}[{self.plan.sizes[dtype]}]; /* of no use between calls */"
                )
        return lines or ["char unused; /* the model keeps nothing */"]

    def _start(self, state: State) -> list[str]:
        name = self.members[id(state.buffer)]
        size = state.buffer.size
        value = self.number(0.0)
        if state.initial is not None and np.any(state.initial):
            buffer = Buffer(
                f"{state.buffer.name}_initial", size, "const", "float32", np.ravel(state.initial)
            )
            self._name_const(id(buffer), buffer.name)
            self.used.raw[id(buffer)] = buffer
            value = f"{self.upper}_READ({self.const_names[id(buffer)]}[i])"
        lines = [f"for (int i = 0; i < {size}; ++i) {{", f"    s->{name}[i] = {value};", "}"]
        if id(state.buffer) in self.rings:
            lines.append(f"s->{name}_at = 0;")
        return lines

    def _resets(self) -> tuple[str, str]:
        carried = [s for s in self.program.states if s.carried]
        fresh = [line for s in self.program.states if not s.carried for line in self._start(s)]
        if self._has_seen():
            fresh.append("s->seen = 0;")
        kept = [line for s in carried for line in self._start(s)]
        if not fresh and not kept:
            return _body(["(void)s; /* there is no state */"]), ""
        if not kept:
            return _body(fresh), ""
        if not fresh:
            return _body(kept), ""
        return _body([f"{self.prefix}_restart(s);", *kept]), _body(fresh)

    def _restart_call(self) -> list[str]:
        """What predict does first: bring the states to their start that are not carried."""
        if all(s.carried for s in self.program.states) and not self._has_seen():
            return []
        if any(s.carried for s in self.program.states):
            return [f"{self.prefix}_restart(s);"]
        return [f"{self.prefix}_reset(s);"]

    def _state_access(self) -> tuple[str, str]:
        get: list[str] = []
        put: list[str] = []
        offset = 0
        for state in self._shown():
            name, size = self.members[id(state.buffer)], dims.fixed(state.buffer.size)
            place = f"values[{offset} + i]" if offset else "values[i]"
            loop = f"for (int i = 0; i < {size}; ++i) {{"
            source = f"s->{name}[i]"
            if id(state.buffer) in self.rings:
                _, row = self.rings[id(state.buffer)]
                source = f"s->{name}[(s->{name}_at * {row} + i) % {size}]"
            get += [loop, f"    {place} = {source};", "}"]
            put += [loop, f"    s->{name}[i] = {place};", "}"]
            if id(state.buffer) in self.rings:
                put.append(f"s->{name}_at = 0;")
            offset += size
        if self.lowered.warmup and self._has_seen():
            get.append(f"values[{offset}] = ({self.real})s->seen;")
            put.append(f"s->seen = (int)values[{offset}];")
        if not get:
            get = put = ["(void)s;", "(void)values;"]
        return _body(get), _body(put)

    # ---- step and predict ---------------------------------------------------------------

    def _pointers(self, restrict: bool, step: bool) -> list[str]:
        mark = f"{self.upper}_RESTRICT " if restrict else ""
        result = []
        for port in self.program.inputs:
            kind = "int32_t" if port.buffer.dtype == "int32" else self.real
            result.append(f"const {kind} *{mark}{self.parameters[id(port.buffer)]}")
        outputs = [self.parameters[id(port.buffer)] for port in self.program.outputs]
        return [*result, *(f"{self.real} *{mark}{name}" for name in outputs)]

    def _step(self, body: str) -> dict[str, str]:
        start = f"int {self.prefix}_step({self.prefix}_state *s, "
        warmup = self.lowered.warmup
        lines = indent(body).splitlines()
        unused = self._unused(body)
        lines = [*(f"    (void){name};" for name in unused), *lines]
        if self._has_seen():
            lines += [
                "",
                f"    if (s->seen < {self._warmup()}) {{",
                "        ++s->seen;",
                *(["        return 0;"] if self._warmup() == warmup else []),
                "    }",
            ]
            if self._warmup() != warmup:
                lines.append(f"    return s->seen > {warmup};")
            else:
                lines.append("    return 1;")
        else:
            lines.append("    return 1;")
        takes = (
            f", which takes {self.lowered.hop} rows of the input" if self.lowered.hop > 1 else ""
        )
        returns = "1" if not warmup else f"1, or 0 for the first {warmup} steps, which give nothing"
        return {
            "declaration": wrapped(start + ", ".join(self._pointers(False, True)) + ")"),
            "definition": wrapped(start + ", ".join(self._pointers(True, True)) + ")"),
            "body": "\n".join(lines) + "\n",
            "takes": takes,
            "returns": returns,
        }

    def _unused(self, body: str) -> list[str]:
        found = [n for n in self.parameters.values() if not re.search(rf"\b{n}\b", body)]
        return [*found, *([] if re.search(r"\bs->", body) else ["s"])]

    def _predict(self, body: str) -> dict[str, str]:
        streams = self.lowered.step is not None
        lengths = [f"int {name}" for name in self.lengths]
        start = f"int {self.prefix}_predict("
        own = f"{self.prefix}_state *s"
        declared = [own, *lengths, *self._pointers(False, False)]
        defined = [own, *lengths, *self._pointers(not streams, False)]
        lines = self._refusals()
        if streams:
            lines += [*self._rest_check(), *self._restart_call(), *self._stream()]
        else:
            lines += [f"(void){name};" for name in self._unused(body)]
            if self.program.states:
                lines += self._restart_call()
            lines += ["", *body.splitlines()]
        lines.append("return 0;")
        what = "A whole input, as Keras predicts it"
        if self.lengths:
            what += ". 0, or -1 if this number of steps is not accepted (then nothing is written)"
        else:
            what += "; gives back 0"
        return {
            "comment": f"{what}.",
            "declaration": wrapped(start + ", ".join(declared) + ")"),
            "definition": wrapped(start + ", ".join(defined) + ")"),
            "body": _body(lines),
        }

    def _refusals(self) -> list[str]:
        """Conditions on the lengths, before anything is written."""
        conditions = [f"{name} < 1" for name in self.lengths]
        if self.max_steps is not None:
            conditions += [f"{name} > {self.upper}_MAX_STEPS" for name in self.lengths]
        for left, relation, right in self.lowered.whole.checks:
            opposite = "!=" if relation == "==" else "<"
            a, b = self.printer.dim(left), self.printer.dim(right)
            text = f"{a} {opposite} {b}"
            if a != b and text not in conditions:
                conditions.append(text)
        if self.lowered.step is not None and self.lowered.warmup and self.lengths:
            first = (self.lowered.warmup + 1) * self.lowered.hop
            hop = self.lowered.hop
            conditions.append(
                f"steps < {first}" if hop == 1 else f"(steps + {hop - 1}) / {hop} * {hop} < {first}"
            )
        if not conditions:
            return []
        return [*wrapped(f"if ({' || '.join(conditions)}) {{").splitlines(), "    return -1;", "}"]

    def _stream(self) -> list[str]:
        """The loop over steps."""
        hop = self.lowered.hop
        names = [
            self.parameters[id(p.buffer)] for p in (*self.program.inputs, *self.program.outputs)
        ]
        call = f"{self.prefix}_step(s, {', '.join(names)})"
        moves: list[str] = []
        outputs: list[str] = []
        for k, port in enumerate(self.program.inputs):
            if port.time:
                size = f"{self.upper}_INPUT_{k}_SIZE"
                moves.append(f"{names[k]} += {size if hop == 1 else f'{size} * {hop}'};")
        for k, port in enumerate(self.program.outputs):
            if port.time:
                size = f"{self.upper}_OUTPUT_{k}_SIZE"
                rows = dims.fixed(port.buffer.size) // max(1, self._row(k))
                name = names[len(self.program.inputs) + k]
                outputs.append(f"{name} += {size if rows == 1 else f'{size} * {rows}'};")
        count = "steps" if hop == 1 else f"steps / {hop}"
        if self.lowered.warmup and outputs:
            inner = [f"if ({call}) {{", *(f"    {o}" for o in outputs), "}"]
        else:
            inner = [f"{call};" if not self.lowered.warmup else f"(void){call};", *outputs]
        loop = [
            f"for (int t = 0; t < {count}; ++t) {{",
            *(f"    {x}" for x in (*inner, *moves)),
            "}",
        ]
        return loop if hop == 1 else [*loop, *self._rest(names)]

    def _row(self, output: int) -> int:
        size = self._size(self.lowered.whole.outputs[output])
        return size if isinstance(size, int) else 1

    # A rest of steps shorter than a hop.

    def _due(self) -> list[Dim]:
        """How many rows of each output predict gives."""
        return list(
            dict.fromkeys(p.shape[0] for p in self.lowered.whole.outputs if self._varies(p))
        )

    def _grows(self, counts: Sequence[Dim], low: Dim, high: Dim) -> str:
        """The condition that any of the counts is larger at `high` steps than at `low`."""
        pairs = [[dims.substitute(d, {"steps": n}) for n in (high, low)] for d in counts]
        parts = [f"{self.printer.dim(a)} > {self.printer.dim(b)}" for a, b in pairs if a != b]
        return " || ".join(dict.fromkeys(parts)) or "0"

    def _rest_condition(self) -> str:
        hop, steps = self.lowered.hop, dims.symbol("steps")
        counts = [*self._due(), *rows_seen(self.lowered.whole)]
        return self._grows(counts, steps // hop * hop, steps)

    def _rest_check(self) -> list[str]:
        """Refuse a rest where the zeros after it would show."""
        hop, steps = self.lowered.hop, dims.symbol("steps")
        if hop == 1:
            return []
        seen = rows_seen(self.lowered.whole)
        shows = self._grows(seen, steps, (steps + (hop - 1)) // hop * hop)
        if self.lowered.fills_up:
            shows = "1"
        if shows == "0":
            return []
        conditions = [f"steps % {hop} != 0"]
        conditions += [f"({c})" for c in (self._rest_condition(), shows) if c != "1"]
        return [*wrapped(f"if ({' && '.join(conditions)}) {{").splitlines(), "    return -1;", "}"]

    def _padding_members(self) -> list[str]:
        """Room for the last input, padded, and its outputs, where a step takes several rows."""
        if self.lowered.step is None or self.lowered.hop == 1:
            return []
        lines = []
        for k, port in enumerate(self.program.inputs):
            if port.time:
                kind = "int32_t" if port.buffer.dtype == "int32" else self.real
                lines.append(f"{kind} padded_{k}[{port.buffer.size}]; /* last rows of an input */")
        for k, port in enumerate(self.program.outputs):
            if port.time:
                lines.append(f"{self.real} rest_{k}[{port.buffer.size}]; /* what they give */")
        return lines

    def _rest(self, names: Sequence[str]) -> list[str]:
        hop = self.lowered.hop
        lines = []
        arguments = list(names)
        for k, port in enumerate(self.program.inputs):
            if not port.time:
                continue
            size = dims.fixed(port.buffer.size)
            zero = "0" if port.buffer.dtype == "int32" else self.number(0.0)
            have = f"steps % {hop} * {self.upper}_INPUT_{k}_SIZE"
            lines += [
                f"for (int i = 0; i < {size}; ++i) {{",
                f"    s->padded_{k}[i] = i < {have} ? {names[k]}[i] : {zero};",
                "}",
            ]
            arguments[k] = f"s->padded_{k}"
        copies = []
        for k, port in enumerate(self.program.outputs):
            if not port.time:
                continue
            place = len(self.program.inputs) + k
            arguments[place] = f"s->rest_{k}"
            rows = dims.fixed(port.buffer.size) // max(1, self._row(k))
            total = self.printer.dim(self.lowered.whole.outputs[k].shape[0], 2)
            done = (
                f"(steps / {hop} - {self.lowered.warmup})"
                if self.lowered.warmup
                else (f"steps / {hop}")
            )
            left = f"{total} - {done}" if rows == 1 else f"{total} - {done} * {rows}"
            copies += [
                f"for (int i = 0; i < ({left}) * {self.upper}_OUTPUT_{k}_SIZE; ++i) {{",
                f"    {names[place]}[i] = s->rest_{k}[i];",
                "}",
            ]
        call = f"{self.prefix}_step(s, {', '.join(arguments)})"
        if self.lowered.warmup and copies:
            run = [f"if ({call}) {{", *(f"    {c}" for c in copies), "}"]
        else:
            run = [f"(void){call};", *copies]
        inner = ["/* An output is due that needs the rest, with zeros after it. */", *lines, *run]
        condition = f"if (steps % {hop} != 0 && ({self._rest_condition()})) {{"
        return [*wrapped(condition).splitlines(), *(f"    {x}" for x in inner), "}"]

    # ---- weights ----------------------------------------------------------------------

    def _weights(self) -> list[_Array]:
        """Every constant array, once the blocks have been printed."""
        halved = {
            id(call.packed)
            for calls in self.packing.calls.values()
            for call in calls
            if any(self.derived.is_made(m.buffer) for group in call.groups for m in group.mats)
        }
        result = [
            self._array(
                self.const_names[id(packed)],
                packed,
                packed.layout + (HALVED if id(packed) in halved else ""),
            )
            for packed in self.packing.arrays
        ]
        for key, buffer in self.used.raw.items():
            data = self.derived.numbers(buffer)
            shape = " x ".join(str(n) for n in buffer.shape) or "1"
            shape += HALVED if self.derived.is_made(buffer) else ""
            kind = "int" if buffer.dtype == "int32" else "float"
            result.append(self._array(self.const_names[key], data, shape, kind))
        return result

    def sizes(self) -> Sizes:
        """Bytes, once the blocks have been printed."""
        total = sum(a.size * (4 if a.type == "int32_t" else self.bytes) for a in self._weights())
        state = sum(self.bytes * dims.fixed(s.buffer.size) for s in self.program.states)
        state += 4 * (len(self.rings) + self._has_seen())
        scratch = self.plan.sizes["float32"] * self.bytes + self.plan.sizes["int32"] * 4
        return Sizes(total, state, scratch)

    def _array(self, name: str, given: Array | Packed, note: str, kind: str = "float") -> _Array:
        real = "int32_t" if kind == "int" else self.real
        return _Array(name, real, int(given.size), comment(note), self._rows(given))

    def _rows(self, given: Array | Packed) -> Iterator[str]:
        data = given.data(self.derived.matrix) if isinstance(given, Packed) else given
        yield from emit.rows(data, self.dtype, self.suffix)

    # ---- functions --------------------------------------------------------------------

    def _functions(self) -> list[str]:
        """Source of every function that is used, each after what it is built on."""
        done: dict[str, str] = {}

        def add(name: str) -> None:
            if name in done:
                return
            fast = self.math == "fast" and name in FAST
            key = name if fast or f"{name}_libm" not in NEEDS else f"{name}_libm"
            for needed in NEEDS.get(key, ()) if fast or key.endswith("_libm") else ():
                add(needed)
            done[name] = self._function(name, fast)

        # Before the hooks: they ask whether a macro is the user's, which the next lines would hide.
        each = self.used.kernels & {"tanh_each", "sigmoid_each"}
        if each:
            done["tanh_each"] = self._each("tanh")
            if "sigmoid_each" in each:
                done["sigmoid_each"] = self._each("sigmoid")
        for name in HOOKS:
            if name in self.used.functions:
                add(name)
        for name in sorted(self.used.functions):
            if name in HELPERS:
                done[name] = self._source(f"c/functions/{name}.c")
        for name in sorted(self.used.kernels & set(KERNELS_IN_FUNCTIONS)):
            done[name] = self._source(f"c/functions/{name}.c")
        for name in sorted(self.used.kernels):
            if name not in done:
                done[name] = self._source(f"c/kernels/{name}.c")
        return [text for text in done.values() if text]

    def _function(self, name: str, fast: bool) -> str:
        """A function behind its hook."""
        macro = f"{self.upper}_{name.upper()}"
        if fast or name in ("sigmoid", "softplus"):
            file = name if fast else f"{name}_libm"
            source = self._source(f"c/functions/{file}.c")
            return f"#ifndef {macro}\n{source}#define {macro}(x) {self.prefix}_{name}(x)\n#endif\n"
        arguments = "x, y" if name == "pow" else "x"
        call = f"{name}{self.suffix}({arguments})"
        return f"#ifndef {macro}\n#define {macro}({arguments}) {call}\n#endif\n"

    def _each(self, name: str) -> str:
        """A function of a whole array; one element at a time where the user brings the function."""
        kernel = self._source(f"c/kernels/{name}_each.c")
        macro = f"{self.upper}_{name.upper()}"
        head = f"static {self.upper}_INLINE void {self.prefix}_{name}_each({self.real} *v, int n)"
        body = f"    for (int i = 0; i < n; ++i) {{\n        v[i] = {macro}(v[i]);\n    }}\n"
        loop = f"{head}\n{{\n{body}}}\n"
        return f"#ifndef {macro}\n{kernel}#else\n{loop}#endif\n"

    def _source(self, path: str) -> str:
        """A plain source file with this file's prefix and number type."""
        text = emit.source(path)
        text = re.sub(r"\brnn_", f"{self.prefix}_", text)
        text = re.sub(r"\bRNN_", f"{self.upper}_", text)
        if self.dtype == "float64":
            text = re.sub(r"\bfloat\b", "double", text)
            text = re.sub(r"(\d\.\d*(?:e[+-]?\d+)?)f\b", r"\1", text)
        return text

    def _needs_math(self, text: str, is_finite: bool) -> bool:
        """Whether the code calls a function of `<math.h>`, or it or a weight is a macro of it."""
        library = re.compile(r"\b(?:exp|expm1|log|log1p|tanh|erf|pow|sqrt|fabs|floor|rint)f?\(")
        given = [*constants(self.lowered.step or self.lowered.whole), *self.used.raw.values()]
        finite = is_finite and all(b.data is None or np.isfinite(b.data).all() for b in given)
        return not finite or bool(
            library.search(text) or re.search(r"HUGE_VAL|\b(INFINITY|NAN)\b", text)
        )

    # ---- self-test --------------------------------------------------------------------

    def _selftest(self) -> dict[str, Any]:
        test = record(self.lowered, self.max_steps)
        arrays = []
        calls: list[str] = []
        for k, (x, port) in enumerate(zip(test.inputs, self.program.inputs, strict=True)):
            name = f"{self.prefix}_test_x_{k}"
            kind = "int" if port.buffer.dtype == "int32" else "float"
            arrays.append(self._array(name, x, "", kind))
            per = dims.fixed(port.buffer.size) if test.by_step else 0
            calls.append(f"{name} + t * {per}" if test.by_step and port.time else name)
        declared = []
        checks = []
        due = test.steps - self.lowered.warmup
        for k, y in enumerate(test.outputs):
            name = f"{self.prefix}_test_y_{k}"
            arrays.append(self._array(name, y, ""))
            size = y.size // due if test.by_step else y.size
            declared.append(f"static {self.real} y_{k}[{size}];")
            calls.append(f"y_{k}")
            place = name
            if test.by_step:
                t = f"(t - {self.lowered.warmup})" if self.lowered.warmup else "t"
                place = f"{name} + {t} * {size}"
            checks.append(f"{self.prefix}_test_close(y_{k}, {place}, {size})")
        condition = " && ".join(checks)
        after = []
        if test.states:
            flat = np.concatenate([np.ravel(state) for state in test.states])
            arrays.append(self._array(f"{self.prefix}_test_states", flat, ""))
            declared.append(f"static {self.real} states[{self.upper}_STATE_SIZE];")
            close = f"{self.prefix}_test_close(states, {self.prefix}_test_states, {flat.size})"
            after = [
                f"{self.prefix}_get_state(&state, states);",
                *wrapped(f"if (!{close}) {{").splitlines(),
                "    return 1;",
                "}",
            ]
        body = [f"static {self.prefix}_state state; /* not on the stack, which may be small */"]
        lines = [f"{self.prefix}_reset(&state);"]
        if test.by_step:
            call = f"{self.prefix}_step(&state, {', '.join(calls)})"
            wanted = "1" if not self.lowered.warmup else f"(t >= {self.lowered.warmup})"
            guard = f"t >= {self.lowered.warmup} && " if self.lowered.warmup else ""
            test_line = f"if ({guard}!({condition})) {{"
            lines += [
                f"for (int t = 0; t < {test.steps}; ++t) {{",
                *(f"    {x}" for x in wrapped(f"if ({call} != {wanted}) {{").splitlines()),
                "        return 1;",
                "    }",
                *(f"    {x}" for x in wrapped(test_line).splitlines()),
                "        return 1;",
                "    }",
                "}",
            ]
            what = f"inputs and outputs of {test.steps} steps"
        else:
            lengths = [str(n) for n in test.lengths]
            call = f"{self.prefix}_predict(&state, {', '.join([*lengths, *calls])})"
            lines += [
                *wrapped(f"if ({call} != 0) {{").splitlines(),
                "    return 1;",
                "}",
                *wrapped(f"if (!({condition})) {{").splitlines(),
                "    return 1;",
                "}",
            ]
            what = "input and output of one predict"
        body += [
            *declared,
            "for (int run = 0; run < 2; ++run) { /* the second time from a used state */",
            *(f"    {line}" for line in (*lines, *after)),
            "}",
            "return 0;",
        ]
        return {
            "arrays": arrays,
            "body": _body(body),
            "what": what,
            "is_finite": test.is_finite,
            "largest": self.number(LARGEST),
        }


def _too_large(arrays: Sequence[_Array]) -> str:
    """Why an AVR cannot take a file with these arrays, if it cannot."""
    for array in arrays:
        if array.size * 4 > AVR_LARGEST:
            return f"{array.name} takes {array.size * 4} bytes, more than AVR's 32767 for one array"
    return ""


def _rings(program: Program) -> dict[int, tuple[int, int]]:
    """Rows and row size of the delay lines that are kept as rings, by id of the buffer."""
    rows: dict[int, int] = {}
    found: dict[int, tuple[int, int]] = {}
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            size = dims.fixed(op.x.size)
            if size == rows.get(id(op.line), size):
                rows[id(op.line)] = size
            else:  # rows of different sizes
                rows[id(op.line)] = 0
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            size, total = rows[id(op.line)], dims.fixed(op.line.size)
            if size and total - size >= LONGEST_MOVED:
                found[id(op.line)] = (total // size, size)
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            continue
        for vec in reads(op):
            key = id(vec.buffer)
            if key not in found:
                continue
            try:
                _, inner = ring_row(vec.offset, found[key][1])
                last = inner + (dims.fixed(getattr(vec, "size", 0)) - 1) * getattr(vec, "stride", 1)
                inside = hasattr(vec, "stride") and 0 <= last < found[key][1]
            except ValueError:
                inside = False
            if not inside:
                del found[key]
    return found


def _own_words() -> list[str]:
    kernels = """state reset restart step predict get_state set_state selftest test_close
    test_states implementation implemented restrict inline always_inline read weights hop warmup
    max_steps axpy axpy_from dot affine softmax log_softmax softmax_strided
    log_softmax_strided gather shift push ring floor_div min_length max_length wide
    tanh_each sigmoid_each hard_sigmoid_each hard_sigmoid hard_sigmoid_3 min max sqrt
    abs floor round state_size input_size output_size h_included"""
    numbered = [f"{w}_{k}" for w in ("test_x", "test_y") for k in range(16)]
    return [*kernels.split(), *HOOKS, *numbered]


def _hooks_note(names: Sequence[str]) -> str:
    text = wrapped(" * " + ", ".join(names) + ".")
    return "\n".join(
        line if line.startswith(" * ") else " * " + line.strip() for line in text.split("\n")
    )


def _body(lines: Sequence[str]) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in lines)


def sizes(lowered: Lowered, options: Mapping[str, Any]) -> tuple[Sizes, tuple[str, ...]]:
    """Bytes of weights, state and scratch in the header, and the kernels that its step calls."""
    header = _Header(lowered, "model", TARGET.complete(options), Origin("model.h"))
    for block in header.program.blocks:
        header.printer.block(block)
    return header.sizes(), tuple(sorted(header.used.kernels))


TARGET = Target("c", (".h",), OPTIONS, render)
