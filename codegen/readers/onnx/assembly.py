"""The nodes of a graph one after another: computed where all is known, else layers of the Model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from codegen.errors import LayerError, ReadError
from codegen.model import Array, Layer, Node, Ref, Unsupported
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.file import MAX_DEPTH, MAX_NODES, File, counted, opsets
from codegen.readers.onnx.folding import fold
from codegen.readers.onnx.scope import MISSING, Scope
from codegen.readers.onnx.table import Operator, Result, operator
from codegen.readers.onnx.values import Operand, Refused, Value
from codegen.readers.options import Options
from codegen.readers.settings import Config, clean, show

LONGEST_NAME = 120
MAX_RANK = 16


@dataclass(frozen=True)
class Body:
    """A graph with its arrays, and how often each name is read in it."""

    graph: Any
    arrays: Mapping[str, Array]
    uses: Mapping[str, int]

    def run(self, assembly: Assembly, scope: Scope) -> list[Operand]:
        """What the outputs stand for; `scope` has the inputs."""
        scope.names = {**self.arrays, **scope.names}
        scope.uses = self.uses
        assembly.walk(self.graph.node, scope)
        return assembly.outputs(self.graph, scope)


@dataclass
class Assembly:
    """The nodes of the Model so far."""

    file: File
    options: Options
    nodes: list[Node] = field(default_factory=list)
    walked: int = 0
    is_double: bool = False
    names: dict[str, int] = field(default_factory=dict)  # how often each has been asked for

    # ---- what calls make ----------------------------------------------------------------------

    def add(self, layer: Layer, refs: Sequence[Ref], **keywords: tuple[Ref, ...]) -> Ref:
        """A new node; the reference to its first output."""
        self.nodes.append(Node(layer, tuple(refs), keywords))
        return Ref(len(self.nodes) - 1)

    def unique(self, name: str) -> str:
        """The name, or it with a number that no other has."""
        found = name
        while found in self.names:
            self.names[name] += 1
            found = f"{name}_{self.names[name]}"
        self.names[found] = 1
        return found

    def note_type(self, array: Array) -> None:
        """Remember that a layer holds numbers of this type."""
        self.is_double = self.is_double or array.dtype == np.float64

    def refuse(self, name: str, op: str, message: str) -> Refused:
        """Stands for what comes out of a node that cannot be converted."""
        layer = Unsupported(name=self.unique(name), class_name=op, message=message)
        return Refused(self.add(layer, ()))

    # ---- graphs -------------------------------------------------------------------------------

    def graph(self, graph: Any, scope: Scope) -> list[Operand]:
        """What the outputs of a graph stand for; `scope` has its inputs."""
        return self.body(graph).run(self, scope)

    def body(self, graph: Any) -> Body:
        """A graph that may be walked many times."""
        return Body(graph, self.file.initialisers(graph), counted(graph))

    def outputs(self, graph: Any, scope: Scope) -> list[Operand]:
        """What the outputs of a graph that has been walked stand for."""
        return [self._found(scope, str(output.name), "an output") for output in graph.output]

    def walk(self, nodes: Any, scope: Scope) -> None:
        """The nodes in their order."""
        if scope.depth > MAX_DEPTH:
            raise ReadError(f"{self.file.label}: graphs in graphs, more than {MAX_DEPTH} deep")
        for node in nodes:
            self.walked += 1
            if self.walked > MAX_NODES:
                raise ReadError(
                    f"{self.file.label}: more than {MAX_NODES:,} nodes, calls of functions counted"
                )
            self._node(_resolved(node, scope.given), scope)

    def _found(self, scope: Scope, name: str, what: str) -> Any:
        found = scope.find(name)
        if found is MISSING:
            raise ReadError(
                f"{self.file.label}: {what} is {show(name)}, which no node before it gives: a name "
                "is missing, or nodes go round in a circle"
            )
        return found

    # ---- nodes --------------------------------------------------------------------------------

    def _node(self, node: Any, scope: Scope) -> None:
        name = scope.prefix + (_name(node) or "node")
        what = f"an input of node {show(name)} ({node.op_type})"
        operands = [self._found(scope, n, what) if n else None for n in node.input]
        for output in node.output:
            if output and output in scope.names:
                raise ReadError(f"{self.file.label}: two nodes give {show(output)}")
        results: Sequence[Any]
        refused = next((x for x in operands if isinstance(x, Refused)), None)
        try:
            found = self._results(node, scope, name, operands, refused)
            results = found if isinstance(found, (tuple, list)) else (found,)
            if len(results) < sum(1 for n in node.output if n):
                raise LayerError(f"it has {len(node.output)} outputs, expected {len(results)}")
        except LayerError as error:
            results = (self.refuse(name, str(node.op_type), str(error)),) * len(node.output)
        for output, value in zip(node.output, results, strict=False):
            if output:
                scope.names[output] = value

    def _results(
        self,
        node: Any,
        scope: Scope,
        name: str,
        operands: Sequence[Operand],
        refused: Refused | None,
    ) -> Result:
        op, domain = str(node.op_type), str(node.domain)
        function = self.file.functions.get(("" if domain == "ai.onnx" else domain, op))
        if function is not None:
            return self._function(function, node, scope, name, operands)
        if domain not in ("", "ai.onnx"):
            raise LayerError(f"an operator of {domain}; those of ONNX itself are supported")
        graphs = {a.name: a.g for a in node.attribute if a.HasField("g")}
        opset = scope.opset("")
        row = operator(op, opset)
        _check_inputs(node, op, opset)
        all_known = all(x is None or isinstance(x, np.ndarray) for x in operands)
        if all_known and not graphs and not (row and row.always):
            return fold(node, opset, [x for x in operands if not isinstance(x, (Value, Refused))])
        if row is None:
            raise LayerError(_unknown(op, opset))
        if refused is not None:
            return (refused,) * len(node.output)
        call = Call(
            self,
            scope,
            self._short(name),
            op,
            opset,
            self._attributes(node),
            operands,
            tuple(bool(n) and scope.uses.get(n, 0) > 0 for n in node.output),
            node,
            graphs,
        )
        return _read(row, call)

    def _short(self, name: str) -> str:
        return name if len(name) <= LONGEST_NAME else name[-LONGEST_NAME:]

    def _attributes(self, node: Any) -> Config:
        """The attributes of a node as plain numbers, texts and arrays, without its graphs."""
        kinds = onnx.AttributeProto
        found: dict[str, Any] = {}
        for one in node.attribute:
            if one.type == kinds.TENSOR:
                value: Any = self.file.tensors.array(one.t)
            elif one.type == kinds.SPARSE_TENSOR:
                value = self.file.tensors.sparse(one.sparse_tensor)
            elif one.type == kinds.STRING:
                value = one.s.decode("utf-8", "replace")
            elif one.type == kinds.STRINGS:
                value = tuple(text.decode("utf-8", "replace") for text in one.strings)
            elif one.type in (kinds.INT, kinds.FLOAT):
                value = one.i if one.type == kinds.INT else one.f
            elif one.type in (kinds.INTS, kinds.FLOATS):
                value = tuple(one.ints if one.type == kinds.INTS else one.floats)
            elif one.type == kinds.GRAPH:
                continue
            else:
                raise LayerError(f"its attribute {show(one.name)} is of a kind that is not read")
            found[str(one.name)] = value
        return Config(found)

    def _function(
        self, function: Any, node: Any, scope: Scope, name: str, operands: Sequence[Operand]
    ) -> Result:
        """The body of a function in the place of its call."""
        given = {str(a.name): a for a in function.attribute_proto}
        given.update({str(a.name): a for a in node.attribute})
        own = Scope(
            {**scope.opsets, **opsets(function.opset_import)},
            None,
            f"{name}/",
            scope.depth + 1,
            given,
            counted(function),
        )
        padded = [*operands, *[None] * (len(function.input) - len(operands))]
        own.names.update(zip(map(str, function.input), padded, strict=False))
        self.walk(function.node, own)
        return [self._found(own, str(output), "an output") for output in function.output]


def _read(row: Operator, call: Call) -> Result:
    """What the rule of an operator gives, if it has read all that the node says."""
    found = row.rule(call)
    results = found if isinstance(found, (tuple, list)) else (found,)
    most = max((x.rank for x in results if isinstance(x, Value)), default=0)
    if most > MAX_RANK:
        raise LayerError(f"it gives {most} axes, at most {MAX_RANK} are supported")
    unread = [key for key in call.attributes.unread if key not in row.ignored]
    if unread:
        raise LayerError(f"its attribute {show(unread[0])} is not known")
    return found


def _check_inputs(node: Any, op: str, opset: int) -> None:
    """Refuse a node with inputs that its operator has not, or without some that it needs."""
    try:
        schema = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return  # no operator of this opset, which is told elsewhere
    count = len(node.input)
    if not schema.min_input <= count <= schema.max_input:
        most = "" if schema.max_input == schema.min_input else f" to {schema.max_input}"
        raise LayerError(f"it has {count} inputs, expected {schema.min_input}{most}")
    for name, formal in zip(node.input, schema.inputs, strict=False):
        if not name and formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
            raise LayerError(f"its input {formal.name} is left out")


def _unknown(op: str, opset: int) -> str:
    try:
        onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return f"opset {opset} has no such operator"
    if op.startswith(("QLinear", "Quantize", "Dequantize", "DynamicQuantize")) or "Integer" in op:
        return (
            "the integers of a quantised model are not kept, but for weights; convert the model of "
            "floats, with --quantize if it is to be one of integers"
        )
    return "this operator is not supported"


def _name(node: Any) -> str:
    """The name of a node, or of its first output."""
    named = node.name or next((n for n in node.output if n), "")
    return (clean(named) or "").strip("/")


def _resolved(node: Any, given: Mapping[str, Any]) -> Any:
    """The node with the attributes that the call of its function gives."""
    if not any(a.ref_attr_name for a in node.attribute):
        return node
    found = onnx.NodeProto()
    found.CopyFrom(node)
    del found.attribute[:]
    for one in node.attribute:
        source = given.get(one.ref_attr_name) if one.ref_attr_name else one
        if source is not None:
            added = found.attribute.add()
            added.CopyFrom(source)
            added.name = one.name
    return found
