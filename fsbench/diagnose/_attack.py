"""Single-step attacks, white-box and transferred, and iterated ones, which keep the claim honest.

No attack library: FGSM is a line, and what is attacked here is a few-shot task through its backbone.
(torchattacks 3.5.1, of 2023, pins requests to 2.25 and installs a `robustbench` package of its own.)
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.diagnose._plots import Panel, panels
from fsbench.diagnose._section import Claim, Mean, ReportSection, TextTable
from fsbench.diagnose.study import KINDS, Batch, Scores, Study, Subject, accuracies, percent

EPSILONS = (1, 2, 4, 8)  # of 255 grey levels, in the largest change of a channel
ITERATED = (4,)  # a gradient a step, so at one size
STEPS = 7  # as Madry et al. (arXiv:1706.06083) on CIFAR-10
CLAIMED = (  # attack and size, where a paper says that mixing raises accuracy under it, if one does
    (("clean", 0), ""),
    (("FGSM", 4), "mixup §3.5, MM §5.3"),
    (("transferred", 4), "mixup §3.5"),
    (("iterated", 4), ""),
)


def loss_gradient(scores: Scores, images: Tensor, answers: Tensor) -> Tensor:
    """The gradient of each image's cross entropy by its pixels, shape of `images` (b, 3, s, s)."""
    images = images.detach().requires_grad_()
    loss = F.cross_entropy(scores(images), answers, reduction="sum")
    return torch.autograd.grad(loss, images)[0]


def fgsm(images: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """One step of `epsilon` (in 0..1) up the sign of the gradient, within 0..1.

    Source: Goodfellow et al. (arXiv:1412.6572) section 4.
    """
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def iterated_fgsm(
    scores: Scores,
    images: Tensor,
    answers: Tensor,
    epsilon: float,
    *,
    first: Tensor | None = None,
    steps: int = STEPS,
) -> Tensor:
    """Steps of 2.5 `epsilon` / `steps` up the sign of the gradient, kept within `epsilon` and 0..1.

    `first` is the gradient at `images`, when it is at hand. Source: Kurakin et al. (arXiv:1607.02533) section
    2.2; step size of Madry et al. (arXiv:1706.06083).
    """
    gradient = loss_gradient(scores, images, answers) if first is None else first
    attacked = images
    for step in range(steps):
        if step > 0:
            gradient = loss_gradient(scores, attacked, answers)
        attacked = fgsm(attacked, gradient, 2.5 * epsilon / steps).clamp(images - epsilon, images + epsilon)
    return attacked


def gradients(batches: Iterable[Batch]) -> list[Tensor]:
    """The loss gradient of each batch by its pixels."""
    return [loss_gradient(batch.scores, batch.images, batch.answers) for batch in batches]


def answers_under_attack(
    batches: Iterable[Batch], own: Sequence[Tensor], foreign: Sequence[Tensor] | None
) -> dict[tuple[str, int], Tensor]:
    """Which answers are right, (n,) bool, by attack and epsilon / 255; (clean, 0) without any.

    `own` holds the loss gradient of each batch, `foreign` that of another network, from which an attack is
    transferred.
    """
    right: dict[tuple[str, int], list[Tensor]] = {}
    for number, batch in enumerate(batches):
        images, answers = batch.images, batch.answers
        changed = {("clean", 0): images}
        for epsilon in EPSILONS:
            changed["FGSM", epsilon] = fgsm(images, own[number], epsilon / 255)
            if foreign is not None:
                changed["transferred", epsilon] = fgsm(images, foreign[number], epsilon / 255)
        for epsilon in ITERATED:
            changed["iterated", epsilon] = iterated_fgsm(
                batch.scores, images, answers, epsilon / 255, first=own[number]
            )
        for key, seen in changed.items():
            with torch.no_grad():
                right.setdefault(key, []).append(batch.scores(seen).argmax(dim=1) == answers)
    return {key: torch.cat(parts) for key, parts in right.items()}


def section(study: Study) -> ReportSection:
    """Accuracy of every network under attack, on base images and on novel tasks."""
    tables, figures, values = [], {}, {}
    claims: list[Claim] = []
    for kind in KINDS:
        shares = {
            name: {key: accuracies(right, kind) for key, right in answers.items()}
            for name, answers in _answers(study, kind).items()
        }
        found = {name: {key: percent(s) for key, s in row.items()} for name, row in shares.items()}
        tables.append(_table(kind, found))
        figures[f"{kind} accuracy under attack"] = panels(
            [
                Panel(
                    "white-box FGSM; x: iterated",
                    {name: _curve(row, "FGSM") for name, row in found.items()},
                    {name: [(e, row["iterated", e].mean) for e in ITERATED] for name, row in found.items()},
                ),
                Panel(
                    "transferred FGSM",
                    {
                        name: _curve(row, "transferred")
                        for name, row in found.items()
                        if ("transferred", EPSILONS[0]) in row
                    },
                ),
            ],
            "epsilon, of 255 levels",
            f"{kind} accuracy, %",
            share=True,
        )
        values[kind] = {
            name: {f"{attack} {epsilon}": vars(mean) for (attack, epsilon), mean in row.items()}
            for name, row in found.items()
        }
        for (attack, epsilon), paper in CLAIMED:
            samples = {n: 100 * row[attack, epsilon] for n, row in shares.items() if (attack, epsilon) in row}
            claims.append(
                Claim(f"{kind} accuracy, {_head(attack, epsilon)}", paper, int(bool(paper)), 1, samples)
            )
    return ReportSection(
        "attack",
        "Adversarial perturbations",
        "Accuracy (%, ± 95 % half width) when every channel of every pixel may change by epsilon of 255 "
        f"levels. FGSM takes one step up the sign of the loss gradient, iterated FGSM {STEPS}; transferred "
        "FGSM takes the gradient of another network: the second one, for the second the first. Base: "
        f"{len(study.base_rows)} images that the networks were trained on, since base classes hold none "
        f"out. Few-shot: the queries of {study.episodes.n_tasks} tasks {study.episodes.name} are changed, "
        "their support is clean, the loss is nearest mean's. After mixup (arXiv:1710.09412) section 3.5 and "
        "Manifold Mixup (arXiv:1806.05236) section 5.3.",
        tuple(tables),
        figures,
        values,
        tuple(claims),
    )


def _answers(study: Study, kind: str) -> dict[str, dict[tuple[str, int], Tensor]]:
    """What every network answers under attack; gradients that others need, too, are computed once."""
    others = {subject.name: _other(study, subject) for subject in study.subjects}
    needed = {other.name for other in others.values() if other}
    kept = {s.name: gradients(study.batches(s, kind)) for s in study.subjects if s.name in needed}
    found = {}
    for subject in study.subjects:
        other = others[subject.name]
        own = kept.get(subject.name) or gradients(study.batches(subject, kind))
        foreign = kept[other.name] if other else None
        found[subject.name] = answers_under_attack(study.batches(subject, kind), own, foreign)
    return found


def _other(study: Study, subject: Subject) -> Subject | None:
    """The network an attack is transferred from: the second one, so that it is the same for all others.

    For the second it is the first; where images are of other sizes, the next that sees the same.
    """
    first, *rest = study.subjects
    size = subject.provenance.image_size
    same = (s for s in (*rest, first) if s is not subject and s.provenance.image_size == size)
    return next(same, None)


def _table(kind: str, found: dict[str, dict[tuple[str, int], Mean]]) -> TextTable:
    columns = [
        ("clean", 0),
        *(("FGSM", epsilon) for epsilon in EPSILONS),
        *(("transferred", epsilon) for epsilon in EPSILONS),
        *(("iterated", epsilon) for epsilon in ITERATED),
    ]
    heads = [_head(*column) for column in columns]
    rows = [(name, *(str(row.get(column, "-")) for column in columns)) for name, row in found.items()]
    return TextTable((kind, *heads), tuple(rows))


def _head(attack: str, epsilon: int) -> str:
    return f"{attack} {epsilon}" if epsilon else attack


def _curve(row: dict[tuple[str, int], Mean], attack: str) -> list[tuple[float, float]]:
    return [(0, row["clean", 0].mean), *((epsilon, row[attack, epsilon].mean) for epsilon in EPSILONS)]
