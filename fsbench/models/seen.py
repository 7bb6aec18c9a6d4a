"""The line about classes and images that a backbone has seen in pretraining, in files of older versions."""

import re

_OLD_WORDS = {
    r"which has (\d+) of (\d+) classes, as ([^;]+)": r"which contains \1 of the \2 classes (for example \3)",
    r"some images of CUB are ImageNet's, too": "some images of CUB are part of ImageNet",
    r"whose classes are not known": "whose classes are unknown",
    r"^(trained on \d+ of its \d+ images), as (.+)$": r"\1 (for example \2)",
}


def reworded(seen: str) -> str:
    """Replace the wording of older versions in a line about pretraining, as it is stored in old files."""
    for old, new in _OLD_WORDS.items():
        seen = re.sub(old, new, seen)
    return seen
