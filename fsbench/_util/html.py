"""Self-contained HTML pages from Jinja2 templates. A page never makes a request to the network."""

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_LAYOUT = Path(__file__).with_name("layout.html")
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function |const |class )", re.MULTILINE)
_NAME = re.compile(r"^(?:(?:async )?function\*? ?|const |let |class )(\w+)", re.MULTILINE)


def render(template: Path, **values: Any) -> str:
    """Fill a template that extends `layout.html`.

    `NAME.css` and `NAME.js` beside `NAME.html` become parts of the page, with the modules that `NAME.js`
    imports. The content security policy of the page admits exactly these two and images in data URIs. All
    values are escaped; `tojson` writes values for a script.

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
    scope: names of different modules must differ, imports must not rename, and no module may import itself
    through others.

    Args:
        entry: The script, with imports such as `import { make } from "./page/dom.js";`, one per line.

    Returns:
        The text of the script, the same if it imports nothing; empty if there is no such file.

    Raises:
        ValueError: Modules import each other in a circle, or two of them define the same name.
    """
    modules: dict[Path, str] = {}  # in the order in which they are complete

    def add(path: Path, importers: tuple[Path, ...]) -> None:
        if path in importers:
            raise ValueError(f"{path}: imports itself, through {importers[-1]}")
        text = _text(path)
        for name in _IMPORT.findall(text):
            if path.parent / name not in modules:
                add(path.parent / name, (*importers, path))
        modules[path] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(entry, ())
    names = Counter(name for text in modules.values() for name in _NAME.findall(text))
    if repeated := [name for name, n in names.items() if n > 1]:
        raise ValueError(f"{entry}: several modules define {', '.join(repeated)}; rename all but one")
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
