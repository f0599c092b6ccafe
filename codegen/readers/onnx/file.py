"""An ONNX file: parsed, its size and form checked; nothing is done yet with what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget, Digest
from codegen.readers.onnx.tensors import Tensors
from codegen.readers.options import Options
from codegen.readers.settings import show

FIRST_OPSET = 7
MAX_NODES = 20_000  # of all graphs and functions, each call of a function counted
MAX_DEPTH = 24  # graphs in graphs, calls in calls
BESIDES = 64 * 2**20  # bytes that a file may have besides its weights
_DOMAINS = {"": "", "ai.onnx": ""}


@dataclass
class File:
    """What an ONNX file holds."""

    label: str
    proto: Any  # the ModelProto
    tensors: Tensors
    digest: Digest
    path: Path
    opsets: dict[str, int] = field(default_factory=dict)
    functions: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def writer(self) -> str:
        """The program that wrote it, with its version."""
        name, version = str(self.proto.producer_name), str(self.proto.producer_version)
        known = {"pytorch": "PyTorch"}.get(name, name)
        return " ".join(part for part in (known, version.partition("+")[0]) if part)

    def initialisers(self, graph: Any) -> dict[str, Array]:
        """The arrays that stand in a graph, by name."""
        found: dict[str, Array] = {}
        both = [(str(t.name), t, self.tensors.array) for t in graph.initializer]
        both += [(str(t.values.name), t, self.tensors.sparse) for t in graph.sparse_initializer]
        for name, tensor, read in both:
            if not name or name in found:
                raise ReadError(f"{self.label}: two tensors, or one, are called {show(name)}")
            found[name] = read(tensor)
        return found

    def short_digest(self) -> str:
        """Of the file, and of what has been read beside it."""
        for path in sorted(self.tensors.files):
            self.digest.add(path)
        return self.digest.short


def opened(path: Path, options: Options) -> File:
    """The file, or a ReadError that says what is wrong with its form."""
    label = path.name
    try:
        if path.stat().st_size > options.max_bytes + BESIDES:
            raise ReadError(
                f"{label}: {path.stat().st_size:,} bytes, more than {options.max_bytes:,}; "
                "raise the limit (--max-bytes) if you trust the file"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{label}: cannot be read ({error.strerror})") from None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError):
        raise ReadError(f"{label}: damaged file: it is no ONNX model") from None
    digest = Digest()
    digest.add(path)
    budget = Budget(options.max_bytes)
    found = File(label, proto, Tensors(label, path.parent, budget), digest, path)
    found.opsets = opsets(proto.opset_import)
    version = found.opsets.get("", 0)
    newest = onnx.defs.onnx_opset_version()
    if not proto.graph.node:
        raise ReadError(f"{label}: its graph has no nodes")
    if not FIRST_OPSET <= version <= newest:
        way = (
            "convert it with onnx.version_converter"
            if version < FIRST_OPSET
            else "install a newer onnx package"
        )
        raise ReadError(
            f"{label}: its operators are of version (opset) {version}, expected {FIRST_OPSET} to "
            f"{newest}; {way}"
        )
    for function in proto.functions:
        key = (_DOMAINS.get(function.domain, function.domain), str(function.name))
        if key in found.functions:
            raise ReadError(f"{label}: two functions are called {show(key[1])}")
        found.functions[key] = function
    return found


def opsets(imports: Any) -> dict[str, int]:
    """The versions of the operators, by domain."""
    return {_DOMAINS.get(one.domain, str(one.domain)): int(one.version) for one in imports}


def counted(graph: Any) -> dict[str, int]:
    """How often each name is read in a graph, in the graphs inside it, and as an output."""
    uses: dict[str, int] = {}
    waiting = [graph]
    while waiting:
        one = waiting.pop()
        outputs = [o if isinstance(o, str) else o.name for o in one.output]
        for name in (*(n for node in one.node for n in node.input), *outputs):
            uses[name] = uses.get(name, 0) + 1
        waiting += [a.g for node in one.node for a in node.attribute if a.HasField("g")]
    return uses
