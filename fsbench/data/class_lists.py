"""Published splits: which class of a known data set belongs to base, val and novel."""

import json
from pathlib import Path

PUBLISHED_SPLITS = {"base": "train", "val": "val", "novel": "test"}  # names in fsbench, and as published
_LISTS = Path(__file__).parent / "splits"

# Meta-Dataset (arXiv:1903.03096) uses the five smallest background alphabets for validation.
_OMNIGLOT_VAL = {
    "Alphabet_of_the_Magi",
    "Blackfoot_(Canadian_Aboriginal_Syllabics)",
    "Inuktitut_(Canadian_Aboriginal_Syllabics)",
    "Ojibwe_(Canadian_Aboriginal_Syllabics)",
    "Tagalog",
}


def class_list(name: str) -> dict[str, list[str]]:
    """Return the class names of each split of a published data set, as its authors list them.

    Args:
        name: `cifar-fs`, `mini-imagenet` or `tiered-imagenet`.

    Returns:
        Class names by split (base, val, novel).

    Example:
        >>> len(class_list("mini-imagenet")["base"])
        64
    """
    document: dict[str, list[str]] = json.loads((_LISTS / f"{name}.json").read_text(encoding="utf-8"))
    return {split: document[split] for split in PUBLISHED_SPLITS}


def listed_split(name: str, class_name: str) -> str | None:
    """Return the split of a class in the published list of a data set; None for a class not in the list."""
    return next((split for split, names in class_list(name).items() if class_name in names), None)


def cub_split(class_name: str) -> str | None:
    """Return the split of a CUB class such as `001.Black_footed_Albatross`; None for other names.

    Source: code of arXiv:1904.04232. Every second class is base; the classes in between are alternately val
    and novel.
    """
    number, dot, _ = class_name.partition(".")
    if not dot or not number.isdecimal():
        return None
    return ("base", "val", "base", "novel")[(int(number) - 1) % 4]


def omniglot_split(part: str, alphabet: str) -> str:
    """Return the split of an alphabet in the `background` or `evaluation` part (arXiv:1903.03096)."""
    if part == "evaluation":
        return "novel"
    return "val" if alphabet in _OMNIGLOT_VAL else "base"
