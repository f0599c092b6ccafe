"""Where a pass has halved the weights of sigmoid gates, and what the generated file says of it."""

from __future__ import annotations

from codegen.program import dims
from codegen.program.ops import Affine, At, Buffer, Expr, Program, walk, walk_ops

NOTE = "sigmoid gates come halved: sigmoid(2 * a) = 0.5 * tanh(a) + 0.5"


def is_halved(op: Affine) -> bool:
    """Whether some rows of the product come halved."""
    return any(part.factor == 0.5 for mat, _ in op.products for part in mat.buffer.parts)


class Halved:
    """The results of halved products in one program."""

    def __init__(self, program: Program) -> None:
        self.rows: dict[Buffer, list[tuple[int, int]]] = {}
        for op in walk_ops(program.ops):
            if isinstance(op, Affine) and is_halved(op):
                start, rows = 0, self.rows.setdefault(op.out.buffer, [])
                for part in op.products[0][0].buffer.parts:
                    if part.factor == 0.5:
                        rows.append((start, start + part.rows))
                    start += part.rows

    def read_by(self, node: Expr) -> bool:
        """Whether the expression is a sigmoid of what comes halved."""
        for e in walk(node):
            if isinstance(e, At) and e.vec.buffer in self.rows:
                first = dims.fixed(e.vec.offset)
                if any(start <= first < stop for start, stop in self.rows[e.vec.buffer]):
                    return True
        return False
