"""Task hardness by a fixed network, and how each network's accuracy falls with it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import linregress
from torch import Tensor
from torch.nn import functional as F

from fsbench.diagnose._plots import regressions
from fsbench.diagnose._section import ReportSection, TextTable
from fsbench.diagnose.study import Study
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec

WAYS, SHOTS, N_TASKS = (5, 10, 20), (1, 5), 100  # the paper: 5 to 160 ways, 1 and 5 shots


@dataclass(frozen=True)
class Line:
    """Accuracy (%) as a line over hardness, by least squares."""

    intercept: float
    slope: float
    r: float  # correlation

    @property
    def area(self) -> float | None:
        """Area in the first quadrant below the line; None when it does not fall from a positive value."""
        return self.intercept**2 / (-2 * self.slope) if self.slope < 0 < self.intercept else None


def hardness(support: Tensor, query: Tensor, answers: Tensor) -> Tensor:
    """Mean log odds against the right class of each task, (tasks,).

    support (tasks, n_way, n_shot, d), query (tasks, queries, d), answers (tasks, queries). Probabilities are
    the softmax of cosines of the query and the class weights. Source: Dhillon et al. (arXiv:1909.02729) eq.
    9; weights by eq. 6, which are means of rectified unit-length features, of unit length again.
    """
    support, query = (F.normalize(F.relu(features), dim=-1) for features in (support, query))
    weights = F.normalize(support.mean(dim=2), dim=-1)  # (tasks, n_way, d)
    right = (query @ weights.mT).softmax(dim=-1).gather(2, answers[:, :, None])[:, :, 0]
    return -right.logit().mean(dim=1)


def fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> Line:
    """The line through points, (n,) each."""
    found = linregress(x, y)
    return Line(float(found.intercept), float(found.slope), float(found.rvalue))


def section(study: Study) -> ReportSection:
    """Accuracy of every network over the hardness of novel tasks of several ways and shots."""
    labels, judge = study.novel.labels, study.subjects[0]
    ways = [n_way for n_way in WAYS if n_way <= len(study.novel.class_names)]
    specs = [TaskSpec(n_way, n_shot, n_tasks=N_TASKS) for n_way in ways for n_shot in SHOTS]
    with torch.no_grad():
        logits = judge.network.classifier(torch.tensor(judge.novel.values, device=judge.device)).cpu()
    hard = np.concatenate([_hardness(logits, labels, spec) for spec in specs])
    lines, accuracies, rows = {}, {}, []
    for subject in study.subjects:
        right = 100 * np.concatenate([subject.few_shot(spec) for spec in specs])
        line = fit(hard, right)
        within = [
            fit(h, a).r for h, a in zip(*(x.reshape(len(specs), -1) for x in (hard, right)), strict=True)
        ]
        lines[subject.name], accuracies[subject.name] = line, right.tolist()
        area = "-" if line.area is None else f"{line.area:.1f}"
        rows.append(
            (
                subject.name,
                area,
                f"{line.intercept:.1f}",
                f"{line.slope:.1f}",
                f"{line.r:+.3f}",
                f"{np.mean(within):+.3f}",
            )
        )
    heads = ("network", "area", "at hardness 0", "slope", "correlation", "within a protocol")
    return ReportSection(
        "hardness",
        "Task hardness",
        "Nearest-mean accuracy (%) against the mean log odds of a query being taken for another class, by "
        f"the base-class scores of {judge.name}, so its own row is flattered. The paper judges by an "
        f"ImageNet ResNet-152; hardness by another judge is another number. {N_TASKS} novel tasks each of "
        f"{', '.join(f'{spec.n_way}w{spec.n_shot}s' for spec in specs)}. Area: below the fitted line in the "
        "first quadrant. Correlation: over all tasks, and as the mean within each protocol. After Dhillon "
        "et al. (arXiv:1909.02729) section 4.4.",
        (TextTable(heads, tuple(rows)),),
        {
            "accuracy over hardness": regressions(
                hard, accuracies, {name: (line.intercept, line.slope) for name, line in lines.items()}
            )
        },
        {
            "judge": judge.name,
            "lines": {name: {**vars(line), "area": line.area} for name, line in lines.items()},
            "hardness": hard.tolist(),
            "accuracies": accuracies,
        },
    )


def _hardness(logits: Tensor, labels: NDArray[np.integer], spec: TaskSpec) -> NDArray[np.float64]:
    parts = []
    for tasks in sampler.blocks(labels, spec, at_once=20):
        support, query = (logits[torch.from_numpy(rows).long()] for rows in (tasks.support, tasks.query))
        parts.append(hardness(support, query, torch.from_numpy(tasks.answers).long()).double())
    return torch.cat(parts).numpy()
