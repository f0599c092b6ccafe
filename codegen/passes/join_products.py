"""One product for all that can be computed from the same vectors at the same time.

Products of one block whose inputs are known when an earlier product of the block runs join it:
their rows are stacked to one matrix, with zeros where a part does not read an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from codegen.program import dims
from codegen.program.derived import Derived, Part, column
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
    Elementwise,
    Loop,
    Mat,
    Op,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)
from codegen.program.rewrite import map_op

# A zero costs a multiplication: so many are about as slow as the calls that a join saves.
MOST_ZEROS = 8192


@dataclass
class _Stage:
    position: int
    members: list[Affine]
    inputs: list[Vec] = field(default_factory=list)


class Stages:
    """Joins products; the renamed scratch must then be replaced everywhere."""

    def __init__(self, derived: Derived) -> None:
        self.derived = derived
        self.moved: dict[Buffer, tuple[Buffer, int]] = {}
        self._placed: list[tuple[Buffer, int, Dim, str]] = []

    def join(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        """The ops of one block or loop body."""
        result: list[Op] = []
        stages: list[_Stage] = []
        for op in ops:
            if isinstance(op, When) or (isinstance(op, Loop) and op.carried):
                result.append(replace(op, body=self.join(op.body)))
            elif isinstance(op, Affine) and _is_simple(op):
                result += self._place(op, result, stages)
            else:
                result.append(op)
        for stage in stages:
            if len(stage.members) > 1:
                result[stage.position] = self._merged(stage)
        return tuple(result)

    def rename(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        """The ops with joined scratch in its new place."""

        def vec(v: Vec) -> Vec:
            found = self.moved.get(v.buffer)
            return v if found is None else replace(v, buffer=found[0], offset=v.offset + found[1])

        return tuple(map_op(op, vec, lambda mat: mat) for op in ops)

    def names(self) -> dict[Vec, str]:
        """What was where in the joined scratch, by the names that it had."""
        return {Vec(buffer, offset, size): name for buffer, offset, size, name in self._placed}

    def _place(self, op: Affine, result: list[Op], stages: list[_Stage]) -> list[Op]:
        """Put the product into an earlier stage where that is possible; gives what stays here."""
        inputs = [v for _, v in op.products]
        after: list[Op] = []
        if op.bias is not None and op.bias.buffer.kind != "const":
            after = [Elementwise(op.out.size, (), ((op.out, At(op.out) + At(op.bias)),))]
            op = replace(op, bias=None)
        for stage in reversed(stages):
            between = result[stage.position :]
            if _touches(between, op.out.buffer) or any(_is_written(between, v) for v in inputs):
                continue
            if not any(v in stage.inputs for v in inputs):
                continue
            if _zeros([*stage.members, op]) > MOST_ZEROS:
                continue
            stage.members.append(op)
            stage.inputs += [v for v in inputs if v not in stage.inputs]
            return after
        stages.append(_Stage(len(result), [op], inputs))
        return [op, *after]

    def _merged(self, stage: _Stage) -> Affine:
        size = sum(dims.fixed(m.out.size) for m in stage.members)
        first = stage.members[0].out.buffer
        buffer = replace(first, name=f"{_stem(stage)}_sums", size=size, shape=(size,))
        offset = 0
        for member in stage.members:
            self.moved[member.out.buffer] = (buffer, offset)
            self._placed.append((buffer, offset, member.out.size, member.out.buffer.name))
            offset += dims.fixed(member.out.size)
        products = []
        for vec in stage.inputs:
            parts = []
            for member in stage.members:
                rows = dims.fixed(member.out.size)
                mats = [m for m, v in member.products if v == vec]
                assert len(mats) <= 1, member
                parts.append(Part(mats[0] if mats else None, rows))
            name = next(p.mat.buffer.name for p in parts if p.mat is not None)
            products.append((self.derived.make(name, parts, dims.fixed(vec.size)), vec))
        bias = None
        if any(m.bias is not None for m in stage.members):
            parts = [
                Part(None if m.bias is None else column(m.bias), dims.fixed(m.out.size))
                for m in stage.members
            ]
            made = self.derived.make(f"{_stem(stage)}_bias", parts, 1)
            bias = Vec(made.buffer, made.offset, size, made.row_stride)
        return Affine(buffer.vec(), bias, tuple(products))


def _stem(stage: _Stage) -> str:
    """What the names of all results of the stage start with."""
    names = [m.out.buffer.name.split("_") for m in stage.members]
    common = []
    for words in zip(*names, strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return "_".join(common) or names[0][0]


def _is_simple(op: Affine) -> bool:
    """Whether it is constants times vectors of fixed length, into scratch of its own."""
    if op.out.buffer.kind != "temp" or op.out != op.out.buffer.vec():
        return False
    vectors = [v for _, v in op.products]
    if not vectors or len(set(vectors)) < len(vectors):
        return False
    return all(_is_constant(m) and isinstance(v.size, int) for m, v in op.products)


def _is_constant(mat: Mat) -> bool:
    fixed = isinstance(mat.offset, int) and isinstance(mat.rows, int)
    return mat.buffer.kind == "const" and fixed and isinstance(mat.columns, int)


def _touches(ops: Sequence[Op], buffer: Buffer) -> bool:
    return any(v.buffer is buffer for op in walk_ops(tuple(ops)) for v in (*reads(op), *writes(op)))


def _is_written(ops: Sequence[Op], vec: Vec) -> bool:
    return any(v.buffer is vec.buffer for op in walk_ops(tuple(ops)) for v in writes(op))


def _zeros(members: Sequence[Affine]) -> int:
    """How many zeros the joined matrix has."""
    inputs: list[Vec] = []
    for member in members:
        inputs += [v for _, v in member.products if v not in inputs]
    total = 0
    for member in members:
        own = [v for _, v in member.products]
        absent = sum(dims.fixed(v.size) for v in inputs if v not in own)
        total += absent * dims.fixed(member.out.size)
    return total
