import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from fsbench.data import store
from fsbench.data.store import SplitWriter
from fsbench.errors import FsbenchError

PIXELS = np.random.default_rng(0).integers(256, size=(5, 4, 4, 3), dtype=np.uint8)
SPLIT = {"labels": np.array([0, 0, 1, 1, 1], dtype=np.int32), "class_names": ["frog", "grüne Kröte"],
         "items": ["a.png", "b.png", "a.png", "b/c.png", "d.png"]}  # fmt: skip


def write(path: Path, pixels=PIXELS, parts: tuple[int, ...] = (5,), **changes) -> str:
    """A store of one split, written in these parts; its fingerprint."""
    with h5py.File(path, "w") as file:
        store.begin(file, {"name": "mine", "key": "k", "synthetic": False})
        writer = SplitWriter(file, "novel", pixels.shape, **{**SPLIT, **changes})
        for part in np.split(pixels, np.cumsum(parts)[:-1]):
            writer.add(part)
        writer.finish()
    return store.read(path, "novel").fingerprint


def test_what_is_written_is_read_bit_by_bit(tmp_path: Path):
    write(tmp_path / "a.h5", parts=(2, 3))
    found = store.read(tmp_path / "a.h5", "novel")
    np.testing.assert_array_equal(found.pixels, PIXELS)
    np.testing.assert_array_equal(found.labels, SPLIT["labels"])
    assert found.labels.dtype == np.int32
    assert (found.class_names, found.items) == (tuple(SPLIT["class_names"]), tuple(SPLIT["items"]))
    assert (found.dataset, found.split, found.synthetic) == ("mine", "novel", False)


def test_fingerprint_is_the_digest_of_all_that_the_split_holds(tmp_path: Path):
    names = repr((PIXELS.shape, tuple(SPLIT["class_names"]), tuple(SPLIT["items"]))).encode()
    plain = hashlib.sha256(names + SPLIT["labels"].astype("<i4").tobytes() + PIXELS.tobytes()).hexdigest()
    assert write(tmp_path / "a.h5") == plain
    assert write(tmp_path / "a.h5", parts=(1, 4)) == plain


def changed() -> Iterator[dict]:
    pixels = PIXELS.copy()
    pixels[4, 3, 3, 2] ^= 1
    yield {"pixels": pixels}
    yield {"pixels": PIXELS.reshape(5, 2, 8, 3)}
    yield {"labels": np.array([0, 1, 1, 1, 1], dtype=np.int32)}
    yield {"class_names": ["frog", "toad"]}
    yield {"items": ["a.png", "b.png", "a.png", "b/c.png", "e.png"]}


@pytest.mark.parametrize("change", list(changed()))
def test_any_change_is_another_fingerprint(tmp_path: Path, change: dict):
    assert write(tmp_path / "a.h5", **change) != write(tmp_path / "a.h5")


def test_files_of_other_kinds_are_refused(tmp_path: Path):
    path = tmp_path / "a.h5"
    with pytest.raises(FsbenchError, match="not a readable image store"):
        store.read(path, "novel")
    path.write_text("text")
    with pytest.raises(FsbenchError, match="not a readable image store"):
        store.read(path, "novel")
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FsbenchError, match="not a readable image store"):
        store.read(path, "novel")
    assert not store.holds(path, "k")
    path.write_bytes(whole)
    assert store.holds(path, "k")
    assert not store.holds(path, "another")
    with pytest.raises(FsbenchError, match="split 'val': data set mine has only novel"):
        store.read(path, "val")
    with h5py.File(path, "a") as file:
        file.attrs["format"] = store.FORMAT + 1
    with pytest.raises(FsbenchError, match=f"image store format is {store.FORMAT + 1}, not {store.FORMAT}"):
        store.read(path, "novel")
    assert not store.holds(path, "k")


def test_stores_are_told_apart_by_whole_name_and_size(tmp_path: Path):
    assert store.prepared(tmp_path) == {}
    paths = {}
    for name, size in (("cub", 84), ("cub", 9), ("cub-mine", 84), ("a-32px", 84), ("a-32px.h5", 1)):
        path = store.path_of(name, size, tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        paths.setdefault(name, {})[size] = path
    for other in (".cub@84.h5.lock", ".cub@84.h5.x1.part", "cub.h5", "cub@x.h5", "@9.h5", "cub@9.txt"):
        (tmp_path / "images" / other).touch()
    assert store.prepared(tmp_path) == paths


def test_a_cache_that_cannot_be_read_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(FsbenchError, match=r"cannot read .*file/images: not a directory"):
        store.prepared(tmp_path / "file")
