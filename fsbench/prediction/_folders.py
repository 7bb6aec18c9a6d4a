"""List the image files of the support folder and the query folder."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fsbench._util.errors import FsbenchError, reason
from fsbench.data.folders import class_folders, images_below


def class_images(support: Path, n_shot: int | None) -> dict[str, Sequence[str]]:
    """List the support images of each class, the first `n_shot` by name, as paths in the class folder."""
    for name in images("--support", support):
        if "/" not in name:
            raise FsbenchError(f"--support {support}: needs one folder per class, but {name} is not in one")
    folders = (class_folders(support) or {"novel": {}})["novel"]
    if n_shot is not None and n_shot < 1:
        raise FsbenchError(f"--n-shot must be at least 1, but is {n_shot}")
    classes = {name: sorted(files)[:n_shot] for name, files in folders.items()}
    if len(classes) < 2:
        raise FsbenchError(f"--support {support}: needs at least two class folders, but has {len(classes)}")
    for name, files in classes.items():
        if len(files) < (n_shot or 1):
            needs = "images" if n_shot is None else f"{n_shot} images"
            raise FsbenchError(f"--support {support}: class {name} needs {needs}, but has {len(files)}")
    return dict(classes)


def images(option: str, folder: Path) -> list[str]:
    """List all images below a folder by their sorted paths in it; errors name the command's option."""
    try:
        if not folder.is_dir():
            state = "is a file" if folder.exists() else "does not exist"
            raise FsbenchError(f"{option} {folder}: must be a folder of images, but {state}")
        names = sorted(images_below(folder))
    except OSError as error:
        raise FsbenchError(f"cannot read {error.filename or folder}: {reason(error)}") from error
    if not names:
        raise FsbenchError(f"{option} {folder}: contains no images")
    for name in names:
        if not name.isprintable():  # this also excludes bytes that are not UTF-8
            raise FsbenchError(f"{option} {folder}: the file name {name!r} must be printable text")
    return names


def other_files(folder: Path) -> dict[str, int]:
    """Count, by suffix, the files below a folder whose suffix is not that of an image."""
    image_names = images_below(folder)
    counts: Counter[str] = Counter()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and name.as_posix() not in image_names:
            counts[path.suffix.lower()] += 1
    return dict(sorted(counts.items()))
