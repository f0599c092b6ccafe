"""Which array of the file is which variable of which layer.

Names are never matched where the order tells, since the order is what Keras itself goes by:

- .h5: each top-level layer has one flat list. Its own variables and those of everything inside
  stand in the order of creation, all trainable ones first, then all others; a frozen inner layer
  counts as the others, so it moves to the end of the list.
- .keras and .weights.h5: each object has its own list, under a path made of attribute names and
  of class names with a counter; the layers' own names do not occur.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.errors import LayerError, ReadError
from codegen.readers.files.hdf5 import Group, Stored
from codegen.readers.keras.items import Item, Slot

MAX_ARRAYS = 100_000
_NUMBER = re.compile(r"[0-9]{1,6}")

# What weights an item has: name -> array, or why they could not be told.
Binding = Mapping[int, "dict[str, Stored] | str"]


@dataclass(frozen=True)
class Entry:
    """One layer of a flat file."""

    name: str
    arrays: tuple[Stored, ...]


class PairingError(LayerError):
    """A flat file's layers do not correspond to the configuration's."""


# ---- flat files ---------------------------------------------------------------------------


def flat_entries(root: Group, label: str) -> list[Entry]:
    """The layers of a flat file in stored order, also those without weights."""
    names = root.texts("layer_names")
    if names is None:
        raise ReadError(f"{label}: the list of layers (attribute layer_names) is missing")
    entries, total = [], 0
    for name in names:
        group = root.group(name)
        if group is None:
            raise ReadError(f"{label}: layer {name!r} is listed but not in the file")
        stored = []
        weight_names = group.texts("weight_names") or []
        total += len(weight_names)
        if total > MAX_ARRAYS:
            raise ReadError(f"{label}: more than {MAX_ARRAYS} arrays")
        for weight in weight_names:
            array = group.array(weight)
            if array is None:
                raise ReadError(
                    f"{label}: weight {weight!r} of layer {name!r} is listed but not in the file"
                )
            stored.append(array)
        entries.append(Entry(name, tuple(stored)))
    return entries


def are_numbered(entries: Sequence[Entry]) -> bool:
    """Whether the arrays have names such as `dense_1_W:0`."""
    return all(stored.name.endswith(":0") for entry in entries for stored in entry.arrays)


def flat_slots(item: Item) -> list[tuple[Item, Slot]]:
    """Every variable of the item and of what is inside, in the order of a flat list."""
    first: list[tuple[Item, Slot]] = []
    last: list[tuple[Item, Slot]] = []
    for one, frozen in item.walk():
        for slot in one.slots:
            (first if slot.trainable and not frozen else last).append((one, slot))
    return first + last


def bind_in_order(items: Sequence[Item], entries: Sequence[Entry]) -> Binding:
    """Pair the layers that have weights one after the other, as Keras does."""
    by_name = {entry.name: entry for entry in entries}
    # How many arrays an unknown layer has cannot be told, so it takes those of its name.
    unknown = [item for item in items if _has_unknown(item)]
    named = {id(item): by_name[item.name] for item in unknown if item.name in by_name}
    taken = {id(entry) for entry in named.values()}
    waiting = [
        item for item in items if id(item) not in named and (flat_slots(item) or _has_unknown(item))
    ]
    left = [entry for entry in entries if entry.arrays and id(entry) not in taken]
    if len(waiting) != len(left):
        waiting = [item for item in waiting if not _has_unknown(item)]
    if len(waiting) != len(left):
        raise PairingError(
            f"the configuration has {len(waiting)} layers with weights "
            f"({_listed([item.path for item in waiting])}), the file has {len(left)} "
            f"({_listed([entry.name for entry in left])})"
        )
    pairs = [*zip(waiting, left, strict=True)]
    pairs += [(item, named[id(item)]) for item in unknown if id(item) in named]
    return _bind(pairs)


def is_same_order(items: Sequence[Item], entries: Sequence[Entry]) -> bool:
    """Whether the order and the names tell the same."""
    names = [item.name for item in items if flat_slots(item) or _has_unknown(item)]
    return names == [entry.name for entry in entries if entry.arrays]


def bind_by_name(items: Sequence[Item], entries: Sequence[Entry]) -> Binding:
    """Give each layer the arrays of its name; the file may have more layers."""
    by_name = {entry.name: entry for entry in entries}
    wanted = [item for item in items if flat_slots(item)]
    missing = [item.path for item in wanted if item.name not in by_name]
    if missing:
        raise PairingError(
            f"no weights named {_listed(missing)}; the file has "
            f"{_listed([entry.name for entry in entries if entry.arrays])}"
        )
    chosen = [item for item in items if item.name in by_name]
    return _bind([(item, by_name[item.name]) for item in chosen])


def _bind(pairs: Sequence[tuple[Item, Entry]]) -> Binding:
    bound: dict[int, dict[str, Stored] | str] = {}
    for item, entry in pairs:
        bound.update(_split(item, entry))
    return bound


def _inner_models(item: Item) -> list[Item]:
    """The models inside an item, not itself."""
    return [one for one, _ in item.walk() if one.is_model and one is not item]


def _with_frozen(item: Item, frozen: Item) -> list[tuple[Item, Slot]]:
    """The flat list where one inner model was frozen as a whole.

    Up to Keras 2.3 that is a flag of the model alone, which no configuration holds. All that is
    inside comes with the others that are not trained, in the order it has by itself.
    """
    first: list[tuple[Item, Slot]] = []
    last: list[tuple[Item, Slot]] = []

    def visit(one: Item, is_frozen: bool) -> None:
        if one is frozen:
            last.extend(flat_slots(one))
            return
        is_frozen = is_frozen or not one.trainable
        for slot in one.slots:
            (first if slot.trainable and not is_frozen else last).append((one, slot))
        for _, part in one.parts:
            visit(part, is_frozen)

    visit(item, False)
    return first + last


def _names_agree(item: Item, slots: Sequence[tuple[Item, Slot]], arrays: Sequence[Stored]) -> bool:
    """Whether every array is named after the layer that it would go to."""
    owners: dict[int, str] = {}
    for model in (item, *_inner_models(item)):
        for _, layer in model.parts:
            if not layer.is_model:
                owners.update((id(one), layer.name) for one, _ in layer.walk())
    for (one, _), stored in zip(slots, arrays, strict=True):
        owner = owners.get(id(one), one.name)
        if owner not in stored.name.split("/")[:-1] and not stored.name.startswith(f"{owner}_"):
            return False
    return True


def _likely_slots(item: Item, entry: Entry) -> list[tuple[Item, Slot]]:
    """The flat list by the rule; by another one only if the names fit that alone."""
    slots = flat_slots(item)
    inner = _inner_models(item)
    if not inner or len(slots) != len(entry.arrays) or _names_agree(item, slots, entry.arrays):
        return slots
    for model in inner[:100]:
        other = _with_frozen(item, model)
        if _names_agree(item, other, entry.arrays):
            return other
    return slots


def _split(item: Item, entry: Entry) -> Binding:
    """Share a flat list out among an item and what is inside it."""
    slots = _likely_slots(item, entry)
    count = len(entry.arrays)
    unknown = [one for one, _ in item.walk() if one.unknown]
    if len(unknown) == 1 and count >= len(slots):
        # Taken to be trainable and unfrozen: it gets what the others leave, in its place.
        extra = [(unknown[0], Slot(str(n))) for n in range(count - len(slots))]
        before = 0
        for one, frozen in item.walk():
            if one is unknown[0]:
                break
            before += sum(slot.trainable and not frozen for slot in one.slots)
        slots[before:before] = extra
    elif unknown:
        why = "its weights cannot be told apart from those of a layer that is not supported"
        return {id(one): why for one, _ in item.walk() if one.slots}
    if len(slots) != count:
        why = _wrong_number(entry.arrays, [slot.name for _, slot in slots])
        return {id(one): why for one, _ in item.walk() if one.slots}
    result: dict[int, dict[str, Stored] | str] = {}
    for (one, slot), stored in zip(slots, entry.arrays, strict=True):
        arrays = result.setdefault(id(one), {})
        assert isinstance(arrays, dict)
        arrays[slot.name] = stored
    return result


def _has_unknown(item: Item) -> bool:
    return any(one.unknown for one, _ in item.walk())


def _wrong_number(arrays: Sequence[Stored], names: Sequence[str]) -> str:
    shapes = ", ".join(str(array.shape) for array in arrays[:8])
    expected = f"{len(names)} ({', '.join(names)})" if names else "none"
    return f"{len(arrays)} weight arrays found ({shapes}), expected {expected}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


# ---- files with paths ---------------------------------------------------------------------

_COUNTED = re.compile(r"_\d+$")
_NO_LAYER = re.compile(r"_?(optimizer|metrics|compile_metrics|loss_tracker)(_|\W|$)")
_LAYERS = "layers/"
_OLD_LAYERS = "_layer_checkpoint_dependencies/"  # what Keras 2.12 calls `layers/`


class PathFile:
    r"""A `.weights.h5` file, or several that together hold one model.

    On Windows, Keras 2.12 to 2.15 and the first of Keras 3 joined the names of groups by `\`: all
    groups but `vars` stand in the root then, as `layers\gru\cell`.
    """

    def __init__(self, roots: Sequence[Group], label: str) -> None:
        self._roots = roots
        names = [name for root in roots for name in root.members()]
        joined = [name for name in names if "\\" in name]
        plain = [name for name in names if f"{name}/" in (_LAYERS, _OLD_LAYERS)]
        if joined and plain:
            raise ReadError(
                f"{label}: has groups of two kinds, {plain[0]!r} and {joined[0]!r}, so it is not "
                "clear whose weights count; save it again"
            )
        self._joint = "\\" if joined else "/"
        first = _OLD_LAYERS.replace("/", self._joint)
        self.is_old = any(f"{name}{self._joint}".startswith(first) for name in names)

    def variables(self, path: str) -> list[Group]:
        """The groups `vars` of the object at `path`: each of several files may hold a part."""
        spelled = path.replace(_LAYERS, _OLD_LAYERS) if self.is_old else path
        outer, _, last = spelled.rpartition("/")
        # The layers inside an attention layer are private attributes, public ones since Keras 3.
        for name in (spelled, f"{outer}/_{last}") if outer else (spelled,):
            place = name.replace("/", self._joint)
            groups = [root.group(f"{place}/vars" if name else "vars") for root in self._roots]
            found = [group for group in groups if group is not None and group.members()]
            if found:
                return found
        return []

    def keys(self, item: Item) -> list[tuple[str, Item]]:
        """The parts of an object with their names in its group.

        Keras 2.12 meets every layer of a model that has weights twice, and counts it twice.
        """
        if not (self.is_old and item.is_model):
            return [(key, part) for key, part in item.parts if key]
        counts: dict[str, int] = {}
        found = []
        for key, part in item.parts:
            stem = _COUNTED.sub("", key)
            number = counts.get(stem, 0)
            counts[stem] = number + (2 if _has_weights(part) else 1)
            found.append((f"{stem}_{number}" if number else stem, part))
        return found


def of_layers(
    arrays: Sequence[tuple[str, tuple[int, ...]]],
) -> list[tuple[str, tuple[int, ...]]]:
    """The arrays, by path, that belong to layers: none of the optimizer, of metrics or of seeds."""

    def parts(path: str) -> list[str]:
        return re.split(r"[/\\]", path)

    found = [
        (path, shape)
        for path, shape in arrays
        if not _NO_LAYER.match(path) and "seed_generator" not in parts(path)
    ]
    held = (_LAYERS.rstrip("/"), _OLD_LAYERS.rstrip("/"))
    inside = [one for one in found if parts(one[0])[0] in held]
    return inside or found


def _has_weights(item: Item) -> bool:
    return bool(item.slots) or any(_has_weights(part) for _, part in item.parts)


def bind_paths(model: Item, file: PathFile) -> Binding:
    """Give each object under `model` the variables stored under its path."""
    bound: dict[int, dict[str, Stored] | str] = {}
    stack: list[tuple[Item, str]] = [(model, "")]
    while stack:
        item, path = stack.pop()
        stack.extend((part, f"{path}/{key}".lstrip("/")) for key, part in file.keys(item))
        if item.is_custom:
            bound[id(item)] = _variables(file, path)
        elif item.kind is not None:
            arrays = list(_variables(file, path).values())
            names = [slot.name for slot in item.slots]
            if len(arrays) == len(names):
                bound[id(item)] = dict(zip(names, arrays, strict=True))
            elif arrays:
                bound[id(item)] = _wrong_number(arrays, names)
            else:
                bound[id(item)] = f"its weights are not in the file (no group {path!r})"
    return bound


def _variables(file: PathFile, path: str) -> dict[str, Stored]:
    """The variables of one object by number: "10" comes after "9"."""
    holders = {
        name: group
        for group in reversed(file.variables(path))
        for name in group.members()
        if _NUMBER.fullmatch(name)
    }
    numbers = sorted(holders, key=int)
    arrays = {name: holders[name].array(name) for name in numbers[:MAX_ARRAYS]}
    return {name: array for name, array in arrays.items() if array is not None}
