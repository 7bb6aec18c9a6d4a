"""Format a prediction as text, and as plain values for JSON."""

from typing import TYPE_CHECKING, Any

from fsbench._util.terminal import as_text, escaped, table
from fsbench.prediction.outcome import Prediction

if TYPE_CHECKING:
    from rich.table import Table

# Mean probability of the predicted class and accuracy, in %, over 300 tasks of CIFAR-FS novel, 5-way 5-shot,
# with a Conv4 trained by S2M2-E (l2 in place of cl2n); None: not measured.
CALIBRATION: dict[str, tuple[int, int] | None] = {
    "nearest-mean": (29, 67),
    "cosine-sgd": (55, 67),
    "linear-sgd": (75, 66),
    "logistic": (34, 67),
    "ridge": (26, 67),
    "svm": (38, 67),
    "distribution-calibration": None,
    "bd-cspn": (28, 67),
    "laplacian-shot": (29, 67),
    "tim": (96, 69),
    "alpha-tim": (93, 66),
    "pt-map": (88, 68),
    "soft-kmeans": (53, 68),
}
LISTED = 10  # images in the summary
# The free intercepts of these heads learn how many support images each class has. On CIFAR-FS (5-way), 1 to 5
# shots per class instead of 3 cost logistic regression 16 points and ridge 7; nearest mean loses 3, other
# heads 1 to 5 (docs/heads.md).
LEARN_SHOTS = frozenset({"logistic", "ridge"})
EQUAL_CLASSES = frozenset({"pt-map", "soft-kmeans"})  # assume the same number of query images of each class


def meaning(head: str) -> str:
    """Explain in one sentence how to read the probabilities of a head."""
    measured = CALIBRATION.get(head)
    example = (
        f": on CIFAR-FS (5-way 5-shot), {head} reports {measured[0]} % on average and is right in "
        f"{measured[1]} % of cases"
        if measured
        else ""
    )
    return f"Probabilities rank images by confidence but are not calibrated{example}."


def percent(probability: float) -> str:
    """Format a probability (0..1) in whole %; only exact values become 0 % and 100 %."""
    rounded = round(100 * probability)
    if rounded in (0, 100) and probability not in (0, 1):
        return ">99 %" if rounded else "<1 %"
    return f"{rounded} %"


def count(number: int, noun: str) -> str:
    """Format a number with its noun, such as `1 image` and `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(prediction: Prediction) -> str:
    """Summarise a prediction in several lines of text.

    Args:
        prediction: The prediction.

    Returns:
        The number of images of each class, the least confident images, the accuracy if query
        folders have names of classes, and notes.
    """
    return "\n".join(map(as_text, parts(prediction)))


def parts(prediction: Prediction) -> list["str | Table"]:
    """Return the lines of the summary, and its table of the classes."""
    n_images, n_classes = len(prediction.images), len(prediction.class_names)
    lines: list[str | Table] = [
        f"{count(n_images, 'query image')} classified by {prediction.head} ({prediction.preprocess}) on "
        f"{prediction.run}, from {count(sum(prediction.shots), 'support image')} of {n_classes} classes",
        meaning(prediction.head),
        "",
        _class_table(prediction),
        "",
        "Least confident:",
        *_least_confident(prediction),
    ]
    if prediction.accuracy is not None:
        correct, labelled = prediction.confusion.trace(), prediction.confusion.sum()
        unlabelled = n_images - labelled - prediction.in_support.sum()
        other = f"; {unlabelled} in other folders" if unlabelled else ""
        lines += [
            "",
            f"Accuracy {100 * prediction.accuracy:.1f} %: {correct} of {labelled} images in folders that are "
            f"named after a class{other}",
        ]
    return [*lines, *notes(prediction)]


def notes(prediction: Prediction) -> list[str]:
    """List the limitations of a prediction, one line each."""
    head, lines = prediction.head, []
    if head in LEARN_SHOTS and len(set(prediction.shots)) > 1:
        lines.append(f"{head} favours classes with more support images; nearest-mean does not")
    if head in EQUAL_CLASSES:
        lines.append(f"{head} assumes that every class has the same number of query images")
    if prediction.in_support.any():
        lines.append(
            f"query images that are also support images, left out of the accuracy: "
            f"{prediction.in_support.sum()}"
        )
    if prediction.unreadable:
        lines.append(f"query images left out because they cannot be read: {len(prediction.unreadable)}")
    if prediction.other_files:
        suffixes = ", ".join(
            f"{number} {suffix or 'without suffix'}" for suffix, number in prediction.other_files.items()
        )
        lines.append(f"query files left out because their suffix is not that of an image: {suffixes}")
    return lines


def as_json(prediction: Prediction) -> dict[str, Any]:
    """Return all values of a prediction as plain values."""
    names = prediction.class_names
    return {
        "run": prediction.run,
        "head": prediction.head,
        "preprocess": prediction.preprocess,
        "meaning": meaning(prediction.head),
        "classes": [
            {"class": name, "support": shots, "predicted": int((prediction.predicted == row).sum())}
            for row, (name, shots) in enumerate(zip(names, prediction.shots, strict=True))
        ],
        "images": prediction.table().rename(columns=str).to_dict(orient="records"),
        "least_confident": [prediction.images[row] for row in prediction.least_confident],
        "accuracy": prediction.accuracy,
        "confusion": None if prediction.accuracy is None else _confusion(prediction),
        "in_support": [
            image for image, known in zip(prediction.images, prediction.in_support, strict=True) if known
        ],
        "unreadable": list(prediction.unreadable),
        "other_files": prediction.other_files,
    }


def _confusion(prediction: Prediction) -> dict[str, dict[str, int]]:
    """Return the number of images by actual class and predicted class, without zeros."""
    names = prediction.class_names
    return {
        names[row]: {names[column]: int(number) for column, number in enumerate(numbers) if number}
        for row, numbers in enumerate(prediction.confusion)
        if numbers.any()
    }


def _class_table(prediction: Prediction) -> "Table":
    """Make a table with one row per class; if classes are known, with the classes confused with it."""
    confusion = _confusion(prediction)
    rows = []
    for row, (name, shots) in enumerate(zip(prediction.class_names, prediction.shots, strict=True)):
        cells: list[str | int] = [escaped(name), shots, int((prediction.predicted == row).sum())]
        if confusion:
            numbers = confusion.get(name, {})
            wrong = sorted((pair for pair in numbers.items() if pair[0] != name), key=lambda pair: -pair[1])
            cells += [sum(numbers.values()), numbers.get(name, 0)]
            cells.append(escaped(", ".join(f"{other} {number}" for other, number in wrong)))
        rows.append(cells)
    counts = ["support", "predicted", *["actual", "correct"] * bool(confusion)]
    return table(["class", *counts, *["confused with"] * bool(confusion)], rows, right=counts)


def _least_confident(prediction: Prediction) -> list[str]:
    """Return one line per image: its two most probable classes with their probabilities."""
    lines = []
    for row in prediction.least_confident[:LISTED]:
        likely = ", ".join(
            f"{percent(prediction.probabilities[row, place])} {prediction.class_names[place]}"
            for place in prediction.ranking[row, :2]
        )
        lines.append(f"  {likely}: {prediction.images[row]}")
    if len(prediction.least_confident) > LISTED:
        more = len(prediction.least_confident) - LISTED
        lines.append(f"  ... and {more} more of the least confident tenth")
    return lines
