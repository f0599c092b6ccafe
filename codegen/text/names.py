"""Names and comments that are safe in every language."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from codegen.text.words import C_WORDS, JAVASCRIPT_WORDS, PYTHON_WORDS

LONGEST_NAME = 63  # letters of a name that a C99 compiler has to read
DIGITS = 5  # of the digest at the end of a name that is shortened
ROOM = LONGEST_NAME - DIGITS - 1  # for the words before them
LONGEST_COMMENT = 160

# Names that no argument of a generated function has: those that stand beside it in some language,
# and functions of C that its body may call.
ARGUMENT_WORDS = frozenset(
    """
    s t i j k y steps values seen found model self lead axis batch states array np math sum total
    exp tanh log log1p expm1 sqrt fabs abs floor round pow erf fmin fmax min max rint copysign
    expf tanhf logf log1pf expm1f sqrtf fabsf floorf roundf powf erff fminf fmaxf rintf copysignf
    memcpy memmove memset
    """.split()
)

_NOT_WORD = re.compile(r"[^0-9A-Za-z]+")
_CAPITAL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")  # a word in WordsLikeThese


def identifier(text: str, fallback: str = "x") -> str:
    """A valid identifier like `text`: ASCII letters, digits, single inner underscores.

    A longer one than LONGEST_NAME keeps its first words and ends in digits of its digest, so that
    names which begin alike stay apart. No word is cut: of one that is too long by itself stay the
    first of the words in it that begin with a capital, or three letters as an abbreviation.
    """
    cut = len(text) > 4 * LONGEST_NAME
    plain = unicodedata.normalize("NFKD", text[: 4 * LONGEST_NAME])
    plain = plain.encode("ascii", "ignore").decode()
    name = _NOT_WORD.sub("_", plain).strip("_")
    if not name:
        return fallback
    if name[0].isdigit():
        name = f"{fallback}_{name}"
    if len(name) <= LONGEST_NAME and not cut:
        return name
    words = [
        word if len(word) <= ROOM else _fitting(_CAPITAL.findall(word), "") or word[:3]
        for word in name.split("_")
    ]
    if cut and len(words) > 1:
        words.pop()  # there may be more of it
    digest = hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_fitting(words, '_')}_{digest[:DIGITS]}"


def _fitting(words: Sequence[str], joint: str) -> str:
    """As many of the words as there is room for."""
    lengths = accumulate(len(word) + len(joint) for word in words)
    count = sum(length - len(joint) <= ROOM for length in lengths)
    return joint.join(words[:count])


class Names:
    """Hands out identifiers that are valid, unique, and none of the reserved `words`.

    The same requests in the same order give the same names. `key` asks for the name that was
    given to that object before.
    """

    def __init__(self, *words: Iterable[str]) -> None:
        self._used = {name.lower() for part in words for name in part}
        self._given: dict[Any, str] = {}
        self._counts: dict[str, int] = {}  # of a name, how many have been handed out

    def __call__(self, wanted: str, key: Any = None) -> str:
        """An identifier like `wanted`. Names that differ only in case also count as taken."""
        if key is not None and key in self._given:
            return self._given[key]
        base = identifier(wanted)
        name, count = base, self._counts.get(base, 1)
        while name.lower() in self._used:
            count += 1
            name = f"{base}_{count}"
            if len(name) > LONGEST_NAME:
                name = identifier(name)
        self._counts[base] = count
        self._used.add(name.lower())
        if key is not None:
            self._given[key] = name
        return name

    def same(self, key: Any, other: Any) -> None:
        """Give `other` the name that `key` has."""
        self._given[other] = self._given[key]


def common_words(names: Iterable[str]) -> str:
    """What all the names begin with, in whole words; "" where that is nothing."""
    shared = []
    for words in zip(*(name.split("_") for name in names), strict=False):
        if len(set(words)) > 1:
            break
        shared.append(words[0])
    return "_".join(shared)


def argument_names(inputs: Sequence[str], outputs: int) -> list[str]:
    """The arguments of the functions of a model: `x`, or the names of its several inputs.

    Words in capitals become small: in C they may be macros.
    """
    if len(inputs) == 1:
        return ["x"]
    numbered = [
        f"{word}_{n}" for word in ("y", "steps") for n in range(max(outputs, len(inputs)) + 1)
    ]
    names = Names(C_WORDS, PYTHON_WORDS, JAVASCRIPT_WORDS, ARGUMENT_WORDS, numbered)
    plain = [identifier(name) for name in inputs]
    return [names(name.lower() if name.isupper() else name) for name in plain]


def is_odd(char: str) -> bool:
    """Whether the character has no place in a comment.

    These are control and format characters (newlines, direction marks), surrogates, private use,
    unassigned, line and paragraph separators.
    """
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def comment(text: object, limit: int = LONGEST_COMMENT) -> str:
    """Text that stays one inert line inside any comment or docstring of C and Python."""
    line = "".join(" " if is_odd(char) else char for char in str(text)[: 4 * limit]).strip()
    line = line.replace("\\", "/")  # at a line's end it would join the next line to this
    for harmful, harmless in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?"), ('""', '" "')):
        while harmful in line:
            line = line.replace(harmful, harmless)
    line = line.replace("''", "' '")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
