"""What the tables say in words: plain text, which each page escapes in its own way."""

from collections.abc import Sequence

from fsbench.evaluation.results import Result
from fsbench.report.leaderboard.rows import FAMILY
from fsbench.report.pairwise import FEWEST_SEEDS, LEVEL, Over
from fsbench.tasks.sampler import SAMPLER

_OTHERWISE = ("classifier", "dropout", "transform", "stored_size", "seed")  # worded below
TELLING = {  # how a key reads that tells rows apart, most telling first; others read "key value"
    "classifier": "{} classifier",
    "dropout": "dropout {}",
    "transform": "{}",
    "stored_size": "images stored at {} px",
    "seed": "task seed {}",
    "n_tasks": "{:,} tasks",
    **{name: f"{name} {{}}" for name in FAMILY if name not in _OTHERWISE},
    "head_code": "head's code {:.8}",
    "seen": "{}",
    "run": "run {}",
    "checkpoint": "checkpoint {:.8}",
    "feature_digest": "features {:.8}",
    "base_digest": "base features {:.8}",
}
QUOTED = (
    "Accuracy in % as the sources print it, ± included. Tasks, crops and training differ from source to "
    "source, so published rows are not ranked, and not compared with measured rows."
)
ALL_PUBLISHED = (
    "Published numbers stand below the measured ones of the same data sets, as quotations. [All published "
    "rows, by data set and setting, with their sources]({}published.md)."
)

_CLAIM = {  # what bold type is about, and the test
    "classes": "on new classes with their images (claim over classes: paired t test over classes",
    "tasks": "on other tasks from the same images (claim over tasks: paired t test on the same tasks, "
    "Welch's t test on others",
}


def heading(first: Result) -> str:
    """What the results of a group, of which this is one, have in common."""
    source = first.source or ""
    if first.source_classes:
        each = f", {first.per_class} images per class" if first.per_class else ""
        source += f" ({first.source_classes} classes{each})"
    target = f"{first.dataset} ({first.split})"
    if first.source is None:
        target += ", training data unknown"
    elif first.source == first.dataset:
        target += f", trained on {source}"
    else:
        target = f"{source} → {target}"
    size = f", {first.image_size} px" if first.image_size else ""
    unusual = {
        "class counts given": first.class_prior,
        f"queries by Dirichlet({first.query_alpha})": first.query_alpha,
        f"shots from {first.least_shot} up": first.least_shot,
        f"tasks of {len(first.classes)} chosen classes": first.classes,
        "disjoint tasks": first.disjoint,
        "synthetic images": first.synthetic,
    }
    return ", ".join([f"{target}{size}", *(text for text, holds in unusual.items() if holds)])


def group_details(first: Result) -> dict[str, str]:
    """What may tell groups of one heading apart, most telling first."""
    return {
        "n_query": _queries(first),
        "sampler": f"sampler {first.sampler}",
        "classes": f"classes {', '.join(first.classes)}",
        "fingerprint": f"images {first.fingerprint or 'unknown':.8}",
        "source_fingerprint": f"trained on images {first.source_fingerprint or 'unknown':.8}",
    }


def line_details(tried: Result) -> dict[str, str]:
    """What may tell rows of one label apart, most telling first."""
    values = {name: getattr(tried, name) for name in TELLING}
    return {name: TELLING[name].format("-" if value is None else value) for name, value in values.items()}


def recipe(tried: Result) -> str:
    """Recipe and preset, else the name of the run."""
    return " ".join(filter(None, [tried.recipe, tried.preset])) or tried.run


def epochs(tried: Result) -> str:
    """Epochs of the training, and which one the checkpoint is of when that is not the last."""
    asked = "-" if tried.epochs is None else str(tried.epochs)
    return asked if tried.epoch in (None, tried.epochs) else f"{tried.epoch} of {asked}"


def head(tried: Result) -> str:
    """Head, preprocessing and marks."""
    marks = "†" * tried.transductive + "‡" * tried.class_prior
    return f"{tried.head} ({tried.preprocess}) {marks}".rstrip()


def lead(group: Sequence[Result]) -> str:
    """What the numbers of a table are."""
    first, n_tasks = group[0], {result.n_tasks for result in group}
    number = f"{first.n_tasks:,} tasks" if len(n_tasks) == 1 else "the tasks (their number in brackets)"
    covers = "tasks and images, not of" if first.disjoint else "tasks, not of images, classes or"
    text = (
        f"Accuracy in %, ± 95 % Student-t half width over {number}; ± covers the drawing of {covers} "
        f"training seeds.{_over_classes(group)} {_queries(first).capitalize()}."
    )
    if first.synthetic:
        text += " The images are synthetic, drawn by code: nothing follows from them for photographs."
    if first.fingerprint is None:
        text += " The feature files do not tell which images they come from; rows may differ in them."
    if first.sampler != SAMPLER:
        text += (
            f" The tasks are of the older sampler {first.sampler} and depend on the names of image files; "
            f"those of {SAMPLER} hold other images."
        )
    return text


def notes(
    group: Sequence[Result],
    over: Over,
    *,
    several_rows: bool,
    unclaimed: bool,
    several_seeds: bool,
    recipes_compared: bool,
) -> str:
    """How to read a table, and each mark that occurs in it; empty when it explains itself."""
    found = []
    if several_rows:
        found.append(
            "Rows are sorted by backbone, then by accuracy in the first column. Bold: the best checkpoint of "
            f"a column and those that are not significantly different from it at {LEVEL} {_CLAIM[over]}, "
            "with Holm's correction over all pairs of checkpoints in the column). Bold compares checkpoints, "
            "not recipes."
        )
    if unclaimed:
        found.append(
            "Some results take no part: they lack class values (`fsbench evaluate --force` adds them), or "
            "their images are not proved to be the same."
        )
    if several_seeds:
        found.append(
            "Mean of n seeds: the mean over training seeds, with the lowest and the highest seed in brackets."
        )
        found.append(
            f"Means of {FEWEST_SEEDS} or more seeds are claims about recipes: they are compared with each "
            "other in the same way, with the variance over training seeds added."
            if recipes_compared
            else f"Recipes are not compared: that takes two recipes with {FEWEST_SEEDS} or more seeds each."
        )
    if any(result.epoch not in (None, result.epochs) for result in group):
        found.append("Epochs a of b: the checkpoint of epoch a in a training of at most b.")
    seen = sorted({result.seen for result in group if result.seen})
    if seen:
        found.append(f"Not all classes are new to each backbone: {'; '.join(seen)}.")
    if any(result.transductive for result in group):
        found.append("†: transductive, looks at the query images of a task together.")
    if any(result.class_prior for result in group):
        found.append("‡: is told how many query images each class has.")
    return " ".join(found)


def _over_classes(group: Sequence[Result]) -> str:
    """The half widths over classes as a sentence; empty where no result has one."""
    widths = [100 * width for result in group if (width := result.class_half_width) is not None]
    if not widths:
        return ""
    ends = dict.fromkeys(f"{width:.1f}" for width in (min(widths), max(widths)))
    return f" The half width over new classes and their images is {' to '.join(ends)} points."


def _queries(first: Result) -> str:
    return (
        f"{first.n_query} query images per class"
        if first.n_query
        else "all other images of a class are queries"
    )
