"""Format a prediction as text of at most 80 columns, and as plain values for JSON."""

from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fsbench._util.terminal import as_text, escaped, table
from fsbench.prediction.accuracy import Accuracy
from fsbench.prediction.outcome import NONE, Prediction
from fsbench.prediction.sentences import choices, count, estimate, meaning, notes

if TYPE_CHECKING:
    from rich.table import Table

LISTED = 10  # images in the summary
CONFUSED = 2  # classes that are named as confused with a class


def summary(prediction: Prediction) -> str:
    """Summarise a prediction in several lines of text.

    Args:
        prediction: The prediction.

    Returns:
        The accuracy to expect, the number of images of each class, the least confident images, and notes.
    """
    return "\n".join(map(as_text, parts(prediction)))


def parts(prediction: Prediction) -> list["str | Table"]:
    """Return the lines of the summary, and its table of the classes."""
    return [
        *_wrapped(estimate(prediction)),
        "",
        *_wrapped(
            [
                f"{count(len(prediction.images), 'query image')} classified by {prediction.method} "
                f"on {prediction.run}, from "
                f"{count(sum(prediction.shots), 'support image')} of {len(prediction.shots)} classes.",
                *meaning(prediction),
            ]
        ),
        "",
        _class_table(prediction),
        "",
        "Least confident:",
        *_least_confident(prediction),
        *_wrapped(notes(prediction)),
    ]


def as_json(prediction: Prediction) -> dict[str, Any]:
    """Return all values of a prediction as plain values."""
    names = prediction.class_names
    return {
        "run": prediction.run,
        "head": prediction.head,
        "settings": dict(prediction.settings),
        "preprocess": prediction.preprocess,
        "expected_accuracy": _plain(prediction.expected),
        "actual_accuracy": _plain(prediction.measured),
        "temperature": prediction.temperature,
        "wrongly_rejected": None if prediction.rejection is None else prediction.rejection[1],
        "classes": [
            {"class": name, "support": shots, "predicted": int((prediction.predicted == row).sum())}
            for row, (name, shots) in enumerate(zip(names, prediction.shots, strict=True))
        ],
        "images": prediction.table().to_dict(orient="records"),
        "least_confident": [prediction.images[row] for row in prediction.least_confident],
        "confusion": None if prediction.measured is None else _confusion(prediction),
        "in_support": [
            image for image, known in zip(prediction.images, prediction.in_support, strict=True) if known
        ],
        "unreadable": list(prediction.unreadable),
        "other_files": prediction.other_files,
    }


def _plain(accuracy: Accuracy | None) -> dict[str, Any] | None:
    """Return an accuracy as plain values, shares 0..1."""
    if accuracy is None:
        return None
    low, high = accuracy.interval
    return {"accuracy": accuracy.share, "low": low, "high": high, "images": accuracy.images}


def _wrapped(sentences: Iterable[str]) -> list[str]:
    """Break each sentence into lines of at most 80 columns; names are never broken."""
    return [fill(text, 80, break_long_words=False, break_on_hyphens=False) for text in sentences]


def _confusion(prediction: Prediction) -> dict[str, dict[str, int]]:
    """Return the number of images by actual class and answer, without zeros."""
    names = prediction.class_names
    return {
        names[row]: {(*names, NONE)[column]: int(number) for column, number in enumerate(numbers) if number}
        for row, numbers in enumerate(prediction.confusion)
        if numbers.any()
    }


def _class_table(prediction: Prediction) -> "Table":
    """Make a table with one row per class; if classes are known, with the classes confused with it."""
    confusion, sure, names = _confusion(prediction), prediction.sure, prediction.class_names
    rows: list[list[str | int]] = []
    for row, (name, shots) in enumerate(zip(names, prediction.shots, strict=True)):
        mine = prediction.predicted == row
        cells: list[str | int] = [escaped(name), shots, int(mine.sum())]
        if sure is not None:
            cells.append(int(sure[mine].sum()))
        if confusion:
            numbers = confusion.get(name, {})
            cells += [sum(numbers.values()), numbers.get(name, 0), escaped(_confused_with(name, numbers))]
        rows.append(cells)
    if prediction.rejection is not None:
        rows.append([NONE, "", int((prediction.predicted < 0).sum())])
    counts = ["support", "predicted"] + ["sure"] * (sure is not None)
    counts += ["actual", "correct"] if confusion else []
    return table(["class", *counts, *["confused with"] * bool(confusion)], rows, right=counts)


def _confused_with(name: str, numbers: dict[str, int]) -> str:
    """Name the most frequent wrong answers for a class, with their numbers."""
    wrong = sorted((pair for pair in numbers.items() if pair[0] != name), key=lambda pair: -pair[1])
    more = [f"{len(wrong) - CONFUSED} more"] if len(wrong) > CONFUSED else []
    return ", ".join([*(f"{other} {number}" for other, number in wrong[:CONFUSED]), *more])


def _least_confident(prediction: Prediction) -> list[str]:
    """Return one line per image: its two most probable classes with their probabilities."""
    return [
        f"  {', '.join(choices(prediction, row))}: {prediction.images[row]}"
        for row in prediction.least_confident[:LISTED]
    ]
