"""A network that turns images into features, with what tells its features from those of others."""

from dataclasses import dataclass

from torch import nn

from fsbench.models.checkpoint import Provenance
from fsbench.models.identity import Model
from fsbench.models.pretrained.overlap import Seen
from fsbench.models.pretrained.transform import Transform


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A network without a classifier, ready to be evaluated.

    Attributes:
        network: Module from images (b, 3, s, s) to features (b, d).
        transform: From stored pixels to images.
        model: What the network is and how it was trained; it becomes part of results.
        provenance: How a checkpoint of fsbench was trained; None for other networks.
        seen: Classes that it was pretrained on, where the evaluated ones may be among them.
        classifier: Names of the layers that were removed from it.
        n_classes: Outputs of the removed classifier.
        code: SHA-256 of the file of a user's function.
    """

    network: nn.Module
    transform: Transform
    model: Model
    provenance: Provenance | None = None
    seen: Seen | None = None
    classifier: tuple[str, ...] = ()
    n_classes: int | None = None
    code: str = ""

    @property
    def dataset(self) -> str | None:
        """Data set of fsbench that it was trained on; None for other networks."""
        return None if self.provenance is None else self.provenance.source
