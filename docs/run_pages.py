"""Output of commands and cells that pages show: run again, and written into the page.

In a page, a block of language `text` directly after a block of commands is the output of these commands.
"""

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fsbench._util.files import cache_folder

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?P<excuse><!-- not run: [^\n]+ -->\n)?```(?P<language>bash|python)\n(?P<code>.*?)```\n"
    r"(\n```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)
WIDTH = "80"  # columns of the terminal


def tutorial(page: Path) -> None:
    """Run the commands of a page in order in an empty folder, and write their output into it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "COLUMNS": WIDTH,
    }
    runners = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    with tempfile.TemporaryDirectory() as folder:

        def run(match: re.Match[str]) -> str:
            if match["excuse"]:
                return match[0]
            call = [*runners[match["language"]], match["code"]]
            done = subprocess.run(  # noqa: S603 - commands of our own page
                call, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            if match["output"] is None:
                return match[0]
            lines = (line.rstrip() for line in done.stdout.strip("\n").splitlines())
            output = "\n".join(lines).replace(str(cache_folder()), "~/.cache/fsbench")
            return f"```{match['language']}\n{match['code']}```\n\n```text\n{output}\n```\n"

        page.write_text(BLOCK.sub(run, page.read_text(encoding="utf-8")), encoding="utf-8")


def notebook(path: Path) -> None:
    """Run the cells of a notebook in order, and save their outputs in it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        for count, cell in enumerate(cells, start=1):
            cell["execution_count"] = count
            cell["outputs"] = outputs("".join(cell["source"]), namespace, count)
    path.write_text(f"{json.dumps(content, indent=1, ensure_ascii=False)}\n", encoding="utf-8")


def outputs(code: str, namespace: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    """Run a cell; return what it prints and the value of its last expression as a notebook stores them."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)  # noqa: S102 - the code of our own notebook
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)  # noqa: S307
    result: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        result.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        result.append(
            {"data": _shown(value), "execution_count": count, "metadata": {}, "output_type": "execute_result"}
        )
    return result


def _shown(value: Any) -> dict[str, Any]:
    """Return a value as text and, if it can, as HTML or as a picture."""
    text = re.sub(r" at 0x\w+", "", repr(value))
    data: dict[str, Any] = {"text/plain": text.splitlines(keepends=True)}
    html = getattr(value, "_repr_html_", lambda: None)()
    if html:
        data["text/html"] = html.splitlines(keepends=True)
    png = getattr(value, "_repr_png_", lambda: None)()
    if png:
        import base64

        data["image/png"] = base64.b64encode(png).decode()
    return data
