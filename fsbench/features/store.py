"""The feature store: one HDF5 file of features, labels and their origin, complete or absent.

A reader states what it expects (checkpoint, fingerprint of the split, transform), and any other file is
refused.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import atomic_hdf5
from fsbench._util.untrusted import InvalidValueError, hdf5, parse_json, typed
from fsbench.data.identity import Identity
from fsbench.models.checkpoint import as_provenance
from fsbench.models.identity import Model
from fsbench.models.seen import reworded

FORMAT = 1
_SMALLEST, _LARGEST = 1e-10, 1e15  # magnitudes of features that can be scaled to unit length in float32
Attribute = str | int | float


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Images and backbone of features; None stands for an unknown value.

    Attributes:
        dataset: Data set.
        split: `base`, `val` or `novel`.
        fingerprint: Digest of the decoded images.
        files: Digest of the image files.
        decoder: Library that decoded them.
        stored_size: Side of the stored images in pixels.
        synthetic: Whether the images are drawn by code.
        names: Digest of the class names.
        seen: One line about classes or images of this split that the backbone was trained on; may be empty.
        run: Name of the training run.
        backbone: Architecture of the backbone.
        image_size: Side of the images that the network takes, in pixels.
        checkpoint: Digest of the backbone.
        transform: Name of the transform from stored to network images.
        provenance: JSON of a checkpoint's `Provenance`, or of the `Model` of another network.
        torch: Version of PyTorch that computed the features.
        device: Device that computed them.
        seconds: Time of the extraction.
        form: Format of the feature file of another project.
        source_file: SHA-256 of this file.
    """

    dataset: str | None = None
    split: str | None = None
    fingerprint: str | None = None
    files: str | None = None
    decoder: str | None = None
    stored_size: int | None = None
    synthetic: bool | int = False  # some files hold 0 or 1
    names: str | None = None
    seen: str = ""
    run: str | None = None
    backbone: str | None = None
    image_size: int | None = None
    checkpoint: str | None = None
    transform: str | None = None
    provenance: str = "{}"
    torch: str | None = None
    device: str | None = None
    seconds: float | None = None
    form: str | None = None
    source_file: str | None = None

    def attributes(self) -> dict[str, Attribute]:
        """Return the values by name that differ from their defaults, as a file stores them."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {part.name: values[part.name] for part in fields(self) if values[part.name] != part.default}

    def model(self, run: str) -> Model:
        """Return the backbone; `run` is its name if the file does not contain one.

        Raises:
            FsbenchError: The provenance is invalid.
        """
        try:
            made_by = parse_json(self.provenance)
            if "settings" in made_by:
                model = as_provenance(made_by).model
            else:
                model = typed({"run": run, **made_by}, Model)
        except InvalidValueError as error:
            raise FsbenchError(f"{self.run or run}: provenance of its features: {error}") from error
        name = run if self.run is None else self.run
        return replace(model, run=name, checkpoint=self.checkpoint, transform=self.transform)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one split of a data set by one backbone.

    Attributes:
        values: Features, (n, d), float32; mapped and read-only for a large file.
        labels: Class indices, (n,), int32, sorted, from 0 to `len(class_names)` - 1.
        class_names: One name per class.
        origin: The images and the backbone that they come from.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    origin: Origin = Origin()

    @property
    def identity(self) -> Identity | None:
        """Identity of the images; None if the file does not contain it."""
        origin = self.origin
        if origin.fingerprint is None:
            return None
        return Identity(origin.fingerprint, str(origin.files), str(origin.decoder))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of values and labels, in hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values, dtype="<f4").data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i4").data)
        return digest.hexdigest()


def write(path: Path, features: Features) -> None:
    """Write a feature store atomically.

    Args:
        path: The HDF5 file to write or replace.
        features: The features with their provenance.

    Raises:
        FsbenchError: The folder is not writable, or the disk is full.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from fsbench import features
        >>> origin = features.Origin(dataset="pets")
        >>> values, labels = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1], dtype=np.int32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "features.h5")
        ...     features.write(path, features.Features(values, labels, ("cat", "dog"), origin))
        ...     features.read(path, dataset="pets").class_names
        ('cat', 'dog')
    """
    with atomic_hdf5(path) as (file, _):
        file["features"] = np.asarray(features.values, dtype=np.float32)
        file["labels"] = np.asarray(features.labels, dtype=np.int32)
        names = np.array(features.class_names, dtype=object)
        file.create_dataset("class_names", data=names, dtype=h5py.string_dtype())
        file.attrs.update({"format": FORMAT, "digest": features.digest, **features.origin.attributes()})


def read(path: Path, **expected: Attribute) -> Features:
    """Read a feature store.

    Args:
        path: The HDF5 file.
        expected: Required values of the origin, for example `dataset="cub"`.

    Returns:
        The features with their provenance.

    Raises:
        FsbenchError: The file is missing, damaged or not a feature store, or a value of the origin differs.
    """
    try:
        most = hdf5.capacity(path)
        hdf5.check_text_heaps(path)
        with h5py.File(path, "r") as file:
            attributes = hdf5.attributes(file)
            if attributes.pop("format", None) != FORMAT:
                raise FsbenchError(f"{path}: not a feature store of format {FORMAT}")
            for name, value in expected.items():
                if attributes.get(name) != value:
                    raise FsbenchError(f"{path}: {name} is {attributes.get(name)!r}, not {value!r}")
            digest = attributes.pop("digest", None)
            features = Features(
                values=hdf5.numbers(file, "features", np.float32, 2, most),
                labels=hdf5.numbers(file, "labels", np.int32, 1, most),
                class_names=hdf5.texts(file, "class_names", most),
                origin=_origin(attributes),
            )
        _check(features, path)
    except FsbenchError:
        raise
    except Exception as error:  # HDF5 raises errors of any kind for damaged files
        raise FsbenchError(f"{path}: not a readable feature store ({reason(error)})") from error
    if features.digest != digest:
        raise FsbenchError(f"{path}: features do not match their digest; extract them again")
    return features


def is_store(path: Path) -> bool:
    """Return whether a file is a feature store of fsbench, possibly damaged.

    Args:
        path: The file.

    Returns:
        True for an HDF5 file with the attribute `format`.

    Raises:
        FsbenchError: The file is not readable.
    """
    try:
        with path.open("rb") as start:
            if start.read(8) != b"\x89HDF\r\n\x1a\n":
                return False
        with h5py.File(path, "r") as file:
            return "format" in file.attrs
    except Exception as error:
        if path.is_file():
            return True  # HDF5, but damaged: `read` says so
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error


def check_values(values: NDArray[np.float32], name: str) -> None:
    """Refuse features (n, d) that are not finite, and those whose squares float32 cannot hold.

    Args:
        values: The features, not empty.
        name: What they are, for the message, such as "features of cub".

    Raises:
        FsbenchError: Features are not finite, or the largest magnitude is not in [1e-10, 1e15].
    """
    largest = float(np.abs([values.max(), values.min()]).max())
    if not np.isfinite(largest):
        rows = np.flatnonzero(~np.isfinite(values.sum(axis=1, dtype=np.float64)))
        raise FsbenchError(
            f"{name} must be finite, but {len(rows)} of {len(values)} are not; the first is number {rows[0]}"
        )
    if not _SMALLEST <= largest <= _LARGEST:
        raise FsbenchError(
            f"{name} must have a largest magnitude of {_SMALLEST:g} to {_LARGEST:g}, but it is {largest:.3g}"
        )


def _check(features: Features, path: Path) -> None:
    """Refuse features that do not fit the labels, and values that no head can use."""
    values, labels, names = features.values, features.labels, features.class_names
    if len(values) != len(labels) or not values.size:
        raise InvalidValueError(f"features {values.shape} do not fit labels {labels.shape}")
    hdf5.check_labels(labels, len(names))
    check_values(values, f"{path}: features")


def _origin(attributes: Mapping[str, Attribute]) -> Origin:
    """Convert the attributes of a file; `Origin.model` checks the provenance, which may be a long text."""
    others = {name: value for name, value in attributes.items() if name != "provenance"}
    origin = typed(others, Origin, other_keys=True)
    provenance = str(attributes.get("provenance", Origin.provenance))
    return replace(origin, provenance=provenance, seen=reworded(origin.seen))
