"""The README of the package: that of the repository, with links that work from anywhere, as PyPI shows it."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def absolute(text: str, source: str) -> str:
    """The Markdown `text` with its relative links and pictures at the repository's address `source`."""

    def replace(match):
        picture, words, path = match.groups()
        return f"{picture}[{words}]({source}/{'raw' if picture else 'blob'}/main/{path})"

    return _LINK.sub(replace, text)


class CustomMetadataHook(MetadataHookInterface):
    """Gives `pyproject.toml` its `readme`, at the address that `project.urls` has as `Source`."""

    def update(self, metadata: dict) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, metadata["urls"]["Source"]),
        }
