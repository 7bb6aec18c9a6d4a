"""Features from memory: arrays, tensors, and modules with images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.session import Session
from fsbench.data.image_split import ImageSplit
from fsbench.data.listing import SPLITS
from fsbench.features.extract import embed
from fsbench.features.store import Features, Origin, check_values
from fsbench.models.pretrained.transform import Transform, standard_transform

Array = ArrayLike | Tensor
Network = Callable[[Array], NDArray[np.float32]]  # images to features (n, d)


def features_of_arrays(values: Array, labels: Array | None, datasets: Sequence[str], split: str) -> Features:
    """Arrange features (n, d) with labels (n,), integers or names, by class.

    `datasets` contains the name of their data set, or nothing.

    Raises:
        FsbenchError: Shapes or types are wrong, features are not finite or too large, or there are several
            names.
    """
    array = _as_numpy("features", values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise FsbenchError(f"features must be numbers of shape (n, d), but are {_describe(array)}")
    if labels is None:
        raise FsbenchError("labels are missing: pass one label per feature or image")
    label_array = _as_numpy("labels", labels)
    if label_array.shape != array.shape[:1]:
        raise FsbenchError(f"labels must have shape ({len(array)},), but have {label_array.shape}")
    if not (label_array.dtype.kind in "biuUS" or all(isinstance(label, str) for label in label_array)):
        raise FsbenchError(f"labels must be integers or names, but are {label_array.dtype}")
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    with np.errstate(over="ignore"):  # values too large for float32 become infinite
        array = array.astype(np.float32)
    check_values(array, "features")
    if len(datasets) > 1:
        raise FsbenchError(f"dataset must be one name for images or features, but is {', '.join(datasets)}")
    names, numbers = np.unique(label_array, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    return Features(
        values=array[order],
        labels=numbers[order].astype(np.int32),
        class_names=tuple(map(str, names)),
        origin=Origin(dataset=datasets[0] if datasets else "unnamed", split=split),
    )


def features_of_split(images: ImageSplit, network: Network) -> Features:
    """Compute the features of one split of a prepared data set."""
    origin = Origin(
        dataset=images.dataset,
        split=images.split,
        fingerprint=images.identity.fingerprint,
        files=images.identity.files,
        decoder=images.identity.decoder,
        stored_size=images.pixels.shape[1],
        synthetic=images.synthetic,
    )
    return Features(network(images.pixels), images.labels, images.class_names, origin)


def embed_images(
    module: nn.Module,
    image_size: int | None,
    transform: Callable[[Tensor], Tensor] | None,
    session: Session,
    images: Array,
) -> NDArray[np.float32]:
    """Compute features (n, d) of float images (n, 3, s, s), or of transformed uint8 images (n, h, w, 3).

    The transform is `transform`, or that of the backbones of fsbench for `image_size` pixels.

    Raises:
        FsbenchError: The images have another shape or type, a transform is missing, or the module does not
            return features.
    """
    array = _as_numpy("images", images)
    if array.ndim == 4 and array.dtype.kind == "f":
        array, resolved = array.astype(np.float32), Transform("none", array.shape[3], lambda batch: batch)
    elif array.ndim == 4 and array.dtype == np.uint8 and array.shape[3] == 3:
        if transform is None and image_size is None:
            raise FsbenchError("image_size is missing: uint8 images need it or a transform")
        size = image_size or array.shape[1]
        resolved = standard_transform(size) if transform is None else Transform("user", size, transform)
    else:
        kinds = "uint8 (n, h, w, 3) or float (n, 3, s, s)"
        raise FsbenchError(f"images must be {kinds}, but are {_describe(array)}")
    return embed(module, resolved, array, session)


def _as_numpy(name: str, values: Array) -> NDArray[Any]:
    """Convert values to a NumPy array, without a copy if possible."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    try:
        return np.asarray(values)
    except ValueError as error:
        raise FsbenchError(f"{name} must form an array, but do not ({error})") from error


def _describe(values: NDArray[Any]) -> str:
    return f"{values.dtype} {values.shape}"
