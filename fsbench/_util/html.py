"""Self-contained HTML pages from Jinja2 templates. A page never makes a request to the network."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_LAYOUT = Path(__file__).with_name("layout.html")
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function |const |class )", re.MULTILINE)


def render(template: Path, **values: Any) -> str:
    """Fill a template that extends `layout.html`.

    `NAME.css` and `NAME.js` beside `NAME.html` become parts of the page, with the modules that `NAME.js`
    imports. The content security policy of the
    page admits exactly these two and images in data URIs. All values are escaped; `tojson` writes values for
    a script.

    Args:
        template: The template file.
        values: The variables of the template.

    Returns:
        The page.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _LAYOUT.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters["policy_hash"] = _policy_hash
    style = _text(_LAYOUT.with_suffix(".css")) + _text(template.with_suffix(".css"))
    script = bundle(template.with_suffix(".js"))
    return environment.get_template(template.name).render(values, style=style, script=script)


def bundle(entry: Path) -> str:
    """Join a script and the modules that it imports into one script, imported modules first.

    A browser does not load the modules of a page from a disk, so the page must contain them. They share one
    scope: names of different modules must differ, and imports must not rename.

    Args:
        entry: The script, with imports such as `import { make } from "./page/dom.js";`, one per line.

    Returns:
        The text of the script, the same if it imports nothing; empty if there is no such file.
    """
    modules: dict[Path, str] = {}  # in the order in which they are complete

    def add(path: Path) -> None:
        text = _text(path)
        for name in _IMPORT.findall(text):
            if path.parent / name not in modules:
                add(path.parent / name)
        modules[path] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(entry)
    if len(modules) == 1:
        return modules[entry]
    return '"use strict";\n(() => {\n' + "\n".join(modules.values()) + "})();\n"


def data_uri(content: bytes, media_type: str) -> str:
    """Return an address that holds the content itself.

    Args:
        content: The bytes of a file.
        media_type: Its type, such as `image/png`.

    Returns:
        A `data:` URI.
    """
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _text(path: Path) -> str:
    """Read a text file; an absent file has no text."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _policy_hash(text: str) -> str:
    """Return the name by which a content security policy admits a style or a script."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
