"""What the page says about itself: why published rows are higher, papers, repository and citation."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.heads import HEADS
from fsbench.report.leaderboard.published import Published, Quotation
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Table
from fsbench.report.leaderboard.wording import notes
from fsbench.stats.all_pairs import FEWEST_SEEDS, LEVEL
from fsbench.training.recipe import load_recipe, recipe_names

MOST_NAMED = 2  # backbones in one sentence


def why_published_differ(dataset: str, tables: Sequence[Table], quotations: Sequence[Quotation]) -> str:
    """Say why published rows of a data set are higher than measured ones.

    Inductive rows are compared that were trained on the same data set, on the data set itself if possible.

    Args:
        dataset: The data set.
        tables: All measured tables.
        quotations: All published tables.

    Returns:
        The sentences, made from the rows; empty if no published row is higher.
    """
    measured = [r for table in tables for r in table.results if r.data.dataset == dataset]
    inductive = [result for result in measured if not result.head.transductive]
    printed = [quotation for quotation in quotations if quotation.pair[1] == dataset]
    sources = sorted({quotation.pair[0] for quotation in printed}, key=lambda source: source != dataset)
    for source in sources:
        results = [result for result in inductive if result.model.source == source]
        rows = [row for quotation in printed if quotation.pair[0] == source for row in quotation.rows]
        for protocol in sorted({(result.spec.n_way, result.spec.n_shot) for result in results}):
            return _comparison(protocol, _of(results, protocol), rows)
    return ""


def _comparison(protocol: Protocol, results: Sequence[Result], rows: Sequence[Published]) -> str:
    """Compare the best rows, and name the backbones of the published ones that are higher."""
    best = max(100 * result.outcome.accuracy for result in results)
    higher = [
        (accuracy, row.backbone)
        for row in rows
        if row.setting.partition(",")[0] in ("inductive", "") and not row.source.from_memory
        if (accuracy := float(row.accuracies.get(protocol, "0").split()[0])) > best
    ]
    if not higher:
        return ""
    backbones = sorted({str(result.model.backbone) for result in results})
    others = Counter(name for _, name in higher if name and name not in backbones)
    named = ", ".join(f"{name} in {n}" for name, n in others.most_common(MOST_NAMED))
    larger = f", mostly with other backbones ({named})" if others.total() > len(higher) / 2 else ""
    rows_are = "1 published row is" if len(higher) == 1 else f"{len(higher)} published rows are"
    return (
        f"{rows_are} above the best measured one (inductive, {_words(protocol)}: up to "
        f"{max(higher)[0]:.1f} % against {best:.1f} %){larger}; measured here: "
        f"{_listed(backbones)}{_training(results)}. Filter by backbone to compare like with like."
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
    return {
        "recipes": {name: load_recipe(name).paper for name in recipe_names() if name in recipes},
        "heads": {name: head.paper for name, head in HEADS.items() if name in heads},
    }


def repository() -> str | None:
    """Return the address of the repository that the installed package states; None if it states none."""
    try:
        urls = metadata("fsbench").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    named = {name.strip().lower(): url.strip() for name, _, url in (text.partition(",") for text in urls)}
    address = next((named[name] for name in ("repository", "source", "homepage") if name in named), "")
    return address if address.startswith("https://") else None


def citation(results: Iterable[Result]) -> str:
    """Write a BibTeX entry for the versions of fsbench that measured the results."""
    versions = sorted(
        {result.outcome.versions["fsbench"] for result in results if "fsbench" in result.outcome.versions}
    )
    lines = [
        "@software{fsbench,",
        "  title   = {{fsbench}: few-shot image classification, measured},",
        *(f"  version = {{{', '.join(map(_plain, versions))}}}," for _ in versions[:1]),
        *(f"  url     = {{{address}}}," for address in [repository()] if address),
        "  note    = {Results of the leaderboard; cite the papers of the methods as well}",
        "}",
    ]
    return "\n".join(lines)


def _of(results: Iterable[Result], protocol: Protocol) -> list[Result]:
    """Select the results of one protocol."""
    return [result for result in results if (result.spec.n_way, result.spec.n_shot) == protocol]


def _training(results: Iterable[Result]) -> str:
    """Describe the epochs of measured rows, beside those that the papers of their recipes state."""
    models = [result.model for result in results]
    epochs = sorted({model.epochs for model in models if model.epochs is not None})
    full = sorted({n for model in models if (n := _epochs_of_paper(model.recipe)) is not None})
    text = f", trained for {_span(epochs)} epochs" if epochs else ""
    return text + (f" where the papers of their recipes train {_span(full)}" if text and full else "")


@cache
def _epochs_of_paper(recipe: str | None) -> int | None:
    """Return the epochs of a shipped recipe's preset `paper`; None for recipes without it."""
    if recipe not in recipe_names():
        return None
    try:
        return load_recipe(recipe, "paper").epochs
    except FsbenchError:
        return None


def _words(protocol: Protocol) -> str:
    """Name a protocol."""
    return "{}-way {}-shot".format(*protocol)


def _listed(names: Sequence[str]) -> str:
    """Join names with commas, and the last one with 'and'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _span(numbers: Sequence[int]) -> str:
    """Write the range of ascending numbers."""
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _plain(text: str) -> str:
    """Keep the characters of a version number."""
    return re.sub(r"[^\w.+-]", "", text)
