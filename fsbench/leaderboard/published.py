"""Published accuracies, quoted with where they were read; `published.csv` holds them, a line a method.

An accuracy stands as its source prints it, and so does what follows ±. Image sizes stand where the source's
code gives them. PT-MAP takes the class counts (its repository, issue 21).
"""

import csv
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsbench.leaderboard.rows import Protocol

SHOTS = (1, 5, 10)
SOURCES = {
    "s2m2": "README of nupurkmr9/S2M2_fewshot at 50b1c1b",
    "s2m2-4": "nupurkmr9/S2M2_fewshot, issue 4; backbone inferred",
    "s2m2-8": "nupurkmr9/S2M2_fewshot, issue 8",
    "s2m2-paper": "arXiv:1907.12087, from memory",
    "easy": "README of ybendou/easy",
    "firth": "tables of ehsansaleh/code_s2m2rf, without its correction",
    "ptmap": "README of yhu01/PT-MAP",
    "sf": "README of xiangyu8/PT-MAP-sf",
    "tim": "README of mboudiaf/TIM",
    "lap": "README of imtiazziko/LaplacianShot",
    "lap-5": "imtiazziko/LaplacianShot, issue 5, a user quoting the paper",
    "cl": "wyharveychen/CloserLookFewShot",
    "lib": "RL-VIG/LibFewShot",
    "mmfewshot": "open-mmlab/mmfewshot",
    "lb": "yaoyao-liu/few-shot-classification-leaderboard",
    "lap-lb": "imtiazziko/LaplacianShot and yaoyao-liu/few-shot-classification-leaderboard",
    "dc-30": "ShuoYang-1998/Few_Shot_Distribution_Calibration, issue 30, a user's run",
}


@dataclass(frozen=True)
class Published:
    """What a source says of one method on one data set."""

    backbone: str | None
    method: str
    recipe: str | None  # the one of `baselines/` that it corresponds to
    marks: str  # † transductive, ‡ is told the class counts
    read: bool  # at its source; else from memory, unverified
    where: str
    accuracies: Mapping[Protocol, str]  # in %, such as "64.93 ± 0.18"


@dataclass(frozen=True)
class Quotation:
    """A table of published accuracies: one pair of data sets, one image size where known."""

    heading: str
    dataset: str
    columns: Sequence[Protocol]
    rows: Sequence[Published]


def quotations(pairs: Container[tuple[str, str]], *, memory_rows: bool = False) -> list[Quotation]:
    """The tables for the wanted pairs of source and target data set, in the order of the file.

    With `memory_rows` also those rows that nobody has checked at their source.
    """
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if (line["trained_on"], line["dataset"]) in pairs]
    found: dict[tuple[str, str], dict[tuple[str, ...], dict[Protocol, str]]] = {}
    for line in lines:
        if line["read"] == "yes" or memory_rows:
            rows = found.setdefault((_heading(line), line["dataset"]), {})
            named = tuple(line[name] for name in ("backbone", "method", "recipe", "marks", "read", "source"))
            rows.setdefault(named, {}).update(_accuracies(line))
    return [_quotation(*group, rows) for group, rows in found.items()]


def _heading(line: Mapping[str, str]) -> str:
    source, size = line["trained_on"], line["image_size"]
    classes = f" ({line['source_classes']} classes)" if line["source_classes"] else ""
    pair = line["dataset"] if source == line["dataset"] else f"{source}{classes} → {line['dataset']}"
    prior = ", class counts given" if "‡" in line["marks"] else ""
    ways = "" if line["n_way"] == "5" else ", more than 5 ways"  # what few sources measured
    return f"{pair}, {f'{size} px' if size else 'image size not stated'}{ways}{prior}"


def _accuracies(line: Mapping[str, str]) -> dict[Protocol, str]:
    cells = {(int(line["n_way"]), shot): line[f"{shot}-shot"] for shot in SHOTS}
    return {protocol: text.replace("±", " ± ") for protocol, text in cells.items() if text}


def _quotation(
    heading: str, dataset: str, rows: Mapping[tuple[str, ...], Mapping[Protocol, str]]
) -> Quotation:
    columns = sorted({protocol for accuracies in rows.values() for protocol in accuracies})
    return Quotation(
        heading,
        dataset,
        columns,
        [
            Published(
                backbone or None, method, recipe or None, marks, read == "yes", SOURCES[source], accuracies
            )
            for (backbone, method, recipe, marks, read, source), accuracies in rows.items()
        ],
    )
