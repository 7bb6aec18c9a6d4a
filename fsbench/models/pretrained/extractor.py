"""A network that turns images into features, with its transform and its identity."""

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
        transform: Transform from stored pixels to images.
        model: Identity and training of the network, as recorded in results.
        provenance: How a checkpoint of fsbench was trained; None for other networks.
        seen: Pretraining data of networks that fsbench did not train; None if unknown.
        classifier: Names of the classifier layers that were removed.
        n_classes: Outputs of the removed classifier.
        code: SHA-256 of the file of a user function.
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
