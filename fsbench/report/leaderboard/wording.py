"""Headings, details and notes of tables as plain text; each kind of page escapes it."""

from collections.abc import Sequence

from fsbench._util.settings import in_words
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Result
from fsbench.models.identity import Model
from fsbench.report.leaderboard.rows import family_key
from fsbench.stats.all_pairs import FEWEST_SEEDS, LEVEL, Over
from fsbench.tasks.sampler import SAMPLER

QUOTED = (
    "Accuracy in % as printed by the sources, including ±. Tasks, crops and training differ between sources, "
    "so published rows are neither ranked nor compared with measured rows."
)
ALL_PUBLISHED = (
    "Published numbers appear below the measured ones of the same data sets, as quotations. [All published "
    "rows by data set and setting, with their sources]({}published.md)."
)

_CLAIM = {  # the claim of bold type, and its test
    "classes": "on new classes and their images (a claim over classes). The test is the paired t test over "
    "classes",
    "tasks": "on other tasks from the same images (a claim over tasks). The test is the paired t test on the "
    "same tasks and Welch's t test on different tasks",
}


def heading(first: Result) -> str:
    """Describe the properties that all results of a group share; `first` is any of them."""
    source = first.model.source or ""
    if first.model.source_classes:
        each = f", {first.model.per_class} images per class" if first.model.per_class else ""
        source += f" ({first.model.source_classes} classes{each})"
    target = f"{first.data.dataset} ({first.data.split})"
    if first.model.source is None:
        target += ", training data unknown"
    elif first.model.source == first.data.dataset:
        target += f", trained on {source}"
    else:
        target = f"{source} → {target}"
    size = f", {first.model.image_size} px" if first.model.image_size else ""
    known = ["class counts given"] * first.head.class_prior
    drawn = ["synthetic images"] * first.data.synthetic
    return ", ".join([f"{target}{size}", *known, *first.spec.unusual, *drawn])


def group_details(first: Result) -> dict[str, str]:
    """Return details that may distinguish groups with the same heading, the most informative first."""
    return {
        "n_query": queries(first),
        "sampler": f"sampler {first.task.sampler}",
        "classes": f"classes {', '.join(first.spec.classes)}",
        "fingerprint": f"images {first.data.fingerprint or 'unknown':.8}",
        "source_fingerprint": f"trained on images {first.model.source_fingerprint or 'unknown':.8}",
    }


def line_details(result: Result) -> dict[str, str]:
    """Return details that may distinguish rows with the same label, the most informative first."""
    data, model, head = result.data, result.model, result.head
    first = {
        "classifier": f"{model.classifier or 'unknown'} classifier",
        "dropout": f"dropout {'unknown' if model.dropout is None else model.dropout}",
        "transform": model.transform or "unknown transform",
        "stored_size": f"images stored at {data.stored_size} px"
        if data.stored_size
        else "unknown stored size",
        "seed": f"task seed {result.spec.seed}",
        "n_tasks": f"{result.spec.n_tasks:,} tasks",
    }
    others = {name: f"{name} {or_dash(value)}" for name, value in flatten(family_key(result)).items()}
    last = {
        "run": f"run {model.run}",
        "checkpoint": f"checkpoint {or_dash(model.checkpoint):.8}",
        "feature_digest": f"features {data.feature_digest:.8}",
        "base_digest": f"base features {or_dash(head.base_digest):.8}",
    }
    others = {name: text for name, text in others.items() if name not in {*first, *last}}
    others |= {"head_code": f"head's code {or_dash(head.code):.8}", "seen": or_dash(data.seen)}
    return {**first, **others, **last}


def recipe(model: Model) -> str:
    """Return recipe and preset, or the name of the run if they are unknown."""
    return " ".join(filter(None, [model.recipe, model.preset])) or model.run


def epochs(model: Model) -> str:
    """Return the epochs of the training, and the epoch of the checkpoint if it is not the last."""
    total = or_dash(model.epochs)
    return total if model.epoch in (None, model.epochs) else f"{model.epoch} of {total}"


def without_epochs(changes: str) -> str:
    """Remove the epochs, which are shown separately, from the overrides of a recipe."""
    return ", ".join(part for part in changes.split(", ") if not part.startswith("epochs "))


def head(result: Result) -> str:
    """Return head, preprocessing, settings that differ from their defaults, and marks."""
    details = ", ".join([result.head.preprocess, *in_words(result.head.settings)])
    return f"{result.head.name} ({details}) {marks(result)}".rstrip()


def marks(result: Result) -> str:
    """Return the marks of a head: † for transductive, ‡ for one that is given class counts."""
    return "†" * result.head.transductive + "‡" * result.head.class_prior


def or_dash(value: object) -> str:
    """Format a value; None becomes a dash."""
    return "-" if value is None else str(value)


def lead(group: Sequence[Result]) -> str:
    """Describe the numbers of a table."""
    first, n_tasks = group[0], {result.spec.n_tasks for result in group}
    number = f"{first.spec.n_tasks:,} tasks" if len(n_tasks) == 1 else "the tasks (their number in brackets)"
    text = (
        f"Accuracy in %, ± 95 % half width (Student-t) over {number}. {interval_covers(first)}"
        f"{_over_classes(group)} {queries(first).capitalize()}."
    )
    if first.data.synthetic:
        text += " The images are synthetic, drawn by code; the numbers say nothing about photographs."
    if first.data.fingerprint is None:
        text += " The feature files do not identify their images, which may differ between rows."
    if first.task.sampler != SAMPLER:
        text += (
            f" The tasks were drawn by the older sampler {first.task.sampler} and depend on the names of "
            f"image files; sampler {SAMPLER} draws other images."
        )
    return text


def interval_covers(first: Result) -> str:
    """State what an interval over tasks covers, as a sentence."""
    covers = "tasks and images, but not of" if first.spec.disjoint else "tasks, but not of images, classes or"
    return f"The interval covers the choice of {covers} training seeds."


def queries(first: Result) -> str:
    """Describe the query images of a task."""
    if first.spec.n_query is None:
        return "all other images of a class are query images"
    return f"{first.spec.n_query} query images per class"


def notes(
    group: Sequence[Result],
    over: Over,
    *,
    several_rows: bool,
    unclaimed: bool,
    several_seeds: bool,
    recipes_compared: bool,
    fewer_tasks: int,
) -> str:
    """Explain how to read a table, including those marks that occur in it; may be empty."""
    parts = []
    if several_rows:
        parts.append(
            "Rows are sorted by backbone, then by accuracy in the first column. Bold: the best checkpoint of "
            f"a column, and those that do not differ significantly from it (level {LEVEL}) {_CLAIM[over]}, "
            "with Holm's correction over all pairs of checkpoints in the column. Bold compares checkpoints, "
            "not recipes."
        )
    if unclaimed:
        parts.append(
            "Some results are not compared: they lack class values (`fsbench evaluate --force` adds them), "
            "or it is not certain that their images are the same."
        )
    if several_seeds:
        parts.append(
            "Mean of n seeds: mean over training seeds, with the lowest and the highest seed in brackets."
        )
        parts.append(
            f"Means over {FEWEST_SEEDS} or more seeds are compared with each other in the same way, with the "
            "variance over training seeds added; these comparisons are claims about recipes."
            if recipes_compared
            else f"Recipes are not compared: this needs two recipes with {FEWEST_SEEDS} or more seeds each."
        )
    if any(result.model.epoch not in (None, result.model.epochs) for result in group):
        parts.append("Epochs a of b: checkpoint of epoch a in a training of at most b epochs.")
    seen = sorted({result.data.seen for result in group if result.data.seen})
    if seen:
        parts.append(f"Some classes are not new to every backbone: {'; '.join(seen)}.")
    if any(result.head.transductive for result in group):
        parts.append("†: transductive; uses all query images of a task together.")
    if any(result.head.class_prior for result in group):
        parts.append("‡: is given the number of query images per class.")
    if fewer_tasks:
        number = "1 result" if fewer_tasks == 1 else f"{fewer_tasks} results"
        parts.append(
            f"Left out: {number} for which another result differs only in its larger number of tasks."
        )
    return " ".join(parts)


def _over_classes(group: Sequence[Result]) -> str:
    """State the half widths over classes in a sentence; empty if no result has one."""
    widths = [100 * width for result in group if (width := result.outcome.class_half_width) is not None]
    if not widths:
        return ""
    ends = dict.fromkeys(f"{width:.1f}" for width in (min(widths), max(widths)))
    return f" Over new classes and their images, the half width is {'-'.join(ends)} points."
