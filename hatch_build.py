"""Metadata that depends on where the repository is published: addresses, and links of the README.

Releases set FSBENCH_REPOSITORY to that address, for example https://github.com/OWNER/NAME. A package index
shows the README alone, so its relative links then lead to the tag of the version. Without the variable, the
README stays as it is and no addresses are given.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!\[[^]]*\]\(<?+|\]\(<?+)(?![a-z]+:|#)([^)\s]+)")  # [text](path) and ![text](<a path>)
_REFERENCE = re.compile(r"^(\[[^]]+\]: +<?+)(?![a-z]+:|#)(\S+)", re.MULTILINE)  # [name]: path
_ATTRIBUTE = re.compile(r"\b((?:src|href)=\")(?![a-z]+:|#)([^\"]+)")  # of HTML in Markdown
_SRCSET = re.compile(r"\bsrcset=\"[^\"]+")
_CANDIDATE = re.compile(r"((?:=\"|,)\s*)(?![a-z]+:)([^\s,\"]+)")  # of srcset="small.png 1x, large.png 2x"
# Fences, which lists indent, and code in a line. ~~~ is not used.
_CODE = re.compile(
    r"^[ ]*(`{3,})[^`\n]*\n.*?^[ ]*\1`*[ ]*$|(?<!`)(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\2(?!`)",
    re.MULTILINE | re.DOTALL,
)


class PublishedMetadata(MetadataHookInterface):
    """Sets `readme` and `urls`."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields to the metadata of the project, which has its version."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = os.environ.get("FSBENCH_REPOSITORY", "").rstrip("/")
        metadata["urls"] = {}
        if address:
            text = with_absolute_links(
                text, f"{address}/raw/v{metadata['version']}/", f"{address}/blob/v{metadata['version']}/"
            )
            metadata["urls"] = {
                "Repository": address,
                "Changelog": f"{address}/blob/v{metadata['version']}/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, files: str, pages: str) -> str:
    """Return a Markdown text whose relative links begin with an address.

    Args:
        text: The text.
        files: Address below which pictures are.
        pages: Address below which everything else is.

    Returns:
        The text; anchors, absolute links and code stay as they are.
    """

    def absolute(match: re.Match[str]) -> str:
        before, path = match.groups()
        picture = before.startswith(("!", "src"))
        return f"{before}{files if picture else pages}{path}"

    code = [match[0] for match in _CODE.finditer(text)]
    text = _CODE.sub("\0", text)
    for pattern in (_LINK, _REFERENCE, _ATTRIBUTE):
        text = pattern.sub(absolute, text)
    text = _SRCSET.sub(lambda match: _CANDIDATE.sub(rf"\g<1>{files}\g<2>", match[0]), text)
    return re.sub("\0", lambda _: code.pop(0), text)
