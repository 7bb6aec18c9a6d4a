"""Classes that a backbone was pretrained on, and those of a data set that are among them.

What is learned in pretraining is not novel: all classes of mini-ImageNet and tiered-ImageNet are
ImageNet-1k's (Ravi and Larochelle, ICLR 2017; Ren et al., arXiv:1803.00676), and the page of CUB-200-2011
warns that its images overlap with ImageNet's.
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
    """What a backbone was pretrained on."""

    source: str  # such as imagenet-1k
    classes: Mapping[str, str] | None  # WordNet id -> names between commas; None: not known


def imagenet_1k() -> Seen:
    """The 1,000 classes of ImageNet-1k."""
    from torchvision.models import ResNet18_Weights  # takes a second to import, and few need it

    ids, names = _SYNSETS.read_text(encoding="utf-8").split(), ResNet18_Weights.DEFAULT.meta["categories"]
    return Seen(IMAGENET_1K, dict(zip(ids, names, strict=True)))


def overlap(seen: Seen, class_names: Sequence[str]) -> tuple[str, ...]:
    """Those of the classes that are among the pretraining's: by WordNet id, else by name.

    Names are compared as words, and one that ends with the other counts: who has seen albatrosses knows much
    of 001.Black_footed_Albatross, and who has seen great white sharks knows sharks.
    """
    names = [_words(name) for names in (seen.classes or {}).values() for name in names.split(",")]
    whole = set(names)
    ends = {end for name in names for end in _ends(name)}
    return tuple(
        given
        for given in class_names
        if given in (seen.classes or {})
        or (
            not _WORDNET.fullmatch(given)
            and (_words(given) in ends or not whole.isdisjoint(_ends(_words(given))))
        )
    )


def text(seen: Seen, dataset: str, class_names: Sequence[str]) -> str:
    """What a reader of an accuracy must know, in a line; empty when no class was seen."""
    if seen.classes is None:
        return f"pretrained on {seen.source}, whose classes are not known"
    found = overlap(seen, class_names)
    if not found:
        return ""
    also = "; some images of CUB are ImageNet's, too" if dataset == "cub" else ""
    share = f"{len(found)} of {len(class_names)} classes"
    return f"pretrained on {seen.source}, which has {share}, as {found[0]}{also}"


def _words(name: str) -> tuple[str, ...]:
    """A class name as lower-case words, without the number that CUB puts in front."""
    return tuple(re.findall(r"[^\W_]+", re.sub(r"^\d+\.", "", name).lower()))


def _ends(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """The last word, the last two, ... all of them."""
    return (words[start:] for start in range(len(words)))
