"""A module as a list of calls (torch.fx), with what comes out of each on the example."""

from __future__ import annotations

import importlib
import inspect
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import ReadError
from codegen.readers.torch.live.states import starts


@dataclass(frozen=True)
class Trace:
    """What the module computes, call by call."""

    torch: Any
    module: Any  # in evaluation mode
    nodes: Sequence[Any]  # of torch.fx, each with its `meta`
    arguments: dict[str, Any]  # of forward, on the example; zeros for states
    given: tuple[str, ...]  # those that are tensors
    axes: Mapping[str, Any]  # the batch axes of states
    defaults: tuple[str, ...]  # states for which the example has None


def trace(source: Any, example: Sequence[Any], states: Mapping[str, Any]) -> Trace:
    """Trace `source` on an example; a ReadError names the line that cannot be traced."""
    torch = importlib.import_module("torch")
    fx = importlib.import_module("torch.fx")
    props = importlib.import_module("torch.fx.passes.shape_prop")
    label = type(source).__name__
    arguments = _arguments(source, example, label)
    axes: dict[str, Any] = {}
    defaults = tuple(name for name in states if arguments.get(name) is None)
    if states:
        with evaluating(torch, source):
            zeros, axes = starts(torch, source, arguments, states, label)
        arguments |= zeros
    given = tuple(name for name, value in arguments.items() if value is not None)
    fixed = {name: value for name, value in arguments.items() if name not in given}
    try:
        tracer = fx.Tracer()
        tracer.record_stack_traces = True
        with evaluating(torch, source), _recorded(torch, fx):
            graph = tracer.trace(source, concrete_args=fixed or None)
        with evaluating(torch, source):
            module = fx.GraphModule(source, graph)
            props.ShapeProp(module).propagate(*arguments.values())
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        where = _where(error, Path(str(torch.__file__)).parent)
        raise ReadError(
            f"{label}: cannot be traced{where}: {type(error).__name__}: {reason}; "
            f"{_LOOP if isinstance(error, _UNROLLED) and _is_loop(reason) else _CONTROL}"
        ) from error
    return Trace(torch, source, tuple(graph.nodes), arguments, given, axes, defaults)


_CONTROL = "control flow that depends on the values of tensors has no fixed equations"
_LOOP = (
    "a loop over the steps of a tensor has no fixed equations: read a module of one step, such as "
    'forward(self, x, h) -> (y, h), with states={"h": 1}, or call nn.GRU, nn.LSTM or nn.RNN on the '
    "whole sequence"
)
_UNROLLED = (TypeError, ValueError)


def _is_loop(reason: str) -> bool:
    """Whether it was asked how often to turn: `range(x.shape[1])`, `for row in x`."""
    return "interpreted as an integer" in reason or "cannot be iterated" in reason


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


# What makes a tensor of nothing but a shape, which torch.fx does not follow: `x.size(0)` is in it.
_FACTORIES = ("zeros", "ones", "full", "empty", "arange")


@contextmanager
def _recorded(torch: Any, fx: Any) -> Iterator[None]:
    """Calls that make constants of shapes that are being traced become calls of the graph."""
    before = {name: getattr(torch, name) for name in _FACTORIES}

    def recording(made: Any) -> Any:
        def call(*args: Any, **keywords: Any) -> Any:
            found: list[Any] = []
            fx.node.map_aggregate((args, keywords), found.append)
            traced = [item for item in found if isinstance(item, fx.Proxy)]
            if not traced:
                return made(*args, **keywords)
            return traced[0].tracer.create_proxy("call_function", made, args, keywords)

        return call

    for name, made in before.items():
        setattr(torch, name, recording(made))
    try:
        yield
    finally:
        for name, made in before.items():
            setattr(torch, name, made)


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
