"""Label noise: replaced labels, and the share of memorised ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.data.label_noise import add_label_noise
from fsbench.data.loading import load
from fsbench.diagnose import _noise as noise
from fsbench.diagnose import load_study
from fsbench.models import checkpoint
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")

LABELS = np.repeat(np.arange(10, dtype=np.int32), 1000)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_share_is_replaced_by_all_classes_alike(share):
    taught = add_label_noise(LABELS, 10, share, seed=0)
    false = taught != LABELS
    assert false.mean() == pytest.approx(0.9 * share, abs=0.015)  # a tenth of the draws are true
    assert np.bincount(taught[false], minlength=10) == pytest.approx(90 * share * 10, rel=0.2)
    assert taught.dtype == LABELS.dtype


def test_no_share_and_all():
    assert (add_label_noise(LABELS, 10, 0.0, seed=0) == LABELS).all()
    assert (add_label_noise(LABELS, 10, 1.0, seed=0) == LABELS).mean() == pytest.approx(0.1, abs=0.01)


def test_a_larger_share_contains_a_smaller_one_and_seeds_differ():
    some, more = add_label_noise(LABELS, 10, 0.2, seed=0), add_label_noise(LABELS, 10, 0.5, seed=0)
    changed = some != LABELS
    assert (more[changed] == some[changed]).all()
    assert (add_label_noise(LABELS, 10, 0.2, seed=0) == some).all()
    assert (add_label_noise(LABELS, 10, 0.2, seed=1) != some).any()


def test_shares_by_hand():
    """True labels: one of two right. False ones: two of four memorised, one right, one neither."""
    truth = torch.tensor([0, 0, 1, 1, 1, 1])
    taught = torch.tensor([0, 0, 2, 2, 0, 0])
    predicted = torch.tensor([0, 1, 2, 1, 0, 2])
    shares = noise.memorised(predicted, truth, taught)
    assert {name: mean.mean for name, mean in shares.items()} == {
        "base accuracy": pytest.approx(100 / 3),
        "right, true label": 50.0,
        "right, false label": 25.0,
        "memorised": 50.0,
    }
    half_width = 318.24 * (1 / 3) ** 0.5 / 2  # four of mean 1/2: t(3) = 3.1824, s = sqrt(1/3)
    assert shares["memorised"].half_width == pytest.approx(half_width, rel=1e-3)


def test_without_false_labels_nothing_can_be_memorised():
    labels = torch.tensor([0, 1, 2])
    shares = noise.memorised(labels, labels, labels)
    assert shares["base accuracy"].mean == 100
    assert shares["memorised"] is None
    assert shares["right, false label"] is None


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(FsbenchError, match=r"label_noise must be in \(0, 1\], but is"):
        resolve(load_recipe("erm"), label_noise=share)


def test_training_on_noise_is_recorded_and_learns_the_false_labels(
    cache: Path, trained: Path, tmp_path: Path
):
    """120 images of six mean colours: after 15 epochs without augmentation some false labels are learned."""
    recipe = resolve(load_recipe("erm", "cosine"), epochs=[15], batch_size=16, augment=False, label_noise=0.5)
    run = train_backbone(
        recipe, TrainingSpec("tiny"), out=tmp_path / "noisy", session=Session(cache, CPU, quiet=True)
    )

    assert checkpoint.load_provenance(run.last).settings["label_noise"] == 0.5
    assert "label_noise 0.5" in recipe.overrides
    truth = load("tiny", "base", cache).labels
    taught = add_label_noise(truth, 6, 0.5, seed=0)
    assert run.labels.tolist() == taught.tolist()
    assert (taught != truth).mean() == pytest.approx(0.5 * 5 / 6, abs=0.12)

    section = noise.section(
        load_study([run.last, trained / "last.safetensors"], session=Session(cache, CPU, quiet=True))
    )
    shares = section.values["erm (noise 0.5)"]
    assert shares["memorised"] > 100 / 6  # above chance
    assert shares["right, true label"] > shares["right, false label"]
    (_, noise_of_noisy, *_), (_, noise_of_clean, _, right, *remaining, _, _) = section.tables[0].rows
    assert (noise_of_noisy, noise_of_clean) == ("0.5", "0")
    assert remaining == [right, "-", "-"]  # without false labels nothing is memorised


def test_without_label_noise_there_is_no_section(cache: Path, trained: Path):
    assert (
        noise.section(load_study([trained / "best.safetensors"], session=Session(cache, CPU, quiet=True)))
        is None
    )
