"""A module as a list of calls (torch.fx), with what comes out of each on the example."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import ReadError


def is_module(source: object) -> bool:
    """Whether the object is a module of a torch that has been imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


@dataclass(frozen=True)
class Trace:
    """What the module computes, call by call."""

    torch: Any
    module: Any  # in evaluation mode
    nodes: Sequence[Any]  # of torch.fx, each with its `meta`
    arguments: dict[str, Any]  # of forward, on the example
    given: tuple[str, ...]  # those that are tensors


def trace(source: Any, example: Sequence[Any], states: Sequence[str]) -> Trace:
    """Trace `source` on an example; a ReadError names the line that cannot be traced."""
    torch = importlib.import_module("torch")
    fx = importlib.import_module("torch.fx")
    props = importlib.import_module("torch.fx.passes.shape_prop")
    label = type(source).__name__
    arguments = _arguments(source, example, label)
    given = tuple(name for name, value in arguments.items() if value is not None or name in states)
    fixed = {name: value for name, value in arguments.items() if name not in given}
    try:
        tracer = fx.Tracer()
        tracer.record_stack_traces = True
        with evaluating(torch, source):
            graph = tracer.trace(source, concrete_args=fixed or None)
            module = fx.GraphModule(source, graph)
            props.ShapeProp(module).propagate(*arguments.values())
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        where = _where(error, Path(str(torch.__file__)).parent)
        raise ReadError(
            f"{label}: cannot be traced{where}: {type(error).__name__}: {reason}; control "
            "flow that depends on the values of tensors has no fixed equations"
        ) from error
    return Trace(torch, source, tuple(graph.nodes), arguments, given)


@contextmanager
def evaluating(torch: Any, module: Any) -> Iterator[None]:
    """The module in evaluation mode, without gradients and without torch's warnings."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for part, training in before:
            part.training = training


def _arguments(source: Any, example: Sequence[Any], label: str) -> dict[str, Any]:
    """The arguments of forward by name: the example's first, then defaults."""
    found: dict[str, Any] = {}
    parameters = list(inspect.signature(source.forward).parameters.values())
    for number, parameter in enumerate(parameters):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if number < len(example):
                raise ReadError(f"{label}: forward takes any number of arguments")
            continue
        if number < len(example):
            found[parameter.name] = example[number]
        elif parameter.default is not parameter.empty:
            found[parameter.name] = parameter.default
        else:
            raise ReadError(f"{label}: example has no value for {parameter.name!r}")
    if len(example) > len(found):
        raise ReadError(f"{label}: forward takes {len(found)} arguments, not {len(example)}")
    return found


def _where(error: Exception, library: Path) -> str:
    """The last line of the user's own code that led to an error."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if library not in Path(frame.filename).parents and frame.filename != __file__
    ]
    frames = [frame for frame in own if frame.line]
    if not frames:
        return ""
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].line})"
