"""What came out, in words: what a probability is worth, a summary for people, values for programs."""

from typing import Any

from tabulate import tabulate

from fsbench.prediction.outcome import Prediction

_OF_THE_MODEL = "what the fitted classifier itself gives"
_NORMAL = "that of round normal classes of variance"
_SURE = "fitted to be sure of the query images: much too high on CIFAR-FS"
_RANKS = "no probability of any model: it ranks classes and images, no more"
_TOLD = "which takes each class to have as many query images as any other"

# A probability is the softmax of a head's scores. "29, 67" are the mean probability of the given class and
# the accuracy, in %, of 300 tasks of CIFAR-FS novel, 5-way 5-shot, with a Conv4 by S2M2-E and l2 for cl2n.
MEANINGS = {
    "nearest-mean": f"{_NORMAL} 1/2 around the means, much too low on CIFAR-FS",  # 29, 67
    "cosine-sgd": f"{_OF_THE_MODEL}, too low on CIFAR-FS",  # 55, 67
    "linear-sgd": f"{_OF_THE_MODEL}, too high on CIFAR-FS",  # 75, 66
    "logistic": f"{_OF_THE_MODEL}, held low by its penalty while shots are few",  # 34, 67
    "ridge": _RANKS,  # 26, 67
    "svm": _RANKS,  # 38, 67
    "distribution-calibration": f"{_OF_THE_MODEL}, fitted mostly to features that are drawn",
    "bd-cspn": f"{_NORMAL} 1/2 around the rectified means, much too low on CIFAR-FS",  # 28, 67
    "laplacian-shot": "the soft assignment that it ends at, in which neighbours agree: it ranks",  # 29, 67
    "tim": f"{_OF_THE_MODEL}, {_SURE}",  # 96, 69
    "alpha-tim": f"{_OF_THE_MODEL}, {_SURE}",  # 93, 66
    "pt-map": f"an image's share in the transport, {_TOLD}; much too high on CIFAR-FS",  # 88, 68
    "soft-kmeans": f"{_NORMAL} 1/10 around its means, {_TOLD}; too low on CIFAR-FS",  # 53, 68
}
_OF_OTHERS = "the softmax of its scores: what that is worth, its author knows"
LISTED = 10  # images in the summary
# Their free intercepts learn how many images each class has. On CIFAR-FS (5-way) 1 to 5 shots a class instead
# of 3 cost logistic regression 16 points and ridge 7; nearest mean loses 3, others 1 to 5 (docs/heads.md).
LEARN_SHOTS = frozenset({"logistic", "ridge"})


def meaning(head: str) -> str:
    """What the probability of a head is, in a sentence."""
    return f"Probability: {MEANINGS.get(head, _OF_OTHERS)}; not calibrated on these images."


def percent(chance: float) -> str:
    """A chance in 0..1 in %, without decimals; 0 and 100 are kept for what is exactly that."""
    shown = round(100 * chance)
    if shown in (0, 100) and chance not in (0, 1):
        return ">99 %" if shown else "<1 %"
    return f"{shown} %"


def summary(found: Prediction) -> str:
    """Counts of each class, the least sure images, and accuracy where folders are named after classes."""
    n_images = len(found.images)
    sources = f"{sum(found.shots)} support images of {len(found.class_names)} classes"
    lines = [
        f"{n_images} query images by {found.head} ({found.preprocess}) on {found.run}, from {sources}",
        meaning(found.head),
        "",
        _counts(found),
        "",
        "Least sure:",
        *_least_sure(found),
    ]
    if found.accuracy is not None:
        right, labelled = found.confusion.trace(), found.confusion.sum()
        rest = n_images - labelled - found.in_support.sum()
        other = f"; {rest} in other folders" if rest else ""
        lines += [
            "",
            f"Accuracy {100 * found.accuracy:.1f} %: "
            f"{right} of {labelled} images in folders named as classes{other}",
        ]
    return "\n".join([*lines, *notes(found)])


def notes(found: Prediction) -> list[str]:
    """What a reader must know to trust it, a line each."""
    lines = []
    if found.head in LEARN_SHOTS and len(set(found.shots)) > 1:
        lines.append(f"{found.head} favours classes with more support images; nearest-mean does not")
    if found.in_support.any():
        lines.append(
            f"query images that are among the support, too, and in no accuracy: {found.in_support.sum()}"
        )
    if found.unreadable:
        lines.append(f"query images that cannot be read and are left out: {len(found.unreadable)}")
    if found.other_files:
        kinds = ", ".join(f"{count} {suffix or 'without one'}" for suffix, count in found.other_files.items())
        lines.append(f"query files that are no images by their suffix and are left out: {kinds}")
    return lines


def as_json(found: Prediction) -> dict[str, Any]:
    """All that is known, as plain values."""
    names = found.class_names
    return {
        "run": found.run,
        "head": found.head,
        "preprocess": found.preprocess,
        "meaning": meaning(found.head),
        "classes": [
            {"class": name, "support": shots, "given": int((found.given == row).sum())}
            for row, (name, shots) in enumerate(zip(names, found.shots, strict=True))
        ],
        "images": found.table().rename(columns=str).to_dict(orient="records"),
        "least_sure": [found.images[row] for row in found.least_sure],
        "accuracy": found.accuracy,
        "confusion": None if found.accuracy is None else _confusion(found),
        "in_support": [image for image, known in zip(found.images, found.in_support, strict=True) if known],
        "unreadable": list(found.unreadable),
        "other_files": found.other_files,
    }


def _confusion(found: Prediction) -> dict[str, dict[str, int]]:
    """Actual class -> given class -> images, without zeros."""
    names = found.class_names
    return {
        names[row]: {names[column]: int(count) for column, count in enumerate(counts) if count}
        for row, counts in enumerate(found.confusion)
        if counts.any()
    }


def _counts(found: Prediction) -> str:
    """A line a class; where classes are known, what its images were taken for."""
    taken = _confusion(found)
    rows = []
    for row, (name, shots) in enumerate(zip(found.class_names, found.shots, strict=True)):
        line: list[str | int] = [name, shots, int((found.given == row).sum())]
        if taken:
            counts = taken.get(name, {})
            wrong = sorted(
                ((n, other) for other, n in counts.items() if other != name), key=lambda pair: -pair[0]
            )
            line += [
                sum(counts.values()),
                counts.get(name, 0),
                ", ".join(f"{other} {n}" for n, other in wrong),
            ]
        rows.append(line)
    columns = ["class", "support", "given", *(["actual", "right", "taken for"] if taken else [])]
    align = ["left", *["right"] * (4 if taken else 2), *(["left"] if taken else [])]
    widths = [40, *[None] * (4 if taken else 2), *([60] if taken else [])]
    return tabulate(
        rows, columns, tablefmt="plain", colalign=align, disable_numparse=True, maxcolwidths=widths
    )


def _least_sure(found: Prediction) -> list[str]:
    """A line an image: its class and the next, with their probabilities."""
    lines = []
    for row in found.least_sure[:LISTED]:
        first, second = found.order[row, :2]
        chances = found.probabilities[row]
        lines.append(
            f"  {percent(chances[first])} {found.class_names[first]}, "
            f"{percent(chances[second])} {found.class_names[second]}: {found.images[row]}"
        )
    if len(found.least_sure) > LISTED:
        lines.append(f"  ... and {len(found.least_sure) - LISTED} more of the least sure tenth")
    return lines
