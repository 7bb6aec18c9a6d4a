"""Pages from templates: values are escaped, and only the style and script of the template are allowed."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from fsbench._util.html import bundle, data_uri, render

TEMPLATE = """{% extends "layout.html" %}
{% block title %}{{ title }}{% endblock %}
{% block body %}<script type="application/json">{{ values | tojson }}</script>{% endblock %}
"""
HOSTILE = "</script><script>alert(1)</script>{{ title }}\u2028&amp;<!--'\""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "own.css").write_text("p { color: red; }")
    (tmp_path / "own.js").write_text("const a = 1 < 2 && '<b>';")
    path = tmp_path / "own.html"
    path.write_text(TEMPLATE)
    return path


def admitted(page: str, tag: str) -> bool:
    """Whether the content policy of the page allows its style or script."""
    content = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)[0]
    digest = b64encode(sha256(content.encode()).digest()).decode()
    return f"{tag}-src 'sha256-{digest}'" in page


def test_style_and_script_of_the_template_are_allowed(template: Path):
    page = render(template, title="T", values=[])
    assert "p { color: red; }" in page
    assert "const a = 1 < 2 && '<b>';" in page
    assert admitted(page, "style")
    assert admitted(page, "script")
    assert "default-src 'none'; img-src data:;" in page


def test_a_page_without_a_script_allows_none(template: Path):
    template.with_suffix(".js").unlink()
    assert "script-src" not in render(template, title="T", values=[])


def test_modules_become_one_script(template: Path):
    """Each module once, after those that it imports; a script without imports stays as it is."""
    folder = template.parent / "parts"
    folder.mkdir()
    (folder / "a.js").write_text('import { b } from "./b.js";\n\nexport function a() { return b; }\n')
    (folder / "b.js").write_text("export const b = 1;\n")
    entry = template.with_suffix(".js")
    assert bundle(entry) == entry.read_text()
    entry.write_text('import { a } from "./parts/a.js";\nimport { b } from "./parts/b.js";\na(b);\n')
    assert bundle(entry) == (
        '"use strict";\n(() => {\nconst b = 1;\n\n\nfunction a() { return b; }\n\na(b);\n})();\n'
    )
    assert admitted(render(template, title="T", values=[]), "script")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ('import { c } from "./own.js";\nexport const b = 1;\n', "own.js: imports itself, through .*b.js"),
        ("export function a() {}\n", "several modules define a; rename"),
        ("class a {}\n", "several modules define a; rename"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(template: Path, module: str, message: str):
    template.with_suffix(".js").write_text('import { b } from "./b.js";\nconst a = 1;\n')
    (template.parent / "b.js").write_text(module)
    with pytest.raises(ValueError, match=message):
        bundle(template.with_suffix(".js"))


def test_values_stay_text(template: Path):
    page = render(template, title=HOSTILE, values={"name": HOSTILE, "order": {"b": 1, "a": 2}})
    assert "alert(1)</script>" not in page
    assert page.count("<script") == page.count("</script>") == 2
    data = page.split('type="application/json">')[1].split("</script>")[0]
    assert json.loads(data)["name"] == HOSTILE
    assert data.endswith('"order":{"b":1,"a":2}}')


def test_a_forgotten_value_is_an_error(template: Path):
    with pytest.raises(UndefinedError, match="title"):
        render(template, values=[])


def test_a_data_uri_holds_the_content():
    assert data_uri(b"\x00\xff", "image/png") == "data:image/png;base64,AP8="
