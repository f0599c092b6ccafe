"""Text of generated files: templates, numbers, names, comments and the banner."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from codegen import __version__
from codegen.errors import NumberError
from codegen.lowered import Lowered
from codegen.model import Array

_PACKAGE = Path(__file__).resolve().parent
PER_LINE = 8
LONGEST_NAME = 48
LONGEST_COMMENT = 160

C_WORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while alignas alignof bool constexpr false nullptr static_assert
    thread_local true typeof typeof_unqual asm fortran near far interrupt
    and and_eq bitand bitor catch char8_t char16_t char32_t class co_await co_return co_yield compl
    concept consteval constinit const_cast decltype delete dynamic_cast explicit export friend
    import module mutable namespace new noexcept not not_eq operator or or_eq private protected
    public reinterpret_cast requires static_cast template this throw try typeid typename using
    virtual wchar_t xor xor_eq final override
    main errno NULL EOF assert linux unix i386 arm
    """.split()
)
PYTHON_WORDS = frozenset(
    """
    False None True and as assert async await break class continue def del elif else except exec
    finally for from global if import in is lambda match nonlocal not or pass print raise return
    try type while with yield self cls
    """.split()
)


# ---- templates ----------------------------------------------------------------------------


@cache
def environment() -> jinja2.Environment:
    """The one environment of all targets. Templates of wheels lie in the package."""
    # trim_blocks and lstrip_blocks: a line that holds only a tag leaves no trace in the output.
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_PACKAGE / "templates", _PACKAGE.parent / "templates"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    env.filters.update(identifier=identifier, number=number, comment=comment)
    return env


def render(template: str, **values: Any) -> Iterator[str]:
    """The template, by its path under `templates/`, filled in: its text in pieces.

    Values that are iterators are asked for their items when their place comes, so that a file of
    any size is made with the text of one array at a time.
    """
    return environment().get_template(template).generate(**values)


def source(path: str) -> str:
    """A plain source file under `templates/` (a kernel, a function), as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), path)[0]


# ---- numbers ------------------------------------------------------------------------------

BLOCK = 1 << 16  # numbers turned into text at once
FEW = 64  # so few that it is not worth while
_EXPONENT = re.compile(r"e([+-])0*(\d+)")
NumberText = Callable[[float, str, str], str]  # of a number, its type and the suffix


def number(value: float, dtype: str = "float32", suffix: str = "") -> str:
    """The shortest text that reads back exactly, in C and in Python: `0.1`, `1e-7`."""
    if not np.isfinite(value):
        raise NumberError(f"{value} cannot be written as a number")
    text = str(np.float32(value)) if dtype == "float32" else repr(float(value))
    # A reader that goes through double, as Python does, must arrive at the same float32.
    if dtype == "float32" and np.float32(float(text)) != np.float32(value):
        text = f"{float(np.float32(value)):.9g}"  # pragma: no cover (halfway cases, if any)
    if dtype == "float32" and abs(value) >= 1e6 and "e" not in text:  # NumPy before 2.3
        text = np.format_float_scientific(np.float32(value), trim="-")
    if "e" in text:
        text = _EXPONENT.sub(lambda m: f"e{m[1].replace('+', '')}{m[2]}", text)
    return text + suffix


def c_number(value: float, dtype: str = "float32", suffix: str = "") -> str:
    """What `number` gives; for NaN and infinity the macros of `<math.h>`, which are floats."""
    if np.isfinite(value):
        return number(value, dtype, suffix)
    word = "NAN" if np.isnan(value) else "INFINITY"
    sign = "-" if value < 0 else ""
    return sign + (word if dtype == "float32" else f"(double){word}")


def blocks(values: Array, size: int = BLOCK) -> Iterator[Array]:
    """All elements in row-major order, some at a time; a large array is never copied whole."""
    flat = values.flat
    return (flat[start : start + size] for start in range(0, values.size, size))


def block_texts(
    values: Array, dtype: str, suffix: str = "", special: NumberText = c_number
) -> list[str]:
    """The texts of some values, integers as they are; `special` writes what is not finite."""
    if values.dtype.kind in "iu":
        return [str(v) for v in values.tolist()]
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    finite = np.isfinite(narrow)
    if not np.array_equal(finite, np.isfinite(values)):
        raise NumberError(f"an array holds a value too large for {dtype}")
    if finite.all():
        return texts(narrow, dtype, suffix)
    return [
        number(v, dtype, suffix) if ordinary else special(v, dtype, suffix)
        for v, ordinary in zip(narrow, finite, strict=True)
    ]


def texts(values: Array, dtype: str = "float32", suffix: str = "") -> list[str]:
    """What `number` gives for each of many finite values, faster.

    The shortest decimal that reads back as v is, for some number of places k, v 10^k rounded to a
    whole number. Up to k = 12 that product is exact in float64: 5^12 has 28 bits, v has 24.
    """
    if dtype != "float32" or values.size < FEW:
        return [number(v, dtype, suffix) for v in values]
    narrow = values.astype(np.float32)
    wide = narrow.astype(np.float64)
    size = np.abs(wide)
    usual = (size >= 1e-4) & (size < 1e6)
    # Beside a power of two the numbers below are closer than those above: that is left to NumPy.
    usual &= (narrow.view(np.uint32) & 0x7FFFFF) != 0
    rounded, left = wide.copy(), usual.copy()
    digits_before = np.floor(np.log10(np.where(usual, size, 1.0))).astype(np.int64) + 1
    for digits in range(1, 10):
        scale = 10.0 ** np.clip(digits - digits_before, 0, 12)
        nearest = np.rint(wide * scale) / scale
        found = left & (nearest.astype(np.float32) == narrow)
        rounded[found] = nearest[found]
        left &= ~found
    result = [repr(v) + suffix for v in rounded.tolist()]
    for place in np.flatnonzero((~usual | left) & (size != 0)).tolist():
        result[place] = number(narrow[place], dtype, suffix)
    return result


def rows(
    values: Array, dtype: str = "float32", suffix: str = "", indent: str = "    "
) -> Iterator[str]:
    """The numbers, eight a line, each line indented; all but the last end with a comma."""
    end = ""
    for part in blocks(values):
        found = block_texts(part, dtype, suffix)
        lines = (", ".join(found[k : k + PER_LINE]) for k in range(0, len(found), PER_LINE))
        yield end + ",\n".join(indent + line for line in lines)
        end = ",\n"
    yield "\n"


# ---- names and comments ---------------------------------------------------------------------

_NOT_WORD = re.compile(r"[^0-9A-Za-z]+")


def identifier(text: str, fallback: str = "x") -> str:
    """A valid identifier like `text`: ASCII letters, digits, single inner underscores."""
    plain = unicodedata.normalize("NFKD", text[: 4 * LONGEST_NAME])
    plain = plain.encode("ascii", "ignore").decode()
    name = _NOT_WORD.sub("_", plain).strip("_")[:LONGEST_NAME].rstrip("_")
    if not name:
        return fallback
    return f"{fallback}_{name}" if name[0].isdigit() else name


class Names:
    """Hands out identifiers that are valid, unique, and none of the reserved words.

    The same requests in the same order give the same names. `key` asks for the name that was
    given to that object before.
    """

    def __init__(self, reserved: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        self._used = {name.lower() for name in (*C_WORDS, *PYTHON_WORDS, *words, *reserved)}
        self._given: dict[Any, str] = {}

    def __call__(self, wanted: str, key: Any = None) -> str:
        """An identifier like `wanted`. Names that differ only in case also count as taken."""
        if key is not None and key in self._given:
            return self._given[key]
        base = identifier(wanted)
        name, count = base, 1
        while name.lower() in self._used:
            count += 1
            name = f"{base}_{count}"
        self._used.add(name.lower())
        if key is not None:
            self._given[key] = name
        return name


def comment(text: object, limit: int = LONGEST_COMMENT) -> str:
    """Text that stays one inert line inside any comment or docstring of C and Python."""
    cleaned = []
    for char in str(text)[: 4 * limit]:
        # Control and format characters (newlines, direction marks), surrogates, private use,
        # unassigned, line and paragraph separators.
        odd = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        cleaned.append(" " if odd else char)
    line = "".join(cleaned).strip()
    line = line.replace("\\", "/")  # at a line's end it would join the next line to this
    for harmful, harmless in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?"), ('""', '" "')):
        while harmful in line:
            line = line.replace(harmful, harmless)
    line = line.replace("''", "' '")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


# ---- banner -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """How the file is made again: the base name of OUT (or `-`) and the options given.

    `options` are the words of every option that is not a default, as typed: `("--dtype",
    "float64")`.
    """

    out: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """Bytes, as the target lays things out."""

    weights: int
    state: int
    scratch: int


def command(lowered: Lowered, origin: Origin) -> str:
    """The exact command that makes the file again, as typed in a shell."""
    source = lowered.model.source
    words = ["rnn-codegen", "convert", source, "-o", origin.out, *origin.options]
    if source.startswith("-"):  # no option
        words = [*words[:2], *words[3:], "--", source]
    return " ".join(shlex.quote(word) for word in words)


def banner(lowered: Lowered, origin: Origin, sizes: Sizes) -> list[str]:
    """The lines of the comment at the top of a generated file, each safe inside a comment."""
    model = lowered.model
    wrote = f", written by Keras {model.keras_version}" if model.keras_version else ""
    lines = [
        f"Generated by rnn-codegen {__version__}. Do not edit: change the model and run",
        "",
        f"    {comment(command(lowered, origin), 10**4)}",
        "",
        f"Model: {comment(model.source)} ({model.format}, SHA-256 {model.digest}{comment(wrote)})",
        "",
        *layer_table(lowered),
        "",
    ]
    program = lowered.step or lowered.whole
    per = ", one step" if lowered.step else ""
    for kind, ports in (("Input", program.inputs), ("Output", program.outputs)):
        for port in ports:
            size = "".join(("(", ", ".join(str(n) for n in port.shape), ")"))
            lines.append(f"{kind} {comment(port.name, 40)}: {size} {port.buffer.dtype}{per}")
    if lowered.hop > 1:
        lines.append(f"One step takes {lowered.hop} rows of the input.")
    if lowered.warmup:
        lines.append(f"The first {lowered.warmup} steps give no output.")
    lines += [
        f"Bytes: weights {sizes.weights}, state {sizes.state}, scratch {sizes.scratch}.",
        "",
        "This file is yours: its generator lays no claim to it and puts no condition on its use.",
    ]
    return [line.rstrip() for line in lines]


def layer_table(lowered: Lowered) -> list[str]:
    """A line for each layer: name, what it is, output shape, parameters."""
    table = [("layer", "", "output", "parameters")]
    for layer in lowered.layers:
        shape = ", ".join("steps" if n is None else str(n) for n in layer.output_shape)
        table.append(
            (
                comment(layer.name, 40),
                comment(layer.describe, 90),
                f"({shape})",
                str(layer.parameters),
            )
        )
    widths = [max(len(row[k]) for row in table) for k in range(3)]
    return [
        "  ".join(
            (*(text.ljust(width) for text, width in zip(row[:3], widths, strict=True)), row[3])
        )
        for row in table
    ]


def joined(lines: Sequence[str], prefix: str) -> str:
    """The lines, each after `prefix`, without trailing blanks."""
    return "\n".join(f"{prefix}{line}".rstrip() for line in lines)
