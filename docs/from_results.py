"""Parts of the pages that follow from the committed results."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import fmean
from typing import Any

from from_bench import time_of
from from_code import ROOT, linked, table

from fsbench.evaluation import result_files
from fsbench.evaluation.result import HeadSettings, Result
from fsbench.models.identity import Model
from fsbench.report.grouping import group_by
from fsbench.report.leaderboard.rows import family_key
from fsbench.stats import paired_difference

RESULTS = ROOT / "results"
HEAD = "nearest-mean"  # of tables that compare recipes
SHOTS = ("5w1s15q", "5w5s15q")


def recipes() -> str:
    """One row per recipe, with its page, its idea and what was measured on CIFAR-FS."""
    from fsbench.training.recipe import recipe_names

    rows = []
    for name in recipe_names():
        module = _module(ROOT / "baselines" / f"{name.replace('-', '_')}.py")
        title, source = module.__doc__.split("\n")[0], next(iter(module.PRESETS.values())).paper
        idea = title.partition(": ")[2]
        runs = _runs(_measured(recipe=name, head=HEAD, dataset="cifar-fs", source="cifar-fs"))
        best = max(runs, key=len, default=[])
        seeds = len({result.model.train_seed for result in best})
        cells = [_mean(best, shots) for shots in SHOTS]
        rows.append(
            [
                f"[`{name}`](recipes/{name}.md)",
                idea[0].upper() + idea[1:],
                linked(source),
                *cells,
                seeds or "-",
            ]
        )
    return table(["recipe", "idea", "paper", "1-shot", "5-shot", "training seeds"], rows)


def recipe(name: str) -> str:
    """Paper, file, command, presets, training curve and measured numbers of a recipe."""
    path = ROOT / "baselines" / f"{name.replace('-', '_')}.py"
    module = _module(path)
    _, paper, command, *measured = module.__doc__.strip().split("\n\n")
    presets = [
        [
            f"`{preset}`",
            " + ".join(f"{stage.epochs} {stage.name}" for stage in recipe.stages),
            recipe.batch_size,
            f"{recipe.optimiser.name} {recipe.optimiser.learning_rate:g}",
            recipe.classifier,
        ]
        for preset, recipe in module.PRESETS.items()
    ]
    parts = [
        "## Train",
        f"* **Paper:** {linked(' '.join(paper.split()))}\n"
        f"* **Code:** [`baselines/{path.name}`](../../baselines/{path.name})",
        f"```sh\n{command.strip()}\n```",
        "## Settings",
        table(["preset", "epochs of each stage", "batch", "optimiser, rate", "classifier"], presets),
        "## Measured",
        " ".join(measured[0].split()),
    ]
    rows = []
    for run in _runs(_measured(recipe=name, head=HEAD), by_seed=True):
        model = run[0].model
        changes = ", ".join(filter(None, [model.preset, model.overrides]))
        numbers = (_number(run, shots) for shots in SHOTS)
        dataset = run[0].data.dataset
        rows.append([dataset, *numbers, model.train_seed, model.source, model.backbone, changes])
    head = ["tasks from", "1-shot", "5-shot", "seed", "trained on", "backbone", "preset and changes"]
    if rows:
        parts.append(table(head, rows))
    if (ROOT / "docs" / training_picture(name)).is_file():
        parts.append(
            f"![Accuracy on val classes and loss of {name} against training](../{training_picture(name)})"
        )
    return "\n\n".join(parts)


def training_picture(recipe: str) -> str:
    """Return the path of the picture of a recipe's training, in the folder of the pages."""
    return f"pictures/training-{recipe}.png"


def measured_head(name: str) -> str:
    """What was measured with a head: one row per recipe and data set, and the time of 10,000 tasks."""
    rows = []
    for run in _runs(_measured(head=name)):
        first = run[0]
        rows.append(
            [
                first.model.recipe or first.model.backbone,
                first.data.dataset,
                *(_mean(run, shots) for shots in SHOTS),
                len({result.model.train_seed for result in run}),
                first.model.source,
                first.model.backbone if first.model.recipe else "pretrained",
                f"`{first.head.preprocess}`",
            ]
        )
    head = ["recipe", "tasks from", "1-shot", "5-shot", "seeds", "trained on", "backbone", "preprocessing"]
    note = "Accuracy in %, 5-way with 15 queries per class, mean over training seeds."
    measured = f"{note}\n\n{table(head, rows)}" if rows else "Accuracy was not measured yet."
    return "\n\n".join(filter(None, [measured, time_of(name)]))


def measured_heads() -> str:
    """A table per backbone and data set: the mean over seeds of each recipe and settings with each head."""
    sections = []
    settings = [(r.model.backbone, r.model.source, r.data.dataset) for r in _measured() if r.model.recipe]
    for backbone, source, dataset in dict.fromkeys(settings):
        fitting = [r for r in _measured(dataset=dataset, source=source) if r.model.backbone == backbone]
        cells: dict[tuple[Model, HeadSettings], list[Result]] = defaultdict(list)
        for result in fitting:
            family = family_key(result)
            cells[family.model, family.head].append(result)
        models, heads = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
        rows = [
            [model.recipe, label, *(_mean(cells[model, head], shots) for head in heads)]
            for model in models
            for shots, label in zip(SHOTS, ("1-shot", "5-shot"), strict=True)
        ]
        title = f"{backbone} trained on {source}, tasks from {dataset}"
        links = [f"[`{head.name}`](heads/{head.name}.md)" for head in heads]
        sections.append(f"### {title}\n\n{table(['recipe', 'task', *links], rows)}")
    return "\n\n".join(sections)


def comparison(source: str, *targets: str) -> str:
    """One row per recipe and settings that was trained on a data set: means over seeds on each target."""
    trained = [result for result in _measured(source=source, head=HEAD) if result.model.recipe]
    rows = []
    for results in group_by(trained, lambda result: family_key(result).model).values():
        name = results[0].model.recipe
        seeds = len({result.model.train_seed for result in results})
        cells = [
            _mean([r for r in results if r.data.dataset == target], shots, digits=1)
            for target in targets
            for shots in SHOTS
        ]
        rows.append([f"[`{name}`](recipes/{name}.md)", seeds, *cells])
    head = [f"{target} {shots}" for target in targets for shots in ("1-shot", "5-shot")]
    return table(["recipe", "seeds", *head], sorted(rows, key=lambda row: row[2], reverse=True))


def pretrained() -> str:
    """One row per pretrained network: means on each data set."""
    results = [r for r in _measured(head=HEAD) if not r.model.recipe]
    targets = list(dict.fromkeys(result.data.dataset for result in results))
    rows = [
        [
            name.removeprefix("pretrained."),
            *(
                " / ".join(
                    _mean(
                        [r for r in results if (r.model.backbone, r.data.dataset) == (name, target)],
                        shots,
                        digits=1,
                    )
                    for shots in SHOTS
                )
                for target in targets
            ),
        ]
        for name in dict.fromkeys(result.model.backbone for result in results)
    ]
    return table(["network, 1-shot / 5-shot", *targets], rows)


def budgets() -> str:
    """Accuracy against the number of epochs, as the page of the budgets says it."""
    page = (RESULTS / "budget" / "README.md").read_text(encoding="utf-8")
    (tables,) = re.findall(r"<!-- budgets:begin -->\n(.*)<!-- budgets:end -->", page, re.DOTALL)
    return re.sub(r"^### (.+)$", r"**\1**", tables.strip(), flags=re.MULTILINE)


def precisions() -> str:
    """One row per recipe, epochs and shots: bf16 against float32, with the same seeds."""
    float32, bf16 = (
        _accuracies(r for r in result_files.read_all(RESULTS / folder) if r.model.precision == name)
        for folder, name in (("precision", "float32"), ("budget", "bf16"))
    )
    rows = []
    for question in sorted({question for question, _ in float32}):
        recipe, epochs, per_class, n_shot, *_ = question
        seeds = [seed for other, seed in float32 if other == question and (question, seed) in bf16]
        if len(seeds) < 2:
            continue
        before, after = ([scores[question, seed] for seed in seeds] for scores in (float32, bf16))
        difference, half_width = paired_difference(after, before)
        means = (f"{fmean(scores):.2f}" for scores in (before, after))
        rows.append(
            [recipe, epochs, per_class, n_shot, *means, f"{difference:+.2f} ± {half_width:.2f}", len(seeds)]
        )
    head = ["recipe", "epochs", "images per class", "shots", "float32", "bf16", "bf16 - float32", "seeds"]
    return table(head, rows)


def _accuracies(results: Iterable[Result]) -> dict[tuple[tuple[Any, ...], int], float]:
    """Return accuracies in % by what was asked, without the number format, and by training seed."""
    scores = {}
    for result in results:
        model, head = result.model, result.head
        trained = (model.recipe, model.epochs, model.per_class)
        others = (model.preset, model.backbone, model.image_size, model.source, head.text, head.preprocess)
        question = (*trained, result.spec.n_shot, *others, result.spec.name, result.spec.n_tasks)
        key = question, model.train_seed or 0
        assert key not in scores, key
        scores[key] = 100 * result.outcome.accuracy
    return scores


def three_widths() -> str:
    """One measured accuracy with the half width over tasks and that over classes."""
    result = next(result for result in _measured() if result.outcome.class_half_width is not None)
    return (
        f"For example [one result file](../results/{result.path}) says {100 * result.outcome.accuracy:.2f} % "
        f"with a half width of {100 * result.outcome.half_width:.2f} over {result.spec.n_tasks:,} tasks, and "
        f"of {100 * (result.outcome.class_half_width or 0):.2f} over classes."
    )


def diagnosis() -> str:
    """What the diagnoses found, as their own page says it, below its heading."""
    page = (RESULTS / "diagnose" / "README.md").read_text(encoding="utf-8")
    text = page.partition("\n")[2].strip()
    return re.sub(r"^## ", "### ", text, flags=re.MULTILINE)


def _measured(**fields: str) -> list[Result]:
    """Usual 5-way results on novel classes with these values of dataset, source, recipe and head."""

    def fits(result: Result) -> bool:
        values = {
            "dataset": result.data.dataset,
            "source": result.model.source,
            "recipe": result.model.recipe,
            "head": result.head.name,
        }
        return all(values[name] == value for name, value in fields.items())

    return [result for result in _usual() if fits(result)]


@cache
def _usual() -> list[Result]:
    results = [
        result
        for result in result_files.read_all(RESULTS)
        if result.data.split == "novel" and result.spec.name in SHOTS and not result.head.settings
    ]
    return sorted(results, key=lambda r: (r.model.recipe is None, r.model.source != r.data.dataset))


def _runs(results: Iterable[Result], by_seed: bool = False) -> list[list[Result]]:
    """Group results that differ in shots and, unless `by_seed`, in the training seed only."""
    groups = group_by(results, lambda result: (family_key(result), result.model.run if by_seed else ""))
    return list(groups.values())


def _mean(results: Sequence[Result], shots: str, digits: int = 2) -> str:
    """Return the mean accuracy over training seeds in %."""
    values = [100 * result.outcome.accuracy for result in results if result.spec.name == shots]
    return f"{fmean(values):.{digits}f}" if values else "-"


def _number(results: Sequence[Result], shots: str) -> str:
    """Return the accuracy of one run with its half width over tasks, linked to its result file."""
    for result in results:
        if result.spec.name == shots:
            outcome = result.outcome
            number = f"{100 * outcome.accuracy:.2f}\u00a0±\u00a0{100 * outcome.half_width:.2f}"
            return f"[{number}](../../results/{result.path})"
    return "-"


def _module(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
