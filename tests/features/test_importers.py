import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench._util.files import sha256_of
from fsbench._util.session import Session
from fsbench.data.registry import SOURCES
from fsbench.evaluation.subjects import BaseNeed, Images, load_subjects
from fsbench.features import importers, store
from fsbench.features.importers import _formats
from fsbench.features.store import Origin

LABELS = np.array([7, 3, 3, 7, 12, 3, 12, 7, 12, 12])  # in the order of a shuffling loader
VALUES = np.random.default_rng(0).random((10, 4), np.float32)
BASE_MEAN = np.array([0.5, 0.25, 0.125, 1.0], np.float32)


def by_class(values: np.ndarray, labels: np.ndarray) -> defaultdict[int, list[np.ndarray]]:
    imported = defaultdict(list)
    for vector, label in zip(values, torch.from_numpy(labels), strict=True):
        imported[label.item()].append(vector)
    return imported


def s2m2(path: Path, values: np.ndarray, labels: np.ndarray, batch: int = 4) -> None:
    """Write arrays with room for whole batches, filled batch by batch."""
    room = -(-len(labels) // batch) * batch
    with h5py.File(path, "w") as file:
        all_labels, all_feats, n = file.create_dataset("all_labels", (room,), dtype="i"), None, 0
        for start in range(0, len(labels), batch):
            feats = torch.from_numpy(values[start : start + batch])
            if all_feats is None:
                all_feats = file.create_dataset("all_feats", [room, *feats.size()[1:]], dtype="f")
            all_feats[n : n + len(feats)] = feats.numpy()
            all_labels[n : n + len(feats)] = labels[start : start + batch]
            n += len(feats)
        file.create_dataset("count", (1,), dtype="i")[0] = n


def resized(path: Path, values: np.ndarray, labels: np.ndarray) -> None:
    """Write the same arrays compressed and extended item by item."""
    with h5py.File(path, "w") as file:
        feats = file.create_dataset("all_feats", (0, 4), "f", maxshape=(None, 4), compression="gzip")
        ids = file.create_dataset("all_labels", (0,), "i8", maxshape=(None,), chunks=True)
        for i in range(len(labels)):
            feats.resize(i + 1, axis=0)
            ids.resize(i + 1, axis=0)
            feats[i], ids[i] = values[i], labels[i]
        file["count"] = len(labels)


def pickled(path: Path, thing: object) -> None:
    with path.open("wb") as file:
        pickle.dump(thing, file)


def npz(path: Path, save: Callable[..., None], values: np.ndarray, labels: np.ndarray) -> None:
    with path.open("wb") as file:
        save(file, features=values, labels=labels)


def tim(values: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    loaded = {"concat_features": torch.from_numpy(values), "concat_labels": torch.from_numpy(labels)}
    return {"train_mean": torch.from_numpy(BASE_MEAN), "test": defaultdict(list), **loaded}


def pair(values: np.ndarray, labels: np.ndarray) -> dict[str, torch.Tensor]:
    return {"features": torch.from_numpy(values).double(), "labels": torch.from_numpy(labels)}


@dataclass(frozen=True)
class Format:
    name: str
    write: Callable[[Path, np.ndarray, np.ndarray], None]
    has_mean: bool = False


FORMATS = {
    "s2m2": Format("s2m2", s2m2),
    "s2m2, resized": Format("s2m2", resized),
    "pt-map": Format("pt-map", lambda p, x, y: pickled(p, by_class(x, y))),
    "pt-map, protocol 2": Format("pt-map", lambda p, x, y: p.write_bytes(pickle.dumps(by_class(x, y), 2))),
    "arrays by class": Format("pt-map", lambda p, x, y: pickled(p, {int(c): x[y == c] for c in set(y)})),
    "tensors by class": Format("pt-map", lambda p, x, y: torch.save(by_class(torch.from_numpy(x), y), p)),
    "tim": Format("tim", lambda p, x, y: pickled(p, tim(x, y)), has_mean=True),
    "tim, torch": Format("tim", lambda p, x, y: torch.save(tim(x, y), p), has_mean=True),
    "simpleshot": Format(
        "simpleshot",
        lambda p, x, y: pickled(p, [BASE_MEAN, -1, by_class(x, y), by_class(x @ x.T, y)]),
        has_mean=True,
    ),
    "npz": Format("pair", lambda p, x, y: npz(p, np.savez, x, y)),
    "npz, compressed": Format("pair", lambda p, x, y: npz(p, np.savez_compressed, x, y)),
    "torch": Format("pair", lambda p, x, y: torch.save(pair(x, y), p)),
    "torch before 1.6": Format(
        "pair", lambda p, x, y: torch.save(pair(x, y), p, _use_new_zipfile_serialization=False)
    ),
}


@pytest.mark.parametrize("example", FORMATS.values(), ids=FORMATS)
class TestEveryFormat:
    def test_is_detected_from_the_content(self, example: Format, tmp_path: Path):
        path = tmp_path / "no.name"
        example.write(path, VALUES, LABELS)
        imported = importers.read(path, "mine", "novel")
        assert importers.recognise(path).format == example.name
        assert imported.features.class_names == ("3", "7", "12")
        np.testing.assert_array_equal(imported.features.labels, [0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
        assert (imported.features.values.dtype, imported.features.labels.dtype) == (np.float32, np.int32)
        for c, label in enumerate((3, 7, 12)):
            expected = sorted(VALUES[label == LABELS].tolist())
            assert sorted(imported.features.values[imported.features.labels == c].tolist()) == expected
        assert imported.features.origin == Origin(
            dataset="mine", split="novel", form=example.name, source_file=sha256_of(path)
        )
        if example.has_mean:
            np.testing.assert_array_equal(imported.base_mean, BASE_MEAN)
        else:
            assert imported.base_mean is None

    def test_the_order_of_the_file_is_irrelevant(self, example: Format, tmp_path: Path):
        order = np.random.default_rng(1).permutation(len(LABELS))
        example.write(tmp_path / "a", VALUES, LABELS)
        example.write(tmp_path / "b", VALUES[order], LABELS[order])
        first, second = (importers.read(tmp_path / name, "mine", "novel") for name in "ab")
        assert first.features.digest == second.features.digest

    def test_a_truncated_file_gives_one_line(self, example: Format, tmp_path: Path):
        example.write(tmp_path / "whole", VALUES, LABELS)
        whole = (tmp_path / "whole").read_bytes()
        for percent in range(0, 100, 2):
            (tmp_path / "cut").write_bytes(whole[: len(whole) * percent // 100])
            with pytest.raises(FsbenchError, match=r"^[^\n]*cut: [^\n]*$"):
                importers.read(tmp_path / "cut", "mine", "novel")

    def test_infinite_values_are_refused(self, example: Format, tmp_path: Path):
        for bad in (np.nan, np.inf):
            values = VALUES.copy()
            values[6, 2] = bad
            example.write(tmp_path / "x", values, LABELS)
            with pytest.raises(FsbenchError, match="features must be finite, but item"):
                importers.read(tmp_path / "x", "mine", "novel")

    def test_the_number_of_classes_must_be_that_of_the_split(self, example: Format, tmp_path: Path):
        example.write(tmp_path / "x", VALUES, LABELS)
        with pytest.raises(FsbenchError, match="has 3 classes, but cub novel has 50"):
            importers.read(tmp_path / "x", "cub", "novel")


def test_imported_features_can_be_stored(tmp_path: Path):
    pickled(tmp_path / "x.plk", by_class(VALUES, LABELS))
    imported = importers.read(tmp_path / "x.plk", "mine", "novel").features
    store.write(tmp_path / "x.h5", imported)
    assert store.read(tmp_path / "x.h5", dataset="mine").digest == imported.digest


def test_trailing_zeros_are_not_images(tmp_path: Path):
    s2m2(tmp_path / "x", VALUES, LABELS, batch=32)
    with h5py.File(tmp_path / "x") as file:
        assert file["all_feats"].shape == (32, 4)
    imported = importers.read(tmp_path / "x", "mine", "novel")
    assert len(imported.features.values) == 10
    assert "0" not in imported.features.class_names


def easy_file(path: Path, sizes: tuple[int, int, int], images: int, **kwargs: bool) -> torch.Tensor:
    splits = [torch.rand(n, images, 4, generator=torch.Generator().manual_seed(n)) for n in sizes]
    torch.save(torch.cat(splits), path, **kwargs)
    return torch.cat(splits)


@pytest.mark.parametrize("zipped", [True, False])
def test_easy_keeps_all_splits_in_one_array(zipped: bool, tmp_path: Path):
    path = tmp_path / "features.pt11"
    array = easy_file(path, (64, 16, 20), 6, _use_new_zipfile_serialization=zipped).numpy()
    assert importers.recognise(path).format == "easy"
    starts = {"base": (0, 64), "val": (64, 80), "novel": (80, 100)}
    for split, (start, stop) in starts.items():
        imported = importers.read(path, "mini-imagenet", split)
        assert imported.features.class_names == tuple(map(str, range(start, stop)))
        for c in (0, stop - start - 1):
            rows = imported.features.values[imported.features.labels == c]
            assert sorted(rows.tolist()) == sorted(array[start + c].tolist())
        np.testing.assert_allclose(imported.base_mean, array[:64].reshape(-1, 4).mean(axis=0), rtol=1e-6)


def test_easy_as_a_numpy_file(tmp_path: Path):
    array = easy_file(tmp_path / "x.pt11", (64, 16, 20), 6).numpy()
    np.save(tmp_path / "x.npy", array)
    first, second = (importers.read(tmp_path / name, "cifar-fs", "val") for name in ("x.npy", "x.pt11"))
    assert first.features.digest == second.features.digest
    assert len(first.features.values) == 16 * 6


def test_copies_that_pad_easy_classes_are_removed(tmp_path: Path):
    """Equal images in support and query would make tasks easier."""
    n = sum(SOURCES["cub"].n_classes)
    array = np.random.default_rng(0).random((n, 8, 4), np.float32)
    counts = np.random.default_rng(1).integers(5, 9, size=n)
    for c, count in enumerate(counts):
        array[c, count:] = array[c, count - 1] * (1 + 1e-6)  # the same image in another batch
    torch.save(torch.from_numpy(array), tmp_path / "x.pt11")
    imported = importers.read(tmp_path / "x.pt11", "cub", "novel")
    np.testing.assert_array_equal(np.bincount(imported.features.labels), counts[150:])
    expected = np.concatenate([array[c, : counts[c]] for c in range(100)])
    np.testing.assert_allclose(imported.base_mean, expected.mean(axis=0), rtol=1e-5)


def test_easy_files_that_cannot_be_split_are_refused(tmp_path: Path):
    easy_file(tmp_path / "x", (64, 16, 20), 6)
    with pytest.raises(FsbenchError, match="has 100 classes of all splits, but mine has unknown splits"):
        importers.read(tmp_path / "x", "mine", "novel")
    with pytest.raises(FsbenchError, match="but tiered-imagenet has 608 in base, val and novel"):
        importers.read(tmp_path / "x", "tiered-imagenet", "novel")
    easy_file(tmp_path / "x", (100, 50, 50), 6)
    with pytest.raises(FsbenchError, match="classes of cub are padded to 6 images"):
        importers.read(tmp_path / "x", "cub", "novel")


VECTOR = np.ones(4, np.float32)
GOOD = pair(VALUES, LABELS)
WRONG: list[tuple[object, str]] = [
    (pair(VALUES, LABELS[:9]), "labels must be as many as features, but are 9 for 10"),
    (pair(VALUES, LABELS[:, None]), r"labels must be 1-dimensional integers, but are int64 \(10, 1\)"),
    (pair(VALUES, LABELS / 2), "labels must be 1-dimensional integers, but are float64"),
    (pair(VALUES[None], LABELS), r"features must be 2-dimensional numbers, but are float64 \(1, 10, 4\)"),
    (GOOD | {"features": "no"}, "features must be 2-dimensional numbers, but are str"),
    (GOOD | {"features": np.zeros((10, 4), bool)}, "features must be 2-dimensional numbers, but are bool"),
    (GOOD | {"features": np.full((10, 4), 1e99)}, "features must be finite, but item 0 is not"),
    (pair(VALUES[:0], LABELS[:0]), r"features must not be empty, but have shape \(0, 4\)"),
    ({0: [VECTOR], 1: []}, "class 1 must have vectors, but is empty"),
    ({0: [VECTOR], 1: {}}, "class 1 must be a list of vectors, but is dict"),
    (
        {0: [VECTOR], 1: [VECTOR[:3]]},
        r"class 1: vectors must all be float32 \(4,\), but one is float32 \(3,\)",
    ),
    ({0: [VECTOR], 1: [VECTOR * 1j]}, "an array of c8"),
    ({0: [1.0, 2.0]}, "vectors must be 1-dimensional arrays, but one is float"),
    ([VECTOR[:3], -1, {0: [VECTOR]}, {}], "base mean has 3 dimensions, features have 4"),
    ([VECTOR * np.inf, -1, {0: [VECTOR]}, {}], "base mean must be finite"),
    ([-1, -1, {0: [VECTOR]}, {}], "base mean must be 1-dimensional numbers, but are int"),
    (GOOD | {"features": torch.ones(1, 1).expand(10**6, 10**6)}, "claims 1000000000000 values"),
    ({0: [np.ones(10**5, np.float32)] * 10**4}, "claims 1000000000 values"),
]


@pytest.mark.parametrize(("thing", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_contradictions_are_refused(thing: object, message: str, tmp_path: Path):
    torch.save(thing, tmp_path / "x")
    with pytest.raises(FsbenchError, match=rf"^[^\n]*x: [^\n]*{message}[^\n]*$"):
        importers.read(tmp_path / "x", "mine", "novel")


@pytest.mark.parametrize(
    "thing", [{}, [], None, 3, {"state": {"w": [VECTOR]}, "epoch": 3}, [VECTOR] * 4, VECTOR]
)
def test_an_unknown_format_is_refused(thing: object, tmp_path: Path):
    pickled(tmp_path / "x", thing)
    assert importers.recognise(tmp_path / "x") is None
    with pytest.raises(FsbenchError, match="has none of the known formats: s2m2, pt-map, tim"):
        importers.read(tmp_path / "x", "mine", "novel")


def test_unknown_split(tmp_path: Path):
    with pytest.raises(FsbenchError, match="unknown split 'test'"):
        importers.read(tmp_path / "x", "mine", "test")


class TestHdf5:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        s2m2(tmp_path / "x.hdf5", VALUES, LABELS)
        return tmp_path / "x.hdf5"

    @pytest.mark.parametrize(
        "link", [h5py.ExternalLink("other.hdf5", "/all_feats"), h5py.SoftLink("/elsewhere")]
    )
    def test_links_are_not_followed(self, path: Path, link: object):
        s2m2(path.parent / "other.hdf5", VALUES, LABELS)
        with h5py.File(path, "r+") as file:
            file["elsewhere"] = file["all_feats"][()]
            del file["all_feats"]
            file["all_feats"] = link
            assert file["all_feats"].shape == (12, 4), "the link is dead, so the test says nothing"
        with pytest.raises(
            FsbenchError, match=r"all_feats must be an array in the file itself, but is \w+Link"
        ):
            importers.read(path, "mine", "novel")

    def test_bytes_of_other_files_are_not_read(self, path: Path):
        secret = path.parent / "secret"
        secret.write_bytes(VALUES.tobytes())
        with h5py.File(path, "r+") as file:
            del file["all_feats"]
            external = [(str(secret), 0, VALUES.nbytes)]
            file.create_dataset("all_feats", VALUES.shape, "f", external=external)
        with pytest.raises(FsbenchError, match="all_feats must be an array in the file itself"):
            importers.read(path, "mine", "novel")

    def test_a_virtual_array_is_not_read(self, path: Path):
        with h5py.File(path, "r+") as file:
            del file["all_feats"]
            layout = h5py.VirtualLayout((12, 4), "f")
            layout[:] = h5py.VirtualSource("other.hdf5", "all_feats", (12, 4))
            file.create_virtual_dataset("all_feats", layout)
        with pytest.raises(FsbenchError, match="all_feats must be an array in the file itself"):
            importers.read(path, "mine", "novel")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("all_feats", np.array(["a"] * 12, "S1"), r"all_feats claims \(12,\) of |S1"),
            ("all_feats", VALUES[:, 0], "features must be 2-dimensional"),
            ("all_feats", VALUES[:5], "count must be 1 to 5, .* but is 10"),
            ("all_labels", np.arange(12.0), "labels must be 1-dimensional integers, but are float64"),
            ("all_labels", np.zeros((12, 1), int), "labels must be 1-dimensional integers"),
            ("count", 13, "count must be 1 to 12, the number of features and labels, but is 13"),
            ("count", 0, "count must be 1 to 12"),
            ("count", -3, "count must be 1 to 12"),
            ("count", [10, 10], "count must be one integer"),
            ("count", 10.0, "count must be one integer"),
        ],
    )
    def test_parts_that_do_not_fit_are_refused(self, path: Path, name: str, value: object, message: str):
        with h5py.File(path, "r+") as file:
            del file[name]
            file[name] = value
        with pytest.raises(FsbenchError, match=message):
            importers.read(path, "mine", "novel")

    def test_an_array_that_was_never_written_is_refused(self, path: Path):
        with h5py.File(path, "r+") as file:
            del file["all_feats"]
            file.create_dataset("all_feats", (10**9, 1000), "f", chunks=(1000, 1000))
        with pytest.raises(FsbenchError, match=r"all_feats claims \(1000000000, 1000\) of float32"):
            importers.read(path, "mine", "novel")

    def test_another_hdf5_file_has_no_known_format(self, path: Path):
        with h5py.File(path, "r+") as file:
            del file["count"]
        assert importers.recognise(path) is None


class TestNumpyFiles:
    def test_objects_are_not_unpickled(self, tmp_path: Path):
        np.save(tmp_path / "x.npy", np.array([{}, 1], dtype=object))
        np.savez(tmp_path / "x.npz", features=np.array([{}, 1], dtype=object), labels=LABELS)
        for name in ("x.npy", "x.npz"):
            with pytest.raises(FsbenchError, match="cannot be read"):
                importers.read(tmp_path / name, "mine", "novel")

    def test_a_decompression_bomb_is_refused(self, tmp_path: Path):
        np.savez_compressed(tmp_path / "x.npz", features=np.zeros((10**4, 10**3), np.float32), labels=LABELS)
        with pytest.raises(FsbenchError, match="decompresses to more than a file of its size can hold"):
            importers.read(tmp_path / "x.npz", "mine", "novel")

    def test_a_header_that_claims_too_much_is_refused(self, tmp_path: Path):
        np.save(tmp_path / "x.npy", np.zeros((10, 10, 10), np.float32))
        data = (tmp_path / "x.npy").read_bytes()
        (tmp_path / "x.npy").write_bytes(data.replace(b"(10, 10, 10)", b"(10,10,9999)"))
        with pytest.raises(FsbenchError, match="cannot be read"):
            importers.read(tmp_path / "x.npy", "mine", "novel")


def test_an_unsafe_pickle_is_refused_and_named(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for ask in (importers.recognise, lambda path: importers.read(path, "mine", "novel")):
        with pytest.raises(FsbenchError, match=r"x: contains os\.system"):
            ask(tmp_path / "x")


def test_a_file_is_parsed_once_for_an_evaluation(tmp_path: Path, monkeypatch):
    pickled(tmp_path / "x.plk", pair(VALUES, LABELS))
    parsed = []
    parse = _formats.parse
    monkeypatch.setattr(_formats, "parse", lambda *content: parsed.append(1) or parse(*content))
    (subject,) = load_subjects(tmp_path / "x.plk", Images(["mine"]), BaseNeed.NOTHING, Session())
    assert len(subject.features.labels) == len(LABELS)
    assert len(parsed) == 1
