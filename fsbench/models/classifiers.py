"""The network that is trained: a backbone, a classifier of the base classes and auxiliary classifiers."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsbench._util.errors import unknown
from fsbench.models.backbones import Backbone

CLASSIFIERS = ("cosine", "linear")
# Checkpoints store the auxiliary classifiers under this name: their weights and the setting of the recipe.
STORED_AUXILIARY = "extra_heads"


class CosineClassifier(nn.Module):
    """Cosine classifier with one learned norm per class: `scale * norm_c * cos(feature, direction_c)`.

    This is the classifier of Baseline++ and S2M2: a weight-normalised linear layer without bias on
    unit-length features. Because the norms are learned, logits are not bounded by the scale.

    Args:
        feature_dim: Number of features d.
        n_classes: Number of classes.
        scale: Factor of all logits. Default: 2, or 10 for more than 200 classes, as in the authors' code.

    Source:
        Chen et al., ICLR 2019, arXiv:1904.04232, section 3.2.
    """

    def __init__(self, feature_dim: int, n_classes: int, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale if scale is not None else (2.0 if n_classes <= 200 else 10.0)
        self.direction = nn.Parameter(torch.empty(n_classes, feature_dim))
        self.norm = nn.Parameter(torch.empty(n_classes, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw directions from the distribution of nn.Linear's weights, and set the norms to theirs."""
        bound = self.direction.shape[1] ** -0.5
        with torch.no_grad():
            self.direction.uniform_(-bound, bound)
            self.norm.copy_(self.direction.norm(dim=1, keepdim=True))

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (b, n_classes) of features (b, d)."""
        unit = features / (features.norm(dim=1, keepdim=True) + 1e-5)  # the authors' constant
        return F.linear(unit, self.scale * self.norm * F.normalize(self.direction, dim=1))


class Network(nn.Module):
    """A backbone with the classifiers that are trained on top of it.

    Args:
        backbone: The backbone.
        n_classes: Outputs of the classifier.
        classifier: "cosine" or "linear".
        scale: Scale of a cosine classifier; see `CosineClassifier`.
        auxiliary_classifiers: Name -> number of classes of each auxiliary linear classifier.

    Raises:
        FsbenchError: The classifier is unknown.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        classifier: str,
        scale: float | None,
        auxiliary_classifiers: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier: CosineClassifier | nn.Linear
        if classifier == "cosine":
            self.classifier = CosineClassifier(backbone.feature_dim, n_classes, scale)
        elif classifier == "linear":
            self.classifier = nn.Linear(backbone.feature_dim, n_classes)
        else:
            raise unknown("classifier", classifier, CLASSIFIERS)
        auxiliary = {name: nn.Linear(backbone.feature_dim, n) for name, n in auxiliary_classifiers.items()}
        self.add_module(STORED_AUXILIARY, nn.ModuleDict(auxiliary))

    @property
    def auxiliary_classifiers(self) -> nn.ModuleDict:
        """Linear classifiers beside the main one, by name; each maps features (b, d) to logits (b, n)."""
        classifiers = self.get_submodule(STORED_AUXILIARY)
        assert isinstance(classifiers, nn.ModuleDict)
        return classifiers

    def forward(self, images: Tensor) -> Tensor:
        """Compute base-class logits (b, n_classes) of images (b, 3, s, s)."""
        logits: Tensor = self.classifier(self.backbone(images))
        return logits

    def reset_classifiers(self, names: Collection[str] | None = None) -> None:
        """Draw new weights for classifiers from torch's global generator.

        Args:
            names: Names of auxiliary classifiers, and "classifier" for the main one. Default: all.
        """
        for name, classifier in (("classifier", self.classifier), *self.auxiliary_classifiers.items()):
            if names is None or name in names:
                assert isinstance(classifier, CosineClassifier | nn.Linear)
                classifier.reset_parameters()


def assemble(backbone: Backbone, n_classes: int, settings: Mapping[str, Any]) -> Network:
    """Put the classifiers of a recipe on a backbone.

    Args:
        backbone: The backbone.
        n_classes: Number of base classes; the classifier has at least as many outputs.
        settings: Settings of a recipe as checkpoints store them: `Recipe.settings()`.

    Returns:
        The network, its classifiers drawn from torch's global generator.

    Raises:
        FsbenchError: The classifier is unknown.
    """
    return Network(
        backbone,
        max(n_classes, settings["classifier_width"] or 0),
        settings["classifier"],
        settings["scale"],
        settings[STORED_AUXILIARY],
    )
