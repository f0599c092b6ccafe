"""The files of a package: which there are, what is in them, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.packages import Package
from codegen.packages.signature import Signature
from codegen.targets.spine.outline import Origin, joined, made
from codegen.text import templates
from codegen.text.names import comment
from codegen.text.writing import write_folder
from codegen.version import __version__

VERSION = "1.0.0"  # of a package: its user counts it up


def generated(package: Package, name: str) -> str:
    """The path of the generated file in the package."""
    return package.file.replace("NAME", name)


def paths(package: Package, name: str) -> dict[str, str]:
    """The template of each of the other files, by the path in the package."""
    return {path.replace("NAME", name): template for path, template in _templates(package.name)}


@cache
def _templates(kind: str) -> tuple[tuple[str, str], ...]:
    """Path in the package, with NAME in it, and template."""
    folder = f"packages/{kind}/"
    return tuple(
        (template.removeprefix(folder).removesuffix(".j2"), template)
        for template in templates.environment().list_templates()
        if template.startswith(folder)
    )


def files(
    package: Package,
    lowered: Lowered,
    name: str,
    options: Mapping[str, Any],
    origin: Origin,
    text: Iterable[str],
) -> dict[str, Iterable[str]]:
    """Every file of a package in pieces, by its path in the folder; `text` is the generated one."""
    flag = f"--package {package.name}"
    if package.steps and lowered.step is None:
        raise CodegenError(
            f"{flag}: the model needs its whole input at once, so its example cannot run it step "
            "by step; convert it to a header alone"
        )
    if name.lower() in package.taken:
        raise CodegenError(
            f"{flag}: {name!r} means something else there; choose another name with --name"
        )
    lines = made(lowered, origin)
    what = f"the network of {comment(lowered.model.source)}"
    values = {
        "name": name,
        "p": name.lower(),
        "P": name.upper(),
        "version": VERSION,
        "generator": __version__,
        "what": what,
        "source": comment(lowered.model.source).replace("`", "'"),
        "generated": generated(package, name),
        "parameters": sum(layer.parameters for layer in lowered.layers),
        "banner": lambda prefix: joined(lines, prefix),
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "m": Signature(lowered, name, options),
    }
    found = {
        path: templates.render(template, **values)
        for path, template in paths(package, name).items()
    }
    return {generated(package, name): text, **found}


def place(package: Package, name: str, path: Path) -> str:
    """Which file of the package `path` is: its path in the folder; CodegenError where none."""
    parts = path.resolve().parts
    fitting = [
        own
        for own in (generated(package, name), *paths(package, name))
        if parts[-len(PurePosixPath(own).parts) :] == PurePosixPath(own).parts
    ]
    if not fitting:
        raise CodegenError(f"{path}: no file of a package of {package.name} lies there")
    return max(fitting, key=len)


def home(path: Path, own: str) -> Path:
    """The folder beside which the package of this file lies, where its model is looked for."""
    return path.resolve().parents[len(PurePosixPath(own).parts)]


def write(out: str, model: str, texts: Mapping[str, Iterable[str]]) -> int:
    """All files into the folder OUT, which holds no more than such a package, or none of them.

    Returns the number of bytes of the generated file, which comes first.
    """
    first = next(iter(texts))
    _check_folder(out, model, first)
    return write_folder(out, texts)[first]


def _check_folder(out: str, model: str, own: str) -> None:
    """OUT must be new, empty, or a package with this generated file made before."""
    folder = Path(out)
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise CodegenError(f"{out}: is a file; --package writes a folder")
        if Path(model).exists() and folder.samefile(model):
            raise CodegenError(f"{out}: is the model itself; choose another OUT")
        if any(folder.iterdir()) and not (folder / own).is_file():
            raise CodegenError(f"{out}: holds something else already; choose another OUT")
    except OSError as error:
        raise CodegenError(f"{out}: cannot be read: {error.strerror}") from error
