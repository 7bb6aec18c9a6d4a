"""A network as it was made, before its weights are what is evaluated."""

from dataclasses import dataclass

from torch import nn

from fsbench.models.pretrained.overlap import Seen
from fsbench.models.pretrained.transform import Transform


@dataclass(frozen=True, eq=False)
class Model:
    """A network without a classifier, and what it takes."""

    name: str  # for people, such as resnet12, timm:resnet50.a1_in1k, mine.network
    network: nn.Module  # images (b, 3, s, s) -> features (b, d)
    transform: Transform
    classifier: tuple[str, ...] = ()  # names of the layers that were taken off
    n_classes: int | None = None  # of that classifier
    seen: Seen | None = None  # by the library's own weights
    code: str = ""  # SHA-256 of the file of a user's function
