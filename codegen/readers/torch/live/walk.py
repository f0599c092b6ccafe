"""The calls of a traced module, one by one, to canonical layers.

Layers here have no batch axis, so each value keeps where torch has it. What comes out is compared
with what the module itself gives on the example.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError, LayerError, ReadError
from codegen.layers.operations import Operation
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.layers.reshaping import Flatten, Reshape
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array, Constant, Graph, Input, Layer, Model, Node, Ref, State, Unsupported
from codegen.readers.options import Options
from codegen.readers.settings import Config
from codegen.readers.torch import layers
from codegen.readers.torch.live import functions
from codegen.readers.torch.live.trace import Trace, evaluating, trace
from codegen.readers.torch.live.values import (
    Final,
    NeedsStepError,
    StateIn,
    Value,
    entries,
    leaves,
    rebuilt,
)
from codegen.readers.torch.tensors import STORED, Stored

TOLERANCE = 1e-4  # of 1 + |expected|: torch computes in float32, the interpreter in float64


def read(source: Any, example: Any, states: Mapping[str, Any], options: Options) -> Model:
    """The model of a live module; `states` names arguments and the outputs that they become."""
    given = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    if not given or any(x is None for x in given[:1]):
        raise ReadError("a live torch module needs example=(x,), tensors as it takes them")
    found = trace(source, given, states)
    try:
        model = Walk(found, states, options, by_run=bool(states) and not _has_time(found)).model()
    except NeedsStepError:
        model = Walk(found, states, options, by_run=True).model()
    _compare(model, found, states)
    return model


def _has_time(found: Trace) -> bool:
    """Whether an input besides the states is a sequence: of numbers, or of rows."""
    given = (x for name, x in found.arguments.items() if name not in found.axes)
    return any(getattr(x, "ndim", 0) > 1 + x.is_floating_point() for x in given if x is not None)


class Walk:
    """Turns a trace into a graph.

    A state that goes into a recurrent module, and out of it again, is a state of that layer, and
    the model takes sequences of any length. With `by_run` states may go any way, and one run of
    the module is one step of the model.
    """

    def __init__(
        self, found: Trace, states: Mapping[str, Any], options: Options, by_run: bool = False
    ) -> None:
        self.torch = found.torch
        self._by_run = by_run
        self._trace = found
        self._states = dict(states)
        self._options = options
        self._label = type(found.module).__name__
        self._nodes: list[Node] = []
        self._inputs: list[int] = []
        self._values: dict[Any, Any] = {}
        self._built: dict[tuple[str, int], tuple[Layer, ...]] = {}
        self._is_double = False
        self._next: dict[StateIn, Final] = {}  # what each state becomes
        self._fed: dict[str, list[int]] = {}  # the nodes of states, by run
        self._single: set[int] = set()  # inputs that are sequences of one step, by run

    def model(self) -> Model:
        """The whole model."""
        ends: Any = None
        for node in self._trace.nodes:
            if node.op == "placeholder":
                self._values[node] = self._placeholder(node)
            elif node.op == "output":
                ends = self.resolved(node.args[0])
            else:
                self._values[node] = self._call(node)
        outputs, following = self._outputs(ends)
        graph = Graph(tuple(self._nodes), tuple(self._inputs), outputs)
        if self._by_run:
            fed = tuple(number for name in self._states for number in self._fed.get(name, ()))
            graph = _with_states(graph, fed, following)
        version = str(self.torch.__version__).partition("+")[0]
        return Model(
            name=self._label,
            graph=graph,
            format="torch_module",
            writer=f"PyTorch {version}",
            source=self._label,
            digest=self._digest(),
            dtype="float64" if self._is_double else "float32",
        )

    # ---- inputs and outputs -------------------------------------------------------------------

    def _placeholder(self, node: Any) -> Any:
        name = str(node.target)
        if name in self._states:
            if not self._by_run:
                return StateIn(name)
            axes = leaves(self._trace.axes[name])
            return rebuilt(
                self._trace.arguments[name], lambda path, x: self._state(name, path, x, axes[path])
            )
        if name not in self._trace.given:
            return self._trace.arguments.get(name)
        x = self._trace.arguments[name]
        if not isinstance(x, self.torch.Tensor):
            raise ReadError(f"{self._label}: argument {name!r} is not a tensor")
        if x.ndim < 1 + (x.is_floating_point() or not self._by_run):
            raise ReadError(
                f"{self._label}: argument {name!r} has {x.ndim} axes, expected the batch axis first"
            )
        shape = tuple(int(n) for n in x.shape)
        self._inputs.append(len(self._nodes))
        dtype = "float32" if x.is_floating_point() else "int32"
        given = Input(name=name, class_name="Input", shape=shape[1:], dtype=dtype)
        return Value(self._row_of(given) if self._by_run else self.add(given, ()), shape)

    def _row_of(self, given: Input) -> Ref:
        """The input of one run: a row of the model's, as a sequence of one step if it is one."""
        single = _is_row(given)
        ref = self.add(replace(given, shape=(None, *given.shape[single:])), ())
        if not single:
            return ref
        self._single.add(ref.node)
        step = Reshape(name=f"{given.name}/step", class_name="Reshape", shape=_fixed(given.shape))
        return self.add(step, (ref,))

    def _state(self, name: str, path: tuple[int, ...], x: Any, batch: int) -> Value:
        """A tensor of a state, as an input of the module."""
        shape = tuple(int(n) for n in x.shape)
        own = shape[:batch] + shape[batch + 1 :]
        full = "_".join([name, *map(str, path)])
        ref = self.add(Input(name=full, class_name="Input", shape=own), ())
        self._fed.setdefault(name, []).append(ref.node)
        return Value(ref, shape, batch)

    def _outputs(self, value: Any) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
        """References to what is returned without the states, and by run to the next states."""
        found = entries(value)
        following: list[Ref] = []
        for name, place in self._states.items():
            part = found.pop(str(place))
            if self._by_run:
                following += self._following(name, part)
            elif self._becomes(name) != leaves(part):
                raise NeedsStepError
        wrong = [name for name, part in found.items() if not isinstance(part, Value)]
        if wrong or not found or not self._inputs:
            what = f"output {', '.join(wrong) or 'none'}" if self._inputs else "no input"
            raise ReadError(
                f"{self._label}: {what} is not a tensor of the model; "
                "give final states of a recurrent layer by states={argument: output}, or one of "
                "its layers, h[-1]"
            )
        if self._by_run and self._single.issuperset(self._inputs):
            found = {name: self._row(part) for name, part in found.items()}
        return tuple(part.ref for part in found.values()), tuple(following)

    def _row(self, x: Value) -> Value:
        """What comes out of a sequence of one step, as a row."""
        if x.batch != 0 or x.rank < 3 or x.shape[1] != 1:
            return x
        name = f"{self._nodes[x.ref.node].layer.name}/row"
        layer = Operation(name=name, class_name="squeeze", rule="squeeze", settings={"axis": 1})
        return Value(self.add(layer, (x.ref,)), (x.shape[0], *x.shape[2:]))

    def _becomes(self, name: str) -> dict[tuple[int, ...], Final]:
        """What the parts of a state are after the call, as `leaves` gives them."""
        return {state.path: final for state, final in self._next.items() if state.name == name}

    def _following(self, name: str, part: Any) -> list[Ref]:
        """The tensors of a state after a run."""
        refs = []
        known, axes = leaves(self._trace.arguments[name]), leaves(self._trace.axes[name])
        found = leaves(part)
        for path, before in known.items():
            x = self.joined(found[path])
            shape = tuple(int(n) for n in before.shape)
            if not isinstance(x, Value) or (x.shape, x.batch) != (shape, axes[path]):
                raise ReadError(
                    f"{self._label}: what state {name!r} becomes is not a tensor of the model of "
                    f"shape {list(shape)} with its batch axis at {axes[path]}"
                )
            refs.append(x.ref)
        return refs

    def _digest(self) -> str:
        found = hashlib.sha256(repr(self._trace.nodes).encode())
        for name, tensor in self._trace.module.state_dict().items():
            found.update(name.encode())
            found.update(self._array(tensor).tobytes())
        return found.hexdigest()[:16]

    # ---- calls --------------------------------------------------------------------------------

    def add(self, layer: Layer, refs: Sequence[Ref], **keywords: tuple[Ref, ...]) -> Ref:
        """A new node; the reference to its first output."""
        self._nodes.append(Node(layer, tuple(refs), keywords))
        return Ref(len(self._nodes) - 1)

    def resolved(self, item: Any) -> Any:
        """Arguments of a call with the values that earlier calls gave."""
        if item in self._values if _is_node(item) else False:
            return self._values[item]
        if isinstance(item, (tuple, list)):
            return type(item)(self.resolved(part) for part in item)
        if isinstance(item, dict):
            return {key: self.resolved(part) for key, part in item.items()}
        if isinstance(item, slice):
            return slice(*(self.resolved(n) for n in (item.start, item.stop, item.step)))
        return item

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of what the node gives on the example."""
        found = node.meta.get("tensor_meta")
        return tuple(int(n) for n in getattr(found, "shape", ()))

    def _call(self, node: Any) -> Any:
        args, keywords = self.resolved(node.args), self.resolved(node.kwargs)
        try:
            if node.op == "get_attr":
                return _attribute(self._trace.module, node.target)
            if node.op == "call_module":
                return self._module(node, args, keywords)
            return functions.call(self, node, args, keywords)
        except LayerError as error:
            what = str(node.target if node.op != "call_function" else node.target.__name__)
            message = f"{error}{self._line(node)}"
            layer = Unsupported(name=node.name, class_name=what, message=message)
            return Value(self.add(layer, ()), self.shape(node) or (1, 1))

    def _module(self, node: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        module = self._trace.module.get_submodule(node.target)
        kind = type(module).__name__
        given = [*args, *keywords.values()]
        if not given or not isinstance(given[0], Value):
            raise LayerError(f"its input is {type(given[0]).__name__ if given else 'missing'}")
        x: Value = given[0]
        initial = given[1] if len(given) > 1 else None
        if kind in ("GRU", "LSTM", "RNN"):
            return self._recurrent(node, module, x, initial)
        if kind in ("GRUCell", "LSTMCell", "RNNCell"):
            return self._cell(node, module, x, initial)
        if kind == "Flatten":
            return self.reshaped(node, x)
        if len(given) > 1:
            raise LayerError(f"it is called on {len(given)} arguments")
        if kind not in ("Linear", "LayerNorm", *layers.ELEMENTWISE) and x.batch != 0:
            raise LayerError("the batch axis is not the first of its input")
        built = self._layers(str(node.target), module, x, node.name)
        return self.chain(built, x, self.shape(node))

    def chain(self, built: Sequence[Layer], x: Value, shape: tuple[int, ...]) -> Value:
        """Layers one after the other on `x`."""
        ref = x.ref
        for layer in built:
            ref = self.add(layer, (ref,))
        return Value(ref, shape, x.batch)

    def _layers(self, target: str, module: Any, x: Value, name: str) -> tuple[Layer, ...]:
        """The layers of a module, the same at each call."""
        key = (target, x.rank)
        if key not in self._built:
            kind = layers.KINDS.get(type(module).__name__)
            options: dict[str, Any] = {}
            for option in kind.options if kind is not None else ():
                if hasattr(module, option):
                    value = _plain(getattr(module, option))
                    options[option] = False if option == "bias" and value is None else value
            tensors = {n: self.stored(t) for n, t in module.state_dict().items()}
            self._built[key] = self.build(type(module).__name__, options, tensors, x, name)
        return self._built[key]

    def build(
        self,
        kind: str,
        options: Mapping[str, Any],
        tensors: Mapping[str, Stored],
        x: Value,
        name: str,
    ) -> tuple[Layer, ...]:
        """The layers of a class of torch.nn."""
        bound = layers.Bound(
            name,
            kind,
            Config(options),
            tensors,
            x.rank,
            live=True,
            allow_nonfinite=self._options.allow_nonfinite,
        )
        return layers.build(bound, 1)

    def stored(self, tensor: Any) -> Stored:
        """A parameter or a constant as layers are built of it."""
        dtype = str(tensor.dtype).removeprefix("torch.")
        self._is_double = self._is_double or dtype == "float64"
        shape = tuple(int(n) for n in tensor.shape)
        return Stored(shape, dtype if dtype in STORED else f"{dtype}?", lambda: self._array(tensor))

    def _array(self, tensor: Any) -> Array:
        plain = tensor.detach().cpu()
        if plain.dtype in (self.torch.float16, self.torch.bfloat16):
            plain = plain.float()
        return np.asarray(plain.contiguous().numpy())

    def _line(self, node: Any) -> str:
        """Where the call stands in the user's code.

        Some versions of torch give the whole stack, 2.0 that with the innermost frame first; then
        the frame after that of our tracing is no frame of torch.
        """
        library, tracing = Path(self.torch.__file__).parent, Path(__file__).with_name("trace.py")
        found = re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
        frames = [(Path(name), line) for name, line in found]
        own = [(name, line) for name, line in frames if library not in name.parents]
        if not own:
            return ""
        after = [b for (a, _), (b, _) in pairwise(frames) if a == tracing]
        inner_first = bool(after) and library not in after[0].parents
        name, line = own[0 if inner_first else -1]
        return f" ({name.name}:{line})"

    # ---- recurrent modules --------------------------------------------------------------------

    def _recurrent(self, node: Any, module: Any, x: Value, initial: Any) -> Any:
        if x.rank != 3:
            raise LayerError(f"its input has {x.rank} axes, expected (batch, time, features)")
        if x.batch != (0 if module.batch_first else 1):
            raise LayerError("its batch_first is not where the batch axis of its input is")
        built = list(self._layers(str(node.target), module, x, node.name))
        kinds = 2 if type(module).__name__ == "LSTM" else 1
        stateful = self._carries(initial, kinds)
        starts = [] if stateful else self._starts(node, initial, kinds)
        wanted = any(str(user.target) != "0" and user.args[1:] != (0,) for user in node.users)
        refs = x.ref
        finals: list[list[Value]] = [[] for _ in range(kinds)]
        turns = 2 if module.bidirectional else 1
        for number, layer in enumerate(built):
            assert isinstance(layer, (Recurrent, Bidirectional))
            if wanted or stateful:
                layer = _keeping(layer, stateful)  # noqa: PLW2901  # the same layer, with states
            keywords: dict[str, tuple[Ref, ...]] = {}
            if starts:
                places = range(number * turns, (number + 1) * turns)
                keywords["initial_state"] = tuple(
                    starts[role](place) for place in places for role in range(kinds)
                )
            refs = self.add(layer, (refs,), **keywords)
            for turn in range(turns):
                for role in range(kinds):
                    ref = Ref(refs.node, 1 + turn * kinds + role)
                    width = module.hidden_size if role else module.proj_size or module.hidden_size
                    finals[role].append(Value(ref, (x.shape[x.batch], width)))
        width = (module.proj_size or module.hidden_size) * turns
        y = Value(refs, (*x.shape[:2], width), x.batch)
        states = tuple(Final(tuple(part)) for part in finals)
        if stateful:
            self._next |= dict(zip(_parts(initial, kinds), states, strict=True))
        return (y, states if len(states) == 2 else states[0])

    def _cell(self, node: Any, module: Any, x: Value, initial: Any) -> Any:
        """One call of a GRUCell, LSTMCell or RNNCell."""
        if x.rank != 2:
            raise LayerError(f"its input has {x.rank} axes, expected (batch, features)")
        (layer,) = self._layers(str(node.target), module, x, node.name)
        assert isinstance(layer, Recurrent)
        kinds = len(layer.cell.states)
        parts = (None,) * kinds if initial is None else self.joined(_parts(initial, kinds))
        zeros = self.torch.zeros(1, module.hidden_size)
        starts = tuple(
            part.ref
            if isinstance(part, Value)
            else self._begin(node, zeros if part is None else part)
            for part in parts
        )
        ref = self.add(layer.cell, (x.ref,), states=starts)
        shape = (x.shape[0], int(module.hidden_size))
        states = tuple(Value(Ref(ref.node, 1 + k), shape) for k in range(kinds))
        return states if kinds == 2 else states[0]

    def _begin(self, node: Any, tensor: Any) -> Ref:
        """A start that is a constant, with its batch axis."""
        return self.constant(f"{node.name}/start", self._array(tensor))

    def constant(self, name: str, array: Array) -> Ref:
        """A new node that is a constant; a call may have several."""
        name = f"{name}_{len(self._nodes)}"
        return self.add(Constant(name=name, class_name="Constant", value=array), ())

    def _carries(self, initial: Any, kinds: int) -> bool:
        """Whether its states are those of the call before."""
        parts = _parts(initial, kinds)
        if not any(isinstance(part, StateIn) for part in parts):
            return False
        if not all(isinstance(part, StateIn) and part not in self._next for part in parts):
            raise NeedsStepError
        return True

    def _starts(self, node: Any, initial: Any, kinds: int) -> list[Callable[[int], Ref]]:
        """For h, and c of an LSTM: where each layer and direction starts; none for zeros."""
        parts = _parts(initial, kinds)
        if all(part is None or self.is_zero(part) for part in parts):
            return []
        return [self._start(node, part) for part in parts]

    def _start(self, node: Any, part: Any) -> Callable[[int], Ref]:
        """Layer and direction number k of a start of shape (layers, batch, units)."""
        if isinstance(part, Final):
            return lambda k: part.parts[k].ref
        if isinstance(part, Value):
            if part.rank != 3 or part.batch != 1:
                raise LayerError("its initial state is not of shape (layers, batch, units)")
            return lambda k: self.add(
                Operation(
                    name=f"{node.name}/start_{k}",
                    class_name="getitem",
                    rule="get_item",
                    settings={"items": (k,)},
                ),
                (part.ref,),
            )
        if not isinstance(part, self.torch.Tensor) or part.ndim != 3:
            raise LayerError("its initial state is not a tensor of shape (layers, batch, units)")
        return lambda k: self._begin(node, part[k])

    def value(self, final: Final) -> Value:
        """Final states as one tensor of shape (layers, batch, units)."""
        first = final.parts[0]
        name = f"{self._nodes[first.ref.node].layer.name}/states"
        refs = [part.ref for part in final.parts]
        layer = Operation(name=name, class_name="stack", rule="stack", settings={"axis": 1})
        ref = self.add(layer, refs)
        return Value(ref, (len(refs), *first.shape), 1)

    def joined(self, item: Any) -> Any:
        """Arguments in which final states are tensors; a state by sequence can be no argument."""
        if isinstance(item, StateIn):
            raise NeedsStepError
        if isinstance(item, Final):
            return self.value(item)
        if isinstance(item, (tuple, list)):
            return type(item)(self.joined(part) for part in item)
        if isinstance(item, dict):
            return {key: self.joined(part) for key, part in item.items()}
        return item

    def is_zero(self, value: Any) -> bool:
        """Whether a constant is zeros."""
        return isinstance(value, self.torch.Tensor) and not bool(value.any())

    # ---- shapes -------------------------------------------------------------------------------

    def reshaped(self, node: Any, x: Value) -> Value:
        """The same elements in the shape that the node gives."""
        shape = self.shape(node)
        if shape == x.shape:
            return x
        if x.batch != 0 or not shape or shape[0] != x.shape[0]:
            raise LayerError("it moves the batch axis, or joins it with another")
        name: dict[str, Any] = {"name": node.name, "class_name": "Reshape"}
        layer = Flatten(**name) if len(shape) == 2 else Reshape(**name, shape=shape[1:])
        return Value(self.add(layer, (x.ref,)), shape)

    def tensor(self, value: Any) -> Array:
        """The numbers of a constant."""
        return self._array(value)


def _keeping(layer: Recurrent | Bidirectional, stateful: bool) -> Layer:
    if isinstance(layer, Recurrent):
        return replace(layer, return_state=True, stateful=stateful)
    return replace(
        layer,
        forward=replace(layer.forward, stateful=stateful),
        backward=replace(layer.backward, stateful=stateful),
        return_state=True,
        stateful_carried=stateful,
    )


def _parts(initial: Any, kinds: int) -> tuple[Any, ...]:
    """The states h, and c of an LSTM, which come as one or as a tuple of two."""
    if isinstance(initial, StateIn) and kinds == 2:
        return tuple(replace(initial, path=(*initial.path, role)) for role in range(kinds))
    found = tuple(initial) if isinstance(initial, (tuple, list)) else (initial,) * kinds
    if len(found) != kinds or (kinds == 2 and initial is not None and found[0] is initial):
        raise LayerError(f"its initial state is no {'pair (h, c)' if kinds == 2 else 'tensor h'}")
    return found


def _with_states(graph: Graph, fed: Sequence[int], following: Sequence[Ref]) -> Graph:
    """The graph whose inputs `fed` are states, which become `following`."""
    nodes = list(graph.nodes)
    for number in fed:
        layer = nodes[number].layer
        assert isinstance(layer, Input)
        nodes[number] = Node(State(name=layer.name, class_name="State", shape=layer.shape))
    states = dict(zip(fed, following, strict=True))
    return replace(graph, nodes=tuple(nodes), states=states)


def _fixed(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n is not None)


def _is_row(layer: Input) -> bool:
    """Whether it is an input of one step of a sequence."""
    return len(layer.shape) > (layer.dtype != "int32") and layer.shape[0] == 1


def _is_node(item: Any) -> bool:
    return type(item).__name__ == "Node" and hasattr(item, "op")


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def _plain(value: Any) -> Any:
    """An attribute of a module as an option: a parameter stands for its being there."""
    if hasattr(value, "detach"):
        return True
    return list(value) if isinstance(value, tuple) else value


def _compare(model: Model, found: Trace, states: Mapping[str, Any]) -> None:
    """Refuse a model that does not compute on the example what the module does."""
    try:
        lowered = lower(model)
    except CodegenError:
        return  # it is refused anyway, with every reason
    names = [layer.name for layer in model.inputs]
    given = [found.arguments[name].detach().cpu().numpy() for name in names]
    shapes = [tuple(n or 1 for n in layer.shape) for layer in model.inputs]
    if model.graph.states:
        given = [x.reshape(len(x), *shape) for x, shape in zip(given, shapes, strict=True)]
    reference = Reference(lowered, len(given[0]))
    arguments = {n: None if n in found.defaults else x for n, x in found.arguments.items()}
    for _ in range(2 if states else 1):
        with evaluating(found.torch, found.module):
            expected = entries(found.module(*arguments.values()))
        arguments |= {name: expected.pop(str(place)) for name, place in states.items()}
        _differ(model, list(expected.values()), reference.predict(*given))


def _differ(model: Model, wanted: Sequence[Any], results: Sequence[Array]) -> None:
    for y, own in zip(wanted, results, strict=True):
        right = y.detach().cpu().double().numpy().reshape(own.shape)
        error = float(np.max(np.abs(own - right) / (1 + np.abs(right)), initial=0.0))
        if not error <= TOLERANCE:
            raise ReadError(
                f"{model.name}: what was traced differs by {error:.2g} from what the module gives "
                "on the example; something in it escapes tracing"
            )
