"""Classes of a data set that a backbone was pretrained on.

Classes that were learned in pretraining are not novel. All classes of mini-ImageNet and tiered-ImageNet are
classes of ImageNet-1k (Ravi and Larochelle, ICLR 2017; Ren et al., arXiv:1803.00676), and the page of
CUB-200-2011 warns that its images overlap with those of ImageNet.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SYNSETS = Path(__file__).parent / "imagenet-1k.txt"  # WordNet ids of ILSVRC 2012 in order of its classes
_WORDNET = re.compile(r"n\d{8}")
IMAGENET_1K = "imagenet-1k"


@dataclass(frozen=True)
class Seen:
    """The data that a backbone was pretrained on.

    Attributes:
        source: Its name, such as `imagenet-1k`.
        classes: Names of each class, separated by commas, by WordNet id; None: unknown.
    """

    source: str
    classes: Mapping[str, str] | None


def imagenet_1k() -> Seen:
    """Return the 1,000 classes of ImageNet-1k."""
    from torchvision.models import ResNet18_Weights  # here, since the import takes a second

    ids, names = _SYNSETS.read_text(encoding="utf-8").split(), ResNet18_Weights.DEFAULT.meta["categories"]
    return Seen(IMAGENET_1K, dict(zip(ids, names, strict=True)))


def overlap(seen: Seen, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that were part of pretraining, by WordNet id or else by name.

    Names match if one is a suffix of the other in whole words: "albatross" matches
    "001.Black_footed_Albatross", and "great white shark" matches "shark".
    """
    names = [_words(name) for names in (seen.classes or {}).values() for name in names.split(",")]
    whole = set(names)
    ends = {end for name in names for end in _ends(name)}
    return tuple(
        name
        for name in class_names
        if name in (seen.classes or {})
        or (
            not _WORDNET.fullmatch(name)
            and (_words(name) in ends or not whole.isdisjoint(_ends(_words(name))))
        )
    )


def text(seen: Seen, dataset: str, class_names: Sequence[str]) -> str:
    """Return one line about classes that were part of pretraining; empty if there are none."""
    if seen.classes is None:
        return f"pretrained on {seen.source}, whose classes are unknown"
    common = overlap(seen, class_names)
    if not common:
        return ""
    also = "; some images of CUB are part of ImageNet" if dataset == "cub" else ""
    count = f"{len(common)} of the {len(class_names)} classes"
    return f"pretrained on {seen.source}, which contains {count} (for example {common[0]}){also}"


def _words(name: str) -> tuple[str, ...]:
    """Split a class name into lower-case words, without the leading number of CUB."""
    return tuple(re.findall(r"[^\W_]+", re.sub(r"^\d+\.", "", name).lower()))


def _ends(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Return all suffixes: the last word, the last two words, ... all words."""
    return (words[start:] for start in range(len(words)))
