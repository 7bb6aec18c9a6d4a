"""Sentences about a prediction, which the summary and the contact sheet share."""

import numpy as np

from fsbench.prediction.accuracy import Accuracy
from fsbench.prediction.outcome import NONE, SURE, Prediction

# The free intercepts of these heads learn how many support images each class has. On CIFAR-FS (5-way), 1 to 5
# shots per class instead of 3 cost logistic regression 16 points and ridge 7; nearest mean loses 3, other
# heads 1 to 5 (docs/heads.md).
LEARN_SHOTS = frozenset({"logistic", "ridge"})
FEW = 5  # with two images per class of CIFAR-FS, the accuracy to expect was 6 to 8 points too low
# They assume the same number of query images of each class.
EQUAL_CLASSES = frozenset({"pt-map", "soft-kmeans-prior"})


def estimate(prediction: Prediction) -> list[str]:
    """Say in a few sentences what accuracy to expect, and what it is where classes are known."""
    sentences = []
    if prediction.expected is None:
        sentences.append(
            "The accuracy on your images cannot be estimated, and there are no probabilities: every class "
            "has a single labelled image, not counting copies. Label two or more images of each class."
        )
    else:
        sentences += [
            f"Expected accuracy on your images: {with_interval(prediction.expected, 'approximate ')}.",
            f"Measured on {prediction.expected.images} labelled images: each was classified by the others, "
            "which are at least one fewer per class. Each class counts equally.",
        ]
        if any(1 < shots < FEW for shots in prediction.shots):
            sentences.append(
                f"This is cautious: classes with fewer than {FEW} images lose much when one is left out."
            )
        guessing = 1 / len(prediction.shots)
        if prediction.expected.interval[0] <= guessing:
            sentences.append(
                f"This may be no better than guessing, which is right in {percent(guessing)} of cases. Label "
                "more images, or use another model."
            )
        most, least = max(prediction.shots), min(prediction.shots)
        if most > 2 * least:
            sentences.append(
                f"Your classes have {least} to {most} labelled images, so a few images of the smallest "
                "classes decide much of this accuracy. Label more images of these classes."
            )
        single = len(prediction.shots) - len(np.unique(prediction.held_out.answers))
        if single:
            sentences.append(
                f"{count(single, 'class', 'es')} with a single labelled image, not counting copies, did not "
                "take part in this."
            )
    if prediction.measured is not None:
        sentences.append(
            f"Actual accuracy: {with_interval(prediction.measured)}, for {prediction.confusion.trace()} of "
            f"{prediction.measured.images} images in folders that are named after a class."
        )
    return sentences


def meaning(prediction: Prediction) -> list[str]:
    """Say in plain sentences what "sure" and "none of these" mean, and how many images they are."""
    of_all = f"of {count(len(prediction.images), 'image')}"
    sentences = []
    if prediction.sure is not None:
        sentences.append(
            f"Sure, with a probability of at least {percent(SURE)}: {prediction.sure.sum()} {of_all}."
        )
    if prediction.rejection is not None:
        sentences.append(
            f"{NONE.capitalize()}, because they resemble the labelled images too little: "
            f"{(prediction.predicted < 0).sum()} {of_all}. About {percent(prediction.rejection[1])} of the "
            "images of your classes are rejected by mistake, which counts as wrong."
        )
    return sentences


def with_interval(accuracy: Accuracy, kind: str = "") -> str:
    """Format an accuracy and its 95 % interval in whole %; `kind` is a word before the interval."""
    low, high = (round(100 * end) for end in accuracy.interval)
    return f"{percent(accuracy.share)} ({kind}95 % interval: {low} to {high} %)"


def percent(probability: float) -> str:
    """Format a probability (0..1) in whole %; only exact values become 0 % and 100 %."""
    rounded = round(100 * probability)
    if rounded in (0, 100) and probability not in (0, 1):
        return ">99 %" if rounded else "<1 %"
    return f"{rounded} %"


def count(number: int, noun: str, plural: str = "s") -> str:
    """Format a number with its noun, such as `1 image` and `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"


def choices(prediction: Prediction, row: int) -> list[str]:
    """Name the two most likely classes of an image, with their probabilities if these are calibrated."""
    names, probabilities = prediction.class_names, prediction.probabilities
    return [
        names[place] if probabilities is None else f"{percent(probabilities[row, place])} {names[place]}"
        for place in prediction.ranking[row, :2]
    ]


def notes(prediction: Prediction) -> list[str]:
    """List the limitations of a prediction, one line each."""
    head, settings, lines = prediction.head, prediction.settings, []
    if head in LEARN_SHOTS and settings.get("intercept", True) and len(set(prediction.shots)) > 1:
        lines.append(f"{head} favours classes with more support images; nearest-mean does not")
    if head in EQUAL_CLASSES:
        lines.append(f"{head} assumes that every class has the same number of query images")
    if settings.get("balanced") is False:
        lines.append(
            f"{head}: settings for imbalanced queries (balanced=false), since the number of images of each "
            "class is not known"
        )
    if prediction.in_support.any():
        lines.append(
            f"query images that are also support images, left out of the accuracy: "
            f"{prediction.in_support.sum()}"
        )
    other = int((~prediction.in_support & (prediction.actual < 0)).sum())
    if prediction.measured is not None and other:
        lines.append(f"query images in other folders, left out of the accuracy: {other}")
    if prediction.unreadable:
        lines.append(f"query images left out because they cannot be read: {len(prediction.unreadable)}")
        heic = sum("pillow-heif" in line for line in prediction.unreadable)
        lines += [f"of these, HEIC, for which you need pip install pillow-heif: {heic}"] * (heic > 0)
    if prediction.other_files:
        suffixes = ", ".join(
            f"{number} {suffix or 'without suffix'}" for suffix, number in prediction.other_files.items()
        )
        lines.append(f"query files left out because their suffix is not that of an image: {suffixes}")
    return lines
