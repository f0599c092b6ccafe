"""The node tests that the onnx package publishes, as models of this generator.

Each is a graph of one operator, or of what a function stands for, with inputs and what has to come
out. `joined` makes one Model of many of them, so that a target is started once for all.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from codegen.errors import CodegenError
from codegen.lowering import lower
from codegen.model import Array, Graph, Layer, Model, Node, Ref
from codegen.readers import onnx as onnx_reader
from codegen.readers.onnx.table import TABLE
from codegen.readers.options import Options

OPERATORS = frozenset(row.name for row in TABLE)
TOLERANCE = 2e-5  # over 1 + |expected|
# What a test publishes with fewer digits than float32 has, or computes in half types.
ROUGH = 1e-3
ROUNDED = ("averagepool_2d_ceil_last_window_starts_on_pad",)


@dataclass(frozen=True, eq=False)
class NodeTest:
    """One test: the graph, its inputs by name, what has to come out of it."""

    name: str
    proto: Any
    inputs: Sequence[Array]
    expected: Sequence[Array]

    @property
    def operators(self) -> frozenset[str]:
        """The operators in its graph."""
        return frozenset(str(node.op_type) for node in self.proto.graph.node)

    @property
    def operator(self) -> str:
        """The operator that it is for; that of a function's body has several."""
        return " ".join(sorted(self.operators))

    @property
    def is_rough(self) -> bool:
        """Whether what it expects has fewer digits than float32."""
        kinds = {x.dtype.name for x in (*self.inputs, *self.expected)}
        return bool(kinds & {"float16", "bfloat16"}) or self.name.startswith(
            "averagepool_2d_ceil_l"
        )


@cache
def node_tests() -> tuple[NodeTest, ...]:
    """Those that are for supported operators, of tensors of numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = load_model_tests(kind="node")
    found = []
    for one in every:
        if one.model is None or not one.data_sets:
            continue
        operators = {str(node.op_type) for node in one.model.graph.node}
        if not operators <= OPERATORS:
            continue
        inputs, outputs = one.data_sets[0]
        if all(hasattr(x, "dtype") for x in (*inputs, *outputs)):
            arrays = [[np.asarray(x) for x in xs] for xs in (inputs, outputs)]
            found.append(NodeTest(one.name.removeprefix("test_"), one.model, *arrays))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Read:
    """A test that has been read: the Model, and the inputs that it takes."""

    test: NodeTest
    model: Model
    feeds: tuple[Array, ...]


def read(test: NodeTest, folder: Path) -> Read | str:
    """The Model of a test, or why it is refused.

    As many inputs as can be are those of the Model; the others are constants: those that are not
    floats, then all but the first, then all but the last.
    """
    first = ""
    choices: tuple[Callable[[int, Array], bool], ...] = (
        lambda k, x: True,
        lambda k, x: k == 0 or _is_float(x),
        lambda k, x: k == 0,
        lambda k, x: k == len(test.inputs) - 1,
    )
    for choice in choices:
        given = [choice(k, x) for k, x in enumerate(test.inputs)]
        try:
            return _read(test, folder, given)
        except CodegenError as error:
            first = first or str(error)
    return first


def _is_float(x: Array) -> bool:
    return x.dtype.kind == "f" or x.dtype.name == "bfloat16"


def _read(test: NodeTest, folder: Path, given: Sequence[bool]) -> Read:
    proto = onnx.ModelProto()
    proto.CopyFrom(test.proto)
    axes, feeds = {}, []
    for value, x, is_given in zip(proto.graph.input, test.inputs, given, strict=False):
        if is_given:
            axes[value.name] = "_" * x.ndim
            feeds.append(x.astype(np.float32) if _is_float(x) else x)
        else:
            proto.graph.initializer.append(numpy_helper.from_array(x, value.name))
    path = folder / "node.onnx"
    onnx.save(proto, str(path))
    model = onnx_reader.read(path, Options(axes=axes, allow_nonfinite=True))  # not rehearsed
    lower(model)
    return Read(test, model, tuple(feeds))


def joined(reads: Sequence[Read]) -> Model:
    """One Model that has the inputs and outputs of all."""
    nodes: list[Node] = []
    inputs: list[int] = []
    outputs: list[Ref] = []
    for one in reads:
        graph, start = one.model.graph, len(nodes)
        nodes += [_moved(node, start, one.test.name) for node in graph.nodes]
        inputs += [start + number for number in graph.inputs]
        outputs += [Ref(start + ref.node, ref.index) for ref in graph.outputs]
    graph = Graph(tuple(nodes), tuple(inputs), tuple(outputs))
    return replace(reads[0].model, graph=graph, dtype="float32")


def _moved(node: Node, start: int, name: str) -> Node:
    layer: Layer = replace(node.layer, name=f"{name}/{node.layer.name}")
    refs = tuple(Ref(start + ref.node, ref.index) for ref in node.inputs)
    keywords = {
        key: tuple(Ref(start + ref.node, ref.index) for ref in refs)
        for key, refs in node.keywords.items()
    }
    return Node(layer, refs, keywords)


def wrong(one: Read, found: Sequence[Array]) -> str:
    """What is wrong with the outputs, "" where nothing is."""
    for number, (y, wanted) in enumerate(zip(found, one.test.expected, strict=True)):
        exact = np.asarray(wanted).astype(np.float64)
        if np.size(y) != exact.size:
            return f"output {number} is of shape {np.shape(y)}, expected {exact.shape}"
        own = np.reshape(np.asarray(y, np.float64), exact.shape)
        allowed = (ROUGH if one.test.is_rough else TOLERANCE) * (1 + np.abs(exact))
        with np.errstate(invalid="ignore"):
            near = (np.abs(own - exact) <= allowed) | (own == exact)
        near |= np.isnan(own) & np.isnan(exact)
        if not near.all():
            return f"output {number} is {own[~near][:3]}, expected {exact[~near][:3]}"
    return ""


def read_all(tests: Sequence[NodeTest]) -> tuple[list[Read], dict[str, str]]:
    """Those that are read, and the reasons why others are refused, by name."""
    reads, refused = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for test in tests:
            found = read(test, Path(folder))
            if isinstance(found, Read):
                reads.append(found)
            else:
                refused[test.name] = found
    return reads, refused


def outputs_of(reads: Sequence[Read], found: Sequence[Array]) -> Iterator[tuple[Read, list[Array]]]:
    """The outputs of each, of those of all."""
    rest = list(found)
    for one in reads:
        count = len(one.model.graph.outputs)
        yield one, rest[:count]
        rest = rest[count:]
