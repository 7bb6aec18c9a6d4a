"""Tables and listings of the pages that follow from the code."""

import ast
import inspect
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import fsbench


def data_sets() -> str:
    """A row a data set: classes of each split, layouts, paper."""
    from fsbench.data.glyphs import CLASSES, NAMES, PER_CLASS
    from fsbench.data.registry import SOURCES

    rows = [
        [f"`{name}`", *source.n_classes, "yes" if source.download else "no", source.paper]
        for name, source in SOURCES.items()
    ]
    for name in NAMES:
        counts = (CLASSES[name].get(split, 0) for split in ("base", "val", "novel"))
        rows.append([f"`{name}`", *counts, "drawn by code", f"synthetic, {PER_CLASS} images a class"])
    return table(["name", "base", "val", "novel", "`--download`", "classes as in"], rows)


def layouts() -> str:
    """What the folder of each data set holds, an item a data set."""
    from fsbench.data.registry import SOURCES

    rows = ([f"`{name}`", f"`{source.layouts}`"] for name, source in SOURCES.items())
    return table(["data set", "the folder holds"], rows)


def backbones() -> str:
    """A row a backbone."""
    from fsbench.models.backbones import BACKBONES, build

    rows = []
    for name, architecture in BACKBONES.items():
        backbone = build(name, 32)
        weights = sum(weight.numel() for weight in backbone.parameters()) / 1e6
        rows.append(
            [
                f"`{name}`",
                backbone.feature_dim,
                f"{weights:.2f}",
                f"{architecture.smallest} px",
                len(backbone.mixing_points),
                architecture.paper,
            ]
        )
    return table(["name", "features", "million weights", "from", "mixing points", "paper"], rows)


def heads() -> str:
    """A row a head."""
    from fsbench.heads import HEADS

    rows = [
        [
            f"`{name}`{' †' * head.transductive}{' ‡' * head.class_prior}",
            (inspect.getdoc(head.classify) or "").partition("\n")[0],
            f"`{head.preprocess}`",
            head.paper,
        ]
        for name, head in HEADS.items()
    ]
    return table(["name", "what it does", "features as", "paper"], rows)


def commands() -> str:
    """A section per command: usage, what it does, its parameters by group, and an example."""
    from fsbench.cli import app

    page = app.generate_docs(heading_level=2)
    start, *parts = re.split(r"^(#{3,4} fsbench .+)$", page, flags=re.MULTILINE)
    assert "fsbench COMMAND" in start  # lists the commands, as the table of contents does
    sections = []
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        command = app
        for word in heading.split()[2:]:
            command = command[word]
        examples = re.sub(r"^(Examples?:)? +", "", command.help_epilogue or "", flags=re.MULTILINE)
        sections.append(f"{heading}\n{body.rstrip()}\n\n```bash\n{examples}\n```")
    return "\n\n".join(sections)


def python_api() -> str:
    """A section a public name, in the order of the package's docstring; a line a function of a module."""
    sections = []
    for name in re.findall(r"^    fsbench\.(\w+) ", fsbench.__doc__ or "", re.MULTILINE):
        thing = getattr(fsbench, name)
        if not inspect.ismodule(thing):
            text = f"```python\n{_declaration(thing)}\n```"
        else:
            own = [
                each
                for each, value in vars(thing).items()
                if getattr(value, "__module__", "") == thing.__name__
            ]
            public = [
                getattr(thing, each) for each in getattr(thing, "__all__", own) if not each.startswith("_")
            ]
            rows = [
                [f"`{f.__name__}`", inspect.getdoc(f).partition("\n")[0]]
                for f in public
                if inspect.isroutine(f) or inspect.isclass(f)
            ]
            text = (
                inspect.getdoc(thing).partition("\n")[0] + "\n\n" + table(["function", "what it gives"], rows)
            )
        sections.append(f"### fsbench.{name}\n\n{text}")
    return "\n\n".join(sections)


def _declaration(thing: Any) -> str:
    """How a function or class is declared, as its source has it: signature, docstring, fields."""
    source = inspect.getsource(thing)
    (node,) = ast.parse(source).body
    head = list(takewhile(lambda part: isinstance(part, ast.Expr | ast.AnnAssign), node.body))
    return "\n".join(source.splitlines()[: head[-1].end_lineno])


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
