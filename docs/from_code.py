"""Tables that the pages take from the code."""

import inspect
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import fsbench


def data_sets() -> str:
    """One row per data set: number of classes of each split, download, paper."""
    from fsbench.data.glyphs import CLASSES, NAMES, PER_CLASS
    from fsbench.data.registry import SOURCES

    rows = [
        [f"`{name}`", *source.n_classes, "yes" if source.download else "no", source.paper]
        for name, source in SOURCES.items()
    ]
    for name in NAMES:
        counts = (CLASSES[name].get(split, 0) for split in ("base", "val", "novel"))
        rows.append([f"`{name}`", *counts, "not needed", f"synthetic, {PER_CLASS} images per class"])
    return table(["name", "base", "val", "novel", "`--download`", "split of"], rows)


def layouts() -> str:
    """One row per data set: the content of its folder."""
    from fsbench.data.registry import SOURCES

    rows = ([f"`{name}`", f"`{source.layouts}`"] for name, source in SOURCES.items())
    return table(["data set", "content of the folder"], rows)


def backbones() -> str:
    """One row per backbone."""
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
    return table(["name", "features", "million weights", "smallest image", "mixing points", "paper"], rows)


def heads() -> str:
    """One row per head."""
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
    return table(["name", "method", "preprocessing", "paper"], rows)


def commands() -> str:
    """A section per command: usage, what it does, its parameters by group, and an example."""
    from fsbench.cli import app

    page = app.generate_docs(heading_level=2)
    start, *parts = re.split(r"^(#{3,4} fsbench .+)$", page, flags=re.MULTILINE)
    assert "fsbench COMMAND" in start  # lists the commands, as the table of contents does
    sections = []
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        command = app
        names = heading.split()[2:]
        for name in names:
            command = command[name]
        if command.usage:  # begins with all names, of which cyclopts expects one
            body = body.replace(f"{' '.join(names)} ", "", 1)
        examples = re.sub(r"^(Examples?:)? +", "", command.help_epilogue or "", flags=re.MULTILINE)
        sections.append(f"{heading}\n{body.rstrip()}\n\n```bash\n{examples}\n```")
    return "\n\n".join(sections)


def public_modules() -> list[str]:
    """Names of the package, its rooms except the command line, and the modules in their `__all__`."""
    rooms = sorted(path.parent.name for path in Path(fsbench.__file__).parent.glob("[!_]*/__init__.py"))
    modules = [fsbench, *(import_module(f"fsbench.{room}") for room in rooms if room != "cli")]
    public = [getattr(module, name) for module in modules for name in getattr(module, "__all__", ())]
    names = {module.__name__ for module in (*modules, *filter(inspect.ismodule, public))}
    return sorted(names)


def modules() -> str:
    """One row per public module, with a link to its page beside that of the package."""
    rows = [
        [
            f"[`{name}`]({name.removeprefix('fsbench.')}.md)",
            (inspect.getdoc(import_module(name)) or "").partition("\n")[0],
        ]
        for name in public_modules()
        if name != "fsbench"
    ]
    return table(["module", "content"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
