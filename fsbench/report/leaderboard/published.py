"""Published accuracies, quoted with their source; `published.csv` holds them, one line per method and n_way.

Two collections are included completely: the 322 rows of yaoyao-liu's leaderboard, and the 96 models of
mmfewshot's metafiles, one line for the 1-shot and the 5-shot model of a method. All other lines are from
other sources. Numbers are quoted as printed, including ±. A setting or an image size is given only if the
source states it. Other values are as printed, too, with these exceptions:

* Data sets and backbones of fsbench have its names: 4CONV is conv4, WRN (of PT+MAP and LaplacianShot) is
  wrn28-10, ResNet-12 (64-160-320-640) is resnet12. DenseNet-121 and DenseNet121 are both densenet121.
* Misprints are corrected: the venue TPMAI, the backbone 3xResNet012, the number "83.40.", the paper
  arXiv:1003.12060.
* Transductive PT+MAP uses the class counts (issue 21 of yhu01/PT-MAP).
* mmfewshot's image size is that of its README files; Baseline_Plus is Baseline++.
* `recipe` is the one of `baselines/` that trains such a backbone.
"""

import csv
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsbench.report.grouping import group_by
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Table

Shown = Literal["same", "all", "none"]  # below measured tables: the same backbones, every backbone, nothing
Parts = Sequence[tuple[str, str]]  # texts, each with its link address or ""

COLUMNS = ("backbone", "setting", "method", "venue", "image size", "source")  # before the protocols
SHOTS = (1, 5, 10)
GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Source:
    """The source of published numbers."""

    name: str
    url: str
    note: str = ""  # scope and licence of the collection
    from_memory: bool = False  # quoted from memory, not verified at the source


SOURCES = {
    "lb": Source(
        "yaoyao-liu/few-shot-classification-leaderboard at 451a97a",
        GITHUB + "yaoyao-liu/few-shot-classification-leaderboard/tree/451a97a",
        "all of it; CC0-1.0",
    ),
    "mmfewshot": Source(
        "metafiles of open-mmlab/mmfewshot at af4fad5",
        GITHUB + "open-mmlab/mmfewshot/tree/af4fad5/configs/classification",
        "all of them, two models per row; Apache-2.0",
    ),
    "s2m2": Source(
        "README of nupurkmr9/S2M2_fewshot at 50b1c1b",
        GITHUB + "nupurkmr9/S2M2_fewshot/blob/50b1c1b/README.md",
    ),
    "s2m2-4": Source(
        "nupurkmr9/S2M2_fewshot, issue 4; backbone inferred", GITHUB + "nupurkmr9/S2M2_fewshot/issues/4"
    ),
    "s2m2-8": Source("nupurkmr9/S2M2_fewshot, issue 8", GITHUB + "nupurkmr9/S2M2_fewshot/issues/8"),
    "s2m2-paper": Source(
        "arXiv:1907.12087, from memory", "https://arxiv.org/abs/1907.12087", from_memory=True
    ),
    "easy": Source("README of ybendou/easy", GITHUB + "ybendou/easy"),
    "firth": Source(
        "tables of ehsansaleh/code_s2m2rf, without its correction", GITHUB + "ehsansaleh/code_s2m2rf"
    ),
    "ptmap": Source("README of yhu01/PT-MAP", GITHUB + "yhu01/PT-MAP"),
    "sf": Source("README of xiangyu8/PT-MAP-sf", GITHUB + "xiangyu8/PT-MAP-sf"),
    "tim": Source("README of mboudiaf/TIM", GITHUB + "mboudiaf/TIM"),
    "lap": Source("README of imtiazziko/LaplacianShot", GITHUB + "imtiazziko/LaplacianShot"),
    "lap-5": Source(
        "imtiazziko/LaplacianShot, issue 5, a user quoting the paper",
        GITHUB + "imtiazziko/LaplacianShot/issues/5",
    ),
    "cl": Source("wyharveychen/CloserLookFewShot", GITHUB + "wyharveychen/CloserLookFewShot"),
    "lib": Source("RL-VIG/LibFewShot", GITHUB + "RL-VIG/LibFewShot"),
    "dc-30": Source(
        "ShuoYang-1998/Few_Shot_Distribution_Calibration, issue 30, a user's run",
        GITHUB + "ShuoYang-1998/Few_Shot_Distribution_Calibration/issues/30",
    ),
}


@dataclass(frozen=True)
class Published:
    """Published accuracies of one method on one data set; empty texts stand for values that are not given."""

    backbone: str
    setting: str  # inductive, transductive, ...
    method: str
    paper: str  # address
    venue: str
    image_size: str
    recipe: str
    source: Source
    reported_by: str  # address of the paper that reports the number, if another one than that of the method
    accuracies: Mapping[Protocol, str]  # in %, such as "64.93 ± 0.18"

    def percent(self, protocol: Protocol) -> float:
        """Return the accuracy for one protocol in %, without its half width."""
        return float(self.accuracies[protocol].split()[0])

    @property
    def named(self) -> dict[str, Parts]:
        """The texts in each of COLUMNS."""
        size = f"{self.image_size} px" if self.image_size else ""
        reported = [("reported in another paper", self.reported_by)] if self.reported_by else []
        named = {"backbone": self.backbone, "setting": self.setting, "venue": self.venue, "image size": size}
        return {
            **{name: [(text, "")] if text else [] for name, text in named.items()},
            "method": [(self.method, self.paper)],
            "source": [(self.source.name, self.source.url), *reported],
        }


@dataclass(frozen=True)
class Quotation:
    """A table of published rows."""

    heading: str
    pair: tuple[str, str]  # source and target data set
    named: Sequence[str]  # those of COLUMNS that it shows
    columns: Sequence[Protocol]
    rows: Sequence[Published]


def quotations(*, memory_rows: bool = False) -> list[Quotation]:
    """Read all published rows, one table per pair of data sets and setting, in the order of the file.

    Rows that were not verified at their source are left out unless `memory_rows` is true.
    """
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        lines = [
            line for line in csv.DictReader(file) if memory_rows or not SOURCES[line["source"]].from_memory
        ]
    tables = group_by(lines, lambda line: (_heading(line), (line["trained_on"], line["dataset"])))
    return [
        _quotation(heading, pair, [_row(same) for same in group_by(rows, _method).values()], "setting")
        for (heading, pair), rows in tables.items()
    ]


def beside(
    quotations: Sequence[Quotation], tables: Sequence[Table], *, every_backbone: bool = False
) -> dict[str, Quotation]:
    """Select the published rows to show below measured tables, by the heading of the table above them.

    Rows are shown below the last table of their pair of data sets. They have a protocol and, unless
    `every_backbone` is true, a backbone in common with a measured table of that pair.
    """
    quotations_beside = {}
    for pair in dict.fromkeys(quotation.pair for quotation in quotations):
        published = [row for quotation in quotations if quotation.pair == pair for row in quotation.rows]
        published_backbones = {row.backbone for row in published}
        measured = [
            table
            for table in tables
            if _pair(table) == pair and (every_backbone or published_backbones & _backbones(table))
        ]
        backbones = (
            published_backbones
            if every_backbone
            else {name for table in measured for name in _backbones(table)}
        )
        protocols = {protocol for table in measured for protocol in table.columns}
        rows = [row for row in published if row.backbone in backbones and protocols & row.accuracies.keys()]
        if rows:
            names = [] if every_backbone else sorted({row.backbone for row in rows})
            rows.sort(key=lambda row: row.backbone)
            heading = ", ".join([_arrow(*pair), *names])
            quotations_beside[measured[-1].heading] = _quotation(heading, pair, rows, protocols=protocols)
    return quotations_beside


def _backbones(table: Table) -> set[str | None]:
    """Return the backbones of a measured table."""
    return {line.result.model.backbone for line in table.lines}


def _pair(table: Table) -> tuple[str, str] | None:
    """Return source and target data set (the target for an unknown source); None if nothing is published."""
    first = table.results[0]
    has_published = not first.data.synthetic and first.data.split == "novel"
    return (first.model.source or first.data.dataset, first.data.dataset) if has_published else None


def _heading(line: Mapping[str, str]) -> str:
    """Describe data sets, ways and setting of a published row."""
    classes = f" ({line['source_classes']} classes)" if line["source_classes"] else ""
    ways = "" if line["n_way"] == "5" else ", more than 5 ways"
    pair = _arrow(line["trained_on"] + classes, line["dataset"])
    return f"{pair}{ways}, {line['setting'] or 'setting not stated'}"


def _arrow(source: str, target: str) -> str:
    """Format a pair of source and target data set."""
    return target if source == target else f"{source} → {target}"


def _quotation(
    heading: str,
    pair: tuple[str, str],
    rows: Sequence[Published],
    left_out: str = "",
    protocols: Collection[Protocol] | None = None,
) -> Quotation:
    """Make a table of these protocols (None: all), without empty columns."""
    named = [name for name in COLUMNS if name != left_out and any(row.named[name] for row in rows)]
    columns = {
        protocol for row in rows for protocol in row.accuracies if protocols is None or protocol in protocols
    }
    return Quotation(heading, pair, named, sorted(columns), rows)


def _method(line: Mapping[str, str]) -> Hashable:
    """Return all values of a line except n_way and accuracies."""
    return tuple(value for name, value in line.items() if name != "n_way" and not name.endswith("-shot"))


def _row(lines: Sequence[Mapping[str, str]]) -> Published:
    """Join lines that differ only in n_way and accuracies."""
    first = lines[0]
    return Published(
        backbone=first["backbone"],
        setting=first["setting"],
        method=first["method"],
        paper=first["paper"],
        venue=first["venue"],
        image_size=first["image_size"],
        recipe=first["recipe"],
        source=SOURCES[first["source"]],
        reported_by=first["reported_by"],
        accuracies={
            (int(line["n_way"]), shot): text.replace("±", " ± ")
            for line in lines
            for shot in SHOTS
            if (text := line[f"{shot}-shot"])
        },
    )
