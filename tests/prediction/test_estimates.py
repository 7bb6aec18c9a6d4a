"""What is measured on the support: leave-one-out, temperature, accuracy to expect, and rejection."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from fsbench.heads import find_head
from fsbench.prediction import Accuracy, text
from fsbench.prediction._distance import rejection_threshold, scaled_distances
from fsbench.prediction._leave_one_out import FOLDS, assign_folds, leave_one_out
from fsbench.prediction._temperature import fit_temperature
from fsbench.prediction.outcome import NONE
from tests.prediction.made import held_out, made


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
        answers = rng.integers(0, 4, 60)
        scores = scale * (rng.normal(size=(60, 4)) + 2 * np.eye(4)[answers])
        targets = np.full((60, 4), 1 / 62 / 3)
        targets[np.arange(60), answers] = 61 / 62
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

    def test_probabilities_agree_with_accuracy_on_new_images(self):
        """Gaussian classes: mean confidence of 3,000 new images is near their accuracy, as without a unit."""
        rng = np.random.default_rng(2)
        centres = rng.normal(size=(4, 16))

        def images(number):
            return torch.from_numpy(
                np.concatenate([c + 1.5 * rng.normal(size=(number, 16)) for c in centres])
            )

        support, query = images(20), images(750)
        nearest = find_head("nearest-mean")

        def score(support, query, shots):
            return 100 * nearest(support.unflatten(0, (4, -1))[None], query[None])[0].numpy()

        folds = assign_folds((20,) * 4, [bytes([row]) for row in range(80)])
        result = leave_one_out(support, (20,) * 4, folds, score, None)
        prediction = made(score(support, query, None)[:, :3], held_out=held_out([], []))
        object.__setattr__(prediction, "scores", score(support, query, None))
        object.__setattr__(prediction, "held_out", result)
        right = prediction.scores.argmax(axis=1) == np.repeat(np.arange(4), 750)
        assert abs(prediction.confidence.mean() - right.mean()) < 0.04
        assert abs(prediction.expected.share - right.mean()) < 0.08


class TestAccuracy:
    def test_expected_accuracy_is_that_of_images_left_out(self):
        prediction = made(np.eye(3), held_out=held_out(np.eye(3)[[0, 1, 1, 2]], [0, 1, 2, 2]))
        assert prediction.expected == Accuracy(3, 4)
        assert text.summary(prediction).startswith(
            "Expected accuracy on your images: 75 % (95 % interval: 30 to 95 %).\n"
            "Measured on 4 labelled images: each was classified by the others.\n"
        )

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
        assert "1 class with a single labelled image did not take part in this." in text.summary(prediction)


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
        threshold, wrong = rejection_threshold(distances)
        assert threshold == rank
        assert wrong == pytest.approx(share)

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
