"""The calls of a traced module, one by one, to canonical layers.

Layers here have no batch axis, so each value keeps where torch has it. What comes out is compared
with what the module itself gives on the example.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError, LayerError, ReadError
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.layers.reshaping import Flatten, Reshape
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref, Unsupported
from codegen.program.evaluate import Reference
from codegen.readers.options import Options
from codegen.readers.settings import Config
from codegen.readers.torch import layers
from codegen.readers.torch.live import functions
from codegen.readers.torch.live.trace import Trace, evaluating, trace
from codegen.readers.torch.live.values import Final, StateIn, Value
from codegen.readers.torch.tensors import STORED, Stored

TOLERANCE = 1e-4  # of 1 + |expected|: torch computes in float32, the interpreter in float64


def read(source: Any, example: Any, states: Mapping[str, Any], options: Options) -> Model:
    """The model of a live module; `states` names arguments and the outputs that they become."""
    given = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    if not given or any(x is None for x in given[:1]):
        raise ReadError("a live torch module needs example=(x,), tensors as it takes them")
    found = trace(source, given, tuple(states))
    model = Walk(found, states, options).model()
    _compare(model, found, states)
    return model


class Walk:
    """Turns a trace into a graph."""

    def __init__(self, found: Trace, states: Mapping[str, Any], options: Options) -> None:
        self.torch = found.torch
        self._trace = found
        self._states = dict(states)
        self._options = options
        self._label = type(found.module).__name__
        self._nodes: list[Node] = []
        self._inputs: list[int] = []
        self._values: dict[Any, Any] = {}
        self._built: dict[tuple[str, int], tuple[Layer, ...]] = {}
        self._is_double = False
        self.used_states: dict[str, None] = {}

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
        self._check_states()
        outputs = self._outputs(ends)
        nodes = [self._typed(number) for number in range(len(self._nodes))]
        version = str(self.torch.__version__).partition("+")[0]
        return Model(
            name=self._label,
            graph=Graph(tuple(nodes), tuple(self._inputs), outputs),
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
            return StateIn(name)
        if name not in self._trace.given:
            return self._trace.arguments.get(name)
        x = self._trace.arguments[name]
        if not isinstance(x, self.torch.Tensor):
            raise ReadError(f"{self._label}: argument {name!r} is no tensor")
        if x.ndim < 2:
            raise ReadError(
                f"{self._label}: argument {name!r} has {x.ndim} axes, expected the batch axis first"
            )
        shape = tuple(int(n) for n in x.shape)
        self._inputs.append(len(self._nodes))
        return Value(self.add(Input(name=name, class_name="Input", shape=shape[1:]), ()), shape)

    def _typed(self, number: int) -> Node:
        """The node; an input of whole numbers is int32."""
        node = self._nodes[number]
        if isinstance(node.layer, Input):
            x = self._trace.arguments[node.layer.name]
            if not x.is_floating_point():
                return Node(replace(node.layer, dtype="int32"))
        return node

    def _outputs(self, value: Any) -> tuple[Ref, ...]:
        """References to what is returned, without the states."""
        if isinstance(value, dict):
            entries = {str(key): part for key, part in value.items()}
        elif isinstance(value, (tuple, list)):
            entries = {str(number): part for number, part in enumerate(value)}
        else:
            entries = {"0": value}
        for name, place in self._states.items():
            if str(place) not in entries:
                raise ReadError(
                    f"{self._label}: state {name!r} is to be output {place!r}; there are "
                    f"{', '.join(entries)}"
                )
            del entries[str(place)]
        wrong = [name for name, part in entries.items() if not isinstance(part, Value)]
        if wrong or not entries:
            raise ReadError(
                f"{self._label}: output {', '.join(wrong) or 'none'} is no tensor of the model; "
                "give final states of a recurrent layer by states={argument: output}, or one of "
                "its layers, h[-1]"
            )
        return tuple(part.ref for part in entries.values())

    def _check_states(self) -> None:
        unused = [name for name in self._states if name not in self.used_states]
        if unused:
            raise ReadError(
                f"{self._label}: state {unused[0]!r} is not the initial state of an nn.GRU, "
                "nn.LSTM or nn.RNN"
            )

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
        if kind in ("GRU", "LSTM", "RNN"):
            return self._recurrent(node, module, x, given[1] if len(given) > 1 else None)
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
                    options[option] = _plain(getattr(module, option))
            tensors = {n: self._stored(t) for n, t in module.state_dict().items()}
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

    def _stored(self, tensor: Any) -> Stored:
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
        """Where the call stands in the user's code."""
        library = Path(self.torch.__file__).parent
        found = re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
        own = [(Path(name), line) for name, line in found if library not in Path(name).parents]
        return f" ({own[-1][0].name}:{own[-1][1]})" if own else ""

    # ---- recurrent modules --------------------------------------------------------------------

    def _recurrent(self, node: Any, module: Any, x: Value, initial: Any) -> Any:
        if x.rank != 3:
            raise LayerError(f"its input has {x.rank} axes, expected (batch, time, features)")
        if x.batch != (0 if module.batch_first else 1):
            raise LayerError("its batch_first is not where the batch axis of its input is")
        built = list(self._layers(str(node.target), module, x, node.name))
        stateful, starts = self._initial(initial, module)
        wanted = any(str(user.target) != "0" and user.args[1:] != (0,) for user in node.users)
        refs = x.ref
        finals: list[list[Value]] = [[] for _ in range(2 if type(module).__name__ == "LSTM" else 1)]
        for number, layer in enumerate(built):
            assert isinstance(layer, (Recurrent, Bidirectional))
            if wanted or stateful:
                layer = _keeping(layer, stateful)  # noqa: PLW2901  # the same layer, with states
            turns = 2 if isinstance(layer, Bidirectional) else 1
            keywords: dict[str, tuple[Ref, ...]] = {}
            if starts:
                own = starts[number * turns : (number + 1) * turns]
                keywords["initial_state"] = tuple(value.ref for group in own for value in group)
            refs = self.add(layer, (refs,), **keywords)
            kinds = len(finals)
            for turn in range(turns):
                for role in range(kinds):
                    ref = Ref(refs.node, 1 + turn * kinds + role)
                    finals[role].append(Value(ref, (x.shape[x.batch], -1)))
        width = (module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1)
        y = Value(refs, (*x.shape[:2], width), x.batch)
        states = tuple(Final(tuple(part)) for part in finals)
        return (y, states if len(states) == 2 else states[0])

    def _initial(self, initial: Any, module: Any) -> tuple[bool, list[tuple[Value, ...]]]:
        """Whether the states are those of the call before, else the tensors to start from."""
        parts = initial if isinstance(initial, (tuple, list)) else (initial,)
        if all(part is None or self.is_zero(part) for part in parts):
            return False, []
        if all(isinstance(part, StateIn) for part in parts):
            self.used_states |= {part.name: None for part in parts}
            return True, []
        if all(isinstance(part, Final) for part in parts):
            return False, list(zip(*(part.parts for part in parts), strict=True))
        raise LayerError(
            "its initial state is no zeros, no final state of another layer and not in states={...}"
        )

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
    arguments = [
        value if value is None or name not in states else found.torch.zeros_like(value)
        for name, value in found.arguments.items()
    ]
    with evaluating(found.torch, found.module):
        expected = found.module(*arguments)
    given = [found.arguments[layer.name].detach().cpu().numpy() for layer in model.inputs]
    results = Reference(lowered, len(given[0])).predict(*given)
    entries = expected if isinstance(expected, (tuple, list, dict)) else (expected,)
    named = entries.items() if isinstance(entries, dict) else enumerate(entries)
    places = {str(place) for place in states.values()}
    wanted = [y for name, y in named if str(name) not in places]
    for y, own in zip(wanted, results, strict=True):
        right = y.detach().cpu().double().numpy().reshape(own.shape)
        error = float(np.max(np.abs(own - right) / (1 + np.abs(right)), initial=0.0))
        if not error <= TOLERANCE:
            raise ReadError(
                f"{model.name}: what was traced differs by {error:.2g} from what the module gives "
                "on the example; something in it escapes tracing"
            )
