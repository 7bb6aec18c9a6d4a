"""Loss terms: a step returns scalars by name, and the loop minimises their sum."""

from collections.abc import Mapping

from torch import Tensor


def halved(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Multiply each loss term by 0.5, the weight of the self-supervised terms in S2M2's second stage.

    Args:
        terms: Name -> scalar.

    Returns:
        The same names with half the values.

    Source:
        S2M2, arXiv:1907.12087, Algorithm 1.
    """
    return {name: 0.5 * term for name, term in terms.items()}
