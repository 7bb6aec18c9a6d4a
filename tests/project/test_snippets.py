"""What README and pages tell people to type: parsed here, and run page by page, on small data, when slow.

A fenced block of `bash` or `python` is run, and one of commands without a language; `title="mine.py"` makes
it that file instead. A block that cannot run here has a line `<!-- not run: why -->` above it. Commands in
generated parts are blocks of `sh`: they are parsed and not run.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from fsbench.cli import app
from fsbench.cli._app import parse
from fsbench.data.class_lists import class_list
from fsbench.data.preparation import prepare

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OMNIGLOT = {"background/Greek": 883, "background/Tagalog": 81, "evaluation/Tengwar": 659}  # classes in each
RUN = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


class Block(NamedTuple):
    """One fenced block of a page."""

    place: str
    language: str
    title: str | None  # name of the file that it shows
    text: str
    excuse: str | None  # the reason why it is not run


def blocks(page: Path) -> Iterator[Block]:
    excuse = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            language, _, options = token.info.partition(" ")
            if not language and token.content.startswith(("fsbench ", "make ")):
                language = "bash"
            title = re.search(r'title="(.+)"', options)
            if language in (*RUN, "sh") or title:
                place = f"{page.relative_to(ROOT)}:{token.map[0] + 1}"
                yield Block(place, language, title and title[1], token.content, excuse)
        note = (
            re.fullmatch(r"<!-- not run: (.+) -->\n", token.content) if token.type == "html_block" else None
        )
        excuse = note and note[1]


ALL = {str(page.relative_to(ROOT)): list(blocks(page)) for page in PAGES}
EACH = [block for page in ALL.values() for block in page]


def test_most_are_run():
    excuses = [block.excuse for block in EACH if block.excuse]
    run = [block for block in EACH if block.language != "sh"]
    assert len(run) - len(excuses) >= 20
    assert len(excuses) <= len(run) / 3, excuses


@pytest.mark.parametrize("block", EACH, ids=lambda block: block.place)
def test_every_shown_command_exists(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # folder of the files that commands name
    for other in ALL[block.place.partition(":")[0]]:
        if other.title:
            Path(other.title).write_text(other.text, encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return
    lines = block.text if block.language in ("bash", "sh") else ""
    for line in lines.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["fsbench"]:
            parse(app, words[1:])
        assert words[:1] != ["make"] or words[1] in targets


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a user with CIFAR-FS, Omniglot and birds: 20 noisy images of one colour per class."""
    folder, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    places = [f"cifar-fs/{split}/{name}" for split, names in class_list("cifar-fs").items() for name in names]
    places += [f"omniglot/images_{name}/{i}" for name, count in OMNIGLOT.items() for i in range(count)]
    birds = [f"{name}/{i}" for name in ("birds", "new") for i in range(8)]
    for place in [folder / "data" / name for name in (*places, *birds)]:
        place.mkdir(parents=True)
        pictures = rng.uniform(40, 215, 3) + rng.normal(0, 40, (20, 32, 32, 3))
        for i, pixels in enumerate(pictures.clip(0, 255).astype(np.uint8)):
            Image.fromarray(pixels).save(place / f"{i}.png")
    for name in ("cifar-fs", "omniglot"):
        prepare(name, folder / "data" / name, cache=folder / "cache", quiet=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "page", [name for name, fences in ALL.items() if any(block.language in RUN for block in fences)]
)
def test_a_page_runs_as_it_stands(page: str, home: Path, tmp_path: Path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "HOME": str(home), "FSBENCH_CACHE": str(home / "cache"), "PATH": path}
    shutil.copy(ROOT / "README.md", tmp_path)  # a command writes tables into it
    for block in ALL[page]:
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.excuse is None and block.language in RUN:
            script = re.sub(r"^make .*", "", block.text, flags=re.MULTILINE)  # make would run the tests again
            call = [*RUN[block.language], script]
            ran = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{block.place}: {ran.stderr}"
