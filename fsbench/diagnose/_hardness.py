"""Task hardness, measured by one network, and the dependence of each network's accuracy on it."""

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
    """Least-squares line of accuracy (%) over hardness."""

    intercept: float
    slope: float
    r: float  # correlation

    @property
    def area(self) -> float | None:
        """Area below the line in the first quadrant; None unless it falls from a positive value."""
        return self.intercept**2 / (-2 * self.slope) if self.slope < 0 < self.intercept else None


def hardness(support: Tensor, query: Tensor, answers: Tensor) -> Tensor:
    """Return the mean log odds against the correct class of each task, (tasks,).

    support (tasks, n_way, n_shot, d), query (tasks, queries, d), answers (tasks, queries). Probabilities are
    the softmax of the cosines between query and class weights. The weights are the normalised means of
    rectified, normalised features.
    Source: Dhillon et al. (arXiv:1909.02729) eq. 9, weights by eq. 6.
    """
    support, query = (F.normalize(F.relu(features), dim=-1) for features in (support, query))
    weights = F.normalize(support.mean(dim=2), dim=-1)  # (tasks, n_way, d)
    correct = (query @ weights.mT).softmax(dim=-1).gather(2, answers[:, :, None])[:, :, 0]
    return -correct.logit().mean(dim=1)


def fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> Line:
    """Fit a line to points, (n,) each."""
    line = linregress(x, y)
    return Line(float(line.intercept), float(line.slope), float(line.rvalue))


def section(study: Study) -> ReportSection:
    """Measure accuracy over hardness, for novel tasks of several ways and shots."""
    labels, reference = study.novel.labels, study.networks[0]
    ways = [n_way for n_way in WAYS if n_way <= len(study.novel.class_names)]
    specs = [TaskSpec(n_way, n_shot, n_tasks=N_TASKS) for n_way in ways for n_shot in SHOTS]
    with torch.no_grad():
        novel = torch.tensor(reference.novel.values, device=reference.device)
        logits = reference.module.classifier(novel).cpu()
    hard = np.concatenate([_hardness(logits, labels, spec) for spec in specs])
    lines, accuracies, rows = {}, {}, []
    for network in study.networks:
        accuracy = 100 * np.concatenate([network.few_shot(spec) for spec in specs])
        line = fit(hard, accuracy)
        within = [
            fit(h, a).r for h, a in zip(*(x.reshape(len(specs), -1) for x in (hard, accuracy)), strict=True)
        ]
        lines[network.name], accuracies[network.name] = line, accuracy.tolist()
        area = "-" if line.area is None else f"{line.area:.1f}"
        rows.append(
            (
                network.name,
                area,
                f"{line.intercept:.1f}",
                f"{line.slope:.1f}",
                f"{line.r:+.3f}",
                f"{np.mean(within):+.3f}",
            )
        )
    columns = ("network", "area", "at hardness 0", "slope", "correlation", "within a protocol")
    return ReportSection(
        "hardness",
        "Task hardness",
        "Accuracy (%) of nearest mean against the hardness of a task: the mean log odds that a query is "
        f"classified as another class, by the base-class scores of {reference.name}, which favours this "
        "network. The paper uses an ImageNet ResNet-152 instead, so its numbers are not comparable. "
        f"{N_TASKS} novel tasks for each of "
        f"{', '.join(f'{spec.n_way}w{spec.n_shot}s' for spec in specs)}. Area: below the fitted line in the "
        "first quadrant. Correlation: over all tasks, and its mean within each protocol. After Dhillon "
        "et al. (arXiv:1909.02729) section 4.4.",
        (TextTable(columns, tuple(rows)),),
        {
            "accuracy over hardness": regressions(
                hard, accuracies, {name: (line.intercept, line.slope) for name, line in lines.items()}
            )
        },
        {
            "judge": reference.name,
            "lines": {name: {**vars(line), "area": line.area} for name, line in lines.items()},
            "hardness": hard.tolist(),
            "accuracies": accuracies,
        },
    )


def _hardness(logits: Tensor, labels: NDArray[np.integer], spec: TaskSpec) -> NDArray[np.float64]:
    """Return the hardness of all tasks of a specification, (tasks,)."""
    parts = []
    for tasks in sampler.blocks(labels, spec, at_once=20):
        support, query = (logits[torch.from_numpy(rows).long()] for rows in (tasks.support, tasks.query))
        parts.append(hardness(support, query, torch.from_numpy(tasks.answers).long()).double())
    return torch.cat(parts).numpy()
