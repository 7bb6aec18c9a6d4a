"""What is measured on the support: leave-one-out, temperature, accuracy to expect, and rejection."""

from math import sqrt

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn import functional as F

from fsbench.heads import find_head
from fsbench.prediction import text
from fsbench.prediction._distance import rejection_threshold, scaled_distances
from fsbench.prediction._leave_one_out import FOLDS, assign_folds, leave_one_out, without_copies
from fsbench.prediction._temperature import fit_temperature
from fsbench.prediction.accuracy import mean_over_classes
from fsbench.prediction.outcome import NONE
from tests.prediction.made import held_out, made

SHOTS = [(2,) * 5, (5,) * 5, (10,) * 5, (2, 2, 2, 2, 40), (40, 3, 3), (5, 10, 20, 30)]
NEW = 60  # images per class


def gaussian_task(shots, spread, rng, head="nearest-mean"):
    """Gaussian classes: the images left out, the support, new images, and the scores of these."""
    centres = rng.normal(size=(len(shots), 16))
    few_shot_head = find_head(head)

    def images(numbers):
        values = [c + spread * rng.normal(size=(n, 16)) for c, n in zip(centres, numbers, strict=True)]
        return F.normalize(torch.from_numpy(np.concatenate(values)).float(), dim=1)

    def score(support, query, kept):
        padded = torch.nn.utils.rnn.pad_sequence(list(support.split(list(kept))), batch_first=True)
        return few_shot_head(padded[None], query[None], shots=torch.tensor([list(kept)]))[0].numpy()

    support, query = images(shots), images([NEW] * len(shots))
    folds = assign_folds(shots, [bytes([row]) for row in range(sum(shots))])
    return leave_one_out(support, shots, folds, score, None), support, query, score(support, query, shots)


def accuracies(shots, spread, rng, head="nearest-mean"):
    """The accuracy to expect, and that on new images, with as many of each class."""
    left_out, _, _, scores = gaussian_task(shots, spread, rng, head)
    right = scores.argmax(axis=1) == np.repeat(np.arange(len(shots)), NEW)
    expected = mean_over_classes(left_out.scores.argmax(axis=1) == left_out.answers, left_out.answers)
    return expected, right.mean()


class TestLeaveOneOut:
    def test_each_image_is_scored_by_the_others(self):
        """With one image of each class left out at a time, as in plain code."""
        shots, rng = (3, 2, 1), np.random.default_rng(0)
        support = torch.from_numpy(rng.normal(size=(6, 4)))
        folds = assign_folds(shots, [bytes([row]) for row in range(6)])
        assert folds.tolist() == [0, 1, 2, 0, 1, -1]

        def score(images, query, kept):
            means = torch.stack([part.mean(dim=0) for part in images.split(kept)])
            return -torch.cdist(query, means).numpy()

        result = leave_one_out(support, shots, folds, score, None)
        assert result.answers.tolist() == [0, 0, 0, 1, 1]
        classes = [support[:3], support[3:5], support[5:]]
        for row, (own, place) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
            image = classes[own][place]
            means = [
                np.mean([x.numpy() for i, x in enumerate(images) if i != place or len(images) == 1], axis=0)
                for images in classes
            ]
            expected = [-np.linalg.norm(image.numpy() - mean) for mean in means]
            np.testing.assert_allclose(result.scores[row], expected)

    def test_copies_are_left_out_together(self):
        assert assign_folds((3, 2), [b"a", b"b", b"a", b"c", b"c"]).tolist() == [0, 1, 0, -1, -1]

    def test_only_copies_in_the_same_class_are_copies(self):
        assert without_copies((3, 2), [b"a", b"b", b"a", b"a", b"c"]).tolist() == [0, 1, 0, 1, 1]

    def test_large_classes_leave_out_several_at_once(self):
        folds = assign_folds((2 * FOLDS, 1), [bytes([row]) for row in range(2 * FOLDS + 1)])
        assert folds.tolist() == [*range(FOLDS), *range(FOLDS), -1]

    def test_a_transductive_head_sees_the_query_images_as_well(self):
        sizes = []

        def score(images, query, kept):
            sizes.append((len(images), len(query), tuple(kept)))
            return np.zeros((len(query), 2), dtype=np.float32)

        leave_one_out(torch.ones(4, 3), (2, 2), np.array([0, 1, 0, 1]), score, torch.ones(5, 3))
        assert sizes == [(2, 7, (1, 1)), (2, 7, (1, 1))]


class TestTemperature:
    @pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
    def test_it_equals_a_grid_search(self, scale):
        rng = np.random.default_rng(1)
        answers = np.sort(rng.integers(0, 4, 60))
        scores = scale * (rng.normal(size=(60, 4)) + 2 * np.eye(4)[answers])
        numbers = np.bincount(answers)
        n = 16 / (1 / numbers).sum()
        targets = np.full((60, 4), 1 / (n + 2) / 3)
        targets[np.arange(60), answers] = (n + 1) / (n + 2)
        targets *= np.repeat(1 / numbers, numbers)[:, None]  # each class counts equally
        grid = scale * np.geomspace(0.01, 100, 20_001)
        losses = [-(targets * log_softmax(scores / t, axis=1)).sum() for t in grid]
        assert fit_temperature(scores, answers) == pytest.approx(grid[np.argmin(losses)], rel=1e-3)

    def test_all_correct_is_not_certain(self):
        """One score and its answer decide alone: p = (n + 1) / (n + 2) for n equal images."""
        scores = np.tile([1.0, 0.0], (8, 1))
        temperature = fit_temperature(scores, np.zeros(8, dtype=int))
        assert 1 / (1 + np.exp(-1 / temperature)) == pytest.approx(9 / 10, abs=1e-4)

    def test_a_head_that_is_wrong_says_nothing(self):
        scores = np.eye(3)[[1, 2, 0, 1]]
        temperature = fit_temperature(scores, np.array([0, 1, 2, 0]))
        np.testing.assert_allclose(np.exp(log_softmax(scores / temperature, axis=1)), 1 / 3, atol=1e-3)

    def test_equal_scores_have_any_temperature(self):
        assert fit_temperature(np.ones((4, 3)), np.zeros(4, dtype=int)) == 1

    @pytest.mark.parametrize("shots", [(20,) * 5, (10, 10, 20, 40, 40)])
    def test_probabilities_agree_with_accuracy_on_new_images(self, shots):
        """Gaussian classes: the mean confidence of new images is their accuracy, over all and if sure."""
        rng, confidence, right = np.random.default_rng(2), [], []
        for _ in range(20):
            left_out, _, _, scores = gaussian_task(shots, 1.5, rng)
            logits = scores / fit_temperature(left_out.scores, left_out.answers)
            confidence.append(np.exp(log_softmax(logits, axis=1)).max(axis=1))
            right.append(scores.argmax(axis=1) == np.repeat(np.arange(len(shots)), NEW))
        confidence, right = np.concatenate(confidence), np.concatenate(right)
        assert abs(confidence.mean() - right.mean()) < 0.03  # a little cautious
        assert abs(confidence[confidence >= 0.9].mean() - right[confidence >= 0.9].mean()) < 0.02

    def test_copying_all_images_of_a_class_changes_no_balance(self):
        """Three times as many images of one class leave the optimum where it is, but for n in the targets."""
        rng = np.random.default_rng(3)
        answers = np.repeat(np.arange(3), 400)
        scores = rng.normal(size=(1200, 3)) + np.array([[3.0], [1], [0]])[answers] * np.eye(3)[answers]
        more = np.concatenate([np.arange(1200), np.arange(400), np.arange(400)])
        assert fit_temperature(scores[more], answers[more]) == pytest.approx(
            fit_temperature(scores, answers), rel=5e-3
        )


class TestAccuracy:
    def test_expected_accuracy_is_the_mean_over_classes_of_images_left_out(self):
        """Cat 1 of 1, dog 1 of 1, fox 1 of 2; the standard error with 2 more images per class."""
        prediction = made(np.eye(3), held_out=held_out(np.eye(3)[[0, 1, 1, 2]], [0, 1, 2, 2]))
        error = sqrt(2 / 3 * 1 / 3 / 1 + 2 / 3 * 1 / 3 / 1 + 1 / 2 * 1 / 2 / 2) / 3
        assert prediction.expected.share == pytest.approx(5 / 6)
        assert prediction.expected.images == 4
        assert prediction.expected.interval == (pytest.approx(5 / 6 - 1.96 * error), 1)
        assert " ".join(text.summary(prediction).split()).startswith(
            "Expected accuracy on your images: 83 % (approximate 95 % interval: 34 to 100 %). "
            "Measured on 4 labelled images: each was classified by the others, which are at least one "
            "fewer per class. Each class counts equally. This is cautious: classes with fewer than 5 "
            "images lose much"
        )

    @pytest.mark.parametrize("shots", SHOTS)
    def test_the_interval_of_independent_images_has_its_coverage(self, shots):
        rng, shares = np.random.default_rng(4), np.linspace(0.5, 1, len(shots))
        answers = np.repeat(np.arange(len(shots)), shots)
        intervals = np.array(
            [
                mean_over_classes(rng.random(len(answers)) < shares[answers], answers).interval
                for _ in range(500)
            ]
        )
        covered = (intervals[:, 0] <= shares.mean()) & (shares.mean() <= intervals[:, 1])
        assert covered.mean() > 0.9

    @pytest.mark.parametrize("shots", SHOTS)
    def test_expected_accuracy_is_that_on_new_images_or_less(self, shots):
        """Images left out have one fewer per class, which matters with few; they do not promise too much."""
        rng = np.random.default_rng(5)
        pairs = [accuracies(shots, 1.2, rng) for _ in range(60)]
        difference = np.mean([expected.share - actual for expected, actual in pairs])
        assert -0.02 - 0.2 * (min(shots) < 5) < difference < 0.02
        not_too_high = np.mean([expected.interval[0] <= actual for expected, actual in pairs])
        assert not_too_high > 0.9
        if min(shots) >= 5:
            assert np.mean([actual <= expected.interval[1] for expected, actual in pairs]) > 0.9

    @pytest.mark.parametrize("shots", [(40, 3, 3), (2, 2, 2, 2, 40)])
    def test_a_head_that_favours_the_large_class_cannot_hide_it(self, shots):
        """Logistic regression answers nearly always with the large class: most labelled images are right."""
        expected, actual = accuracies(shots, 1.5, np.random.default_rng(6), head="logistic")
        assert abs(expected.share - actual) < 0.1
        assert actual < 0.5

    @pytest.mark.parametrize(("most", "warns"), [(4, False), (5, True)])
    def test_numbers_of_images_that_differ_more_than_twofold(self, most, warns):
        support = {"cat": ("a", "b"), "dog": ("a", "b"), "fox": tuple("abcde"[:most])}
        prediction = made(np.eye(3), support=support, held_out=held_out(np.eye(3), [0, 1, 2]))
        message = f"Your classes have 2 to {most} labelled images, so a few images of the smallest classes"
        assert (message in " ".join(text.summary(prediction).split())) == warns

    def test_an_estimate_near_chance_says_so(self):
        poor = made(np.eye(3), held_out=held_out(np.eye(3)[[0, 1, 2, 0]], [0, 2, 1, 2]))
        good = made(np.eye(3), held_out=held_out(np.eye(3)[[0, 1, 2] * 4], [0, 1, 2] * 4))
        assert "no better than guessing, which is right in 33 % of cases" in text.summary(poor)
        assert "guessing" not in text.summary(good)

    def test_single_images_have_no_estimate_no_probability_and_no_rejection(self):
        prediction = made([[2, 1, 0]], support=dict.fromkeys(("cat", "dog", "fox"), ("a.png",)))
        assert prediction.expected is prediction.temperature is prediction.probabilities is None
        assert prediction.sure is None
        table = prediction.table()
        assert table["probability"].isna().all()
        assert table["sure"].isna().all()
        assert table["score cat"][0] == 2
        summary = " ".join(text.summary(prediction).split())
        assert "cannot be estimated, and there are no probabilities: every class has a single" in summary
        assert "Label two or more images of each class" in summary
        assert "Sure" not in summary

    def test_classes_with_a_single_image_are_counted(self):
        support = {"cat": ("a",), "dog": ("a", "b"), "fox": ("a", "b")}
        prediction = made(np.eye(3), support=support, held_out=held_out(np.eye(3)[[1, 2]], [1, 2]))
        message = "1 class with a single labelled image, not counting copies, did not take part in this."
        assert message in " ".join(text.summary(prediction).split())


class TestRejection:
    def test_distances_are_scaled_by_hand(self):
        support = torch.tensor([[2.0, 0], [0, 3], [0, 1]])  # unit vectors (1, 0), and (0, 1) twice
        query = torch.tensor([[5.0, 0], [0.6, 0.8]])
        np.testing.assert_allclose(
            scaled_distances(support, (1, 2), query), [0, min((0.4**2 + 0.8**2) / 2, (0.6**2 + 0.2**2) / 1.5)]
        )

    @pytest.mark.parametrize(
        ("n", "rank", "share"),
        [(1, 1, 1 / 2), (4, 4, 1 / 5), (9, 9, 1 / 10), (10, 10, 1 / 11), (19, 18, 1 / 10), (99, 90, 1 / 10)],
    )
    def test_the_threshold_is_a_rank_by_hand(self, n, rank, share):
        distances = np.random.default_rng(n).permutation(n) + 1.0
        threshold, wrong = rejection_threshold(distances, np.zeros(n, dtype=int))
        assert threshold == rank
        assert wrong == pytest.approx(share)

    def test_equal_distances_count_once(self):
        """Two images of each of three classes: three distances, not six."""
        distances = np.array([0.3, 0.3 + 1e-15, 0.5, 0.5, 0.4, 0.4])
        assert rejection_threshold(distances, np.repeat(np.arange(3), 2)) == (0.5, pytest.approx(1 / 4))

    @pytest.mark.parametrize("shots", SHOTS)
    def test_the_share_of_new_images_that_are_rejected_is_the_promised_one(self, shots):
        rng, promised, rejected = np.random.default_rng(7), [], []
        for _ in range(100):
            left_out, support, query, _ = gaussian_task(shots, 0.7, rng)
            threshold, share = rejection_threshold(left_out.distances, left_out.answers)
            promised.append(share)
            rejected.append((scaled_distances(support, shots, query) > threshold).mean())
        excess = np.mean(rejected) - np.mean(promised)
        assert excess < 0.02
        assert excess > -0.02 or max(shots) > 10 * min(shots), "a large class sets the largest distance"

    def test_images_far_from_all_classes_are_none_of_these(self):
        left_out = held_out(np.eye(3)[[0, 1, 2]], [0, 1, 2], [0.3, 0.5, 0.4])
        values = {"held_out": left_out, "distances": np.array([0.2, 0.6]), "images": ("cat/1", "cat/2")}
        prediction = made([[1, 0, 0], [1, 0.5, 0]], reject=True, **values)
        assert prediction.rejection == (0.5, 1 / 4)
        assert list(prediction.predicted) == [0, -1]
        assert prediction.accuracy == 1 / 2, "a rejected image of the classes is wrong"
        table = prediction.table()
        assert list(table["class"]) == ["cat", NONE]
        assert list(table["second class"]) == ["dog", "cat"], "without rejection it would be a cat"
        assert np.isnan(table["probability"][1])
        assert not table["sure"][1]
        summary = text.summary(prediction)
        assert "None of these, because they resemble the labelled images too little: 1 of 2" in summary
        assert "About 25 %" in " ".join(summary.split())
        assert text.as_json(prediction)["confusion"] == {"cat": {"cat": 1, NONE: 1}}
        plain = made([[1, 0, 0], [1, 0.5, 0]], **values)
        assert list(plain.predicted) == [0, 0]
        assert "none of these" not in text.summary(plain).lower()
