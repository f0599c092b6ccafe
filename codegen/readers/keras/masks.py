"""Where masks come from and how far they go, as the writing era propagates them.

What a layer means may depend on whether a mask reaches it. Keras 3 writes masks out as operations
and gives them to layers by name; what a layer would have found by itself is folded back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codegen.errors import LayerError
from codegen.layers.masking import GivenMask
from codegen.model import Layer, Ref
from codegen.readers.keras.era import Era
from codegen.readers.keras.items import Item
from codegen.readers.settings import Config, show


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer."""

    item: Item
    inputs: tuple[Ref, ...] = ()
    keywords: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    settings: Config = field(default_factory=lambda: Config({}))  # arguments that are not tensors
    arguments: tuple[Any, ...] = ()  # of an operation, with ops.TENSOR for each tensor
    given: Layer | None = None  # no layer of the file: an input, a constant, a mask by name
    stops_mask: bool = False
    problem: str | None = None  # why the call cannot be read


Symbol = int  # where a mask comes from: equal numbers for equal masks


class Masks:
    """Traces where each tensor's mask comes from, as Keras propagates masks."""

    def __init__(self, calls: Sequence[Call], era: Era) -> None:
        self._era = era
        self._symbols: dict[tuple[Any, ...], Symbol] = {}
        self._origins: list[tuple[Any, ...]] = []  # of each symbol
        self._masks: dict[Ref, Symbol | None] = {}
        self._values: dict[Ref, Symbol] = {}  # tensors that are masks themselves
        self._unsure: set[Ref] = set()  # tensors of which the file does not tell the mask
        self.folded: list[Call] = []
        self.masked: set[int] = set()  # ids of items that a mask reaches
        self.problems: dict[int, str] = {}  # of calls whose masks cannot be traced
        for number, call in enumerate(calls):
            try:
                self.folded.append(self._trace(call, Ref(number)))
            except LayerError as error:
                self.folded.append(call)
                self.problems[number] = str(error)

    def _symbol(self, *origin: Any) -> Symbol:
        """The number of an origin. Symbols in it are numbers too, so it stays small."""
        if origin not in self._symbols:
            self._symbols[origin] = len(self._origins)
            self._origins.append(origin)
        return self._symbols[origin]

    def _trace(self, call: Call, out: Ref) -> Call:
        kind, inputs = call.item.kind, call.inputs
        how = "pass" if kind is None else kind.mask
        if how == "pass" and not self._era.passes_mask(call.item.class_name):
            how = "stop"
        implicit = self._masks.get(inputs[0]) if inputs else None
        keywords = dict(call.keywords)
        mask = passed = implicit
        named = _mask_by_name(call)
        if named is not None:
            mask = self._given(named[0]) if named else None
            if len(keywords.get("mask", ())) == 1 and mask == implicit:
                del keywords["mask"]
            passed = mask if self._era.given_mask_passes else implicit
            if isinstance(call.given, GivenMask) and passed != mask:
                self._check_merged(passed)
        elif self._era.is_keras3 and how == "recurrent" and (len(inputs) > 1 or keywords):
            # Keras 3 looks for a mask only where the sequence is the only tensor given.
            keywords["mask"], mask = (), None
        if "query_mask" in keywords and call.item.class_name == "MultiHeadAttention":
            refs = keywords["query_mask"]
            same = bool(refs) and self._given(refs[0]) == implicit
            if same or self._era.ignores_query_mask:
                del keywords["query_mask"]
        masked = [mask, *(self._masks.get(ref) for ref in inputs)]
        by_name = any(refs for key, refs in call.keywords.items() if key.endswith("mask"))
        if by_name or any(symbol is not None for symbol in masked):
            self.masked.add(id(call.item))
        if call.item.is_operation:
            self._operation(call, out)
        elif call.given is None or isinstance(call.given, GivenMask):
            self._pass_on(call, how, passed, out)
            unsure = self._era.given_mask_passes is None and passed != mask
            if named is None:
                unsure = how in ("pass", "merge") and any(ref in self._unsure for ref in inputs)
                if unsure and call.item.class_name in ("Multiply", "Maximum", "Minimum"):
                    self._era.need_given_mask()
            if unsure:
                self._unsure.add(out)
        # TensorFlow's functions know no masks, as Keras 3's operations do not.
        knows_none = self._era.is_keras3 or call.item.is_operation or how == "stop"
        stops = knows_none and self._masks.get(out) is None
        if named is not None and not stops and passed != mask:
            self._check_merged(passed)
        return replace(call, keywords=keywords, stops_mask=stops)

    def _given(self, ref: Ref) -> Symbol:
        """The symbol of a mask that is given by name."""
        known = self._values.get(ref)
        return self._symbol("tensor", ref) if known is None else known

    def _check_merged(self, passed: Symbol | None) -> None:
        """Refuse a mask that is not the input's, except a merged one, which has no one symbol."""
        if passed is None or self._origins[passed][0] != "merge":
            raise LayerError(
                "it is given a mask that is not that of its input, and up to Keras 3.10 the latter "
                "goes on with the output; save the model with a later version"
            )

    def _pass_on(self, call: Call, how: str, passed: Symbol | None, out: Ref) -> None:
        """Note the mask of what a layer gives."""
        inputs = call.inputs
        if how == "embedding":
            if call.item.config.get("mask_zero") is True and inputs:
                self._masks[out] = self._symbol("different", inputs[0], "0.0")
        elif how == "masking":
            if inputs:
                value = _spelled(call.item.config.get("mask_value", 0.0))
                self._masks[out] = self._symbol("any different", inputs[0], value)
        elif how == "recurrent":
            if _returns_sequences(call.item):
                self._masks[out] = passed
                if call.item.class_name == "Bidirectional":  # merge_mode None: two sequences
                    self._masks[Ref(out.node, 1)] = passed
        elif how == "merge":
            found = tuple(self._masks.get(ref) for ref in inputs)
            if self._merged(call.item.class_name, found):
                same = len(set(found)) == 1
                self._masks[out] = found[0] if same else self._symbol("merge", found)
        elif how != "stop":
            self._masks[out] = passed

    def _merged(self, class_name: str, found: Sequence[Symbol | None]) -> bool:
        """Whether what is computed of tensors with these masks has a mask."""
        masked = [symbol is not None for symbol in found]
        if not any(masked):
            return False
        one_is_enough = class_name == "Concatenate" or not self._era.merges_any_mask
        return self._era.merges_pass_masks and (one_is_enough or all(masked))

    def _operation(self, call: Call, out: Ref) -> None:
        """Recognise what Keras 3 computes masks with."""
        name, inputs = call.item.class_name, call.inputs
        if name == "NotEqual" and len(inputs) == 1 and len(call.arguments) == 2:
            value = call.arguments[1]
            if isinstance(value, (int, float)):
                self._values[out] = self._symbol("different", inputs[0], _spelled(value))
        elif name == "LogicalOr" and len(inputs) == 2:  # as merge layers compute it
            found = tuple(self._values[ref] for ref in inputs if ref in self._values)
            if len(found) == 2:
                same = found[0] == found[1]
                self._values[out] = found[0] if same else self._symbol("merge", found)
        elif name == "Any" and len(inputs) == 1 and inputs[0] in self._values:
            kind, *rest = self._origins[self._values[inputs[0]]]
            if kind == "different" and call.item.config.get("axis", -1) in (-1, [-1]):
                self._values[out] = self._symbol("any different", *rest)


def _mask_by_name(call: Call) -> tuple[Ref, ...] | None:
    """The mask of the first input that a call names, () for none; None where it names no mask."""
    if "mask" in call.keywords:
        return call.keywords["mask"]
    # The list of masks that Attention takes is that of its query, then that of its value.
    if call.item.class_name in ("Attention", "AdditiveAttention") and any(
        key in call.keywords for key in ("query_mask", "value_mask")
    ):
        return call.keywords.get("query_mask", ())
    return None


def _spelled(value: Any) -> str:
    """A number of a configuration, 0 and 0.0 alike."""
    return repr(float(value)) if isinstance(value, (int, float)) else show(value)


def _returns_sequences(item: Item) -> bool:
    """Whether a recurrent layer, or the one that a wrapper holds, gives every step."""
    while item.class_name == "Bidirectional" and item.parts:
        item = item.parts[0][1]
    return item.config.get("return_sequences") is True
