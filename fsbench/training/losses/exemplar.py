"""Exemplar training: the distance between views of one image becomes smaller than that between images."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network


def hardest_triplet_loss(features: Tensor) -> Tensor:
    """Compute the exemplar loss: the mean over all views of softplus(farthest - nearest).

    For each view, `farthest` is the Euclidean distance to the farthest other view of the same image, and
    `nearest` the distance to the nearest view of another image.

    Args:
        features: Features of all views, (views, b, d).

    Returns:
        Mean loss, a scalar.

    Source:
        S2M2, arXiv:1907.12087, section 3.2: L_e = mean of log(1 + exp(max D - min D)). The printed formula
        has the opposite sign, which would drive views of one image apart, against the text of the paper.
    """
    views, count, _ = features.shape
    distances = torch.cdist(features.flatten(0, 1), features.flatten(0, 1))  # (views * b, views * b)
    image = torch.arange(count, device=features.device).repeat(views)
    same = image[:, None] == image
    farthest = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
    return F.softplus(farthest - nearest).mean()


def exemplar_losses(
    network: Network, images: Tensor, labels: Tensor, *, unit_length: bool = False
) -> dict[str, Tensor]:
    """Compute class and exemplar loss of several augmented views of each image.

    Args:
        network: The network.
        images: Views in blocks of b, (views * b, 3, s, s): row v * b + i is view v of image i.
        labels: Labels of the images, (b,).
        unit_length: Scale features to unit length before computing distances, as the cosine classifier does.

    Returns:
        Loss terms "class" and "exemplar", scalars: means over all views.

    Source:
        S2M2, arXiv:1907.12087, section 3.2: L_class + L_exemplar.
    """
    features = network.backbone(images)
    views = len(images) // len(labels)
    class_loss = F.cross_entropy(network.classifier(features), labels.repeat(views))
    if unit_length:
        features = F.normalize(features, dim=1)
    exemplar_loss = hardest_triplet_loss(features.view(views, len(labels), -1))
    return {"class": class_loss, "exemplar": exemplar_loss}
