"""Every head against the published code of its method, on 20 tasks with one shot and 20 with five shots.

tests/golden/parity/README.md says what was run. Where a head differs on purpose from the code of its
paper, its page in docs/heads says why.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench.heads import HEADS, PREPROCESS, BaseStatistics, base_statistics
from tests.heads import parity_features

GOLDEN = Path(__file__).parents[1] / "golden/parity"
TASKS, REFERENCE = np.load(GOLDEN / "tasks.npz"), np.load(GOLDEN / "answers.npz")
SHOTS, QUERIES = (1, 5), 1500  # queries of 20 tasks
TIE = 1e-4  # two classes whose scores differ by less, in standard deviations of the scores, are tied
Answers = NDArray[np.int64]
Settings = tuple[tuple[str, bool | int | float], ...]


@dataclass(frozen=True)
class Same:
    """A head that answers like the reference, but for a number of queries at 1 and at 5 shots."""

    head: str
    preprocess: str
    settings: Settings = ()
    differ: tuple[int, int] = (0, 0)
    better: tuple[float, float] = (0, 0)  # accuracy of the head minus that of the reference, in points


# Equal on every query.
EQUAL = {
    "simpleshot-UN": Same("nearest-mean", "none"),
    "simpleshot-L2N": Same("nearest-mean", "l2"),
    "simpleshot-CL2N": Same("nearest-mean", "cl2n"),
    "rtfs-simpleshot": Same("nearest-mean", "cl2n"),
    "rtfs-bdcspn": Same("bd-cspn", "cl2n"),
    "rtfs-laplacianshot": Same("laplacian-shot", "cl2n"),
    "rtfs-tim": Same("tim", "l2"),
    "rtfs-alpha_tim": Same("alpha-tim", "l2"),
    "rtfs-pt_map": Same("pt-map", "pt"),
    "tim-official": Same("tim", "l2"),
    "ptmap-official": Same("pt-map", "pt"),
    "lap-official": Same("laplacian-shot", "cl2n", (("shifted_queries", True),)),
    "lap-official-norect": Same("laplacian-shot", "cl2n", (("balanced", False),)),
    "easy-softkmeans-452dbff-ME--": Same("soft-kmeans-prior", "cl2n"),
    "easy-softkmeans-12d7c78-ME--": Same("soft-kmeans", "cl2n", (("centred", False),)),
    "easy-softkmeans-12d7c78---ME": Same("soft-kmeans", "none"),
    "easyfsl-protonet-cl2n": Same("nearest-mean", "cl2n"),
    "easyfsl-protonet-l2": Same("nearest-mean", "l2"),
    "sk-linearsvc": Same("svm", "l2"),
    "sk-lr": Same("logistic", "l2"),
    "sk-ridge": Same("ridge", "l2"),
    "sk-ridge-nointercept": Same("ridge", "l2", (("intercept", False),)),
}
# Other methods under the same name, other settings, or an optimiser that stops early.
DIFFERENT = {
    "sk-svc": Same("svm", "l2", (), (146, 81), (-0.33, 0.93)),  # hinge loss, one class against one
    "sk-lr-float32-default": Same("logistic", "l2", (), (1, 1), (0.07, 0.07)),  # stops at 1e-4
    "easyfsl-simpleshot-cl2n": Same("nearest-mean", "cl2n", (), (0, 99), (0, 0.8)),  # cosine to the means
    "easyfsl-bdcspn": Same("bd-cspn", "cl2n", (), (75, 31), (1.33, 0.87)),  # weights sum to one; cosine
    "easyfsl-laplacian": Same("laplacian-shot", "cl2n", (), (67, 20), (0.2, 0.53)),  # its class means
    "easyfsl-tim": Same("tim", "l2", (), (206, 104), (8.87, 6.4)),  # no temperature, fewer steps
    "easyfsl-ptmap": Same("pt-map", "pt", (), (1194, 0), (63.6, 0)),  # underflows to one class
}
# The default settings, where another setting in EQUAL is the form of the reference.
DEFAULTS = {
    "lap-official": Same("laplacian-shot", "cl2n", (), (127, 8), (-0.4, -0.13)),
    "lap-official-norect": Same("laplacian-shot", "cl2n", (), (267, 96), (6.93, 3.4)),
    "sk-ridge-nointercept": Same("ridge", "l2", (), (123, 12), (-0.93, -0.33)),
}
# Random draws of their own: head, preprocessing, settings.
DRAWN = {
    "s2m2-matched": Same("cosine-sgd", "none"),
    "s2m2-own": Same("cosine-sgd", "none"),
    "cl-dist-own": Same("cosine-sgd", "none", (("epochs", 100),)),
    "cl-softmax-matched": Same("linear-sgd", "none"),
}
RUNS, DEVIATIONS = 40, 4.0  # fsbench's own runs, whose spread says how far a run of the reference may be
CALIBRATION = Same("distribution-calibration", "tukey")


@cache
def data() -> tuple[Tensor, Tensor, BaseStatistics]:
    """Novel features, mean of the base features, statistics of the base classes."""
    novel, base, labels = (torch.from_numpy(x) for x in parity_features.make())
    return novel, base.mean(dim=0), base_statistics(base, labels)


def classify(case: Same, shots: int, first_key: int = 0, n_tasks: int = 20) -> tuple[Answers, Answers]:
    """Answers of a head (tasks, queries), and how many classes' scores are tied with each of them."""
    return _classify(case.head, case.preprocess, case.settings, shots, first_key, n_tasks)


@cache
def _classify(
    name: str, preprocess: str, settings: Settings, shots: int, first_key: int, n_tasks: int
) -> tuple[Answers, Answers]:
    novel, base_mean, base = data()
    head, prepare = HEADS[name], PREPROCESS[preprocess]
    support, query = (
        prepare(novel[torch.from_numpy(TASKS[f"{part}{shots}"][:n_tasks].astype(np.int64))], base_mean)
        for part in ("support", "query")
    )
    options: dict[str, object] = dict(settings)
    if head.random:
        options["keys"] = torch.arange(first_key, first_key + n_tasks)
    if head.needs_base:
        options["base"] = base
    with torch.inference_mode():
        logits = head.classify(support, query, **options)
    close = logits > logits.amax(dim=2, keepdim=True) - TIE * logits.std(dim=(1, 2), keepdim=True)
    return logits.argmax(dim=2).numpy(), close.sum(dim=2).numpy() - 1


def accuracy(answers: Answers, shots: int) -> NDArray[np.float64]:
    """Accuracy of each task."""
    return (answers == TASKS[f"answers{shots}"][: len(answers)]).mean(axis=1)


def parts(key: str) -> tuple[str, int]:
    """Name of the reference, and the number of shots."""
    name, _, shots = key.rpartition("-")
    return name, int(shots)


def keys_of(*tables: dict[str, Same]) -> list[str]:
    return [key for key in REFERENCE.files if any(parts(key)[0] in table for table in tables)]


def test_every_key_is_compared_once():
    names = [*EQUAL, *DIFFERENT, *DRAWN, "dc-official"]
    assert len(names) == len(set(names))
    compared = {f"{name}-{shots}" for name in names for shots in SHOTS}
    assert compared - set(REFERENCE.files) == {"easyfsl-ptmap-5"}
    assert set(REFERENCE.files) <= compared


@pytest.mark.parametrize("name", HEADS)
def test_page_states_the_differences(name):
    page = (GOLDEN.parents[2] / f"docs/heads/{name}.md").read_text(encoding="utf-8")
    assert page.count("\n## Differences from the published code\n\n") == 1


@pytest.mark.parametrize(
    "case",
    [*DEFAULTS.values(), DIFFERENT["sk-svc"], DIFFERENT["sk-lr-float32-default"]],
    ids=lambda case: case.head,
)
def test_page_states_how_many_answers_differ(case):
    page = (GOLDEN.parents[2] / f"docs/heads/{case.head}.md").read_text(encoding="utf-8")
    section = page.partition("\n## Differences")[2].partition("\n## ")[0]
    for number in case.differ:
        assert re.search(rf"(?<![\d.,-]){number}(?![\d.,]\d|\d)", section), number


def test_features_are_those_that_the_reference_saw():
    assert parity_features.digest(data()[0].numpy()) == parity_features.SHA256


@pytest.mark.parametrize(
    ("table", "key"),
    [(table, key) for table in (EQUAL, DIFFERENT, DEFAULTS) for key in keys_of(table)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_of_the_reference(table, key):
    name, shots = parts(key)
    case, reference = table[name], REFERENCE[key]
    answers, tied = classify(case, shots)
    ties = np.count_nonzero(tied)
    assert ties <= 3  # more would hide a difference
    better = 100 * (accuracy(answers, shots).mean() - as_accuracy(reference, shots).mean())
    assert better == pytest.approx(case.better[SHOTS.index(shots)], abs=0.006 + 100 * ties / QUERIES)
    if reference.ndim == 1:
        assert table is EQUAL
        wrong = 75 * abs(accuracy(answers, shots) - reference)
        assert (wrong <= np.count_nonzero(tied, axis=1) + 1e-3).all()
    else:
        assert abs((answers != reference).sum() - case.differ[SHOTS.index(shots)]) <= ties


def as_accuracy(reference: Answers | NDArray[np.float64], shots: int) -> NDArray[np.float64]:
    return accuracy(reference, shots) if reference.ndim == 2 else reference


@pytest.mark.parametrize("key", keys_of(DRAWN))
def test_a_run_of_the_reference_could_be_one_of_ours(key):
    """Its accuracy, and how many answers it shares with our runs, are within the spread of our runs."""
    name, shots = parts(key)
    runs = np.stack([classify(DRAWN[name], shots, first_key=1000 * i)[0] for i in range(RUNS)])
    accuracies = np.array([accuracy(run, shots).mean() for run in runs])
    spread = DEVIATIONS * accuracies.std(ddof=1)
    assert abs(accuracy(REFERENCE[key], shots).mean() - accuracies.mean()) < spread
    votes = (runs[..., None] == np.arange(5)).mean(axis=0)  # (tasks, queries, classes)

    def shared(run: Answers, others: NDArray[np.float64]) -> float:
        return float(np.take_along_axis(others, run[..., None], axis=2).mean())

    # A run always agrees with itself, so its own vote is taken out.
    own = np.array([(RUNS * shared(run, votes) - 1) / (RUNS - 1) for run in runs])
    assert abs(shared(REFERENCE[key].astype(np.int64), votes) - own.mean()) < DEVIATIONS * own.std(ddof=1)


@pytest.mark.parametrize("shots", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_distribution_calibration_on_one_task(shots):
    """Its draws are its own, and its regression stops before the optimum."""
    answers, _ = classify(CALIBRATION, shots, n_tasks=1)
    assert (answers != REFERENCE[f"dc-official-{shots}"][:1]).sum() == {1: 4, 5: 0}[shots]


@pytest.mark.slow
@pytest.mark.parametrize("shots", SHOTS)
def test_distribution_calibration_on_all_tasks(shots):
    answers, _ = classify(CALIBRATION, shots)
    reference = REFERENCE[f"dc-official-{shots}"]
    assert abs((answers != reference).sum() - {1: 63, 5: 4}[shots]) <= 2
    better = 100 * (accuracy(answers, shots).mean() - accuracy(reference, shots).mean())
    assert better == pytest.approx({1: 1.07, 5: 0}[shots], abs=0.15)
