"""A prediction for tests."""

import numpy as np

from fsbench.prediction import Prediction


def made(scores, **changes) -> Prediction:
    """A prediction of these scores for classes cat, dog and fox."""
    scores = np.array(scores, dtype=np.float32)
    values = {
        "run": "run",
        "head": "logistic",
        "preprocess": "l2",
        "support": dict.fromkeys(("cat", "dog", "fox"), ("a.png", "b.png")),
        "images": tuple(f"{row:02d}.png" for row in range(len(scores))),
        "scores": scores,
        "in_support": np.zeros(len(scores), dtype=bool),
        "unreadable": (),
        "other_files": {},
    }
    return Prediction(**{**values, **changes})
