from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from fsbench._util.errors import FsbenchError
from fsbench.features import store
from fsbench.features.store import Features, Origin


@pytest.fixture
def made() -> Features:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 4)
    values = rng.normal(size=(12, 5)).astype(np.float32)
    return Features(values, labels, ("a", "b", "ç"), Origin(dataset="tiny", split="novel", seconds=0.5))


def test_round_trip(tmp_path: Path, made: Features):
    store.write(tmp_path / "f.h5", made)
    result = store.read(tmp_path / "f.h5", dataset="tiny")
    np.testing.assert_array_equal(result.values, made.values)
    np.testing.assert_array_equal(result.labels, made.labels)
    assert result.class_names == made.class_names
    assert result.origin == made.origin
    assert result.digest == made.digest


def test_digest_depends_on_values_and_labels(made: Features):
    other = made.values.copy()
    other[3, 2] = np.nextafter(other[3, 2], np.float32(9))
    assert replace(made, values=other).digest != made.digest
    assert replace(made, labels=np.roll(made.labels, 1)).digest != made.digest


def test_a_file_with_other_attributes_is_refused(tmp_path: Path, made: Features):
    store.write(tmp_path / "f.h5", made)
    with pytest.raises(FsbenchError, match="dataset is 'tiny', not 'cub'"):
        store.read(tmp_path / "f.h5", dataset="cub")


def test_a_changed_value_is_noticed(tmp_path: Path, made: Features):
    store.write(tmp_path / "f.h5", made)
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["features"][0, 0] = 7
    with pytest.raises(FsbenchError, match="do not match their digest"):
        store.read(tmp_path / "f.h5")


def test_other_files_are_refused(tmp_path: Path):
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name in ("text.h5", "other.h5", "absent.h5"):
        with pytest.raises(FsbenchError, match=r"not a (readable )?feature store"):
            store.read(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, made: Features, share: float):
    store.write(tmp_path / "f.h5", made)
    data = (tmp_path / "f.h5").read_bytes()
    (tmp_path / "f.h5").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FsbenchError, match=r"f\.h5"):
        store.read(tmp_path / "f.h5")
