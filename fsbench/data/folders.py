"""Readers of class folders: `{base,val,novel}/<class>/*` and `<class>/*`."""

import logging
import os
import re
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench.data.listing import Listing, Picture

SPLIT_NAMES = {"base": {"base", "train"}, "val": {"val", "valid", "validation"}, "novel": {"novel", "test"}}
_IMAGE = re.compile(r".+\.(avif|bmp|gif|hei[cf]|jfif|jp2|jpe|jpe?g|p[bgnp]m|png|tiff?|webp)", re.IGNORECASE)
_log = logging.getLogger(__name__)


def split_folders(root: Path) -> Listing | None:
    """Read `{base,val,novel}/<class>/*`; `train`, `validation` and `test` are also accepted as split names.

    Raises:
        FsbenchError: Two folders are named after the same split, or images lie beside the folders.
    """
    listing: Listing = {}
    for split, names in SPLIT_NAMES.items():
        folders = [folder for folder in subfolders(root) if folder.name.lower() in names]
        if len(folders) > 1:
            raise FsbenchError(
                f"{root}: {folders[0].name} and {folders[1].name} are both split {split}; keep one of them"
            )
        for folder in folders:
            _refuse_loose_images(folder)
            listing[split] = classes_in(folder)
    if listing:
        _refuse_loose_images(root)
    return listing or None


def class_folders(root: Path) -> Listing | None:
    """Read `<class>/*`; all classes are novel.

    Raises:
        FsbenchError: Images lie beside the class folders.
    """
    if not subfolders(root):
        return None
    _refuse_loose_images(root)
    return {"novel": classes_in(root)}


def _refuse_loose_images(root: Path) -> None:
    """Refuse images beside folders, since they belong to no class."""
    images = sorted(path.name for path in root.iterdir() if _is_image(path.name))
    if images:
        count, them = ("1 image", "it") if len(images) == 1 else (f"{len(images)} images", "them")
        raise FsbenchError(
            f"PATH: {root} has {count} beside its folders, for example {images[0]}; "
            f"move {them} into a class folder, or out of PATH"
        )


def check_level(root: Path) -> None:
    """Check that class folders do not merely contain folders, as they do if `root` is one level too high.

    A warning is logged if some classes do.

    Raises:
        FsbenchError: The only class does.
    """
    classes = subfolders(root)
    for folder in classes:
        deepest = folder
        while not _has_images(deepest) and len(below := subfolders(deepest)) == 1:
            deepest = below[0]
        names = [path.name for path in subfolders(deepest)]
        if len(names) < 2 or _has_images(deepest):
            continue
        example = f"{', '.join(names[:3])}{', ...' * (len(names) > 3)}"
        problem = f"{root}: class {folder.name} consists of the {len(names)} folders {example}"
        if len(classes) == 1:
            raise FsbenchError(f"PATH {problem}; if these are classes or splits, use PATH {deepest}")
        _log.warning("fsbench: warning: %s; if these are classes, use PATH %s", problem, deepest)


def _has_images(folder: Path) -> bool:
    """Whether image files lie directly in a folder."""
    return any(_is_image(path.name) for path in folder.iterdir())


def classes_in(root: Path) -> dict[str, dict[str, Picture]]:
    """List the images of each folder in `root`, by folder name and path within the folder."""
    return {folder.name: images_below(folder) for folder in subfolders(root)}


def subfolders(root: Path) -> list[Path]:
    """List the visible folders in `root`, sorted by name; empty if `root` is not a folder."""
    if not root.is_dir():
        return []
    return sorted(
        (path for path in root.iterdir() if _is_visible(path.name) and path.is_dir()), key=lambda p: p.name
    )


def images_below(folder: Path) -> dict[str, Picture]:
    """List the image files below `folder` by their path within it, recognised by their suffix.

    Raises:
        OSError: A folder cannot be read.
        FsbenchError: Symbolic links lead to the same folder twice or form a cycle.
    """
    images: dict[str, Picture] = {}
    visited: set[Path] = set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = Path(place).resolve()
        if real in visited:
            raise FsbenchError(f"folder {folder}: symbolic links lead to {real} twice; remove one of them")
        visited.add(real)
        folders[:] = filter(_is_visible, folders)
        for path in (Path(place, name) for name in files if _is_image(name)):
            images[path.relative_to(folder).as_posix()] = path
    return images


def _raise(error: OSError) -> None:
    """Raise the error; without this, os.walk skips folders that it cannot read."""
    raise error


def _is_image(name: str) -> bool:
    """Whether a file is a visible image, by its suffix."""
    return _is_visible(name) and _IMAGE.fullmatch(name) is not None


def _is_visible(name: str) -> bool:
    """Whether a file or folder is visible: editors, macOS and archivers leave hidden ones behind."""
    return not name.startswith(".") and name != "__MACOSX"
