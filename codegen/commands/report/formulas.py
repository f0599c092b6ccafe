"""Ops as formulas: MathML, which browsers set by themselves, and which can be read aloud.

The words and the order are those of `explain`; matrices have their sizes below them.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from codegen.errors import LONGEST_CELL, visible
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Elementwise,
    Expr,
    Gather,
    Index,
    Local,
    Loop,
    Mat,
    Negate,
    Number,
    Op,
    Reduce,
    Select,
    Shift,
    Softmax,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)
from codegen.targets.spine.expressions import ATOM, OPERATORS

TIMES = "\N{CIRCLED DOT OPERATOR}"  # of vectors, element by element
SIGNS = {"-": "\N{MINUS SIGN}", "*": TIMES, "/": "/", "+": "+"}
RELATIONS = {"<=": "\N{LESS-THAN OR EQUAL TO}", ">=": "\N{GREATER-THAN OR EQUAL TO}"}
RELATIONS |= {"==": "=", "!=": "\N{NOT EQUAL TO}"}
OPEN, CLOSE = (Markup('<mo stretchy="false">{}</mo>').format(sign) for sign in "()")
THIN = Markup('<mspace width="0.25em"/>')
NAMES = {"sigmoid": "\N{GREEK SMALL LETTER SIGMA}", "gate_sigmoid": "\N{GREEK SMALL LETTER SIGMA}"}


# What ends the name of a constant, and the letter that stands for it.
LETTERS = {"recurrent_kernel": "U", "kernel": "W", "bias": "b"}


class Formulas:
    """Prints the ops of one layer.

    Its names are without the layer's own, which they begin with. W, U and b are kernels, recurrent
    kernels and biases; `a` is what goes into an activation, where that has a name of its own. The
    only input is x.
    """

    def __init__(self, prefix: str, ops: tuple[Op, ...]) -> None:
        self.prefix = prefix
        plain = [op for op in walk_ops(ops) if not isinstance(op, (Loop, When))]
        self.locals = {n for op in plain if isinstance(op, Elementwise) for n, _ in op.locals}
        made = {vec.buffer for op in plain for vec in writes(op)}
        read = dict.fromkeys(source.buffer for op in plain for source in reads(op))
        given = [b for b in read if b not in made and b.kind != "const"]
        self.stored: set[Buffer] = set()  # states that are those after the step from here on
        self.input: Buffer | None = given[0] if len(given) == 1 else None

    def lines(self, op: Op) -> list[Markup]:
        """The lines that an op is, each the inside of a `math` element."""
        if isinstance(op, (Loop, When)):
            before, self.stored = self.stored, set()
            inner = [_row(_space(), line) for part in op.body for line in self.lines(part)]
            self.stored |= before
            if isinstance(op, When):
                return [_row(_text(f"once {op.after} steps have gone by")), *inner]
            last = _dim(op.count - 1)
            order = "in order" if op.carried else "each by itself"
            return [_row(_text(f"for {op.counter} = 0 \u2026 {last}, {order}")), *inner]
        if isinstance(op, Affine):
            terms = [_row(self._mat(m), THIN, self._vec(v)) for m, v in op.products]
            terms += [] if op.bias is None else [self._vec(op.bias)]
            return [_equal(self._vec(op.out), _joined(terms, "+"))]
        if isinstance(op, Elementwise):
            lines = [_equal(_name(name), self._expr(node)) for name, node in op.locals]
            values = [self._expr(node) for _, node in op.stores]
            self.stored |= {vec.buffer for vec, _ in op.stores if vec.buffer.kind == "state"}
            targets = (self._vec(vec) for vec, _ in op.stores)
            return [*lines, *map(_equal, targets, values)]
        if isinstance(op, Reduce):
            over = ", ".join(f"{name} < {_dim(count)}" for name, count in op.counters)
            value = _row(_text(f"{op.kind} over {over} of "), self._expr(op.value))
            return [_equal(self._vec(op.out), value)]
        if isinstance(op, Softmax):
            name = f"{'log ' if op.log else ''}softmax"
            return [_equal(self._vec(op.out), _call(name, [self._vec(op.x)]))]
        if isinstance(op, Gather):
            row = _row(_text("row "), self._vec(op.index), _text(" of "), self._mat(op.table))
            return [_equal(self._vec(op.out), row)]
        assert isinstance(op, Shift), op
        text = _row(self._name(op.line), _text(" without its oldest row, then "), self._vec(op.x))
        self.stored.add(op.line)
        return [_equal(self._name(op.line), text)]

    def _name(self, buffer: Buffer) -> Markup:
        if buffer is self.input:
            return _name("x")
        own = buffer.name.removeprefix(f"{self.prefix}_")
        if buffer.kind == "const":
            for word, letter in LETTERS.items():
                if own == word:
                    return _name(letter)
                if own.endswith(f"_{word}"):
                    return _below(_name(letter), own.removesuffix(f"_{word}"))
        mark = "\N{PRIME}" if buffer in self.stored else ""
        return _below(_name("a"), own) if own in self.locals else _name(own + mark)

    def _vec(self, vec: Vec) -> Markup:
        name = self._name(vec.buffer)
        if vec.offset == 0 and vec.size == vec.buffer.size and vec.stride == 1:
            return name
        start = _dim(vec.offset)
        if vec.size == 1 or vec.stride == 0:
            return _below(name, start)
        stop = _dim(vec.offset + vec.size * vec.stride)
        step = "" if vec.stride == 1 else f":{vec.stride}"
        colon = ":" if f"{start}{stop}".isalnum() else " : "
        return _below(name, f"{start}{colon}{stop}{step}")

    def _mat(self, mat: Mat) -> Markup:
        name = self._name(mat.buffer)
        size = f"{_dim(mat.rows)}\N{MULTIPLICATION SIGN}{_dim(mat.columns)}"
        start = "" if mat.offset == 0 else f" from {_dim(mat.offset)}"
        return Markup('<munder class="mat">{}<mtext>{}</mtext></munder>').format(name, size + start)

    def _expr(self, node: Expr, outer: int = 0) -> Markup:
        if isinstance(node, Number):
            return _number(node.value)
        if isinstance(node, At):
            return self._vec(node.vec)
        if isinstance(node, Local):
            return _name(node.name)
        if isinstance(node, Index):
            return _name("index")
        if isinstance(node, Count):
            return _text(_dim(node.dim))
        if isinstance(node, Negate):
            return _row(_sign(SIGNS["-"]), self._expr(node.value, ATOM))
        if isinstance(node, Binary):
            return self._binary(node, outer)
        if isinstance(node, Compare):
            sign = RELATIONS.get(node.operator, node.operator)
            inner = _row(self._expr(node.left), _sign(sign), self._expr(node.right))
            return _row(_sign("["), inner, _sign("]"))
        if isinstance(node, Select):
            parts = [self._expr(node.yes), _text(" where "), self._expr(node.condition)]
            return _brackets(_row(*parts, _text(", else "), self._expr(node.no)))
        assert isinstance(node, Call), node
        name = NAMES.get(node.function, node.function)
        return _call(name, [self._expr(a) for a in node.arguments])

    def _binary(self, node: Binary, outer: int) -> Markup:
        if node.operator == "/":
            left, right = self._expr(node.left), self._expr(node.right)
            return Markup("<mfrac>{}{}</mfrac>").format(_row(left), _row(right))
        own = OPERATORS[node.operator]
        numbers = any(isinstance(e, (Number, Count)) for e in (node.left, node.right))
        sign = "\N{DOT OPERATOR}" if node.operator == "*" and numbers else SIGNS[node.operator]
        left, right = self._expr(node.left, own), self._expr(node.right, own + 1)
        found = _row(left, _sign(sign), right)
        return _brackets(found) if own < outer else found


def _dim(dim: Dim) -> str:
    """A length or a place as it is written by hand: 3 t + 4."""
    return re.sub(r"(?<=\d) \* ", " ", dims.text(dim)).replace("-", SIGNS["-"])


def _row(*parts: Markup) -> Markup:
    return Markup("<mrow>{}</mrow>").format(Markup("").join(parts))


def _name(name: str) -> Markup:
    return Markup("<mi>{}</mi>").format(visible(name, LONGEST_CELL))


def _text(text: str) -> Markup:
    kept = escape(visible(text)).replace(" ", Markup("&nbsp;"))
    return Markup("<mtext>{}</mtext>").format(kept)


def _space() -> Markup:
    return Markup('<mspace width="1.5em"/>')


def _number(value: float) -> Markup:
    size = Markup("<mn>{}</mn>").format(f"{abs(value):.9g}")
    return _row(_sign(SIGNS["-"]), size) if value < 0 else size


def _sign(sign: str) -> Markup:
    return Markup("<mo>{}</mo>").format(sign)


def _equal(left: Markup, right: Markup) -> Markup:
    return _row(left, _sign("="), right)


def _joined(terms: list[Markup], sign: str) -> Markup:
    found = terms[0] if terms else _number(0)
    for term in terms[1:]:
        found = _row(found, _sign(sign), term)
    return found


def _below(name: Markup, text: str) -> Markup:
    """A subscript; lowered here, since without a font for mathematics `msub` leaves it up."""
    low = Markup('<mpadded voffset="-0.4ex" depth="+0.4ex"><mtext class="sub">{}</mtext></mpadded>')
    return _row(name, low.format(visible(text, LONGEST_CELL)))


def _brackets(inner: Markup) -> Markup:
    return _row(OPEN, inner, CLOSE)


def _call(name: str, arguments: list[Markup]) -> Markup:
    inner = arguments[0]
    for argument in arguments[1:]:
        inner = _row(inner, _sign(","), argument)
    return _row(_name(name), _brackets(inner))
