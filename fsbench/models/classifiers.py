"""What is trained: a backbone, a classifier of the base classes and the extra heads a recipe asks for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsbench._util.errors import unknown
from fsbench.models.backbones import Backbone

CLASSIFIERS = ("cosine", "linear")


class CosineClassifier(nn.Module):
    """Scores `scale * norm_c * cos(feature, direction_c)` with a learned norm a class.

    Baseline++ (Chen et al., arXiv:1904.04232) as its authors and S2M2 train it: a weight-normalised linear
    layer without bias on unit-length features. The learned norms make it an unbounded cosine.
    """

    def __init__(self, feature_dim: int, n_classes: int, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale if scale is not None else (2.0 if n_classes <= 200 else 10.0)  # the authors' rule
        self.direction = nn.Parameter(torch.empty(n_classes, feature_dim))
        self.norm = nn.Parameter(torch.empty(n_classes, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the directions as nn.Linear draws its weights, and take their norms."""
        bound = self.direction.shape[1] ** -0.5
        with torch.no_grad():
            self.direction.uniform_(-bound, bound)
            self.norm.copy_(self.direction.norm(dim=1, keepdim=True))

    def forward(self, features: Tensor) -> Tensor:
        """Score features (b, d) -> (b, n_classes)."""
        unit = features / (features.norm(dim=1, keepdim=True) + 1e-5)  # the authors' constant
        return F.linear(unit, self.scale * self.norm * F.normalize(self.direction, dim=1))


class Network(nn.Module):
    """A backbone with everything that is trained on top of it."""

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        classifier: str,
        scale: float | None,
        extra_heads: Mapping[str, int],
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
        self.extra_heads = nn.ModuleDict(
            {name: nn.Linear(backbone.feature_dim, width) for name, width in extra_heads.items()}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Base-class scores of images (b, 3, s, s) -> (b, n_classes)."""
        scores: Tensor = self.classifier(self.backbone(images))
        return scores

    def reset_heads(self) -> None:
        """Draw classifier and extra heads anew from torch's own random stream."""
        self.classifier.reset_parameters()
        for head in self.extra_heads.values():
            assert isinstance(head, nn.Linear)
            head.reset_parameters()


def assemble(backbone: Backbone, n_classes: int, settings: Mapping[str, Any]) -> Network:
    """The network that a recipe's settings put on a backbone, for a classifier of `n_classes` at least."""
    return Network(
        backbone,
        max(n_classes, settings["classifier_width"] or 0),
        settings["classifier"],
        settings["scale"],
        settings["extra_heads"],
    )
