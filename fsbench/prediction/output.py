"""Files made from a prediction: a table of the images, and copies sorted into one folder per class."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import orjson

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import atomic_write, check_writable
from fsbench._util.untrusted import escape_formula
from fsbench.prediction.outcome import NONE, Prediction
from fsbench.prediction.text import as_json


def check_table(path: Path) -> None:
    """Refuse a table that cannot be written, before any image is read.

    Raises:
        FsbenchError: The name ends neither in `.csv` nor in `.json`, or the place is not writable.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise FsbenchError(f"--out {path}: must end in .csv or .json")
    check_writable(path)


def write_table(prediction: Prediction, path: Path) -> None:
    """Write one row per image as CSV, or all values as JSON, whole or not at all.

    In CSV, names that a spreadsheet would run as a formula are escaped.

    Args:
        prediction: The prediction.
        path: The file, whose name ends in `.csv` or `.json`. An existing file is replaced.

    Raises:
        FsbenchError: The name has another ending, or the file cannot be written.
    """
    check_table(path)
    with atomic_write(path) as part:
        if path.suffix.lower() == ".json":
            part.write_bytes(orjson.dumps(as_json(prediction), option=orjson.OPT_INDENT_2) + b"\n")
        else:
            table = prediction.table()
            table["sure"] = table["sure"].map({True: "yes", False: "no"})
            table["path"] = [name if escape_formula(name) == name else f"./{name}" for name in table["path"]]
            for column in ("class", "second class", "true class"):
                table[column] = table[column].map(escape_formula, na_action="ignore")
            table.to_csv(part, index=False)


def check_sort_into(
    folder: Path, support: Path, query: Path, out: Path | None = None, sheet: Path | None = None
) -> None:
    """Refuse a folder for sorted copies, before any image is read.

    Raises:
        FsbenchError: The folder is not new or empty, is in the support or query folder, is the working
            folder, contains the table or the contact sheet, or cannot be written.
    """
    place = folder.resolve()
    for option, images in (("--support", support), ("--query", query)):
        if place.is_relative_to(images.resolve()):
            raise FsbenchError(f"--sort-into {folder}: must not be in {option} {images}")
    if place == Path.cwd():
        raise FsbenchError(
            f"--sort-into {folder}: must not be the working folder; name a new folder, such as sorted"
        )
    for option, file in (("--out", out), ("--sheet", sheet)):
        if file is not None and (
            file.resolve().is_relative_to(place) or place.is_relative_to(file.resolve())
        ):
            raise FsbenchError(f"--sort-into {folder}: must not contain {option} {file}; write it elsewhere")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise FsbenchError(f"--sort-into {folder}: must be a new or empty folder")
    except OSError as error:
        raise FsbenchError(f"cannot read {folder}: {reason(error)}") from error
    check_writable(place.parent / "any")  # an empty folder is replaced


def sort_into(prediction: Prediction, query: Path, folder: Path) -> dict[str, int]:
    """Copy every query image into a folder of the class that it was answered with.

    A copy keeps its file name. If another image of the class has the same name, it is called
    `NAME (2).jpg`. The folder appears when all copies are written; if one fails, there is none.

    Args:
        prediction: The prediction.
        query: The query folder that the prediction was made from.
        folder: A new or empty folder. Images that match none of the classes go to `none of these` in it.

    Returns:
        Number of images by class folder.

    Raises:
        FsbenchError: The folder is not new or empty, is in the query folder, is the working folder, or cannot
            be written; or an image can no longer be read.
    """
    check_sort_into(folder, query, query)
    names = (*prediction.class_names, NONE)
    counts: dict[str, int] = {}
    copies: Counter[Path] = Counter()  # of each file name
    with _new_folder(folder.resolve()) as part:
        for image, row in zip(prediction.images, prediction.predicted, strict=True):
            place = part / names[row]
            place.mkdir(exist_ok=True)
            shutil.copy2(query / image, _free_path(place / Path(image).name, copies))
            counts[place.name] = counts.get(place.name, 0) + 1
    return dict(sorted(counts.items()))


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `folder` at the end of the block, or nothing if it fails."""
    private: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        private = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        part = private / folder.name  # its permissions follow the umask; those of mkdtemp do not
        part.mkdir()
        yield part
        if folder.exists():
            folder.rmdir()  # it is empty
        part.rename(folder)
    except OSError as error:
        raise FsbenchError(f"cannot copy {error.filename or folder}: {reason(error)}") from error
    finally:
        if private is not None:
            shutil.rmtree(private, ignore_errors=True)


def _free_path(path: Path, copies: Counter[Path]) -> Path:
    """Return the path, or the first free one of `NAME (2).jpg`, `NAME (3).jpg` ...; count it in `copies`."""
    while True:
        copies[path] += 1
        number = copies[path]
        free = path if number == 1 else path.with_name(f"{path.stem} ({number}){path.suffix}")
        if not free.exists():
            return free
