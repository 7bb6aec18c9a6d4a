"""What is done to features before a head sees them; each is a function of one feature and the base mean."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError, unknown


def none(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Features as the backbone gives them ("UN" in SimpleShot)."""
    return features


def l2(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Features scaled to unit length ("L2N" in SimpleShot); the zero vector stays zero."""
    return F.normalize(features, dim=-1)


def cl2n(features: Tensor, base_mean: Tensor | None) -> Tensor:
    """Features minus the mean of all base features (d,), then of unit length ("CL2N" in SimpleShot)."""
    assert base_mean is not None, "cl2n needs the base mean"
    return F.normalize(features - base_mean, dim=-1)


def tukey(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Square root of features that are not negative (distribution calibration, arXiv:2101.06395 eq. 3).

    Raises:
        FsbenchError: a feature is negative.
    """
    _refuse_negative("tukey", features)
    return features.sqrt()


def pt(features: Tensor, base_mean: Tensor | None) -> Tensor:  # noqa: ARG001 - all share one signature
    """Square root of features that are not negative, then unit length (PT-MAP, arXiv:2006.03806 eq. 1).

    Raises:
        FsbenchError: a feature is negative.
    """
    _refuse_negative("pt", features)
    return F.normalize((features + 1e-6).sqrt(), dim=-1)


def _refuse_negative(name: str, features: Tensor) -> None:
    if (features < 0).any():
        raise FsbenchError(f"preprocess {name} takes square roots, but a feature is {features.min():.3g}")


PREPROCESS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "none": none,
    "l2": l2,
    "cl2n": cl2n,
    "tukey": tukey,
    "pt": pt,
}
NEEDS_BASE_MEAN = frozenset({"cl2n"})


def find_preprocess(name: str) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The preprocessing of that name.

    Raises:
        FsbenchError: none has that name; the nearest one is named.
    """
    if name not in PREPROCESS:
        raise unknown("preprocess", name, PREPROCESS)
    return PREPROCESS[name]
