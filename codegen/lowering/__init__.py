"""From a Model to Programs: one step where the model can be stepped, and the whole sequence.

Each layer lowers itself (`Layer.lower`); this file walks the graph, decides which axis is time,
how many rows a step takes, and why a model cannot be stepped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.errors import LayerError, NeedsHop, NotStreamable, Problem, TooLate, UnsupportedError
from codegen.layers.core import Embedding
from codegen.layers.recurrent import Cell, Recurrent, StackedCells
from codegen.layers.reshaping import Flatten, Permute
from codegen.layers.shared.axes import transpose
from codegen.layers.shared.calls import carry, settled
from codegen.lowered import LayerReport, Lowered, too_large
from codegen.lowered.prewarm import prewarmed
from codegen.lowering.caches import as_lines
from codegen.lowering.fold_norm import fold
from codegen.lowering.rate import problems_at_ratio
from codegen.model import Constant, Input, Layer, Model, Node, Ref, State, Unsupported
from codegen.program import dims
from codegen.program.builder import Builder, Shared
from codegen.program.dims import Dim
from codegen.program.evaluate import Machine
from codegen.program.looped import looped
from codegen.program.ops import (
    Block,
    Buffer,
    Port,
    Program,
    When,
    const,
    in_stream,
    macs,
    map_buffers,
    rows_seen,
    walk_ops,
)
from codegen.program.tensor import Tensor
from codegen.text.names import argument_names

LARGEST_HOP = 1 << 16
COPIED = "copied to the caller"
MOVED = "it swaps the time axis with another"


def lower(model: Model) -> Lowered:
    """Both programs of the model; UnsupportedError lists every problem of one that has none."""
    times = time_inputs(model)
    original, (model, replaced) = model, fold(model)
    is_double = model.dtype == "float64"
    if model.graph.states:
        return _of_runs(original, model, replaced)
    whole, problems = _whole(model, times, streamable=False, shared=Shared(is_double))
    problems = (*model.problems, *problems)
    if problems or whole is None:
        raise UnsupportedError(model.source, problems)
    shared = Shared(is_double)
    step, reason, hop = _step(model, times, shared)
    if step is not None:
        # Sequences that never meet may differ in length, in predict if not in step.
        apart = not any(relation == "==" for _, relation, _ in whole.program.checks)
        stepped, _ = _whole(model, times, streamable=True, shared=shared, apart=apart)
        if stepped is None:  # a length fixed in the file stands in the way of any other
            step, reason = None, "a layer fixes the number of time steps"
        elif any(_leaves_rest(stepped, n, hop) for n in _saved_lengths(model, times)):
            step = None
            reason = f"its number of time steps is not a multiple of {hop}, and the rest counts"
        else:
            whole = stepped
    warmup = 0 if step is None else step.warmup
    lowered = Lowered(
        original,
        whole.program,
        None if step is None else step.program,
        reason,
        warmup,
        hop if step is not None else 1,
        _reports(original, _named(whole, replaced), step),
        whole.fills_up,
        step is None and _is_step_of_given_states(model, times, is_double),
    )
    return _checked(lowered)


def _of_runs(original: Model, model: Model, replaced: Mapping[int, Layer]) -> Lowered:
    """Both programs of a graph that is run once a step; predict is a loop around the step."""
    model, replaced = as_lines(model, replaced)
    b = Builder(step=True, streamable=True, shared=Shared(model.dtype == "float64"))
    b.is_inner = True  # what is no state of the graph begins anew in each run
    rows = [(layer, (1, *_known(layer.shape[1:])), True) for layer in model.inputs]
    try:
        step, problems = _run(model, b, rows, is_run=True)
    except (NotStreamable, NeedsHop) as why:
        step, problems = None, (Problem(model.name, "Graph", str(why)),)
    problems = (*model.problems, *problems)
    if problems or step is None:
        raise UnsupportedError(model.source, problems)
    step = _named(step, replaced)
    whole = looped(step.program, 1)
    reports = _reports(original, step, step)
    return _checked(Lowered(original, whole, step.program, None, 0, 1, reports))


def _named(found: _Result, replaced: Mapping[int, Layer]) -> _Result:
    """The result with the shapes under the layers that folding has replaced."""
    shapes = {id(replaced[k]) if k in replaced else k: v for k, v in found.shapes.items()}
    return replace(found, shapes=shapes)


def _checked(lowered: Lowered) -> Lowered:
    """The model as it is run, if all its numbers can be held."""
    model, is_double = lowered.model, lowered.model.dtype == "float64"
    problems = () if is_double else too_large(lowered, "the model computes in it, so change that")
    problems += problems_at_ratio(lowered) if model.rate_ratio != 1 else ()
    if problems:
        raise UnsupportedError(model.source, problems)
    return prewarmed(lowered, model.prewarm) if model.prewarm else lowered


def _is_step_of_given_states(model: Model, times: tuple[bool, ...], is_double: bool) -> bool:
    """Whether predict of one row is a step: all states come in as inputs, and go out as outputs."""
    graph, states = model.graph, 0
    for number, node in enumerate(graph.nodes):
        layer, keywords = node.layer, node.keywords
        if isinstance(layer, Recurrent):
            starts, cell = (*node.inputs[1:], *keywords.get("initial_state", ())), layer.cell
        elif isinstance(layer, Cell):
            starts, cell = keywords.get("states", ()), layer
        else:
            continue
        ends = [Ref(number, k + 1) for k in range(len(cell.states))]
        if isinstance(layer, Cell) and not isinstance(cell, StackedCells):
            ends[0] = Ref(number) if Ref(number) in graph.outputs else ends[0]  # both are h
        given = len(starts) == len(ends) and all(ref.node in graph.inputs for ref in starts)
        if not given or not set(ends) <= set(graph.outputs):
            return False
        states += len(ends)
    if not any(times) or not states:
        return bool(states)
    if _saved_lengths(model, times) - {1}:
        return False  # predict takes the number of rows that it was saved with
    try:
        step = _lower_step(model, times, Shared(is_double), 1, starts=True)
    except (NotStreamable, NeedsHop):
        return False
    return len(step.program.states) == states


def _saved_lengths(model: Model, times: tuple[bool, ...]) -> set[int]:
    """The numbers of time steps that the model was saved for."""
    lengths = (x.shape[0] for x, time in zip(model.inputs, times, strict=True) if time)
    return {n for n in lengths if n is not None}


def _leaves_rest(whole: _Result, steps: int, hop: int) -> bool:
    """Whether predict gives for this many steps what no number of whole hops gives."""
    before, after = steps // hop * hop, -(-steps // hop) * hop
    seen = rows_seen(whole.program)
    due = in_stream(whole.program, (p.shape[0] for p in whole.program.outputs if p.time))

    def grow(counts: list[Dim], low: int, high: int) -> bool:
        return any(dims.value(d, {"steps": high}) > dims.value(d, {"steps": low}) for d in counts)

    return grow([*due, *seen], before, steps) and (whole.fills_up or grow(seen, steps, after))


@dataclass(frozen=True, eq=False)
class _Result:
    program: Program
    shapes: dict[int, tuple[Dim, ...]]  # output shape of each layer, by id
    warmup: int
    fills_up: bool


def time_inputs(model: Model) -> tuple[bool, ...]:
    """For each input, whether its first axis is time (interface: a rank of 3, or ids in time)."""
    graph = model.graph
    found = []
    for number in graph.inputs:
        layer = graph.nodes[number].layer
        assert isinstance(layer, Input)
        rank = len(layer.shape)
        told = rank >= 2 or (rank == 1 and _ids_in_time(model, number, layer))
        found.append(told if layer.time is None else layer.time)
    lengths = {x.shape[0] for x, time in zip(model.inputs, found, strict=True) if time}
    if len(lengths) > 1:  # a single row beside a sequence is the same at every step
        found = [t and x.shape[0] != 1 for x, t in zip(model.inputs, found, strict=True)]
    return tuple(found)


def _ids_in_time(model: Model, number: int, layer: Input) -> bool:
    """Whether an integer input of one axis feeds an Embedding whose rows are used as a sequence."""
    nodes, users = model.graph.nodes, model.graph.users
    if layer.shape[0] is None:
        return True
    embeddings = [n for n in users.get(number, ()) if isinstance(nodes[n].layer, Embedding)]
    if not embeddings:
        return False
    followers = [nodes[user].layer for n in embeddings for user in users.get(n, ())]
    return not all(isinstance(follower, Flatten) for follower in followers)


def _step(
    model: Model, times: tuple[bool, ...], shared: Shared
) -> tuple[_Result | None, str | None, int]:
    """The step program, or None and the reason; with the number of rows in one step."""
    if not any(times):
        return None, "the model has no time axis", 1
    if len({x.shape[0] for x, time in zip(model.inputs, times, strict=True) if time}) > 1:
        return None, "its inputs have sequences of different lengths", 1
    hop = 1
    while True:
        try:
            return _lower_step(model, times, shared, hop), None, hop
        except NeedsHop as need:
            hop *= need.factor
            shared.states.clear()
            shared.warm.clear()
            if hop > LARGEST_HOP:
                return None, str(need), 1
        except NotStreamable as why:
            return None, str(why), 1


def _lower_step(
    model: Model, times: tuple[bool, ...], shared: Shared, hop: int, starts: bool = False
) -> _Result:
    """The step program; with `starts` each step may start from states that are given to it."""
    b = Builder(step=True, streamable=True, shared=shared)
    b.hop, b.starts = hop, starts
    inputs = []
    for layer, time in zip(model.inputs, times, strict=True):
        shape: tuple[Dim, ...] = _known(layer.shape[1:] if time else layer.shape)
        inputs.append((layer, (hop, *shape) if time else shape, time))
    result, problems = _run(model, b, inputs)
    if result is None:
        raise NotStreamable(problems[0].message if problems else "it cannot be lowered")
    later = [op.after for op in walk_ops(result.program.ops) if isinstance(op, When)]
    if max(later, default=0) > result.warmup:  # generated files count steps up to the warm-up
        raise NotStreamable(
            "it puts zeros before the output of an unpadded window, which has none at the first "
            "steps; with ZeroPadding1D before the window it would run"
        )
    return result


def _whole(
    model: Model, times: tuple[bool, ...], streamable: bool, shared: Shared, apart: bool = True
) -> tuple[_Result | None, tuple[Problem, ...]]:
    """The program for whole sequences; a streamable model takes any length.

    `apart`: each free input has a length of its own, else all have the same.
    """
    b = Builder(step=False, streamable=streamable, shared=shared)
    inputs = []
    lengths: list[str] = []
    problems = []
    for layer, time in zip(model.inputs, times, strict=True):
        shape: list[Dim] = []
        for axis, length in enumerate(layer.shape):
            if time and axis == 0 and (streamable or length is None):
                name = f"steps_{len(lengths) + 1}" if lengths and apart else "steps"
                if name not in lengths:
                    lengths.append(name)
                shape.append(dims.symbol(name))
            elif length is None:
                problems.append(
                    Problem(
                        layer.name,
                        layer.class_name,
                        f"axis {axis + 1} of its shape {(None, *layer.shape)} is free, but only "
                        "the time axis may be; give it a fixed length",
                    )
                )
                shape.append(1)
            else:
                shape.append(length)
        inputs.append((layer, tuple(shape), time))
    if problems:
        return None, tuple(problems)
    result, found = _run(model, b, inputs)
    if result is None or found:
        return None, found
    program = replace(result.program, lengths=tuple(lengths))
    return replace(result, program=program), ()


def _known(shape: Sequence[int | None]) -> tuple[Dim, ...]:
    if any(length is None for length in shape):
        raise NotStreamable("an axis other than time is free")
    return tuple(length for length in shape if length is not None)


def _run(
    model: Model,
    b: Builder,
    inputs: list[tuple[Input, tuple[Dim, ...], bool]],
    is_run: bool = False,
) -> tuple[_Result | None, tuple[Problem, ...]]:
    """Lower every node; problems of a whole program are collected, a step stops at the first.

    `is_run`: the nodes take a row of each input, and what they give is a row of each output.
    """
    graph = model.graph
    b.has_time = any(time for _, _, time in inputs)
    b.saved_steps = next((layer.shape[0] for layer, _, time in inputs if time), None)
    b.rows = next((shape[0] for _, shape, time in inputs if time), 1)
    values: list[tuple[Tensor, ...] | None] = []
    problems: dict[str, Problem] = {}
    shapes: dict[int, tuple[Dim, ...]] = {}
    ports: dict[int, Port] = {}
    calls: Counter[tuple[type, str]] = Counter()
    total = Counter(_identity(node.layer) for node in graph.nodes)

    names = argument_names([layer.name for layer, _, _ in inputs], len(graph.outputs))
    for number, name, (layer, shape, time) in zip(graph.inputs, names, inputs, strict=True):
        try:
            ports[number] = _port(b, name, layer, shape, time)
        except LayerError as problem:
            return None, (Problem(layer.name, layer.class_name, str(problem)),)

    for number, node in enumerate(graph.nodes):
        used = node.layer
        if isinstance(used, Input):
            x = _given(b, used, ports.get(number), is_run)
            values.append((x,))
            shapes[id(used)] = x.shape
            continue
        identity = _identity(used)
        call = calls[identity]
        calls[identity] += 1
        taken = (*node.inputs, *(ref for refs in node.keywords.values() for ref in refs))
        if isinstance(used, Unsupported):
            problems.setdefault(used.name, used.problem)
        if isinstance(used, Unsupported) or any(values[ref.node] is None for ref in taken):
            values.append(None)
            continue
        try:
            if total[identity] > 1 and used.is_stateful:
                raise LayerError("a stateful layer that is called more than once")
            outputs = _outputs(b, node, call, values)
        except LayerError as problem:
            problems.setdefault(used.name, Problem(used.name, used.class_name, str(problem)))
            values.append(None)
            continue
        values.append(outputs)
        first = outputs[0]
        shape = tuple(first.shape[axis] for axis in first.order) if first.order else first.shape
        shapes.setdefault(id(used), shape)

    if problems:
        return None, tuple(problems.values())
    results: list[Tensor] = []
    for ref in graph.outputs:
        try:
            results.append(_output_of_model(b, values[ref.node], ref, is_run))
        except LayerError as problem:
            used = graph.nodes[ref.node].layer
            return None, (Problem(used.name, used.class_name, str(problem)),)
    becomes = [(node, _output(values[ref.node] or (), ref)) for node, ref in graph.states.items()]
    following = [((values[node] or ())[0], x) for node, x in becomes]
    return _finish(model, b, graph.inputs, ports, results, following, shapes), ()


def _port(b: Builder, name: str, layer: Input, shape: tuple[Dim, ...], time: bool) -> Port:
    """An input of the program; LayerError where it is too large."""
    b.take(shape)
    buffer = Buffer(name, dims.product(shape), "input", layer.dtype, None, (), shape)
    return Port(layer.name, buffer, shape[1:] if b.step and time and shape[0] == 1 else shape, time)


def _outputs(
    b: Builder, node: Node, call: int, values: Sequence[tuple[Tensor, ...] | None]
) -> tuple[Tensor, ...]:
    """What a call of a layer gives; what a step lacks is said of the layer."""

    def given(refs: tuple[Ref, ...]) -> list[Tensor]:
        return [_output(values[ref.node] or (), ref) for ref in refs]

    layer, title = node.layer, f"layer {node.layer.name!r} ({node.layer.class_name})"
    try:
        keywords = {key: tuple(given(refs)) for key, refs in node.keywords.items()}
        return node.unmasked(_call(b, layer, call, given(node.inputs), keywords))
    except TooLate:
        raise
    except NotStreamable as why:
        raise NotStreamable(f"{title}: {why}") from None
    except NeedsHop as need:
        raise NeedsHop(need.factor, f"{title}: {need}") from None


def _output_of_model(
    b: Builder, tensors: tuple[Tensor, ...] | None, ref: Ref, is_run: bool
) -> Tensor:
    """An output of the model; what a run of the graph gives is the row of its step."""
    found = _output(tensors or (), ref)
    if is_run:
        found = replace(found.reshape((1, *found.shape)), time=True)
    with b.block("output", "output", COPIED, 0, found.lead):
        return _settled(b, found)


def _given(b: Builder, layer: Input, port: Port | None, is_run: bool) -> Tensor:
    """What an input or a state of the model is; of an input, a run of the graph takes a row."""
    if isinstance(layer, State):
        return b.carried(layer.name, tuple(n or 1 for n in layer.shape), layer.start)
    assert port is not None
    shape = port.buffer.shape
    return Tensor(port.buffer, shape[1:]) if is_run else Tensor(port.buffer, shape, time=port.time)


def _identity(layer: Layer) -> tuple[type, str]:
    """The same for all calls of a layer, each of which may have a form of its own."""
    return type(layer), layer.name


def _output(tensors: tuple[Tensor, ...], ref: Ref) -> Tensor:
    if ref.index >= len(tensors):
        raise LayerError(f"it uses output {ref.index} of a layer that has only {len(tensors)}")
    return tensors[ref.index]


def _call(
    b: Builder,
    layer: Layer,
    call: int,
    tensors: list[Tensor],
    keywords: dict[str, tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:
    """The block of one call of a layer; returns its outputs."""
    lead = max((x.lead for x in tensors), default=0)
    used: Layer = layer
    order: tuple[int, ...] = ()
    with b.block(layer.name, layer.class_name, layer.describe, call, lead):
        if isinstance(layer, Constant):
            return layer.lower(b)
        tensors, keywords = settled(layer, tensors, keywords)
        if any(x.order for x in tensors) or (isinstance(layer, Permute) and tensors[0].time):
            same = len({x.order for x in tensors}) == 1 and not keywords
            usual = tuple(range(len(tensors[0].shape)))
            found = layer.turned(tensors[0].order or usual) if same else None
            if found is None:
                tensors = [_settled(b, x) for x in tensors]
            else:
                used, order = found
                order = () if order == tuple(range(len(order))) else order
        turned_by = tensors[0].turned_by or f"layer {layer.name!r} ({layer.class_name}): {MOVED}"
        tensors = [replace(x, order=()) for x in tensors]
        keywords = {key: tuple(_settled(b, x) for x in xs) for key, xs in keywords.items()}
        b.inputs = (*tensors, *(x for given in keywords.values() for x in given))
        outputs = used.lower(b, *tensors, **keywords)
    outputs = tuple(y if y.time else replace(y, ahead=0, prefix=None) for y in outputs)
    if b.step and any(x.ahead > 0 for x in b.inputs):
        outputs = _before_first_step(b, used, call, tensors, keywords, outputs)
    return tuple(replace(y, order=order, turned_by=turned_by if order else "") for y in outputs)


def _settled(b: Builder, x: Tensor) -> Tensor:
    """`x` with its axes in Keras' order."""
    if not x.order:
        return x
    if b.step and x.time:
        raise TooLate(x.turned_by)
    return replace(transpose(b, x, x.order), last=x.last, lead=x.lead)


def _before_first_step(
    b: Builder,
    layer: Layer,
    call: int,
    tensors: list[Tensor],
    keywords: dict[str, tuple[Tensor, ...]],
    outputs: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """The outputs with the rows that come before the first step, which left padding has caused.

    They are constants: what the layer makes of the padding. Its states start as they leave them.
    """
    if all(y.time and y.ahead <= 0 for y in outputs):
        return outputs  # a window has used them up, and begins its delay line with them
    whole = Builder(step=False, streamable=True, shared=Shared(b.shared.is_double))
    given = [_constant_rows(x) for x in tensors]
    named = {key: tuple(_constant_rows(x) for x in rows) for key, rows in keywords.items()}
    with whole.block(layer.name, layer.class_name, layer.describe, call):
        found = layer.lower(whole, *given, **named)
    machine = Machine()
    for state in whole.states.values():
        if state.initial is not None:
            machine.array(state.buffer)[:] = state.initial.reshape(1, -1)
    machine.run([op for block in whole.blocks for op in block.ops])
    for name, state in whole.states.items():
        if name in b.states:
            initial = machine.array(state.buffer).reshape(state.shape)
            b.states[name] = b.shared.states[name] = replace(b.states[name], initial=initial)
            b.shared.warm.add(name)

    def known(y: Tensor | None, rows: Tensor | None) -> Tensor | None:
        if y is None or rows is None or y.ahead <= 0:
            return y
        shape = tuple(dims.fixed(n) for n in rows.shape)
        values = machine.read(rows.vec()).reshape(shape)
        if len(values) != y.ahead:
            raise NotStreamable("it does not keep the rows that are put before the first step")
        return replace(y, prefix=values, mask=known(y.mask, rows.mask))

    completed = (known(y, rows) for y, rows in zip(outputs, found, strict=True))
    return tuple(y for y in completed if y is not None)


def _constant_rows(x: Tensor) -> Tensor:
    if x.buffer.kind == "const":
        return x
    if x.prefix is None:
        raise NotStreamable("rows before the first step meet a value that is not known there")
    mask = None if x.mask is None else _constant_rows(x.mask)
    return Tensor(const("prefix", x.prefix), x.prefix.shape, time=True, mask=mask)


def _finish(
    model: Model,
    b: Builder,
    order: tuple[int, ...],
    ports: dict[int, Port],
    outputs: list[Tensor],
    following: list[tuple[Tensor, Tensor]],
    shapes: dict[int, tuple[Dim, ...]],
) -> _Result:
    """The program, its results written to output buffers, and to states what they become."""
    warmup = max(x.lead for x in outputs)
    timeless = not any(time_inputs(model))
    names = [model.graph.nodes[ref.node].layer.name for ref in model.graph.outputs]
    targets: list[Port] = []
    renamed: dict[Buffer, Buffer] = {}
    for number, x in enumerate(outputs):
        if b.step and x.lead != warmup:
            raise NotStreamable(
                f"output {names[number]!r} starts after {x.lead} steps, another after {warmup}"
            )
        b.refuse_late(x)
        if b.step and x.time and x.ahead > 0:
            raise NotStreamable(
                f"output {names[number]!r} has {x.ahead} more rows than there are steps"
            )
        if b.step and x.time and x.ahead < 0:
            raise NotStreamable(f"the first row of output {names[number]!r} comes within a step")
        if b.step and b.has_time and not x.time and not x.last and not timeless:
            raise NotStreamable(f"output {names[number]!r} does not depend on the sequence")
        for length in x.shape:
            b.check(length, ">=", 1)
        name = "y" if len(outputs) == 1 else f"y_{number}"
        shape = x.shape
        buffer = Buffer(name, x.size, "output", "float32", None, (), shape)
        port_shape = shape[1:] if b.step and x.time and shape[0] == 1 else shape
        targets.append(Port(names[number], buffer, port_shape, x.time))
        whole = x.buffer.kind == "temp" and x.offset == 0 and x.buffer.size == x.size
        if whole and x.buffer not in renamed and not x.buffer.scope:
            renamed[x.buffer] = buffer  # the layer writes its result straight to the caller
        else:
            with b.block(f"output_{number}", "output", COPIED, 0, x.lead):
                b.copy(buffer.vec(), x.vec())
    with b.block("states", "states", "kept for the next step"):
        carry(b, following)
    blocks = tuple(
        Block(k.name, k.title, map_buffers(k.ops, lambda f: renamed.get(f, f))) for k in b.blocks
    )
    program = Program(
        model.name,
        tuple(ports[number] for number in order),
        tuple(targets),
        tuple(b.states.values()),
        blocks,
        (),
        tuple(b.checks),
    )
    return _Result(program, shapes, warmup, b.fills_up)


def _reports(model: Model, whole: _Result, step: _Result | None) -> tuple[LayerReport, ...]:
    result = whole if step is None else step
    work: dict[str, int] = {}
    # Per step; where there is none and the number of steps is free, the average over many.
    free = step is None and any(time_inputs(model)) and bool(result.program.lengths)
    many = 1024 if free else 1
    for block in result.program.blocks:
        count = macs(block.ops, dict.fromkeys(result.program.lengths, many)) // many
        work[block.name] = work.get(block.name, 0) + count
    reports = []
    for layer in model.layers:
        shape = tuple(n if isinstance(n, int) else None for n in whole.shapes.get(id(layer), ()))
        total = work.get(layer.name, 0)
        reports.append(
            LayerReport(
                layer.name,
                layer.class_name,
                _describe(layer),
                shape,
                layer.parameters,
                total,
                layer.is_stateful,
            )
        )
    return tuple(reports)


def _describe(layer: Layer) -> str:
    if isinstance(layer, Input):
        return "State" if isinstance(layer, State) else "Input"
    return layer.describe
