"""What the site has beside docs/*.md: pages and pictures of other folders, and all commands.

mkdocs calls these functions (`hooks` in mkdocs.yml). A link in any page that leads out of the site
becomes a link into the repository where `repo_url` is set, else the name of the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Files outside docs/, and what the site calls them.
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results/README.md": "results.md",
    "benchmarks/results/size.svg": "size.svg",
    "benchmarks/results/speed.svg": "speed.svg",
    **{
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix()
        for pattern in ("README.md", "*/README.md", "*/*.svg")
        for path in sorted((ROOT / "examples").glob(pattern))
    },
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """The files of the site, with those from outside docs/."""
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The page with links that hold within the site."""
    source = page.file.abs_src_path
    here = Path(source).parent if source else DOCS
    return LINK.sub(lambda match: link(match, here, page.file.src_uri, config), markdown)


def link(match: re.Match[str], here: Path, page: str, config: Any) -> str:
    """A link of a page whose file lies in `here`, and which the site calls `page`."""
    sign, text, target, anchor = match.groups()
    if "://" in target or target.startswith("mailto:"):
        return match[0]
    path = Path(os.path.normpath(here / target))
    name = path.relative_to(ROOT).as_posix()
    inside = OUTSIDE.get(name) or (name[len("docs/") :] if name.startswith("docs/") else "")
    if inside:
        return f"{sign}[{text}]({os.path.relpath(inside, Path(page).parent)}{anchor or ''})"
    if not path.exists():
        raise FileNotFoundError(f"{page}: {target}")
    if config.repo_url:
        return f"{sign}[{text}]({config.repo_url.rstrip('/')}/blob/main/{name})"
    return text if text == name else f"{text} (`{name}`)"


def commands() -> str:
    """The help of each command as a page."""
    from codegen.commands.main import main

    parts = [
        "# Commands",
        "",
        "Exit status: 0 done; 1 refused or failed (`verify`: differs, `check`: stale), with one",
        "message on standard error; 2 wrong usage. OUT is written whole or not at all.",
        "",
    ]
    context = click.Context(main, info_name="rnn-codegen", terminal_width=90, max_content_width=90)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        parts += [f"## {name}", "", "```text", command.get_help(inner).rstrip(), "```", ""]
    return "\n".join(parts)
