"""Parts of the pages that follow from the code."""

import inspect
import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsbench

ROOT = Path(__file__).parent.parent


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
    """One row per head, with a link to its page."""
    from fsbench.heads import HEADS

    rows = [
        [
            f"[`{name}`](heads/{name}.md){' †' * head.transductive}{' ‡' * head.class_prior}",
            first_line(head.classify),
            f"`{head.preprocess}`",
            linked(head.paper),
        ]
        for name, head in HEADS.items()
    ]
    return table(["name", "method", "preprocessing", "paper"], rows)


def head_facts(name: str) -> str:
    """What a head sees, its preprocessing, its settings, its papers and its file."""
    from fsbench._util.settings import as_text
    from fsbench.heads import HEADS

    head = HEADS[name]
    file = Path(inspect.getsourcefile(head.classify) or "").name
    sees = (
        "all query images of a task together (transductive, †)"
        if head.transductive
        else "each query image alone"
    )
    settings = ", ".join(f"`{key}={as_text(value)}`" for key, value in head.defaults.items()) or "none"
    rows = [
        ["sees", f"{sees}{', and the number of queries per class (‡)' * head.class_prior}"],
        ["default preprocessing", f"`{head.preprocess}`"],
        ["random numbers", "yes, from the key of the task" if head.random else "no"],
        ["settings", settings],
        ["needs base features", "yes" if head.needs_base or head.preprocess == "cl2n" else "no"],
        ["source", linked(section(head.classify, "Source") or head.paper)],
        ["code", f"[`fsbench/heads/{file}`](../../fsbench/heads/{file})"],
    ]
    usage = f"fsbench evaluate runs/erm/best.safetensors --head {name}"
    imports = f">>> import torch\n>>> from fsbench.heads import {head.classify.__name__}"
    example = section(head.classify, "Example")
    return (
        f"{table(['property', 'value'], rows)}\n\n```sh\n{usage}\n```\n\n```pycon\n{imports}\n{example}\n```"
    )


def comment(lines: Sequence[str], index: int) -> str:
    """Return the comment at the end of a line, or else the comment lines directly above it."""
    behind = re.search(r"  # (.+)$", lines[index])
    if behind:
        return behind[1]
    first = index
    while first and lines[first - 1].startswith("# "):
        first -= 1
    return " ".join(line.removeprefix("# ") for line in lines[first:index])


def first_line(value: object) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def section(value: object, name: str) -> str:
    """Return the text of a section of a docstring, such as `Source:`, on one line unless it is an example."""
    match = re.search(rf"^{name}:\n((?:    .*\n?|\n)+)", inspect.getdoc(value) or "", re.MULTILINE)
    lines = [line.removeprefix("    ") for line in (match[1] if match else "").strip().split("\n")]
    return ("\n" if name == "Example" else " ").join(lines)


def linked(text: str) -> str:
    """Link arXiv numbers and repositories of reference code."""
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"reference code ([\w-]+/[\w-]+)", r"reference code [\1](https://github.com/\1)", text)


def commands() -> str:
    """A section per command: usage, what it does, its parameters by group, and an example.

    The first line names the version of cyclopts, which formats and words the rest.
    """
    from fsbench.cli import app

    page = app.generate_docs(heading_level=2)
    start, *parts = re.split(r"^(#{3,4} fsbench .+)$", page, flags=re.MULTILINE)
    assert "fsbench COMMAND" in start  # lists the commands, as the table of contents does
    sections = [f"<!-- written by cyclopts {version('cyclopts')} -->"]
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        command = app
        names = heading.split()[2:]
        for name in names:
            command = command[name]
        if command.usage:  # begins with all names, of which cyclopts expects one
            body = body.replace(f"{' '.join(names)} ", "", 1)
        examples = re.sub(r"^(Examples?:)? +", "", command.help_epilogue or "", flags=re.MULTILINE)
        sections.append(f"{heading}\n\n{body.strip()}\n\n```sh\n{examples}\n```")
    return "\n\n".join(sections)


def rooms() -> str:
    """One row per folder of the package, in the order of its import layers."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = config["tool"]["importlinter"]["contracts"]
    rows = []
    for name in (name.strip() for layer in contract["layers"] for name in re.split("[:|]", layer)):
        is_folder = (ROOT / "fsbench" / name).is_dir()
        rows.append([f"`{name}{'/' if is_folder else '.py'}`", first_line(import_module(f"fsbench.{name}"))])
    return table(["in `fsbench/`", "content"], rows)


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
