"""Reader of Hugging Face's `datasets`, using pyarrow alone: folders of `save_to_disk`, or parquet files.

The split `train` is base, `validation` is val and `test` is novel, as in class folders. A data set without
splits, such as a single saved split, is novel as a whole.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fsbench._util.errors import FsbenchError, reason
from fsbench.data.folders import SPLIT_NAMES
from fsbench.data.listing import Encoded, Listing, Picture

if TYPE_CHECKING:
    import pyarrow

_LABELS = ("label", "labels", "fine_label", "class")  # tried in this order
_PARQUET = re.compile(r"(\w+?)(-\d+-of-\d+)?\.parquet")


def hugging_face(root: Path) -> Listing | None:
    """Read `dataset_dict.json` with one folder per split, one such folder, or `[data/]<split>-*.parquet`.

    Raises:
        FsbenchError: pyarrow is not installed, a split has another name, or a table has no images or labels
            or cannot be read.
    """
    shards = _shards(root)
    if not any(shards.values()):
        return None
    listing: Listing = {}
    for name, paths in shards.items():
        split = next((split for split, names in SPLIT_NAMES.items() if name in names), None)
        if split is None or split in listing:
            raise FsbenchError(
                f"{root}: splits must be train, validation and test, each at most once, but one is {name!r}"
            )
        listing[split] = _classes(paths)
    return {split: listing[split] for split in SPLIT_NAMES if split in listing}


def _shards(root: Path) -> dict[str, list[Path]]:
    """List the table files of each split by its name, in order; without splits, all are novel."""
    if (root / "dataset_dict.json").is_file():
        folders = sorted(state.parent for state in root.glob("*/state.json"))
        return {folder.name: sorted(folder.glob("*.arrow")) for folder in folders}
    if (root / "state.json").is_file():
        return {"novel": sorted(root.glob("*.arrow"))}
    shards: dict[str, list[Path]] = {}
    for path in sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")]):
        match = _PARQUET.fullmatch(path.name)
        shards.setdefault(match[1] if match else path.stem, []).append(path)
    return shards


def _classes(paths: list[Path]) -> dict[str, dict[str, Picture]]:
    """Return the images of a split by class and item id.

    The item id is the file name if that is unique in its class, otherwise the row.
    """
    rows: list[tuple[str, str | None, Picture]] = []
    for path in paths:
        try:
            rows += _rows(path)
        except (FsbenchError, OSError):
            raise
        except Exception as error:  # Arrow and its metadata raise errors of any kind for damaged files
            raise FsbenchError(f"{path}: not a table of images ({reason(error)})") from error
    counts = Counter((label, file) for label, file, _ in rows)
    classes: dict[str, dict[str, Picture]] = {}
    for number, (label, file, picture) in enumerate(rows):
        item = file if file and counts[label, file] == 1 else f"row-{number:08d}"
        classes.setdefault(label, {})[item] = picture
    return classes


def _rows(path: Path) -> Iterator[tuple[str, str | None, Picture]]:
    """Yield class name, file name and picture of each row of a table."""
    table = _table(path)
    metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", "{}"))
    features = metadata.get("info", {}).get("features", {})
    images = [
        field.name
        for field in table.schema
        if str(field.type).startswith("struct<")
        and {part.name for part in field.type} == {"bytes", "path"}
        and features.get(field.name, {}).get("_type", "Image") == "Image"
    ]
    labels = [name for name in _LABELS if name in table.schema.names]
    if len(images) != 1 or not labels:
        columns = ", ".join(table.schema.names)
        raise FsbenchError(
            f"{path}: must have one column of images and one of {', '.join(_LABELS)}, but has {columns}"
        )
    names = features.get(labels[0], {}).get("names")
    number = 0
    for part in table.to_batches():  # parts of a mapped file; nothing is copied
        contents, files = (part[images[0]].field(name) for name in ("bytes", "path"))
        for label, file, content in zip(
            part[labels[0]].to_pylist(), files.to_pylist(), contents, strict=True
        ):
            place = f"{path} row {number}"
            if label is None or (names is not None and not 0 <= label < len(names)):
                raise FsbenchError(f"{place}: must have a label, but has {label}")
            if not content.is_valid and file is None:
                raise FsbenchError(f"{place}: must have an image, but has none")
            encoded = Encoded(place, memoryview(content.as_buffer())) if content.is_valid else Path(file)
            yield str(label if names is None else names[label]), file and Path(file).name, encoded
            number += 1


def _table(path: Path) -> "pyarrow.Table":
    """Return the validated table of a file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FsbenchError(f"{path}: needs pyarrow, which is not installed: pip install pyarrow") from error
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
        table.validate(full=True)  # by itself Arrow trusts every offset in a file
    except (pyarrow.ArrowException, OSError) as error:
        raise FsbenchError(f"{path}: damaged, or not a table ({reason(error)})") from error
    return table
