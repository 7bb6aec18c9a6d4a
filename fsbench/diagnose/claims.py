"""What mixing is said to change, against what was measured: differences of networks in pairs of answers."""

from collections.abc import Sequence

import numpy as np

from fsbench import stats
from fsbench.diagnose.section import Claim, Section, Table

_CLAIMED = {+1: "higher", -1: "lower"}


def verdict(sign: int, difference: float, half_width: float) -> str:
    """✓: a difference goes the way that is claimed, ✗: the other way; nothing while its interval holds 0."""
    if not sign or abs(difference) <= half_width:
        return ""
    return "✓" if sign * difference > 0 else "✗"


def section(claims: Sequence[Claim]) -> Section | None:
    """Every network by the first one, a claim a row; None when there is no pair to compare."""
    names = list(claims[0].samples) if claims else []
    if len(names) < 2:
        return None
    reference, *others = names
    pairs = [
        claim for claim in claims if list(claim.samples) == names
    ]  # an attack may have none to come from
    rows, values = [], {}
    for claim in pairs:
        first = claim.samples[reference]
        found = {name: stats.paired_difference(claim.samples[name], first) for name in others}
        cells = [
            f"{difference:+.{claim.digits}f} ± {half:.{claim.digits}f} "
            f"{verdict(claim.sign, difference, half)}".strip()
            for difference, half in found.values()
        ]
        claimed = f"{_CLAIMED[claim.sign]}: {claim.paper}" if claim.sign else "-"
        rows.append((claim.what, claimed, f"{np.mean(first):.{claim.digits}f}", *cells))
        values[claim.what] = {
            "claimed": claim.sign,
            reference: float(np.mean(first)),
            "differences": {n: {"mean": d, "half width": h} for n, (d, h) in found.items()},
        }
    return Section(
        "claims",
        "What mixing is said to change",
        f"What {reference} has, and by how much every other network differs from it: means over the same "
        "images, tasks, pairs of images or classes, taken in pairs (± 95 % half width, not corrected for "
        "how many there are). ✓: the difference goes the way that the papers report for mixing against "
        "ERM; ✗: it goes the other way; neither: its interval holds 0, or no paper says. The papers ask "
        "about test images of the classes they train on; base images here were trained on, and few-shot "
        "tasks are this project's own question. The sections below say what each number is. mixup: "
        "arXiv:1710.09412; MM: Manifold Mixup, arXiv:1806.05236.",
        (Table(("number", "claimed", reference, *others), tuple(rows)),),
        {},
        values,
    )
