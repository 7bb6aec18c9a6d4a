"""What the page says about itself: why published rows are higher, papers and citation."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fsbench.evaluation.result import Result
from fsbench.models.identity import Model
from fsbench.report.leaderboard.published import Published, Quotation
from fsbench.report.leaderboard.tables import Line, Table
from fsbench.report.leaderboard.wording import notes
from fsbench.stats.all_pairs import FEWEST_SEEDS, LEVEL

MOST_NAMED = 2  # backbones in one sentence


def why_published_differ(dataset: str, tables: Sequence[Table], quotations: Sequence[Quotation]) -> str:
    """Say why published rows of a data set are higher than those of the backbones trained here.

    Inductive rows are compared that were trained on the same data set, on the data set itself if possible.

    Args:
        dataset: The data set.
        tables: All measured tables.
        quotations: All published tables.

    Returns:
        The sentences, made from the rows; empty if no published row is higher.
    """
    printed = [quotation for quotation in quotations if quotation.pair[1] == dataset]
    lines = [line for table in tables for line in table.lines if _is_trained_here(line, dataset)]
    sources = {line.result.model.source for line in lines} & {quotation.pair[0] for quotation in printed}
    if not sources:
        return ""
    source = min(sources, key=lambda name: (name != dataset, name))
    return _comparison(
        [line for line in lines if line.result.model.source == source],
        [row for quotation in printed if quotation.pair[0] == source for row in quotation.rows],
    )


def _is_trained_here(line: Line, dataset: str) -> bool:
    """Whether a line is about a recipe with an inductive head on a data set; a mean stands for its seeds."""
    result = line.result
    inductive = not result.head.transductive and not result.head.class_prior
    trained = bool(result.model.recipe) and not line.in_mean
    return result.data.dataset == dataset and inductive and trained and bool(line.cells)


def _comparison(lines: Sequence[Line], rows: Sequence[Published]) -> str:
    """Compare the best rows, and name the backbones of the published ones that are higher."""
    protocol = min(protocol for line in lines for protocol in line.cells)
    compared = [line for line in lines if protocol in line.cells]
    best = max(compared, key=lambda line: line.cells[protocol].mean)
    accuracy = 100 * best.cells[protocol].mean
    higher = [
        (printed, row.backbone)
        for row in rows
        if row.setting in ("inductive", "") and not row.source.from_memory
        if row.accuracies.get(protocol) and (printed := row.percent(protocol)) > accuracy
    ]
    if not higher:
        return ""
    rows_are = "1 published row is" if len(higher) == 1 else f"{len(higher)} published rows are"
    runs = f"mean of {best.n_seeds} seeds: " if best.n_seeds > 1 else "one training seed: "
    backbones = sorted({str(line.result.model.backbone) for line in compared})
    others = Counter(name for _, name in higher if name and name not in backbones)
    named = ", ".join(f"{name} in {n}" for name, n in others.most_common(MOST_NAMED))
    larger = f", mostly with other backbones ({named})" if others.total() > len(higher) / 2 else ""
    training = _training([line.result.model for line in compared])
    return (
        f"{rows_are} above the best recipe trained here ({runs}{accuracy:.1f} %; published: up to "
        f"{max(higher)[0]:.1f} %; inductive, {{}}-way {{}}-shot){larger}; trained here: ".format(*protocol)
        + f"{' and '.join(backbones)}{training}. Filter by backbone to compare like with like."
    )


def reading(table: Table) -> str:
    """Explain ranks, bold type and marks of a table of configurations."""
    claim = {
        "classes": "on new classes and their images, by the paired t test over classes",
        "tasks": "on other tasks from the same images, by the paired t test over tasks",
    }[table.over]
    ranks = (
        f"A rank is 1 + the number of significantly better rows (level {LEVEL} {claim}, with Holm's "
        f"correction over all pairs of the column). Means over {FEWEST_SEEDS} or more training seeds are "
        "ranked among themselves, single runs among all single runs of the table, other means not at all. "
        "Bold: not significantly different from the best."
    )
    marks = notes(
        table.results,
        table.over,
        several_rows=False,
        unclaimed=any(None in compared.ranks for compared in table.checkpoints.values()),
        several_seeds=False,
        recipes_compared=False,
        fewer_tasks=table.fewer_tasks,
    )
    return " ".join(filter(None, [ranks if len(table.lines) > 1 else "", marks]))


def papers(results: Iterable[Result]) -> dict[str, dict[str, str]]:
    """List the papers of the recipes and heads of fsbench that occur in results.

    Args:
        results: The results.

    Returns:
        Names of papers with arXiv numbers, by recipe and by head.
    """
    questions = [result.question for result in results]
    recipes = {question.model.recipe for question in questions}
    heads = {question.head.name for question in questions}
    known = _papers()
    return {
        "recipes": {name: recipe["paper"] for name, recipe in known["recipes"].items() if name in recipes},
        "heads": {name: paper for name, paper in known["heads"].items() if name in heads},
    }


def citation(results: Iterable[Result]) -> str:
    """Write a BibTeX entry for the versions of fsbench that measured the results."""
    versions = sorted(
        {result.outcome.versions["fsbench"] for result in results if "fsbench" in result.outcome.versions}
    )
    version = [f"  version = {{{', '.join(map(_plain, versions))}}},"] if versions else []
    lines = [
        "@software{fsbench,",
        "  title   = {{fsbench}: few-shot image classification, measured},",
        *version,
        "  note    = {Results of the leaderboard; cite the papers of the methods as well}",
        "}",
    ]
    return "\n".join(lines)


def _training(models: Sequence[Model]) -> str:
    """Describe the epochs of measured rows, beside those that the papers of their recipes state."""
    epochs = sorted({model.epochs for model in models if model.epochs is not None})
    full = sorted({n for model in models if (n := _epochs_of_paper(model.recipe)) is not None})
    text = f" for {_span(epochs)} epochs" if epochs else ""
    return text + (f" where the papers of their recipes train {_span(full)}" if text and full else "")


def _epochs_of_paper(recipe: str | None) -> int | None:
    """Return the epochs of a shipped recipe's preset `paper`; None for recipes without it."""
    epochs: int | None = _papers()["recipes"].get(recipe, {}).get("epochs")
    return epochs


@cache
def _papers() -> dict[str, Any]:
    """Read the papers of all recipes and heads."""
    return tomllib.loads(Path(__file__).with_name("papers.toml").read_text(encoding="utf-8"))


def _span(numbers: Sequence[int]) -> str:
    """Write the range of ascending numbers."""
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _plain(text: str) -> str:
    """Keep the characters of a version number."""
    return re.sub(r"[^\w.+-]", "", text)
