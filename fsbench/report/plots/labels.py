"""Texts of plots: names of data sets and configurations, and the meaning of intervals."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsbench.evaluation.result import Result
from fsbench.models.identity import Model
from fsbench.report.grouping import differing, first_distinct
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.configurations import Accuracy, configurations
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Line, Table, tables

_DATA_SETS = {
    "cifar-fs": "CIFAR-FS", "fc100": "FC100", "mini-imagenet": "mini-ImageNet", "cub": "CUB",
    "tiered-imagenet": "tiered-ImageNet", "omniglot": "Omniglot", "imagenet-1k": "ImageNet-1k",
}  # fmt: skip
_TEXT = {"epochs": "{} epochs", "epochs of one": "{} epoch", "train seed": "seed {}", "preset": "preset {}"}
_LAST = ("train seed", "run")  # details that are part of a name only if the others do not distinguish it
Seeds = Sequence[Result]  # results that differ only in their training seed


@dataclass(frozen=True)
class Configuration:
    """One line or row of a plot: what was trained and evaluated, with all training seeds.

    Attributes:
        name: Name, unique within the comparison.
        recipe: The recipe, or the backbone of a network without one.
        seeds: The results for each protocol, one per training seed.
    """

    name: str
    recipe: str
    seeds: Mapping[Protocol, Seeds]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Configurations that can be compared.

    Attributes:
        title: Images and head.
        common: Properties that all configurations share, such as "conv4, 40 epochs"; may be empty.
        columns: Protocols, by ways and shots.
        rows: The configurations.
        table: The table with the single results.
    """

    title: str
    common: str
    columns: Sequence[Protocol]
    rows: Sequence[Configuration]
    table: Table

    @property
    def sentence(self) -> str:
        """The common properties as a sentence; may be empty."""
        return f"All: {self.common}. " if self.common else ""

    @property
    def names(self) -> list[str]:
        """Names of the configurations."""
        return [row.name for row in self.rows]


def comparisons(results: Sequence[Result], without: Collection[str] = ()) -> list[Comparison]:
    """Group comparable results, with training seeds as one configuration.

    Args:
        results: The results.
        without: Properties that the plot shows in another way than by name, such as "head".

    Returns:
        The comparisons: photographs before synthetic images, in-domain results first.

    Raises:
        FsbenchError: Two results have the same question.
    """
    return [_comparison(table, without) for table in tables(results)]


def _comparison(table: Table, without: Collection[str]) -> Comparison:
    """Fold the training seeds of a table."""
    folded = configurations(table)
    details = [_details(configuration.line) for configuration in folded]
    differ = differing(details)
    shown = [name for name in differ if name not in {*_LAST, *without}]
    names = [_joined(texts, shown or ["recipe"]) or texts["backbone"] for texts in details]
    for last in _LAST:
        keys = [
            (name, *(texts[each] for each in without)) for name, texts in zip(names, details, strict=True)
        ]
        if len(set(keys)) < len(keys):
            shown.append(last)
            names = [_joined(texts, shown) for texts in details]
    common = _joined(details[0], details[0].keys() - {*differ, *_LAST, "head"})
    heads = sorted({texts["head"] for texts in details})
    title = ", ".join([as_written(table.heading), *(f"head {head}" for head in heads if len(heads) == 1)])
    rows = []
    for name, configuration in zip(names, folded, strict=True):
        seeds = {protocol: each.results for protocol, each in sorted(configuration.accuracies.items())}
        rows.append(Configuration(name, recipe(configuration.line.result.model), seeds))
    return Comparison(title, common, table.columns, rows, table)


def titles(shown: Sequence[Comparison]) -> Sequence[str]:
    """Name comparisons by their data sets if these differ, otherwise with more details."""
    firsts = [comparison.table.results[0] for comparison in shown]
    short = [
        pair(first.model.source, first.data.dataset) + ", synthetic images" * bool(first.data.synthetic)
        for first in firsts
    ]
    sized = [f"{text}, {first.model.image_size} px" for text, first in zip(short, firsts, strict=True)]
    full = [comparison.table.heading for comparison in shown]
    return first_distinct([short, sized, full]) or full


def of_all(results: Sequence[Result]) -> str:
    """Describe the splits and heads of results, as the title of several comparisons."""
    heads = ", ".join(sorted(set(map(wording.head, results))))
    splits = ", ".join(sorted({result.data.split for result in results}))
    return f"Few-shot accuracy in %, {splits} classes, head {heads}"


def mean_and_range(seeds: Seeds) -> tuple[float, float, float]:
    """Compute the mean in %, and its lower and upper end: the range of the seeds, or for one the interval.

    The interval is the 95 % interval over tasks.
    """
    accuracies = [100 * result.outcome.accuracy for result in seeds]
    mean = float(np.mean(accuracies))
    if len(seeds) > 1:
        return mean, min(accuracies), max(accuracies)
    half = 100 * (Accuracy(seeds, None).over_tasks or 0)
    return mean, mean - half, mean + half


def number(seeds: Seeds, several: str = "{:.2f} ({:.2f}-{:.2f})") -> str:
    """Format the mean in % with the half width of a single seed, or with the range of `several`."""
    mean, low, high = mean_and_range(seeds)
    return f"{mean:.2f} ± {high - mean:.2f}" if len(seeds) == 1 else several.format(mean, low, high)


def interval(points: Sequence[Seeds], shown_as: str) -> str:
    """Describe tasks, seeds, intervals and marks; `shown_as` is what shows intervals, such as "Bands"."""
    results = [result for seeds in points for result in seeds]
    n_seeds = [len(seeds) for seeds in points]
    tasks = numbers([result.spec.n_tasks for result in results], "task")
    queries = " or ".join(sorted(set(map(wording.queries, results)))).capitalize()
    over_tasks = f"95 % Student-t interval over tasks. {wording.interval_covers(results[0])}"
    if max(n_seeds) == 1:
        mean, ends = tasks, over_tasks
    else:
        mean = f"{numbers(n_seeds, 'training seed')} and {tasks}"
        ends = f"lowest to highest seed{f'; for a single seed, {over_tasks}' if min(n_seeds) == 1 else '.'}"
    transductive = any(result.head.transductive for result in results)
    prior = any(result.head.class_prior for result in results)
    return (
        f"Each number is the mean over {mean}. {queries}. {shown_as}: {ends} "
        + "†: transductive; uses all query images of a task together. " * transductive
        + "‡: is given the number of query images per class. " * prior
    )


def numbers(values: Sequence[int], noun: str = "") -> str:
    """Format numbers by their range, such as "3" or "1 to 3 seeds"."""
    fewest, most = min(values), max(values)
    text = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return f"{text} {noun}{'s' * (most > 1)}" if noun else text


def data_set(name: str) -> str:
    """Return the name of a data set as papers write it."""
    return _DATA_SETS.get(name, name)


def as_written(text: str) -> str:
    """Write the names of data sets in a text as papers do."""
    return re.sub(r"[\w-]+", lambda word: data_set(word[0]), text)


def pair(source: str | None, target: str) -> str:
    """Name the training data and the data of the tasks, such as "mini-ImageNet → CUB"."""
    return data_set(target) if source in (None, target) else f"{data_set(source or '')} → {data_set(target)}"


def recipe(model: Model) -> str:
    """Return the recipe, or the backbone of a network without one, or the run."""
    return model.recipe or model.backbone or model.run


def _details(line: Line) -> dict[str, str]:
    """Return texts that may distinguish the lines of a table."""
    model = line.result.model
    return {
        **line.named,
        "recipe": model.recipe or ("" if model.backbone else model.run),
        "preset": model.preset or "",
        "changes": wording.without_epochs(line.changes),
        "run": model.run,
    }


def _joined(details: Mapping[str, str], names: Collection[str]) -> str:
    """Join the details with these names, in their order."""
    texts = [(name, text) for name, text in details.items() if name in names and text not in ("", "-")]
    return ", ".join(
        _TEXT.get("epochs of one" if (name, text) == ("epochs", "1") else name, "{}").format(text)
        if text[0].isdigit() or name == "preset"
        else text
        for name, text in texts
    )
