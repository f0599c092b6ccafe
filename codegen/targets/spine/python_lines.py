"""Lines of generated Python: what is too long breaks inside brackets, as formatters break it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from codegen.targets.spine.lines import WIDTH, filled

STEP = "    "
# What an expression breaks before, weakest first; a line that it starts with belongs to it.
_OPERATORS = (
    (" for ",),
    (" if ", " else "),
    (" or ", " and "),
    (" == ", " != ", " < ", " <= ", " > ", " >= ", " in ", " is "),
    (" >> ",),
    (" + ", " - "),
    (" * ", " / ", " // ", " % ", " @ "),
    (" : ",),
)
# How a statement begins whose expression may stand in parentheses.
_KEYWORD = re.compile(r"(?:return|raise|if|elif|while|assert|yield) |for .*? in ")
_STRING = re.compile(r'"[^"\\]*"')


def broken(line: str) -> list[str]:
    """The line, or the lines that it becomes."""
    if len(line) <= WIDTH:
        return [line]
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    if text.startswith("#"):
        return filled(text[1:].strip(), f"{indent}# ")
    if text.startswith('"""') and text.endswith('"""') and len(text) > 6:
        return [*filled(f'"""{text[3:-3].strip()}', indent), f'{indent}"""']
    if '"""' in text:
        return [line]
    places = dict(_outside(text))
    mark = next((k for k in places if text.startswith("  # ", k)), None)
    if mark is not None:
        return [*filled(text[mark + 4 :], f"{indent}# "), *broken(indent + text[:mark])]
    return _statement(text, indent)


def _outside(text: str, depth: int = 0) -> Iterator[tuple[int, int]]:
    """The places of the text that are in no string, each with the depth of brackets around it."""
    quote, skip = "", False
    for k, sign in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip, quote = sign == "\\", "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth -= sign in ")]}"
            yield k, depth
            depth += sign in "([{"


def _statement(text: str, indent: str) -> list[str]:
    """A statement, or an element of a list that goes on in further lines."""
    start = _start(text)
    tail = text[-1] if text[-1] in ",:" else ""
    if text.endswith(" :" + tail):  # a slice that has no end
        tail = " :" + tail
    value = text[len(start) : len(text) - len(tail)]
    if tail == "," and not start and _split(value, (", ",)) != [value]:
        start, tail = "", ""  # several elements in one line: nothing to put in parentheses
        value = text
    if len(indent + start) >= WIDTH:  # what is assigned to breaks, too
        if start.startswith("for ") and "(" not in start:
            text = f"for ({start[4:-4]}) in {text[len(start) :]}"
            start = _start(text)
        *above, last = _opened(start, indent)
        if above:
            if len(last + value + tail) <= WIDTH:
                return [*above, last + value + tail]
            return [*above, f"{last}(", *_body(value, indent + STEP), f"{indent}){tail}"]
    parts = _operands(value)
    if len(parts) == 1:
        closing = [k for k, within in _outside(value) if within == 0 and value[k] in ")]}"]
        opening = [k for k, within in _outside(value) if within == 0 and value[k] in "([{"]
        if closing and closing[-1] == len(value) - 1 and closing[-1] > opening[-1] + 1:
            head, body = value[: opening[-1] + 1], value[opening[-1] + 1 : -1]
            if len(indent + start + head) <= WIDTH or not start:
                return [
                    *_opened(start + head, indent),
                    *_body(body, indent + STEP),
                    f"{indent}{value[-1]}{tail}",
                ]
        if not start:
            return _string(value, tail, indent)
    elif not start:
        first, *rest = parts
        last = rest.pop()
        lines = [first.rstrip(), *(part.rstrip() for part in rest), last + tail]
        return [part for line in lines for part in _element(line, indent)]
    return [f"{indent}{start}(", *_body(value, indent + STEP), f"{indent}){tail}"]


def _opened(text: str, indent: str) -> list[str]:
    """What a line begins with, its brackets opened where it is too long; the last line goes on."""
    places = list(_outside(text))
    at = next((k for k, depth in places if depth == 0 and text[k] in "[("), -1)
    end = next((k for k, depth in places if depth == 0 and text[k] in "])"), -1)
    if len(indent + text) <= WIDTH or not 0 <= at < end:
        return [indent + text]
    first, *more = _opened(text[end + 1 :], indent)
    above = [indent + text[: at + 1], *_body(text[at + 1 : end], indent + STEP)]
    return [*above, indent + text[end] + first[len(indent) :], *more]


def _start(text: str) -> str:
    """What stands before the expression of a statement: `x[k] = `, `return `."""
    keyword = _KEYWORD.match(text)
    if keyword:
        return keyword[0]
    found = ""
    for k, depth in _outside(text):
        assign = re.compile(r" [-+*/]?= ").match(text, k)
        if depth == 0 and assign:
            found = text[: assign.end()]
    return found


def _body(text: str, indent: str) -> list[str]:
    """The inside of brackets: in one line, or each of its parts in its own."""
    if len(indent + text) <= WIDTH:
        return [indent + text]
    items = _split(text.rstrip(", "), (", ",))
    items = [item.strip().rstrip(",") + "," for item in items]
    if len(items) == 1:
        items = [part.strip() for part in _operands(text)]
    if len(items) > 8 and all(len(item) < 20 for item in items):
        words = " ".join(item.replace(" ", "\0") for item in items)
        return [line.replace("\0", " ") for line in filled(words, indent)]
    return [line for item in items for line in _element(item, indent)]


def _element(text: str, indent: str) -> list[str]:
    """One of the parts of what is in brackets, with the operator that it begins with."""
    if len(indent + text) <= WIDTH:
        return [indent + text]
    operator = next(
        (sign[1:] for group in _OPERATORS for sign in group if text.startswith(sign[1:])), ""
    )
    lines = _statement(text[len(operator) :], indent)
    return [indent + operator + lines[0].lstrip(), *lines[1:]]


def _operands(text: str) -> list[str]:
    """The expression in parts, before each of its weakest operators."""
    for signs in _OPERATORS:
        parts = _split(text, signs)
        if len(parts) > 1:
            return parts
    return [text]


def _split(text: str, signs: Sequence[str]) -> list[str]:
    """The text cut at these signs outside of brackets: after commas, before operators."""
    cuts = [0]
    for k, depth in _outside(text):
        if depth == 0 and k > cuts[-1] and text.startswith(tuple(signs), k):
            cuts.append(k + 2 if text.startswith(", ", k) else k + 1)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _string(text: str, tail: str, indent: str) -> list[str]:
    """A text that is too long in several, one after the other."""
    if not _STRING.fullmatch(text):
        return [f"{indent}{text}{tail}"]
    parts = textwrap.wrap(text[1:-1], WIDTH - len(indent) - 3, drop_whitespace=False)
    return [*(f'{indent}"{part}"' for part in parts[:-1]), f'{indent}"{parts[-1]}"{tail}']
