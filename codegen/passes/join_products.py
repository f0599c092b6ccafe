"""One product for all that can be computed from the same vectors at the same time.

Products of one block whose inputs are known when an earlier product of the block runs join it:
their rows are stacked to one matrix, with zeros where a part does not read an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from codegen.program import dims
from codegen.program.derived import column, made
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
    Elementwise,
    Loop,
    Mat,
    Op,
    Part,
    Program,
    Vec,
    When,
    map_op,
    reads,
    walk_ops,
    writes,
)
from codegen.text.names import common_words

# A zero costs a multiplication: so many are about as slow as the calls that a join saves.
MOST_ZEROS = 8192


@dataclass
class _Stage:
    position: int
    members: list[Affine]
    inputs: list[Vec] = field(default_factory=list)


def join_products(program: Program) -> Program:
    """Compute what has an input in common at the same time by one product of stacked weights."""
    stages = _Stages()
    return stages.renamed(program.map_blocks(lambda block: stages.join(block.ops)))


class _Stages:
    """Joins products; their scratch is then part of other scratch, wherever it is used."""

    def __init__(self) -> None:
        self.moved: dict[Buffer, tuple[Buffer, int]] = {}

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

    def renamed(self, program: Program) -> Program:
        """The program with joined scratch in its new place."""

        def vec(v: Vec) -> Vec:
            found = self.moved.get(v.buffer)
            return v if found is None else replace(v, buffer=found[0], offset=v.offset + found[1])

        return program.map_ops(lambda op: map_op(op, vec, lambda mat: mat))

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
        places, offset = [], 0
        for member in stage.members:
            places.append((member.out.buffer.name, offset, dims.fixed(member.out.size)))
            offset += dims.fixed(member.out.size)
        first, name = stage.members[0].out.buffer, f"{_stem(stage)}_sums"
        buffer = replace(first, name=name, size=size, shape=(size,), places=tuple(places))
        for member, (_, offset, _) in zip(stage.members, places, strict=True):
            self.moved[member.out.buffer] = (buffer, offset)
        products = []
        for vec in stage.inputs:
            parts = []
            for member in stage.members:
                rows = dims.fixed(member.out.size)
                mats = [m for m, v in member.products if v == vec]
                assert len(mats) <= 1, member
                parts.append(Part(mats[0] if mats else None, rows))
            name = next(p.mat.buffer.name for p in parts if p.mat is not None)
            products.append((made(name, parts, dims.fixed(vec.size)), vec))
        bias = None
        if any(m.bias is not None for m in stage.members):
            parts = [
                Part(None if m.bias is None else column(m.bias), dims.fixed(m.out.size))
                for m in stage.members
            ]
            sums = made(f"{_stem(stage)}_bias", parts, 1)
            bias = Vec(sums.buffer, sums.offset, size, sums.row_stride)
        return Affine(buffer.vec(), bias, tuple(products))


def _stem(stage: _Stage) -> str:
    """What the names of all results of the stage start with."""
    names = [m.out.buffer.name for m in stage.members]
    return common_words(names) or names[0].split("_")[0]


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
