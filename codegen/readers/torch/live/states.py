"""States that go in and out of a live module: zeros like them, and which axis is the batch axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codegen.errors import ReadError
from codegen.readers.torch.live.values import entries, leaves, rebuilt

MAX_TRIES = 64

Named = dict[str, Any]  # a tensor, or a tuple of tensors, by the name of the argument


def starts(
    torch: Any, module: Any, arguments: Mapping[str, Any], states: Mapping[str, Any], label: str
) -> tuple[Named, Named]:
    """For each argument that is a state, zeros like it, and the batch axes of its tensors.

    The shapes are those of the outputs that are the states for the next call.
    """
    found = _returned(module, arguments, states, label)
    zeros = {
        name: rebuilt(value, lambda _, x: torch.zeros_like(x)) for name, value in found.items()
    }
    for name, value in zeros.items():
        given = arguments[name]
        if given is not None and _shapes(given) != _shapes(value):
            raise ReadError(
                f"{label}: state {name!r} goes in as {_shown(given)} and comes out as "
                f"{_shown(value)}; both have to be the same"
            )
    return zeros, _batch_axes(torch, module, arguments, states, zeros, label)


def _returned(module: Any, arguments: Mapping[str, Any], states: Named | Any, label: str) -> Named:
    """The outputs that are the next states."""
    outputs = entries(module(*arguments.values()))
    found: Named = {}
    for name, place in states.items():
        if name not in arguments:
            raise ReadError(
                f"{label}: forward has no argument {name!r} to be a state; there are "
                f"{', '.join(arguments)}"
            )
        if str(place) not in outputs:
            raise ReadError(
                f"{label}: state {name!r} is to be output {place!r}; there are {', '.join(outputs)}"
            )
        found[name] = outputs[str(place)]
        if not all(hasattr(x, "detach") for x in leaves(found[name]).values()):
            raise ReadError(f"{label}: output {place!r}, the next {name!r}, holds no tensors")
    return found


def _shapes(value: Any) -> dict[tuple[int, ...], tuple[int, ...]]:
    return {path: tuple(getattr(x, "shape", ())) for path, x in leaves(value).items()}


def _shown(value: Any) -> str:
    return " and ".join(str(list(shape)) for shape in _shapes(value).values())


def _batch_axes(
    torch: Any,
    module: Any,
    arguments: Mapping[str, Any],
    states: Mapping[str, Any],
    zeros: Named,
    label: str,
) -> Named:
    """The batch axis of each tensor: the one that grows when the example is given twice."""
    batch = next((len(x) for x in _inputs(arguments, states).values() if hasattr(x, "shape")), 1)
    choices = list(itertools.islice(_choices(zeros, batch), MAX_TRIES))
    for axes in choices:
        twice = {
            name: torch.cat([x, x]) if hasattr(x, "shape") else x for name, x in arguments.items()
        }
        for name in states:
            twice[name] = None if arguments[name] is None else _twice(torch, zeros, axes, name)
        try:
            found = _returned(module, twice, states, label)
            grown = {name: _grown(zeros[name], found[name]) for name in states}
        except Exception:  # noqa: BLE001,S112  # a module of someone else, on a guess
            continue
        if all(arguments[name] is None or grown[name] == axes[name] for name in states):
            return grown
    if len(choices) == 1:  # the module takes this number of samples alone
        return choices[0]
    raise ReadError(
        f"{label}: which axis of its states is the batch axis cannot be told from one sample; give "
        "an example of two"
    )


def _inputs(arguments: Mapping[str, Any], states: Mapping[str, Any]) -> Named:
    return {name: x for name, x in arguments.items() if name not in states}


def _choices(zeros: Named, batch: int) -> Iterator[Named]:
    """The batch axes that there may be, the usual ones of torch first."""
    places = [(name, path) for name in zeros for path in leaves(zeros[name])]
    options: list[Sequence[int]] = []
    for name, path in places:
        shape = tuple(leaves(zeros[name])[path].shape)
        usual = (1, 0, *range(2, len(shape))) if len(shape) > 2 else range(len(shape))
        options.append([axis for axis in usual if shape[axis] == batch])
    for axes in itertools.product(*options):
        yield _placed(zeros, dict(zip(places, axes, strict=True)))


def _placed(zeros: Named, at: Mapping[tuple[str, tuple[int, ...]], int]) -> Named:
    """Axes by name and path, in the structure of the states."""

    def named(name: str) -> Any:
        return rebuilt(zeros[name], lambda path, _: at[name, path])

    return {name: named(name) for name in zeros}


def _twice(torch: Any, zeros: Named, axes: Named, name: str) -> Any:
    at = leaves(axes[name])
    return rebuilt(zeros[name], lambda path, x: torch.cat([x, x], at[path]))


def _grown(before: Any, after: Any) -> Any:
    """The one axis of each tensor that is twice as long; ValueError where it is not one."""
    found = leaves(after)

    def axis(path: tuple[int, ...], x: Any) -> int:
        pairs = list(zip(x.shape, found[path].shape, strict=True))
        (place,) = (k for k, (old, new) in enumerate(pairs) if old != new)
        return place

    return rebuilt(before, axis)
