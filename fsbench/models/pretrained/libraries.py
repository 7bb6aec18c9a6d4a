"""Backbones of timm and torchvision without their classifiers, each with its evaluation transform."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench.models.identity import Model
from fsbench.models.pretrained import overlap
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.overlap import Seen
from fsbench.models.pretrained.transform import resize_crop

# Parts of timm's tags that name the pretraining data, as in resnet50.a1_in1k and convnext_tiny.in12k_ft_in1k.
# The whole ImageNet of fall 2011 is called 21k or 22k.
_SUBSETS = {
    "in1k": overlap.IMAGENET_1K,
    "in12k": "imagenet-12k",
    "in21k": "imagenet-21k-goog",
    "in22k": "imagenet-22k",
}


def timm_model(name: str, *, pretrained: bool) -> FeatureExtractor:
    """Load a model of timm, with the weights of its tag or untrained.

    Raises:
        FsbenchError: timm is not installed, has no such model or tag, or the weights cannot be loaded.
    """
    try:
        import timm
        from timm.data.config import resolve_model_data_config
    except ImportError as error:
        raise FsbenchError(f"timm:{name}: needs timm, which is not installed: pip install timm") from error
    if not timm.is_model(name.partition(".")[0]):
        raise _unknown_model(name, timm.list_models(), "timm")
    with _weights_of(f"timm:{name}"):
        if pretrained:
            _check_hub(timm.models.get_pretrained_cfg(name))
        network: Any = timm.create_model(name, pretrained=pretrained, num_classes=0)
    about = network.pretrained_cfg
    config: Any = resolve_model_data_config(network)
    _, height, width = config["input_size"]
    if height != width:
        raise FsbenchError(f"timm:{name}: must take squares, but takes images of {height} x {width}")
    classifier = about.get("classifier") or ()
    tag = f".{about['tag']}" if about.get("tag") else ""
    return FeatureExtractor(
        network,
        transform=resize_crop(  # timm's cropping modes are equal for square images
            math.floor(height / config["crop_pct"]),
            height,
            config["interpolation"],
            config["mean"],
            config["std"],
        ),
        model=Model(run=f"timm:{about['architecture']}{tag}"),
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        n_classes=about["num_classes"],
        seen=_seen_by(tag, about["num_classes"]),
    )


def torchvision_model(name: str, *, pretrained: bool) -> FeatureExtractor:
    """Load a classifier of torchvision, with default weights, those of a tag, or none.

    An example of a name with a tag is `resnet50.IMAGENET1K_V1`.

    Raises:
        FsbenchError: torchvision has no such model or weights, or the weights cannot be loaded.
    """
    import torchvision  # here, since the import takes a second

    architecture, _, tag = name.partition(".")
    models = torchvision.models.list_models(module=torchvision.models)
    if architecture not in models:
        raise _unknown_model(architecture, models, "torchvision")
    choices = torchvision.models.get_model_weights(architecture)
    if tag and tag not in choices.__members__:
        raise unknown("weights", tag, choices.__members__, f"torchvision:{architecture}")
    weights = choices[tag] if tag else choices.DEFAULT
    # Without weights, these two architectures omit the normalisation that their weights need.
    normalised = {"transform_input": True, "init_weights": False}
    options = normalised if architecture in ("googlenet", "inception_v3") and not pretrained else {}
    with _weights_of(f"torchvision:{name}"):
        network = torchvision.models.get_model(
            architecture, weights=weights if pretrained else None, **options
        )
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    n_classes = len(weights.meta["categories"])
    if not linear or network.get_submodule(linear[-1]).out_features != n_classes:
        raise FsbenchError(f"torchvision:{name}: must end in a linear classifier, which it does not")
    network.set_submodule(linear[-1], nn.Identity())
    preset = weights.transforms()
    return FeatureExtractor(
        network,
        transform=resize_crop(
            preset.resize_size[0], preset.crop_size[0], preset.interpolation.value, preset.mean, preset.std
        ),
        model=Model(run=f"torchvision:{architecture}.{weights.name}"),
        classifier=(linear[-1],),
        n_classes=n_classes,
        seen=overlap.imagenet_1k(),  # some weights were pretrained on more data
    )


def _check_hub(about: Any) -> None:
    """Fail at once if weights must be downloaded from an unreachable hub; its client tries for a minute.

    Raises:
        FsbenchError: There are no weights to download.
    """
    from huggingface_hub import constants, get_session

    if about is None or not about.has_weights:
        raise FsbenchError("timm has no weights of that name")
    repository = about.hf_hub_id
    if repository and not Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}").exists():
        get_session().head(constants.ENDPOINT, timeout=10)


def _seen_by(tag: str, n_classes: int) -> Seen:
    """Return the classes of the data sets in a tag of timm, and of the classifier."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subsets = [_SUBSETS[part] for part in re.split(r"[._]", tag) if part in _SUBSETS]
    classifier_subset = infer_imagenet_subset({"num_classes": n_classes})
    names = dict.fromkeys([*subsets, *([classifier_subset] if classifier_subset else [])])
    if not names:
        return Seen(tag.removeprefix(".") or "images", None)
    classes: dict[str, str] = {}
    for name in names:
        info: Any = ImageNetInfo(name)
        classes |= info.label_descriptions(as_dict=True)
    return Seen(" and ".join(names), classes)


def _unknown_model(name: str, models: list[str], library: str) -> FsbenchError:
    """Return the error for an unknown model, with the three closest names of a long list."""
    first, second, third = map(repr, get_close_matches(name, models, n=3, cutoff=0))
    return FsbenchError(f"{library} has no model {name!r}; did you mean {first}, {second} or {third}?")


@contextmanager
def _weights_of(subject: str) -> Iterator[None]:
    """Turn every error of loading weights into one line: both libraries raise errors of their downloaders."""
    try:
        yield
    except Exception as error:
        raise FsbenchError(
            f"{subject}: weights cannot be loaded from the cache or the network ({reason(error)}); "
            f"if you have them in a file, use: FILE --backbone {subject}"
        ) from error
