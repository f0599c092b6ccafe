"""What stands before the methods of a C header: its functions, kernels and constant arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codegen.passes.layout import Packed
from codegen.program.derived import numbers_of
from codegen.program.ops import FUNCTIONS, Array, Buffer
from codegen.targets.c import integers
from codegen.targets.c.expressions import HOOKS, INTEGERS
from codegen.targets.c.file import Header
from codegen.targets.c.integers import IntegerPrinter
from codegen.text import numbers, templates
from codegen.text.names import comment

# ---- functions and kernels -----------------------------------------------------------------------

# What each function or kernel calls through its hook.
CALLS: Mapping[str, tuple[str, ...]] = {
    "sigmoid": ("exp",),
    "gate_sigmoid": ("tanh",),
    "expm1": ("exp",),
    "softplus": ("exp",),
    "softplus_libm": ("exp", "log1p"),
    "softmax": ("exp",),
    "softmax_strided": ("exp",),
    "log_softmax": ("exp", "log"),
    "log_softmax_strided": ("exp", "log"),
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
LENGTHS = ("floor_div", "min_length", "max_length", "ring")  # kernels that stand with functions
# Sources that take more of the page than the rest; a test holds these to their texts.
WITH_STRING = ("exp", "sigmoid_each")
IN_VECTORS = ("product", "product_int8", "products")  # built on the vectors of lanes.c
WITH_COMPACT = ("affine", "affine_int8")
WITHOUT_INLINE = ("exp", "expm1", "softplus")


@dataclass
class Functions:
    """The texts of all functions, each after what it is built on, and what the page needs then."""

    texts: dict[str, str] = field(default_factory=dict)
    hooks: set[str] = field(default_factory=set)  # functions that a user may bring
    inline: bool = False
    compact: bool = False
    loads: bool = False  # may load several numbers by one instruction
    string: bool = False
    math: bool = False

    def add(self, name: str, text: str, source: str) -> None:
        """A function made of a source file, or of none, which is the C library's."""
        self.texts[name] = text
        self.hooks.update(CALLS.get(source, ()))
        self.string |= source in WITH_STRING
        self.compact |= source in WITH_COMPACT
        self.loads |= source == "affine"
        self.math |= not source


def functions(header: Header) -> Functions:
    """Every function that is used."""
    if isinstance(header.printer, IntegerPrinter):
        return Functions(integers.functions(header.printer), inline=True)
    found = Functions()

    def add(name: str) -> None:
        if name in found.texts:
            return
        key = f"{name}_libm" if header.math != "fast" and f"{name}_libm" in CALLS else name
        own = name in OWN or (header.math == "fast" and name in FAST)
        for needed in CALLS.get(key, ()) if own else ():
            add(needed)
        found.hooks.add(name)
        found.inline |= own and key not in WITHOUT_INLINE
        found.add(name, _function(header, name, key if own else ""), key if own else "")

    # Before the hooks: they ask whether a macro is the user's, which the next lines would hide.
    each = [name for name in EACH if name in header.used.kernels]
    for name in dict.fromkeys(n for kernel in each for n in (*EACH[kernel][0], kernel)):
        found.hooks.add(EACH[name][1])
        found.inline = True
        found.add(name, _each(header, name), name)
    if "gate_sigmoid" in header.used.functions:
        add("tanh")
        found.hooks.add("sigmoid")
        found.inline = True
        found.add("gate_sigmoid", _gate(header), "gate_sigmoid")
    for name in HOOKS:
        if name in header.used.functions:
            add(name)
    lengths = header.used.kernels & set(LENGTHS)
    for name in (*sorted(header.used.functions & set(HELPERS)), *sorted(lengths)):
        found.inline = True
        found.add(name, _source(header, f"functions/{name}"), name)
    for name in sorted(header.used.kernels - set(found.texts)):
        if name in IN_VECTORS:
            found.add("lanes", _source(header, "kernels/lanes"), "lanes")
        found.add(name, _source(header, f"kernels/{name}"), name)
    found.math |= header.used.math
    return found


def _function(header: Header, name: str, file: str) -> str:
    """A function behind its hook: from a source file, or the C library's where that is ""."""
    macro = f"{header.upper}_{name.upper()}"
    if file:
        source = _source(header, f"functions/{file}")
        return f"#ifndef {macro}\n{source}#define {macro}(x) {header.prefix}_{name}(x)\n#endif\n"
    arguments = ", ".join("xy"[: FUNCTIONS[name]])
    call = f"{name}{header.suffix}({arguments})"
    return f"#ifndef {macro}\n#define {macro}({arguments}) {call}\n#endif\n"


def _gate(header: Header) -> str:
    """The sigmoid of gates, which is the user's where there is one."""
    source, name = _source(header, "functions/gate_sigmoid"), f"{header.prefix}_gate_sigmoid"
    macro = f"{header.upper}_SIGMOID"
    return f"#ifndef {macro}\n{source}#else\n#define {name}(x) {macro}(x)\n#endif\n"


def _each(header: Header, name: str) -> str:
    """A function of a whole array; one element at a time where the user brings the function."""
    kernel = _source(header, f"kernels/{name}")
    macro = f"{header.upper}_{EACH[name][1].upper()}"
    head = f"static {header.upper}_INLINE void {header.prefix}_{name}({header.real} *v, int n)"
    body = f"    for (int i = 0; i < n; ++i) {{\n        v[i] = {macro}(v[i]);\n    }}\n"
    loop = f"{head}\n{{\n{body}}}\n"
    return f"#ifndef {macro}\n{kernel}#else\n{loop}#endif\n"


def _source(header: Header, path: str) -> str:
    """A source with this file's prefixes, its number type, and the suffix of its literals."""
    names = {"p": header.prefix, "P": header.upper, "real": header.real, "f": header.suffix}
    names["of_kind"] = ""  # for numbers of one type alone
    return "".join(templates.render(f"c/{path}.c.j2", **names))


# ---- constant arrays -----------------------------------------------------------------------------

AVR_LARGEST = 32767  # bytes of one object

HALVED = "; sigmoid gates halved"


@dataclass(frozen=True)
class ConstArray:
    """A constant array of the file."""

    name: str
    type: str
    size: int
    comment: str
    rows: Iterator[str]  # its numbers, made when they are asked for

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        sizes = {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "double": 8}
        return self.size * sizes.get(self.type, 4)


def weights(header: Header) -> list[ConstArray]:
    """Every constant array, once the blocks have been printed."""
    halved = {
        call.packed
        for calls in header.packing.calls.values()
        for call in calls
        if any(m.buffer.parts for group in call.groups for m in group.mats)
    }
    result = []
    for packed in header.packing.arrays:
        note = packed.layout + (HALVED if packed in halved else "")
        result.append(const_array(header, header.const_names[packed], packed, note))
        if packed.scales is not None:
            result.append(_scales(header, packed, packed.scales[1]))
    for buffer in header.used.raw:
        shape = " x ".join(str(n) for n in buffer.shape) or "1"
        shape += HALVED if buffer.parts else ""
        shape += f"; q / 2^{buffer.fraction}" if buffer.fraction else ""
        name = header.const_names[buffer]
        if buffer.scales is not None and buffer.data is not None:
            result.append(const_array(header, name, buffer.data, shape))
            result.append(_scales(header, buffer, buffer.scales))
        else:
            result.append(const_array(header, name, numbers_of(buffer), shape))
    return result


def _scales(header: Header, key: Buffer | Packed, scales: Array) -> ConstArray:
    """The scales of an array of int8."""
    name = header.const_names[key]
    what = f"a scale for each row of {name}, in units"
    if header.integers:
        what = f"what the sum of each row of {name} is multiplied by"
    return const_array(header, header.scale_names[key], scales, what)


def const_array(header: Header, name: str, given: Array | Packed, note: str) -> ConstArray:
    """An array of weights, or of integers, under a comment."""
    kind = given.kind if isinstance(given, Packed) else given.dtype
    whole = INTEGERS.get(kind.name, "int32_t")
    real = header.real if kind.kind == "f" else whole
    return ConstArray(name, real, int(given.size), comment(note), _rows(header, given))


def _rows(header: Header, given: Array | Packed) -> Iterator[str]:
    data = given.data() if isinstance(given, Packed) else given
    yield from numbers.rows(data, header.dtype, header.suffix)


def too_large(arrays: Sequence[ConstArray]) -> str:
    """Why an AVR cannot take a file with these arrays, if it cannot."""
    for array in arrays:
        size = min(array.bytes, 4 * array.size)  # double has four bytes there
        if size > AVR_LARGEST:
            return f"{array.name} takes {size} bytes, more than AVR's 32767"
    return ""
