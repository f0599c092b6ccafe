"""Which Keras wrote a file, and every question whose answer has changed over its versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codegen.errors import LayerError, ReadError
from codegen.readers.settings import show

_VERSION = re.compile(r"\d{1,4}([.-]?[0-9A-Za-z]{1,12}){0,6}")
KERAS, TF, KERAS3 = "keras", "tf.keras", "keras3"


@dataclass(frozen=True)
class Era:
    """The writer. `version` is Keras' own, or TensorFlow's for tf.keras and tf_keras.

    `version` is empty where the file does not tell; then a question whose answer depends on it
    raises a LayerError that offers `--keras-version`. Of Keras 3 the configuration tells at least
    which side of some releases it is on: from `since` on, and before `before`.
    """

    family: str
    version: tuple[int, ...]
    text: str = ""  # as in the file
    since: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    theano: bool = False  # computed with Theano: kernels of convolutions are stored flipped

    @property
    def is_keras1(self) -> bool:
        """Whether the file has the words of Keras 1 (`output_dim`, one array per gate)."""
        return self.family == KERAS and self.version[:1] == (1,)

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.family == KERAS3

    @property
    def hard_sigmoid(self) -> str:
        """The canonical name of what this era calls `hard_sigmoid`."""
        return "hard_sigmoid_3" if self.family == KERAS3 else "hard_sigmoid"

    @property
    def reset_after(self) -> bool:
        """GRU's `reset_after` where the configuration lacks the key."""
        return False  # no version that had True as its default left the key out

    @property
    def recurrent_activation(self) -> str:
        """Of GRU and LSTM, where the configuration lacks the key."""
        old = self.family == KERAS and self.version < (2, 3)
        return "hard_sigmoid" if old or (self.family == TF and self.version < (2,)) else "sigmoid"

    @property
    def last_cell_first(self) -> bool:
        """Whether the states of stacked cells are listed from the last cell to the first."""
        return self.family == KERAS and bool(self.version) and self.version < (2, 2, 3)

    @property
    def initial_state_once(self) -> bool:
        """Whether a stateful layer takes `initial_state` only while its own states are zero."""
        if self.family == TF and not self.version:
            raise self._ambiguous("whether initial_state counts in every call of a stateful layer")
        return self.family == TF and self.version >= (2,)

    @property
    def merges_any_mask(self) -> bool:
        """Whether merge layers join masks by or, and a product takes masked factors as 1."""
        return self._since((3, 4), "how merge layers treat masks")

    @property
    def merges_pass_masks(self) -> bool:
        """Whether what a merge layer or Concatenate gives can have a mask at all."""
        return self.family != KERAS3 or self.merges_any_mask

    @property
    def heeds_training(self) -> bool:
        """Whether `predict` heeds training=True of a call; Keras 3 tells every layer False."""
        return self.family != KERAS3

    @property
    def freezes_statistics(self) -> bool:
        """Whether a frozen BatchNormalization takes its moving statistics, whatever it is told."""
        return self.family == KERAS3 or (self.family == TF and self.version >= (2,))

    @property
    def given_mask_passes(self) -> bool | None:
        """Whether a mask given by name goes on with the output, else the one of the input does.

        None where the file does not tell. What goes on is given to the next layer by name again,
        so that only layers which look for masks by themselves differ: see `need_given_mask`.
        """
        return self.family != KERAS3 or self._reaches((3, 11))

    def need_given_mask(self) -> None:
        """Raise a LayerError unless `given_mask_passes` is known."""
        self._since((3, 11), "whether a mask given by name goes on with the output")

    @property
    def ignores_query_mask(self) -> bool:
        """Whether MultiHeadAttention takes the mask of its query for one that is given by name."""
        return self._since((3, 8), "whether a query_mask counts")

    @property
    def zeroes_masked_rows(self) -> bool | None:
        """Whether a Softmax layer gives zeros where everything is masked, else equal parts."""
        return self._reaches((3, 10))

    def _reaches(self, version: tuple[int, int]) -> bool | None:
        """Whether this is Keras 3 from `version` on; None where the file does not tell."""
        if self.family == KERAS3 and not self.version[1:]:
            if self.since >= version:
                return True
            return False if self.before and self.before <= version else None
        return self.family == KERAS3 and self.version >= version

    def _since(self, version: tuple[int, int], what: str) -> bool:
        """The same; refused where the file does not tell."""
        found = self._reaches(version)
        if found is None:
            raise self._ambiguous(what)
        return found

    @property
    def heads_are_masked(self) -> bool:
        """Whether MultiHeadAttention heeds the masks of its inputs, and passes the query's on."""
        return self.family != TF or self.version >= (2, 10)

    def passes_mask(self, class_name: str) -> bool:
        """Whether this class, one that computes each step by itself, gives its input's mask on."""
        if self.family != TF:
            return True
        if class_name == "ReLU":
            return self.version >= (2, 5)
        return class_name not in ("Rescaling", "Normalization", "Identity")

    @property
    def softmax_is_masked(self) -> bool:
        """Whether a Softmax layer heeds a mask."""
        return self.is_keras3 or (self.family == TF and self.version >= (2, 4))

    @property
    def distributes_masks(self) -> bool:
        """Whether TimeDistributed passes on the masks that its layer makes for every step."""
        return self.family == TF or (self.family == KERAS and self.version >= (2, 2))

    @property
    def zero_based_nodes(self) -> bool:
        """Whether the first call of a nested model is its node 0 (else 1)."""
        return self.family == KERAS3

    def frozen_by(self, wrapper: str) -> str:
        """Whose `trainable` tells if what a wrapper holds is frozen: "own", "inner" or "both"."""
        if self.family != KERAS or not self.version:
            return "both"
        if self.version >= (2, 1, 4):
            return "own" if wrapper == "Bidirectional" else "both"
        both_ignore = self.version >= (2, 0, 3)
        ignored = ("Bidirectional", "TimeDistributed") if both_ignore else ("Bidirectional",)
        return "inner" if wrapper in ignored else "both"

    def mask_rule(self, unroll: bool, zero_output: bool, fused: bool = False) -> str:
        """What a recurrent layer puts out at a masked step: see `codegen.layers.recurrent`.

        `fused`: cuDNN computes such a layer too. TensorFlow 2.0 and 2.1 forget zero_output there.
        """
        if zero_output and fused and self.family == TF:
            if not self.version:
                raise self._ambiguous("whether zero_output_for_mask counts")
            zero_output = not (2, 0) <= self.version < (2, 2)
        if zero_output:
            return "zeros"
        if self.family == KERAS:
            if not self.version:
                raise self._ambiguous("what a masked step gives")
            newer = self.theano or self.version >= (2, 3)
            return "previous" if unroll or newer else "state"
        return "previous"

    def bidirectional_mask_rule(self, unroll: bool, sequences: bool, fused: bool = False) -> str:
        """The same for a layer inside `Bidirectional`, which sets zero_output to `sequences`."""
        forced = sequences and self.family != KERAS
        if forced and self.family == TF and not self.version:
            raise self._ambiguous("what a masked step inside Bidirectional gives")
        return self.mask_rule(unroll, forced, fused)

    @property
    def dilates_separable(self) -> bool:
        """Whether SeparableConv2D heeds its dilation_rate."""
        if self.family == KERAS and not self.version:
            raise self._ambiguous("whether SeparableConv2D is dilated")
        return self.family != KERAS or self.version >= (2, 0, 9)

    @property
    def normalize_is_turned(self) -> bool:
        """Whether the operation takes its `axis` for its `order` in a functional model."""
        return self.is_keras3 and not self._since((3, 1), "which norm Normalize uses")

    @property
    def unit_norm_is_bounded(self) -> bool:
        """Whether UnitNormalization bounds the norm from below, else the square of the norm."""
        return self._since((3, 6), "how UnitNormalization treats small numbers")

    @property
    def bidirectional_turns_time(self) -> bool:
        """Whether Bidirectional turns the time axis around wherever it is, not the second axis."""
        return self.family != TF or self.version >= (2, 3)

    @property
    def bidirectional_carries(self) -> bool:
        """Whether a stateful Bidirectional goes on from its state at the next predict call."""
        if not self.version and self.family != KERAS3:
            raise self._ambiguous("whether a stateful Bidirectional carries its state")
        if self.family == KERAS:
            return self.version < (2, 1, 4)
        return self.family == KERAS3 or self.version >= (2,)

    @property
    def codes_keep_axes(self) -> bool | None:
        """Whether an axis of length 1 at the end stays before the one-hot code of its numbers."""
        newer = self._reaches((3, 4))
        return None if newer is None else self.family == KERAS3 and not newer

    @property
    def tells_calls(self) -> bool:
        """Whether a layer's argument names the call it comes from; 3.2 always names the first."""
        if self.family != KERAS3 or self._reaches((3, 3)):
            return True
        if not self.version[1:]:
            raise self._ambiguous("which call of a shared layer another one takes")
        return self.version[:2] != (3, 2)

    @property
    def bilinear_from_corner(self) -> bool:
        """Whether enlarging images bilinearly starts at the corner of the first point."""
        if not self.version and self.family != KERAS3:
            raise self._ambiguous("where interpolation='bilinear' starts")
        return self.family == KERAS or (self.family == TF and self.version < (1, 14))

    def _ambiguous(self, what: str) -> LayerError:
        said = f"version {self.text!r}" if self.text else "no Keras version"
        return LayerError(
            f"the file says {said}, which does not settle {what}; name the version that wrote it "
            "with --keras-version, such as 3.5, 2.2.4, tf1.15 or tf2.1"
        )


def from_text(text: object) -> Era:
    """The era of a version as Keras stores it (`2.1.5`, `2.2.4-tf`, `3.5.0`)."""
    if not isinstance(text, str) or not _VERSION.fullmatch(text):
        raise ReadError(
            f"keras_version is {show(text)}, expected one such as 2.1.5; name the version "
            "that wrote the file with --keras-version"
        )
    version = tuple(int(part) for part in re.findall(r"\d{1,4}", text)[:3])
    if version >= (3,):
        return Era(KERAS3, version, text)
    if text.endswith("-tf"):
        # 2.2.4-tf: TensorFlow 1.13 to 2.1. Before: 1.4 to 1.12.
        known = (2, 2) if version >= (2, 3) else () if version >= (2, 2, 4) else (1, 12)
        return Era(TF, known, text)
    if version >= (2, 4):  # from 2.4 on there is no other Keras 2 than TensorFlow's
        return Era(TF, version[:2], text)
    return Era(KERAS, version, text)


def from_option(text: str) -> Era:
    """The era the user names: what Keras stores, or `tf1.15`."""
    match = re.fullmatch(r"tf[ ._-]?(\d{1,2})\.(\d{1,2})(\.\d+)?", text.strip().lower())
    if match:
        version = (int(match[1]), int(match[2]))
        return Era(TF, version, text) if version < (2, 16) else Era(KERAS3, (3,), text)
    if not _VERSION.fullmatch(text.strip()):
        raise ReadError(f"--keras-version {text!r} is not a version such as 2.1.5 or tf1.15")
    return from_text(text.strip())


def detect(config: dict[str, Any], stored: object, weights_stored: str = "") -> Era:
    """The era of a configuration; `stored` is the version beside it, "" where there is none.

    `weights_stored` is that of a separate weights file: it counts when nothing else tells.
    """
    if stored:
        return from_text(stored)
    if config.get("keras_version"):
        return from_text(config["keras_version"])
    if "module" in config or "registered_name" in config:
        since, before = _sides(config)
        return Era(KERAS3, (3,), "", since=since, before=before)
    if _has_key(config, ("output_dim", "inner_activation", "nb_filter")) or (
        # The bare list of Keras 1, which Keras 2.0 wrote too, but never without a version.
        isinstance(config.get("config"), list) and not weights_stored
    ):
        return Era(KERAS, (1,), "")
    return from_text(weights_stored) if weights_stored else Era(KERAS, (), "")


def _sides(config: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """From which release of Keras 3 on and before which one a configuration was written.

    Up to 3.3 the dtype of a layer is a text, from 3.4 on an object; from 3.9 on an InputLayer says
    whether it is ragged. Some layers, and all inputs, have a text to this day.
    """
    plain = ("Dense", "Embedding", "GRU", "LSTM", "SimpleRNN", "Conv1D")
    since: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    for value in _objects(config):
        own, class_name = value.get("config"), value.get("class_name")
        if not isinstance(own, dict):
            continue
        policy = own.get("dtype")
        if class_name == "InputLayer" and "ragged" in own:
            since = (3, 9)
        elif isinstance(policy, dict) and policy.get("class_name") == "DTypePolicy":
            since = since or (3, 4)
        elif isinstance(policy, str) and class_name in plain:
            before = (3, 4)
    return (since, ()) if since else ((), before)


def _has_key(config: dict[str, Any], wanted: tuple[str, ...]) -> bool:
    """Whether a layer's configuration has one of the keys (an Embedding always has output_dim)."""
    for value in _objects(config):
        own = value.get("config")
        is_other = isinstance(own, dict) and value.get("class_name") != "Embedding"
        if is_other and isinstance(own, dict) and any(key in own for key in wanted):
            return True
    return False


def orderings(config: dict[str, Any]) -> frozenset[str]:
    """Where the channels are by every layer of Keras 1 that tells: "tf" or "th"."""
    found = (value.get("dim_ordering") for value in _objects(config))
    return frozenset(one for one in found if one in ("tf", "th"))


def _objects(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object of a configuration."""
    stack: list[Any] = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
