import hashlib
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from fsbench._util.errors import FsbenchError
from fsbench.data import image_store
from fsbench.data._store_writer import FORMAT, SplitWriter, write_header
from fsbench.data.identity import Identity

PIXELS = np.random.default_rng(0).integers(256, size=(5, 4, 4, 3), dtype=np.uint8)
DIGESTS = np.random.default_rng(1).integers(256, size=(5, 32), dtype=np.uint8)
SPLIT = {"labels": np.array([0, 0, 1, 1, 1], dtype=np.int32), "class_names": ["frog", "grüne Kröte"],
         "items": ["a.png", "b.png", "a.png", "b/c.png", "d.png"],
         "digests": DIGESTS, "files": "f"}  # fmt: skip


def write(path: Path, pixels=PIXELS, parts: tuple[int, ...] = (5,), **changes) -> str:
    """Write a store of one split in these parts and return its fingerprint."""
    with h5py.File(path, "w") as file:
        write_header(file, {"name": "mine", "key": "k", "synthetic": False, "decoder": "d"})
        writer = SplitWriter(file, "novel", pixels.shape, **{**SPLIT, **changes})
        for part in np.split(pixels, np.cumsum(parts)[:-1]):
            writer.add(part)
        writer.finish()
    return image_store.read(path, "novel").fingerprint


def test_a_store_reads_back_bit_by_bit(tmp_path: Path):
    write(tmp_path / "a.h5", parts=(2, 3))
    stored = image_store.read(tmp_path / "a.h5", "novel")
    np.testing.assert_array_equal(stored.pixels, PIXELS)
    np.testing.assert_array_equal(stored.labels, SPLIT["labels"])
    assert stored.labels.dtype == np.int32
    assert (stored.class_names, stored.items) == (tuple(SPLIT["class_names"]), tuple(SPLIT["items"]))
    assert (stored.dataset, stored.split, stored.synthetic) == ("mine", "novel", False)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_fingerprint_is_of_images_at_native_size(tmp_path: Path):
    rows = [row.tobytes() for row in DIGESTS]
    classes = [sha256(b"".join(sorted(part))) for part in (rows[:2], rows[2:])]
    plain = sha256(b"".join(sorted(classes))).hex()
    assert write(tmp_path / "a.h5") == plain
    assert write(tmp_path / "a.h5", parts=(1, 4)) == plain
    assert image_store.fingerprints(tmp_path / "a.h5") == (("novel", plain),)
    assert image_store.digests(tmp_path / "a.h5", "novel") == rows
    info = image_store.split_info(tmp_path / "a.h5", "novel")
    assert (info.size, info.identity) == (4, Identity(plain, "f", "d"))


@pytest.mark.parametrize("change", [{"pixels": PIXELS.reshape(5, 2, 8, 3)}, {"class_names": ["frog", "toad"]},
    {"items": ["a.png", "b.png", "a.png", "b/c.png", "e.png"]}, {"files": "g"}])  # fmt: skip
def test_names_and_stored_sizes_do_not_change_the_fingerprint(tmp_path: Path, change: dict):
    assert write(tmp_path / "a.h5", **change) == write(tmp_path / "b.h5")
    same = (
        image_store.split_info(tmp_path / "a.h5", "novel").names
        == image_store.split_info(tmp_path / "b.h5", "novel").names
    )
    assert same == ("class_names" not in change)


def test_another_image_or_class_changes_the_fingerprint(tmp_path: Path):
    digests = DIGESTS.copy()
    digests[4, 31] ^= 1
    for change in ({"digests": digests}, {"labels": np.array([0, 1, 1, 1, 1], dtype=np.int32)}):
        assert write(tmp_path / "a.h5", **change) != write(tmp_path / "b.h5")


@pytest.mark.parametrize("damage", ["pixels", "labels", "digests", "items", "fingerprint"])
def test_a_changed_store_is_refused(tmp_path: Path, damage: str):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        group = file["novel"]
        if damage == "fingerprint":
            group.attrs["fingerprint"] = "0" * 64
        elif damage == "items":
            group["items"][0] = "c.png"
        else:
            place = {"pixels": (4, 3, 3, 2), "labels": (1,), "digests": (4, 31)}[damage]
            group[damage][place] ^= 1
    with pytest.raises(FsbenchError, match="images of novel do not match their fingerprint"):
        image_store.read(tmp_path / "a.h5", "novel")


def test_other_files_are_no_image_stores(tmp_path: Path):
    path = tmp_path / "a.h5"
    with pytest.raises(FsbenchError, match="not a readable image store"):
        image_store.read(path, "novel")
    path.write_text("text")
    with pytest.raises(FsbenchError, match="not a readable image store"):
        image_store.read(path, "novel")
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FsbenchError, match="not a readable image store"):
        image_store.read(path, "novel")
    assert not image_store.has_key(path, "k")
    path.write_bytes(whole)
    assert image_store.has_key(path, "k")
    assert not image_store.has_key(path, "another")
    with pytest.raises(FsbenchError, match="split 'val': data set mine has only novel"):
        image_store.read(path, "val")
    with h5py.File(path, "a") as file:
        file.attrs["format"] = FORMAT + 1
    with pytest.raises(FsbenchError, match=f"image store format is {FORMAT + 1}, not {FORMAT}"):
        image_store.read(path, "novel")
    assert not image_store.has_key(path, "k")


def test_stores_are_selected_by_whole_name_and_size(tmp_path: Path):
    assert image_store.prepared_stores(tmp_path) == {}
    paths = {}
    for name, size in (("cub", 84), ("cub", 9), ("cub-mine", 84), ("a-32px", 84), ("a-32px.h5", 1)):
        path = image_store.store_path(name, size, tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        paths.setdefault(name, {})[size] = path
    for other in (".cub@84.h5.lock", ".cub@84.h5.x1.part", "cub.h5", "cub@x.h5", "@9.h5", "cub@9.txt"):
        (tmp_path / "images" / other).touch()
    assert image_store.prepared_stores(tmp_path) == paths


@pytest.mark.skipif(sys.platform == "win32", reason="to Windows, the folder is missing")
def test_an_unreadable_cache_gives_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(FsbenchError, match=r"cannot read .*file/images: not a directory"):
        image_store.prepared_stores(tmp_path / "file")
