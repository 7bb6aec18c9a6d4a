"""What lies in the two folders that a prediction is made from."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench.data.folders import class_folders, images_below

Names = Sequence[str]  # of images: their paths in a folder


def classes(support: Path, n_shot: int | None) -> dict[str, Names]:
    """The support images of each class, the first `n_shot` by name; names are paths in the class folder.

    Raises:
        FsbenchError: not a folder of two class folders or more with as many images each.
    """
    loose = [name for name in images("--support", support) if "/" not in name]
    if loose:
        raise FsbenchError(
            f"--support {support}: must hold a folder for each class, but {loose[0]} is in none"
        )
    found = (class_folders(support) or {"novel": {}})["novel"]
    if n_shot is not None and n_shot < 1:
        raise FsbenchError(f"--n-shot must be at least 1, but is {n_shot}")
    classes: dict[str, Names] = {name: sorted(items)[:n_shot] for name, items in found.items()}
    if len(classes) < 2:
        raise FsbenchError(
            f"--support {support}: must hold two class folders or more, but holds {len(classes)}"
        )
    for name, items in classes.items():
        if len(items) < (n_shot or 1):
            need = "hold images" if n_shot is None else f"hold {n_shot} images"
            raise FsbenchError(f"--support {support}: class {name} must {need}, but holds {len(items)}")
    return classes


def images(what: str, folder: Path) -> Names:
    """The names of all images below a folder, sorted; `what` it is, an error says.

    Raises:
        FsbenchError: no such folder, one without an image, or a name that is no printable text.
    """
    try:
        if not folder.is_dir():
            state = "is a file" if folder.exists() else "does not exist"
            raise FsbenchError(f"{what} {folder}: must be a folder of images, but {state}")
        found = sorted(images_below(folder))
    except OSError as error:
        raise FsbenchError(f"cannot read {error.filename or folder}: {reason(error)}") from error
    if not found:
        raise FsbenchError(f"{what} {folder}: holds no image")
    for name in found:
        if not name.isprintable():  # bytes that are not UTF-8 among them
            raise FsbenchError(f"{what} {folder}: {name!r} must be a name in printable text")
    return found


def other_files(folder: Path) -> dict[str, int]:
    """How many files below a folder have another suffix than images that are read, by suffix."""
    known = images_below(folder)
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and name.as_posix() not in known:
            found[path.suffix.lower()] += 1
    return dict(sorted(found.items()))
