"""Preprocessing of features before a head sees them: functions of each feature and the base mean."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError, unknown


def unchanged(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Return features unchanged; the name in `PREPROCESS` is `none` ("UN" in SimpleShot).

    Args:
        features: Features, (..., d).
        base_mean: Not used.

    Returns:
        The same features.
    """
    return features


def l2(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Scale features to unit length ("L2N" in SimpleShot); the zero vector stays zero.

    Args:
        features: Features, (..., d).
        base_mean: Not used.

    Returns:
        Features, (..., d).

    Example:
        >>> import torch
        >>> l2(torch.tensor([[3.0, 4.0]]), None)
        tensor([[0.6000, 0.8000]])
    """
    return F.normalize(features, dim=-1)


def cl2n(features: Tensor, base_mean: Tensor | None) -> Tensor:
    """Subtract the mean of all base features, then scale to unit length ("CL2N" in SimpleShot).

    Args:
        features: Features, (..., d).
        base_mean: Mean of all base features, (d,).

    Returns:
        Features, (..., d).

    Raises:
        FsbenchError: There is no base mean.

    Source:
        SimpleShot, Wang et al. (arXiv:1911.04623) section 3.

    Example:
        >>> import torch
        >>> cl2n(torch.tensor([[4.0, 3.0]]), torch.tensor([1.0, -1.0]))
        tensor([[0.6000, 0.8000]])
    """
    if base_mean is None:
        raise FsbenchError("preprocess cl2n needs base_mean, the mean of the base features, but it is None")
    return F.normalize(features - base_mean, dim=-1)


def tukey(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Take the square root of features that are not negative.

    Args:
        features: Features, (..., d), 0 or larger.
        base_mean: Not used.

    Returns:
        Features, (..., d).

    Raises:
        FsbenchError: A feature is negative.

    Source:
        Distribution calibration, Yang et al. (arXiv:2101.06395) eq. 3 with lambda 0.5.

    Example:
        >>> import torch
        >>> tukey(torch.tensor([[9.0, 16.0]]), None)
        tensor([[3., 4.]])
    """
    _refuse_negative("tukey", features)
    return features.sqrt()


def pt(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Take the square root of features that are not negative, then scale to unit length.

    Args:
        features: Features, (..., d), 0 or larger.
        base_mean: Not used.

    Returns:
        Features, (..., d).

    Raises:
        FsbenchError: A feature is negative.

    Source:
        PT-MAP, Hu et al. (arXiv:2006.03806) eq. 1.

    Example:
        >>> import torch
        >>> pt(torch.tensor([[9.0, 16.0]]), None)
        tensor([[0.6000, 0.8000]])
    """
    _refuse_negative("pt", features)
    return F.normalize((features + 1e-6).sqrt(), dim=-1)


def _refuse_negative(name: str, features: Tensor) -> None:
    """Refuse features that have no square root."""
    if (features < 0).any():
        raise FsbenchError(
            f"preprocess {name} takes square roots, but a feature is {features.min():.3g}; "
            "choose none, l2 or cl2n"
        )


# The preprocessing functions, by name.
PREPROCESS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "none": unchanged,
    "l2": l2,
    "cl2n": cl2n,
    "tukey": tukey,
    "pt": pt,
}
NEEDS_BASE_MEAN = frozenset({"cl2n"})  # names of preprocessing functions that use the base mean


def find_preprocess(name: str) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Find a preprocessing function by its name.

    Args:
        name: Key of `PREPROCESS`.

    Returns:
        Function of features (..., d) and the base mean (d,) or None.

    Raises:
        FsbenchError: No function has that name; the error suggests the most similar one.

    Example:
        >>> find_preprocess("l2").__name__
        'l2'
    """
    if name not in PREPROCESS:
        raise unknown("preprocess", name, PREPROCESS)
    return PREPROCESS[name]
