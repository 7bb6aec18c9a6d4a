"""Tables of the pages that follow from the committed results."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from from_code import table

from fsbench.evaluation import result_files
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.rows import Row, families, groups

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
_BENCHES = {
    "train": "Training",
    "evaluate": "Evaluation",
    "heads": "Heads",
    "sgd_heads": "Heads trained by SGD",
}


def recipes() -> str:
    """A section a recipe: what its file says of it, its presets, and what was measured."""
    from fsbench.training.recipe import recipe_names

    measured = [row for row in _measured() if row.result.head.name == "nearest-mean"]
    return "\n\n".join(
        _recipe(name, [row for row in measured if row.result.model.recipe == name]) for name in recipe_names()
    )


def _recipe(name: str, measured: list[Row]) -> str:
    module = _module(ROOT / "baselines" / f"{name.replace('-', '_')}.py")
    title, _, about = module.__doc__.partition("\n")
    idea = title.partition(": ")[2]
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
    rows = [
        [
            row.result.model.backbone,
            ", ".join(filter(None, [row.result.model.preset, row.result.model.overrides])),
            row.result.model.train_seed,
            row.result.model.source,
            row.result.data.dataset,
            *_shots(row),
        ]
        for row in measured
    ]
    head = ["backbone", "preset and changes", "seed", "trained on", "tasks from", "1-shot", "5-shot"]
    return "\n\n".join(
        [
            f"## {name}",
            idea[0].upper() + idea[1:],
            re.sub(r"^    (fsbench .*)$", r"```bash\n\1\n```", _linked(about.strip()), flags=re.MULTILINE),
            table(["preset", "epochs", "batch", "optimiser", "classifier"], presets),
            *([table(head, rows)] if rows else []),
        ]
    )


def _linked(text: str) -> str:
    """Link arXiv numbers and repositories of reference code."""
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"reference code ([\w-]+/[\w-]+)", r"reference code [\1](https://github.com/\1)", text)


def measured_heads() -> str:
    """A table a setting: all heads on the one training run that most heads were measured on."""
    settings: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in _measured():
        result = row.result
        without_prior = replace(result, head=replace(result.head, class_prior=False))
        setting = f"{result.model.backbone}, {wording.heading(without_prior)}"
        settings[setting][result.model.run].append(row)
    tables = []
    for setting, runs in settings.items():
        run = max(runs, key=lambda name: len(runs[name]))
        if len(runs[run]) > 2:
            rows = [[wording.head(row.result), *_shots(row)] for row in runs[run]]
            tables.append(f"{setting}, run `{run}`:\n\n{table(['head', '1-shot', '5-shot'], rows)}")
    return "\n\n".join(tables)


def three_widths() -> str:
    """One measured accuracy with the half width over tasks and that over classes."""
    result = next(
        result
        for row in _measured()
        for result in row.results.values()
        if result.outcome.class_half_width is not None
    )
    return (
        f"For example `results/{result.path}` says {100 * result.outcome.accuracy:.2f} % with a half width "
        f"of {100 * result.outcome.half_width:.2f} over {result.spec.n_tasks:,} tasks, and of "
        f"{100 * result.outcome.class_half_width:.2f} over classes."
    )


def speed() -> str:
    """Return one section per file of figures, training first."""
    sections = []
    for path in sorted((RESULTS / "bench").glob("*.json"), key=lambda path: (path.stem != "train", path)):
        bench = json.loads(path.read_text(encoding="utf-8"))
        title = _BENCHES.get(path.stem, f"Training on a GPU ({path.stem})")
        device = f"{bench['device']}, torch {bench['versions']['torch']}."
        rows = [[*name.split(": ", 1), _number(value)] for name, value in bench["figures"].items()]
        sections.append(f"### {title}\n\n{device}\n\n" + table(["case", "measured", "value"], rows))
    return "\n\n".join(sections)


def _number(value: float) -> str:
    """Write a figure with three or more digits and without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def diagnosis() -> str:
    """What the diagnoses found, as their own page says it, below its heading."""
    page = (RESULTS / "diagnose" / "README.md").read_text(encoding="utf-8")
    return page.partition("\n")[2].strip()


def _measured() -> list[Row]:
    """Usual 5-way results on novel classes, in the order of the leaderboard."""
    usual = [
        result
        for result in result_files.read_all(RESULTS)
        if result.data.split == "novel" and result.spec.name in ("5w1s15q", "5w5s15q")
    ]
    return [row for group in groups(usual) for family in families(group) for row in family.rows]


def _shots(row: Row) -> list[str]:
    found = (row.results.get((5, n_shot)) for n_shot in (1, 5))
    return [
        f"{100 * r.outcome.accuracy:.2f}\u00a0±\u00a0{100 * r.outcome.half_width:.2f}" if r else "-"
        for r in found
    ]


def _module(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
