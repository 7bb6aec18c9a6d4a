"""Claims of papers about the effect of mixing, compared with measured paired differences of networks."""

from collections.abc import Sequence

import numpy as np

from fsbench import stats
from fsbench.diagnose._section import Claim, ReportSection, TextTable

_CLAIMED = {+1: "higher", -1: "lower"}


def verdict(sign: int, difference: float, half_width: float) -> str:
    """Return ✓ for a difference in the claimed direction, ✗ for the other one, nothing if 0 is possible."""
    if not sign or abs(difference) <= half_width:
        return ""
    return "✓" if sign * difference > 0 else "✗"


def section(claims: Sequence[Claim]) -> ReportSection | None:
    """Compare every network with the first one, one claim per row; None for fewer than two networks."""
    names = list(claims[0].samples) if claims else []
    if len(names) < 2:
        return None
    reference, *others = names
    rows, values = [], {}
    for claim in claims:
        if list(claim.samples) != names:  # some network has no source of transferred attacks
            continue
        first = claim.samples[reference]
        differences = {name: stats.paired_difference(claim.samples[name], first) for name in others}
        cells = [
            f"{difference:+.{claim.digits}f} ± {half_width:.{claim.digits}f} "
            f"{verdict(claim.sign, difference, half_width)}".strip()
            for difference, half_width in differences.values()
        ]
        claimed = f"{_CLAIMED[claim.sign]}: {claim.paper}" if claim.sign else "-"
        rows.append((claim.quantity, claimed, f"{np.mean(first):.{claim.digits}f}", *cells))
        values[claim.quantity] = {
            "claimed": claim.sign,
            reference: float(np.mean(first)),
            "differences": {n: {"mean": d, "half width": h} for n, (d, h) in differences.items()},
        }
    return ReportSection(
        "claims",
        "What mixing is said to change",
        f"The value of {reference}, and the difference of every other network from it: means over the same "
        "images, tasks, pairs of images or classes, as paired differences (± 95 % half width, not corrected "
        "for the number of comparisons). ✓: the difference has the direction that the papers report for "
        "mixing against ERM. ✗: it has the other direction. No mark: the interval contains 0, or no paper "
        "makes a claim. The papers test on held-out images of the training classes; here, base images are "
        "training images, and few-shot tasks are a question of this project. The sections below explain each "
        "number. mixup: arXiv:1710.09412; MM: Manifold Mixup, arXiv:1806.05236.",
        (TextTable(("number", "claimed", reference, *others), tuple(rows)),),
        {},
        values,
    )
