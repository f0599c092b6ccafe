"""The Model of an ONNX file: its inputs, its nodes, its outputs and its states."""

from __future__ import annotations

from pathlib import Path

from codegen.model import Model
from codegen.readers.onnx.assembly import Assembly
from codegen.readers.onnx.file import opened
from codegen.readers.onnx.signature import Signature
from codegen.readers.options import Options


def read(path: Path, options: Options) -> Model:
    """The model of a file."""
    file = opened(path, options)
    assembly = Assembly(file, options)
    signature = Signature(file, options, assembly)
    graph = signature.graph()
    if options.initial_state is not None:
        file.digest.add(options.initial_state)
    return Model(
        name="model",
        graph=graph,
        format="onnx",
        writer=file.writer,
        source=file.label,
        digest=file.short_digest(),
        dtype="float64" if assembly.is_double else "float32",
        proposed_states=signature.proposed(),
    )
