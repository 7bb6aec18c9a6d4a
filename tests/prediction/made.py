"""A prediction for tests."""

import numpy as np

from fsbench.prediction import Prediction
from fsbench.prediction._leave_one_out import HeldOut


def held_out(scores, answers, distances=None) -> HeldOut:
    """Support images that were left out, with these scores (n, 3) and classes (n,)."""
    return HeldOut(
        np.array(scores, dtype=np.float64).reshape(-1, 3),
        np.array(answers, dtype=np.intp),
        np.zeros(len(answers)) if distances is None else np.array(distances, dtype=np.float64),
    )


def made(scores, **changes) -> Prediction:
    """A prediction of these scores for classes cat, dog and fox, without images that were left out."""
    scores = np.array(scores, dtype=np.float32)
    values = {
        "run": "run",
        "head": "logistic",
        "settings": {},
        "preprocess": "l2",
        "support": dict.fromkeys(("cat", "dog", "fox"), ("a.png", "b.png")),
        "images": tuple(f"{row:02d}.png" for row in range(len(scores))),
        "scores": scores,
        "distances": np.zeros(len(scores)),
        "held_out": held_out([], []),
        "reject": False,
        "in_support": np.zeros(len(scores), dtype=bool),
        "unreadable": (),
        "other_files": {},
    }
    return Prediction(**{**values, **changes})


def calibrated(scores, **changes) -> Prediction:
    """The same with a temperature of 1, so that probabilities are the softmax of the scores."""
    prediction = made(scores, held_out=held_out(np.eye(3), [0, 1, 2]), **changes)
    prediction.__dict__["temperature"] = 1.0
    return prediction
