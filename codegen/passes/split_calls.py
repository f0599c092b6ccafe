"""Split elementwise ops around costly functions, so that each runs over a whole array at once.

`h = tanh(a + r * b)` becomes `t = a + r * b; t = tanh(t) on the whole of t; h = t`. A loop that
holds nothing but a rational function is what compilers vectorise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from codegen.passes import Pass
from codegen.program.dims import Dim
from codegen.program.ops import (
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Elementwise,
    Expr,
    Local,
    Loop,
    Mat,
    Negate,
    Op,
    Program,
    Select,
    Vec,
    When,
    reads,
    temps,
    walk,
    walk_ops,
    writes,
)
from codegen.text.names import common_words


def split_calls(*functions: str) -> Pass:
    """A pass that gives every call of these functions an op of its own, on a temp in place."""

    def split(program: Program) -> Program:
        return _Stager(program, frozenset(functions)).program()

    return split


def in_place_call(op: Op) -> Call | None:
    """The call where the op is `v = function(v)` on one contiguous vector, else None."""
    if not isinstance(op, Elementwise) or op.locals or len(op.stores) != 1:
        return None
    vec, value = op.stores[0]
    if isinstance(value, Call) and value.arguments == (At(vec),) and vec.stride == 1:
        return value
    return None


class _Stager:
    def __init__(self, program: Program, functions: frozenset[str]) -> None:
        self.source = program
        self.functions = functions
        self.names = {buffer.name for buffer in temps(program)}
        self.readers: dict[Buffer, list[tuple[int, Vec | Mat]]] = {}
        for op in walk_ops(program.ops):
            for vec in reads(op):
                self.readers.setdefault(vec.buffer, []).append((id(op), vec))

    def program(self) -> Program:
        return self.source.map_blocks(lambda block: _gathered(self.ops(block.ops, (), block.name)))

    def ops(self, ops: Iterable[Op], scope: tuple[str, ...], block: str) -> Iterator[Op]:
        for op in ops:
            if isinstance(op, Loop):
                inner = (*scope, op.counter)
                yield replace(op, body=_gathered(self.ops(op.body, inner, block)))
            elif isinstance(op, When):
                yield replace(op, body=_gathered(self.ops(op.body, scope, block)))
            elif isinstance(op, Elementwise) and op.size != 1 and in_place_call(op) is None:
                yield from self.split(op, scope, block)
            else:
                yield op

    def fresh(self, wanted: str, size: Dim, scope: tuple[str, ...]) -> Vec:
        name, count = wanted, 1
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return Buffer(name, size, "temp", "float32", None, scope, (size,)).vec()

    def is_dead_after(self, vec: Vec, op: Op, scope: tuple[str, ...]) -> bool:
        """Whether the vector is scratch that only `op` reads, once for each time it is written."""
        if vec.buffer.kind != "temp" or vec.stride != 1 or vec.buffer.scope != scope:
            return False
        if vec.buffer.dtype != "float32":
            return False
        return all(
            reader == id(op) or not _overlap(vec, other)
            for reader, other in self.readers.get(vec.buffer, ())
        )

    def split(self, op: Elementwise, scope: tuple[str, ...], block: str) -> Iterator[Op]:
        local = dict(op.locals)
        stores = list(op.stores)
        while True:
            ready = self.ready(local, [e for _, e in stores])
            if not ready:
                break
            marks: dict[Expr, Expr] = {call: Local(f"#{k}") for k, call in enumerate(ready)}
            later = {name: _swap(e, marks) for name, e in local.items()}
            rest = [(vec, _swap(e, marks)) for vec, e in stores]

            # Where each argument is computed, and the function applied in place.
            kept = _reads(later, [e for _, e in rest])
            raw = {call: _reads(local, [call.arguments[0]]) for call in ready}
            targets: dict[Expr, Vec] = {}
            for call in ready:
                taken = [*kept, *targets.values()]
                argument = call.arguments[0]
                candidates = [argument.vec] if isinstance(argument, At) else raw[call]
                free = [
                    vec
                    for vec in candidates
                    if vec.size == op.size
                    and self.is_dead_after(vec, op, scope)
                    and not any(_overlap(vec, other) for other in taken)
                ]
                targets[call] = (
                    free[0]
                    if free
                    else self.fresh(_name(call, local, stores, block), op.size, scope)
                )
            prelude = [
                (targets[call], call.arguments[0])
                for call in ready
                if call.arguments[0] != At(targets[call])
            ]
            if prelude:
                # Stores that wait for nothing and that nothing left reads go with the first loop.
                early = []
                for entry in rest:
                    others = [e for pair in rest if pair is not entry for e in (pair[1],)]
                    waits = any(name.startswith("#") for name in _locals(later, [entry[1]]))
                    if not waits and not any(_overlap(entry[0], v) for v in _reads(later, others)):
                        early.append(entry)
                rest = [entry for entry in rest if entry not in early]
                used = _locals(later, [e for _, e in (*prelude, *early)])
                named = tuple((n, e) for n, e in later.items() if n in used)
                yield Elementwise(op.size, named, (*prelude, *early))
            yield from _merged(ready, targets)

            back: dict[Expr, Expr] = {marks[call]: At(targets[call]) for call in ready}
            local = {name: _swap(e, back) for name, e in later.items()}
            stores = [(vec, _swap(e, back)) for vec, e in rest]
        used = _locals(local, [e for _, e in stores])
        if stores:
            named = tuple((n, e) for n, e in local.items() if n in used)
            yield Elementwise(op.size, named, tuple(stores))

    def ready(self, local: dict[str, Expr], roots: list[Expr]) -> list[Call]:
        """Calls to be staged whose arguments hold no other such call, in order."""
        used = _locals(local, roots)
        heavy = {n for n, e in local.items() if self.has_call(local, e)}
        found: dict[Call, None] = {}
        for root in [*(e for n, e in local.items() if n in used), *roots]:
            for node in walk(root):
                if not (isinstance(node, Call) and node.function in self.functions):
                    continue
                inside = [n for a in node.arguments for n in walk(a)]
                if any(isinstance(n, Call) and n.function in self.functions for n in inside):
                    continue
                if any(isinstance(n, Local) and n.name in heavy for n in inside):
                    continue
                found[node] = None
        return list(found)

    def has_call(self, local: dict[str, Expr], node: Expr) -> bool:
        names = _locals(local, [node])
        roots = [node, *(e for n, e in local.items() if n in names)]
        return any(
            isinstance(n, Call) and n.function in self.functions for r in roots for n in walk(r)
        )


def _name(
    call: Call, local: Mapping[str, Expr], stores: Sequence[tuple[Vec, Expr]], block: str
) -> str:
    """What to call the result of a call in an op of these locals and stores.

    The local that it is the whole of, or else what it is the function of: `lstm_cell_tanh`.
    """
    vecs = [vec for vec, _ in stores] + _reads(dict(local), [e for _, e in stores])
    own = [v.buffer.name for v in vecs if v.buffer.name.startswith(f"{block}_")]
    prefix = common_words(own) or block
    if prefix in own:
        prefix = prefix.rpartition("_")[0]
    for name, e in local.items():
        if e == call:
            return f"{prefix}_{name}"
    function = call.function.removeprefix("gate_").removesuffix("_3")
    argument = call.arguments[0]
    if isinstance(argument, At) and argument.vec.buffer.name in own:
        return f"{argument.vec.buffer.name}_{function}"
    if isinstance(argument, Local):
        return f"{prefix}_{argument.name}_{function}"
    for name, e in local.items():
        if call in walk(e):
            return f"{prefix}_{name}_{function}"
    return f"{prefix}_{function}"


def _merged(ready: list[Call], targets: dict[Expr, Vec]) -> Iterator[Op]:
    """One op for each call; neighbours in memory with the same function become one."""
    vecs: list[tuple[str, Vec]] = []
    for call in ready:
        vec = targets[call]
        if vecs:
            function, last = vecs[-1]
            joins = last.buffer is vec.buffer and last.offset + last.size == vec.offset
            if function == call.function and joins:
                vecs[-1] = (function, replace(last, size=last.size + vec.size))
                continue
        vecs.append((call.function, vec))
    for function, vec in vecs:
        yield Elementwise(vec.size, (), ((vec, Call(function, (At(vec),))),))


def _gathered(ops: Iterable[Op]) -> tuple[Op, ...]:
    """The ops with each call on a whole array joined to an earlier one on its neighbour."""
    result: list[Op] = []
    for op in ops:
        place = _earlier(op, result)
        if place is None:
            result.append(op)
            continue
        (vec, _), (other, call) = _store(op), _store(result[place])
        first = other if _follows(other, vec) else vec
        joined = replace(first, size=first.size + (vec if first is other else other).size)
        result[place] = Elementwise(
            joined.size, (), ((joined, replace(call, arguments=(At(joined),))),)
        )
    return tuple(result)


def _earlier(op: Op, ops: list[Op]) -> int | None:
    """Where a call stands that `op` can join, since nothing after it touches the vector of `op`."""
    if in_place_call(op) is None:
        return None
    vec, call = _store(op)
    for place in range(len(ops) - 1, -1, -1):
        if in_place_call(ops[place]) is not None:
            other, before = _store(ops[place])
            if call.function == before.function and (_follows(other, vec) or _follows(vec, other)):
                return place
        touched = [v for o in walk_ops((ops[place],)) for v in (*reads(o), *writes(o))]
        if any(_overlap(vec, v) for v in touched):
            return None
    return None


def _store(op: Op) -> tuple[Vec, Call]:
    assert isinstance(op, Elementwise)
    ((vec, call),) = op.stores
    assert isinstance(call, Call)
    return vec, call


def _follows(first: Vec, second: Vec) -> bool:
    return first.buffer is second.buffer and first.offset + first.size == second.offset


def _overlap(a: Vec | Mat, b: Vec | Mat) -> bool:
    if a.buffer is not b.buffer:
        return False
    if isinstance(a, Mat) or isinstance(b, Mat):
        return True
    whole = (a.offset, a.size, b.offset, b.size)
    if not all(isinstance(n, int) for n in whole):
        return True
    first, second = _span(a), _span(b)
    return first[0] <= second[1] and second[0] <= first[1]


def _span(vec: Vec) -> tuple[int, int]:
    assert isinstance(vec.offset, int)
    assert isinstance(vec.size, int)
    ends = (vec.offset, vec.offset + (vec.size - 1) * vec.stride)
    return min(ends), max(ends)


def _locals(local: dict[str, Expr], roots: list[Expr]) -> set[str]:
    """Names of all locals that the roots need."""
    names: set[str] = set()
    todo = list(roots)
    while todo:
        for node in walk(todo.pop()):
            if isinstance(node, Local) and node.name not in names:
                names.add(node.name)
                if node.name in local:
                    todo.append(local[node.name])
    return names


def _reads(local: dict[str, Expr], roots: list[Expr]) -> list[Vec]:
    """Every vector that the roots read, through locals too."""
    names = _locals(local, roots)
    todo = [*roots, *(e for n, e in local.items() if n in names)]
    return [node.vec for root in todo for node in walk(root) if isinstance(node, At)]


def _swap(node: Expr, known: dict[Expr, Expr]) -> Expr:
    """The expression with the known parts replaced."""
    if node in known:
        return known[node]
    if isinstance(node, Binary):
        return Binary(node.operator, _swap(node.left, known), _swap(node.right, known))
    if isinstance(node, Compare):
        return Compare(node.operator, _swap(node.left, known), _swap(node.right, known))
    if isinstance(node, Negate):
        return Negate(_swap(node.value, known))
    if isinstance(node, Select):
        parts = (_swap(e, known) for e in (node.condition, node.yes, node.no))
        return Select(*parts)
    if isinstance(node, Call):
        return Call(node.function, tuple(_swap(a, known) for a in node.arguments))
    return node
