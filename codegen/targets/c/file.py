"""What every part of a C header is made from: the program, its names, and where values stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.passes.fold_gates import Halved, halve_gates
from codegen.passes.layout import Packed, Packing, Plan, pack, plan
from codegen.passes.split_calls import split_calls
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Buffer,
    Port,
    Program,
    Shift,
    Softmax,
    Table,
    constants,
    reads,
    roots,
    walk,
    walk_ops,
)
from codegen.targets.c.expressions import ARENAS, HOOKS, INTEGERS, Used, ring_row
from codegen.targets.c.integers import WORDS, IntegerPrinter
from codegen.targets.c.ops import STAGED, Printer
from codegen.targets.spine.outline import Origin, Outline, dtype_of
from codegen.text.names import Names
from codegen.text.numbers import c_number
from codegen.text.words import C_WORDS

# A delay line longer than this is a ring: moving it would cost more than finding rows in it.
LONGEST_MOVED = 64
LOCALS = ("s", "i", "j", "sum", "total", "found", "steps", "values")
# What every header calls its own, without the prefix.
PAGE = (
    *"""model state reset restart step step_body step_avx2 predict predict_body predict_avx2 avx2
    get_state set_state selftest test_states implementation implemented restrict inline
    always_inline read weights hop warmup max_steps wide state_size input_size output_size
    h_included read_int8 read_uint16""".split(),
    *(f"{word}_{k}" for word in ("test_x", "test_y") for k in range(16)),
)
# For hosts with the built-in mathematics.
PASSES = (halve_gates, split_calls(*STAGED))


class Header:
    """A program of one model with the options of the target, as the parts of its header see it."""

    def __init__(
        self, lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
    ) -> None:
        self.lowered, self.origin = lowered, origin
        self.prefix, self.upper = name.lower(), name.upper()
        self.profile = str(options["profile"])
        # The built-in functions are as accurate as float32; double takes the library's.
        fast = options["math"] == "fast" and dtype_of(lowered, options) == "float32"
        self.math = "fast" if fast else "libm"
        self.integers = lowered.whole.integers
        vectorised = self.profile == "host" and fast and not self.integers
        self.outline = Outline(lowered, options, PASSES if vectorised else ())
        self.dtype, self.bytes = self.outline.dtype, self.outline.item
        self.real = "float" if self.dtype == "float32" else "double"
        self.suffix = "f" if self.dtype == "float32" else ""
        self.max_steps = self._max_steps(options.get("max_steps"))
        self.cpp = bool(options["cpp"])
        self.used = Used()

        self.program = self.outline.first
        self.rings = _rings(self.program)
        self.plan: Plan = plan(
            self.program, dict.fromkeys(self.program.lengths, self.max_steps or 0)
        )
        layout = "columns" if self.profile == "host" else "blocks"
        self.packing: Packing = pack(self.program, layout, lambda b: b in self.rings)

        own = [f"{self.prefix}_{word}" for word in own_words(self.integers)]
        self.names = Names(C_WORDS, own, LOCALS)
        self.const_names: dict[Buffer | Packed, str] = {}
        self.scale_names: dict[Buffer | Packed, str] = {}  # of int8 constants
        for packed in self.packing.arrays:
            self.name_const(packed, packed.name)
        tables = looked_up(self.program)
        for buffer in constants(self.program):
            name = buffer.name
            self.name_const(
                buffer, f"{name.removesuffix('_table')}_table" if buffer in tables else name
            )
        member_names = Names(C_WORDS, (*ARENAS.values(), "seen", "unused"))
        self.members = {s.buffer: member_names(s.buffer.name) for s in self.program.states}
        self.parameters = {
            port.buffer: self.names(port.buffer.name, ("buffer", port.buffer))
            for port in (*self.program.inputs, *self.program.outputs)
        }
        self.printer = (IntegerPrinter if self.integers else Printer)(
            self.prefix,
            self.dtype,
            self.profile,
            self.packing,
            self.plan,
            self.rings,
            self.const_names,
            self.scale_names,
            self.members,
            self.names,
            self.used,
            Halved(self.program),
        )
        self.printer.vectorised = vectorised
        self.printer.gate = "gate_sigmoid" if self.math == "fast" else "sigmoid"
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

    def name_const(self, key: Buffer | Packed, wanted: str) -> None:
        """Give a constant array, its name in the file."""
        name = self.const_names[key] = self.names(f"{self.prefix}_{wanted}", ("const", key))
        if key.scales is not None:
            self.scale_names[key] = self.names(f"{name}_scales", ("scales", key))

    def _max_steps(self, given: Any) -> int | None:
        lowered = self.lowered
        if lowered.step is not None or not lowered.whole.lengths:
            return None
        if given is None and lowered.by_row:
            return 1
        if given is None:
            raise CodegenError(
                f"{lowered.model.source}: the model needs the whole sequence ({lowered.reason}) "
                "of any number of time steps: set the maximum with --max-steps N"
            )
        if int(given) < 1:
            raise CodegenError(f"--max-steps {given}: expected 1 or more")
        return int(given)

    def number(self, value: float) -> str:
        """A literal of the file's number type."""
        return c_number(value, self.dtype, self.suffix)

    def type_of(self, buffer: Buffer) -> str:
        """The C type of a number of the buffer."""
        return self.printer.type_of(buffer)

    def zero(self, buffer: Buffer) -> str:
        """A zero of the buffer's type."""
        return "0" if buffer.dtype in INTEGERS else self.number(0.0)

    @property
    def state_type(self) -> str:
        """What get_state and set_state take."""
        return "int32_t" if self.integers else self.real

    def varies(self, port: Port) -> bool:
        """Whether the first axis of the whole tensor may have any length."""
        return bool(port.shape) and not isinstance(port.shape[0], int)

    def size(self, port: Port) -> Dim:
        """Values per time step where the time axis may vary, of the whole tensor otherwise."""
        return dims.product(port.shape[1:] if self.varies(port) else port.shape)


def looked_up(program: Program) -> set[Buffer]:
    """The constants that are tables of functions."""
    found: set[Buffer] = set()
    for op in walk_ops(program.ops):
        if isinstance(op, Softmax) and op.table is not None:
            found.add(op.table.buffer)
        for root in roots(op):
            found.update(node.vec.buffer for node in walk(root) if isinstance(node, Table))
    return found


def _rings(program: Program) -> dict[Buffer, tuple[int, int]]:
    """Rows and row size of the delay lines that are kept as rings, by buffer."""
    rows: dict[Buffer, int] = {}
    found: dict[Buffer, tuple[int, int]] = {}
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            size = dims.fixed(op.x.size)
            if size == rows.get(op.line, size):
                rows[op.line] = size
            else:  # rows of different sizes
                rows[op.line] = 0
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            size, total = rows[op.line], dims.fixed(op.line.size)
            if size and total - size >= LONGEST_MOVED:
                found[op.line] = (total // size, size)
    for op in walk_ops(program.ops):
        if isinstance(op, Shift):
            continue
        for vec in reads(op):
            key = vec.buffer
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


def own_words(integers: bool = False) -> list[str]:
    """What a header calls its own, without the prefix: no constant of a model may be called so."""
    if integers:
        return [*PAGE, *WORDS]
    kernels = """test_close product tile tiles column lanes at sums unroll roll stored dot
    affine softmax log_softmax softmax_strided log_softmax_strided gather shift push ring
    floor_div min_length max_length wide tanh_each sigmoid_each gate_sigmoid gate_sigmoid_each
    hard_sigmoid_each hard_sigmoid hard_sigmoid_3 min max sqrt abs floor round compact vldm
    next_four add_eight state_size input_size output_size h_included read_int8 read_uint16 words
    bits weight tile_int8 product_int8 affine_int8 dot_int8 gather_int8 products block blocks
    keep"""
    return [*PAGE, *kernels.split(), *HOOKS]
