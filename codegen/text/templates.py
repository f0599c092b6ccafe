"""The templates of generated files, and the environment that fills them in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from codegen.errors import visible
from codegen.text.names import comment, identifier
from codegen.text.numbers import number

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def environment() -> jinja2.Environment:
    """The one environment of all targets. Templates of wheels lie in the package."""
    # trim_blocks and lstrip_blocks: a line that holds only a tag leaves no trace in the output.
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_PACKAGE / "templates", _PACKAGE.parent / "templates"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=_is_page,
    )
    env.filters.update(identifier=identifier, number=number, comment=comment, visible=visible)
    return env


def _is_page(template: str | None) -> bool:
    """Whether the template makes HTML, where text must be escaped; source code must not be."""
    return template is not None and template.startswith("report/")


def render(template: str, **values: Any) -> Iterator[str]:
    """The template, by its path under `templates/`, filled in: its text in pieces.

    Values that are iterators are asked for their items when their place comes, so that a file of
    any size is made with the text of one array at a time.
    """
    return environment().get_template(template).generate(**values)


def source(path: str) -> str:
    """A plain source file under `templates/` (a kernel, a function), as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), path)[0]
