"""The model as equations, with its own numbers of units: the Program printed for a reader."""

from __future__ import annotations

import textwrap

from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Binary,
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
)
from codegen.text.visible import visible

PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
LONGEST_EQUATION = 50_000  # characters; a cut one would be another equation


def explain(lowered: Lowered, width: int = 80) -> str:
    """One paragraph of equations for each layer, in lines of `width` columns."""
    program = lowered.step or lowered.whole
    lines = [f"{lowered.name}, from {lowered.model.source}", *lowered.model.running, ""]
    for kind, ports in (("input", program.inputs), ("output", program.outputs)):
        lines += [f"  {p.buffer.name}: {kind} {p.name!r} {_shape(p.shape)}" for p in ports]
    for state in program.states:
        kept = "kept between predict calls" if state.carried else "starts again at each predict"
        lines.append(f"  {state.buffer.name}: state {_shape(state.shape)}, {kept}")
    if program.states:
        example = program.states[0].buffer.name
        lines += ["", f"{example} is the state before the step, {example}' the state after it."]
    lines.append("")
    if lowered.step is not None:
        rows = "" if lowered.hop == 1 else f" of {lowered.hop} rows"
        after = f"; the first {lowered.warmup} give no output" if lowered.warmup else ""
        lines.append(f"In one step{rows}{after}:")
    else:
        lines.append(f"For a whole input (no step: {lowered.reason}):")
    for block in program.blocks:
        lines += ["", f"  {block.title}"]
        for op in block.ops:
            lines += [f"    {line}" for line in _op(op)]
    shown = (visible(line, LONGEST_EQUATION) for line in lines)
    return "".join(f"{part}\n" for line in shown for part in _wrapped(line, width))


def _wrapped(line: str, width: int) -> list[str]:
    """The line, which goes on below, further to the right, where it is too long."""
    start = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line,
        max(width, len(start) + 40),
        subsequent_indent=f"{start}    ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def equations(op: Op) -> list[str]:
    """The lines that say what an op computes."""
    return _op(op)


def _shape(shape: tuple[Dim, ...]) -> str:
    return "(" + ", ".join(dims.text(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"


def _op(op: Op) -> list[str]:
    if isinstance(op, (Loop, When)):
        if isinstance(op, Loop):
            order = "in order" if op.carried else "each by itself"
            head = f"for {op.counter} = 0 ... {dims.text(op.count - 1)}, {order}:"
        else:
            head = f"once {op.after} steps have gone by:"
        return [head, *(f"  {line}" for part in op.body for line in _op(part))]
    if isinstance(op, Affine):
        terms = [f"{_mat(m)} {_vec(v)}" for m, v in op.products]
        terms += [] if op.bias is None else [_vec(op.bias)]
        return [f"{_vec(op.out)} = {' + '.join(terms)}"]
    if isinstance(op, Elementwise):
        lines = [f"{name} = {_expr(node)}" for name, node in op.locals]
        return lines + [f"{_target(vec)} = {_expr(node)}" for vec, node in op.stores]
    if isinstance(op, Reduce):
        over = ", ".join(f"{name} < {dims.text(count)}" for name, count in op.counters)
        return [f"{_vec(op.out)} = {op.kind} over {over} of {_expr(op.value)}"]
    if isinstance(op, Softmax):
        return [f"{_vec(op.out)} = {'log ' if op.log else ''}softmax({_vec(op.x)})"]
    if isinstance(op, Gather):
        return [f"{_vec(op.out)} = row {_vec(op.index)} of {_mat(op.table)}"]
    assert isinstance(op, Shift), op
    return [f"{op.line.name}' = {op.line.name} without its oldest row, then {_vec(op.x)}"]


def _target(vec: Vec) -> str:
    return _vec(vec) + ("'" if vec.buffer.kind == "state" else "")


def _vec(vec: Vec) -> str:
    name = vec.buffer.name
    if vec.offset == 0 and vec.size == vec.buffer.size and vec.stride == 1:
        return name
    start = dims.text(vec.offset)
    if vec.size == 1 or vec.stride == 0:
        return f"{name}[{start}]"
    stop = dims.text(vec.offset + vec.size * vec.stride)
    return f"{name}[{start}:{stop}{'' if vec.stride == 1 else f':{vec.stride}'}]"


def _mat(mat: Mat) -> str:
    start = "" if mat.offset == 0 else f" from {dims.text(mat.offset)}"
    return f"{mat.buffer.name}({dims.text(mat.rows)} x {dims.text(mat.columns)}{start})"


def _expr(node: Expr, outer: int = 0) -> str:
    if isinstance(node, Number):
        return f"{node.value:.9g}"
    if isinstance(node, At):
        return _vec(node.vec)
    if isinstance(node, Local):
        return node.name
    if isinstance(node, Index):
        return "index"
    if isinstance(node, Count):
        return dims.text(node.dim)
    if isinstance(node, Negate):
        return f"-{_expr(node.value, 3)}"
    if isinstance(node, Binary):
        own = PRECEDENCE[node.operator]
        text = f"{_expr(node.left, own)} {node.operator} {_expr(node.right, own + 1)}"
        return f"({text})" if own < outer else text
    if isinstance(node, Compare):
        return f"[{_expr(node.left)} {node.operator} {_expr(node.right)}]"
    if isinstance(node, Select):
        parts = (_expr(node.yes), _expr(node.condition), _expr(node.no))
        return "({} where {}, else {})".format(*parts)
    assert isinstance(node, Call), node
    name = "sigmoid" if node.function == "gate_sigmoid" else node.function
    return f"{name}({', '.join(_expr(a) for a in node.arguments)})"
