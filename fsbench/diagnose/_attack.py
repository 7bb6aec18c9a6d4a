"""Adversarial attacks: single-step (white-box and transferred), and iterated as a check.

No attack library is used: FGSM is one line, and the attacked loss is that of a few-shot task. (torchattacks
3.5.1 of 2023 pins requests to 2.25 and installs its own `robustbench` package.)
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.diagnose._plots import Panel, panels
from fsbench.diagnose._section import Claim, Mean, ReportSection, TextTable
from fsbench.diagnose.study import KINDS, Batch, Kind, Scores, Study, TrainedNetwork, accuracies, percent

EPSILONS = (1, 2, 4, 8)  # largest change of a channel, of 255 levels
ITERATED = (4,)  # one epsilon only, since every step needs a gradient
STEPS = 7  # as in Madry et al. (arXiv:1706.06083) on CIFAR-10
CLAIMED = (  # attack and epsilon; papers which claim that mixing raises this accuracy
    (("clean", 0), ""),
    (("FGSM", 4), "mixup §3.5, MM §5.3"),
    (("transferred", 4), "mixup §3.5"),
    (("iterated", 4), ""),
)


def loss_gradient(scores: Scores, images: Tensor, answers: Tensor) -> Tensor:
    """Return the gradient of each image's cross entropy by its pixels, (b, 3, s, s) like `images`."""
    images = images.detach().requires_grad_()
    loss = F.cross_entropy(scores(images), answers, reduction="sum")
    return torch.autograd.grad(loss, images)[0]


def fgsm(images: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """Take one step of `epsilon` (in 0..1) along the sign of the gradient, within 0..1.

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
    """Take steps of 2.5 `epsilon` / `steps` along the sign of the gradient, within `epsilon` and 0..1.

    `first` is the gradient at `images`, if it is already known.
    Source: Kurakin et al. (arXiv:1607.02533) section 2.2; step size of Madry et al. (arXiv:1706.06083).
    """
    gradient = loss_gradient(scores, images, answers) if first is None else first
    attacked = images
    for step in range(steps):
        if step > 0:
            gradient = loss_gradient(scores, attacked, answers)
        attacked = fgsm(attacked, gradient, 2.5 * epsilon / steps).clamp(images - epsilon, images + epsilon)
    return attacked


def gradients(batches: Iterable[Batch]) -> list[Tensor]:
    """Return the loss gradient of each batch by its pixels."""
    return [loss_gradient(batch.scores, batch.images, batch.answers) for batch in batches]


def answers_under_attack(
    batches: Iterable[Batch], gradients: Sequence[Tensor], transferred: Sequence[Tensor] | None
) -> dict[tuple[str, int], Tensor]:
    """Return which answers are correct, (n,) bool, by attack and epsilon of 255; `clean` is no attack.

    `gradients` are the loss gradients of the batches, `transferred` those of another network.
    """
    correct: dict[tuple[str, int], list[Tensor]] = {}
    for number, batch in enumerate(batches):
        images, answers = batch.images, batch.answers
        attacked = {("clean", 0): images}
        for epsilon in EPSILONS:
            attacked["FGSM", epsilon] = fgsm(images, gradients[number], epsilon / 255)
            if transferred is not None:
                attacked["transferred", epsilon] = fgsm(images, transferred[number], epsilon / 255)
        for epsilon in ITERATED:
            attacked["iterated", epsilon] = iterated_fgsm(
                batch.scores, images, answers, epsilon / 255, first=gradients[number]
            )
        for key, inputs in attacked.items():
            with torch.no_grad():
                correct.setdefault(key, []).append(batch.scores(inputs).argmax(dim=1) == answers)
    return {key: torch.cat(parts) for key, parts in correct.items()}


def section(study: Study) -> ReportSection:
    """Measure the accuracy of every network under attack, on base images and on novel tasks."""
    tables, figures = [], {}
    values: dict[str, Any] = {}
    claims: list[Claim] = []
    for kind in KINDS:
        samples = {
            name: {key: accuracies(correct, kind) for key, correct in answers.items()}
            for name, answers in _answers(study, kind).items()
        }
        means = {name: {key: percent(values) for key, values in row.items()} for name, row in samples.items()}
        tables.append(_table(kind, means))
        figures[f"{kind} accuracy under attack"] = panels(
            [
                Panel(
                    "white-box FGSM; x: iterated",
                    {name: _curve(row, "FGSM") for name, row in means.items()},
                    {name: [(e, row["iterated", e].mean) for e in ITERATED] for name, row in means.items()},
                ),
                Panel(
                    "transferred FGSM",
                    {
                        name: _curve(row, "transferred")
                        for name, row in means.items()
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
            for name, row in means.items()
        }
        for (attack, epsilon), paper in CLAIMED:
            quantity = f"{kind} accuracy, {_column(attack, epsilon)}"
            key = attack, epsilon
            of_networks = {name: 100 * row[key] for name, row in samples.items() if key in row}
            claims.append(Claim(quantity, paper, int(bool(paper)), 1, of_networks))
    return ReportSection(
        "attack",
        "Adversarial perturbations",
        "Accuracy (%, ± 95 % half width) when every channel of every pixel may change by epsilon of 255 "
        f"levels. FGSM takes one step along the sign of the loss gradient, iterated FGSM {STEPS} steps; "
        "transferred FGSM uses the gradient of another network: the second one, and for the second network "
        f"the first one. Base: {len(study.base_rows)} training images, since no images of the base classes "
        f"are held out. Few-shot: the query images of {study.episodes.n_tasks} tasks {study.episodes.name} "
        "are changed, the support images are not; the loss is that of nearest mean. After mixup "
        "(arXiv:1710.09412) section 3.5 and Manifold Mixup (arXiv:1806.05236) section 5.3.",
        tuple(tables),
        figures,
        values,
        tuple(claims),
    )


def _answers(study: Study, kind: Kind) -> dict[str, dict[tuple[str, int], Tensor]]:
    """Return the answers of every network under attack; transferred gradients are computed once."""
    sources = {network.name: _transfer_source(study, network) for network in study.networks}
    needed = {source.name for source in sources.values() if source}
    cached = {n.name: gradients(study.batches(n, kind)) for n in study.networks if n.name in needed}
    answers = {}
    for network in study.networks:
        source = sources[network.name]
        own_gradients = cached.get(network.name) or gradients(study.batches(network, kind))
        transferred = cached[source.name] if source else None
        answers[network.name] = answers_under_attack(study.batches(network, kind), own_gradients, transferred)
    return answers


def _transfer_source(study: Study, network: TrainedNetwork) -> TrainedNetwork | None:
    """Return the network from which attacks are transferred: the second one, or the first for the second.

    Networks with images of another size are skipped.
    """
    first, *others = study.networks
    size = network.provenance.image_size
    candidates = (n for n in (*others, first) if n is not network and n.provenance.image_size == size)
    return next(candidates, None)


def _table(kind: Kind, means: dict[str, dict[tuple[str, int], Mean]]) -> TextTable:
    """Return the table of one kind of images: one row per network, one column per attack."""
    keys = [
        ("clean", 0),
        *(("FGSM", epsilon) for epsilon in EPSILONS),
        *(("transferred", epsilon) for epsilon in EPSILONS),
        *(("iterated", epsilon) for epsilon in ITERATED),
    ]
    rows = [(name, *(str(row.get(key, "-")) for key in keys)) for name, row in means.items()]
    return TextTable((kind, *(_column(*key) for key in keys)), tuple(rows))


def _column(attack: str, epsilon: int) -> str:
    """Name an attack with its epsilon."""
    return f"{attack} {epsilon}" if epsilon else attack


def _curve(row: dict[tuple[str, int], Mean], attack: str) -> list[tuple[float, float]]:
    """Return accuracy over epsilon."""
    return [(0, row["clean", 0].mean), *((epsilon, row[attack, epsilon].mean) for epsilon in EPSILONS)]
