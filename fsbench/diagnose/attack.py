"""Single-step attacks, white-box and transferred, and iterated ones, which keep the claim honest.

No attack library: FGSM is a line, and what is attacked here is a few-shot task through its backbone.
(torchattacks 3.5.1, of 2023, pins requests to 2.25 and installs a `robustbench` package of its own.)
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.diagnose.plots import curves
from fsbench.diagnose.section import Mean, Section, Table
from fsbench.diagnose.subject import EPISODES, KINDS, Batch, Scores, Study, Subject, accuracy

EPSILONS = (1, 2, 4, 8)  # of 255 grey levels, in the largest change of a channel
ITERATED = (4,)  # a gradient a step, so at one size
STEPS = 7  # as Madry et al. (arXiv:1706.06083) on CIFAR-10


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
    scores: Scores, images: Tensor, answers: Tensor, epsilon: float, steps: int = STEPS
) -> Tensor:
    """Steps of 2.5 `epsilon` / `steps` up the sign of the gradient, kept within `epsilon` and 0..1.

    Source: Kurakin et al. (arXiv:1607.02533) section 2.2; step size of Madry et al. (arXiv:1706.06083).
    """
    attacked = images
    for _ in range(steps):
        attacked = fgsm(attacked, loss_gradient(scores, attacked, answers), 2.5 * epsilon / steps)
        attacked = attacked.clamp(images - epsilon, images + epsilon)
    return attacked


def answers_under_attack(batches: Iterable[tuple[Batch, Batch | None]]) -> dict[tuple[str, int], Tensor]:
    """Which answers are right, (n,) bool, by attack and epsilon / 255; (clean, 0) without any.

    Each batch comes with the same images as another network scores them, from which an attack is
    transferred, or with None.
    """
    right: dict[tuple[str, int], list[Tensor]] = {}
    for batch, other in batches:
        images, answers = batch.images, batch.answers

        def ask(attack: str, epsilon: int, changed: Tensor, batch: Batch = batch) -> None:
            with torch.no_grad():
                given = batch.scores(changed).argmax(dim=1)
            right.setdefault((attack, epsilon), []).append(given == batch.answers)

        ask("clean", 0, images)
        gradient = loss_gradient(batch.scores, images, answers)
        for epsilon in EPSILONS:
            ask("FGSM", epsilon, fgsm(images, gradient, epsilon / 255))
        if other is not None:
            gradient = loss_gradient(other.scores, images, answers)
            for epsilon in EPSILONS:
                ask("transferred", epsilon, fgsm(images, gradient, epsilon / 255))
        for epsilon in ITERATED:
            ask("iterated", epsilon, iterated_fgsm(batch.scores, images, answers, epsilon / 255))
    return {key: torch.cat(parts) for key, parts in right.items()}


def section(study: Study) -> Section:
    """Accuracy of every network under attack, on base images and on novel tasks."""
    tables, figures, values = [], {}, {}
    for kind in KINDS:
        found = {subject.name: _means(study, subject, kind) for subject in study.subjects}
        tables.append(_table(kind, found))
        figures[f"{kind} accuracy under attack: FGSM lines, iterated crosses"] = curves(
            {
                name: [(epsilon, row[_name(epsilon), epsilon].mean) for epsilon in (0, *EPSILONS)]
                for name, row in found.items()
            },
            "epsilon, of 255 levels",
            f"{kind} accuracy, %",
            crosses={
                name: [(epsilon, row["iterated", epsilon].mean) for epsilon in ITERATED]
                for name, row in found.items()
            },
        )
        values[kind] = {
            name: {f"{attack} {epsilon}": vars(mean) for (attack, epsilon), mean in row.items()}
            for name, row in found.items()
        }
    return Section(
        "attack",
        "Adversarial perturbations",
        "Accuracy (%, ± 95 % half width) when every channel of every pixel may change by epsilon of 255 "
        f"levels. FGSM takes one step up the sign of the loss gradient, iterated FGSM {STEPS}; transferred "
        "FGSM takes the gradient of another network: the first one, for the first the second. Base: "
        f"{len(study.base_rows)} images that the networks were trained on, since base classes hold none "
        f"out. Few-shot: the queries of {EPISODES.n_tasks} tasks {EPISODES.name} are changed, their support "
        "is clean, the loss is nearest mean's. After mixup (arXiv:1710.09412) section 3.5 and Manifold "
        "Mixup (arXiv:1806.05236) section 5.3.",
        tuple(tables),
        figures,
        values,
    )


def _means(study: Study, subject: Subject, kind: str) -> dict[tuple[str, int], Mean]:
    other = _other(study, subject)
    mine = study.batches(subject, kind)
    pairs: Iterable[tuple[Batch, Batch | None]] = (
        ((batch, None) for batch in mine)
        if other is None
        else zip(mine, study.batches(other, kind), strict=True)
    )
    return {key: accuracy(right, kind) for key, right in answers_under_attack(pairs).items()}


def _other(study: Study, subject: Subject) -> Subject | None:
    """The network an attack is transferred from: the first other one that sees images of the same size."""
    size = subject.provenance.image_size
    same = (s for s in study.subjects if s is not subject and s.provenance.image_size == size)
    return next(same, None)


def _table(kind: str, found: dict[str, dict[tuple[str, int], Mean]]) -> Table:
    columns = [
        ("clean", 0),
        *(("FGSM", epsilon) for epsilon in EPSILONS),
        *(("transferred", epsilon) for epsilon in EPSILONS),
        *(("iterated", epsilon) for epsilon in ITERATED),
    ]
    heads = [f"{attack} {epsilon}" if epsilon else attack for attack, epsilon in columns]
    rows = [(name, *(str(row.get(column, "-")) for column in columns)) for name, row in found.items()]
    return Table((kind, *heads), tuple(rows))


def _name(epsilon: int) -> str:
    return "FGSM" if epsilon else "clean"
