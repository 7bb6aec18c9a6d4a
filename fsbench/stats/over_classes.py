"""Variation over classes: how the mean accuracy would change with new classes and new images.

Ten thousand tasks over 20 classes are not ten thousand independent samples: they share classes and images,
and the interval over tasks is conditional on both. A split is a sample of classes, each with its images, and
the mean over tasks is a U-statistic of these classes (its kernel is the accuracy of a task of N classes). The
variance of the mean over classes follows from how much each class contributes to it, which the accuracies of
the tasks show.

Resampling classes together with all of their images covers both levels: images are nested in classes, so the
variation between classes already includes that of their images. Resampling images within the drawn classes as
well would count that part twice (Davison & Hinkley 1997, section 3.8).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsbench._util.errors import FsbenchError


def class_values(accuracies: ArrayLike, classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute what each class contributes to the mean accuracy: its jackknife pseudo-value.

    With m the mean over all tasks of C classes and m_c the mean over the tasks without class c, the value of
    class c is m + (C - 1) (m - m_c). `mean_and_half_width` of the values is Tukey's jackknife interval, which
    covers new classes with new images. It is exact if accuracies are sums of class effects and conservative
    otherwise (Efron & Stein 1981). Each class should occur in a hundred tasks or more: the noise of the tasks
    counts about n_way times, so that with only 20 tasks per class the interval covers 99 %.

    Computed from the differences of two results on the same tasks, the interval tests whether one is better
    on new classes.

    Args:
        accuracies: Accuracy of each task, (n_tasks,).
        classes: Ids of the classes of each task, (n_tasks, n_way).

    Returns:
        One value per class, in the order of the ids, (number of classes,), in the unit of `accuracies`.

    Raises:
        FsbenchError: A class occurs in every task, so there is no mean without it.

    Source:
        Arvesen, Annals of Mathematical Statistics 1969, on the jackknife of U-statistics.

    Example:
        >>> import numpy as np
        >>> classes = np.array([[0, 1], [2, 0], [1, 2]])
        >>> class_values([0.3, 0.6, 0.9], classes).round(3).tolist()
        [0.0, 0.6, 1.2]
    """
    scores = np.asarray(accuracies, dtype=np.float64)
    ids = np.unique(classes)
    places = np.searchsorted(ids, classes.ravel())  # in half of the memory of unique's inverse
    counts = len(scores) - np.bincount(places)  # tasks without each class
    if not (counts > 0).all():
        raise FsbenchError(f"class {ids[counts.argmin()]} is in every task; class values need more classes")
    mean = scores.mean()
    without = (scores.sum() - np.bincount(places, np.repeat(scores, classes.shape[1]))) / counts
    values: NDArray[np.float64] = mean + (len(ids) - 1) * (mean - without)
    return values
