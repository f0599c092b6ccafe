"""README.md as package indexes show it, which have no files beside it; hatchling runs this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def for_index(text: str, address: str) -> str:
    """The text with links and pictures from the repository at `address`; "": without any."""

    def link(match: re.Match[str]) -> str:
        sign, name, target = match.groups()
        if "://" in target:
            return match[0]
        if not address:
            return "" if sign else name
        return f"{sign}[{name}]({address.rstrip('/')}/{'raw' if sign else 'blob'}/HEAD/{target})"

    return LINK.sub(link, text)


class Page(MetadataHookInterface):
    """The description of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets it; `Source` in [project.urls] is the repository, if there is one yet."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_index(text, address),
        }
