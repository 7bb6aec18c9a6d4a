"""Every file reader as a function of bytes, with valid files to mutate.

A reader may accept any bytes, or raise one FsbenchError with one printable line.
"""

import csv
import io
import json
import pickle
import shutil
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as safetensors

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError
from fsbench.cli import app
from fsbench.cli._app import parse
from fsbench.data import _layouts as layouts
from fsbench.data import _store_writer, decode, image_store, summary
from fsbench.data._download import unpack
from fsbench.data._hugging_face import hugging_face
from fsbench.data.listing import Encoded
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.features import importers
from fsbench.features import store as features
from fsbench.features.store import Features, Origin
from fsbench.models import checkpoint
from fsbench.models.pretrained import weight_files
from fsbench.report.leaderboard.markdown import sections
from fsbench.report.leaderboard.spreadsheet import spreadsheet
from fsbench.report.leaderboard.tables import tables
from fsbench.report.plots import training
from fsbench.report.reproduce import recipe_of
from fsbench.tasks import pinned
from fsbench.tasks.spec import TaskSpec
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from tests.changed import changed

GOLDEN = Path(__file__).parents[1] / "golden"
VALUES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LABELS = np.repeat(np.arange(3, dtype=np.int32), 2)


@dataclass(frozen=True)
class Target:
    """One reader."""

    read: Callable[[Path], object]  # reads a file
    seeds: Callable[[], list[bytes]]  # small valid files
    fraction: float = 1.0  # of the requested number of inputs; fast readers get more


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """Give a reader the bytes as a file in an empty folder; return its error message, or an empty text.

    Other exceptions of the reader pass through.
    """
    path = folder / "x"
    path.write_bytes(data)
    try:
        target.read(path)
    except FsbenchError as error:
        line = str(error)
        assert line
        assert line.isprintable(), line
        return line
    finally:
        for file in folder.iterdir():
            file.unlink()
    return ""


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder, in memory if the system has such a file system."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def written(write: Callable[[Path], object], name: str = "x") -> bytes:
    """Return the bytes of the file that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        return path.read_bytes()


@cache
def result() -> Result:
    return result_files.read(next((GOLDEN / "results").glob("*.json")))


def _feature_stores() -> list[bytes]:
    origin = Origin(dataset="tiny", split="novel", seconds=0.5)
    return [written(lambda path: features.write(path, Features(VALUES, LABELS, ("a", "b", "ç"), origin)))]


def _read_features(path: Path) -> None:
    features.is_store(path)
    features.read(path)


def _image_stores() -> list[bytes]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            _store_writer.write_header(file, {"name": "tiny", "key": "k", "synthetic": False, "decoder": "d"})
            writer = _store_writer.SplitWriter(
                file, "novel", (2, 4, 4, 3), LABELS[:2], ["a"], ["1", "2"], np.zeros((2, 32), np.uint8), "f"
            )
            writer.add(np.zeros((2, 4, 4, 3), np.uint8))
            writer.finish()

    return [written(write)]


def _read_images(path: Path) -> None:
    summary.contents(path)
    image_store.read(path, "novel")
    image_store.digests(path, "novel")
    image_store.split_info(path, "novel")
    image_store.fingerprints(path)


def _s2m2() -> list[bytes]:
    def write(path: Path, **packed: object) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("all_feats", data=VALUES, **packed)
            file["all_labels"], file["count"] = LABELS, np.array([6])

    return [written(write), written(lambda path: write(path, compression="gzip", shuffle=True))]


def _contents() -> list[object]:
    """Contents of the feature files of other projects."""
    by_class = {c: list(VALUES[c == LABELS]) for c in range(3)}
    tensors = {"concat_features": torch.from_numpy(VALUES), "concat_labels": torch.from_numpy(LABELS)}
    return [by_class, [VALUES[0], -1, by_class, by_class], tensors, {"features": VALUES, "labels": LABELS}]


def _pickles() -> list[bytes]:
    return [
        *(pickle.dumps(content, protocol) for content in _contents() for protocol in (0, 2, 4, 5)),
        written(lambda path: torch.save(_contents()[2], path)),
        written(lambda path: torch.save(_contents()[2], path, _use_new_zipfile_serialization=False)),
    ]


def _numpy_files() -> list[bytes]:
    def npz(path: Path, save: Callable[..., None]) -> None:
        with path.open("wb") as file:
            save(file, features=VALUES, labels=LABELS)

    return [written(lambda path: npz(path, np.savez)), written(lambda path: npz(path, np.savez_compressed))]


def _numpy_arrays() -> list[bytes]:
    return [written(lambda path: np.save(path, VALUES.reshape(3, 2, 3)), "x.npy")]


def _read_import(path: Path) -> None:
    importers.recognise(path)
    importers.read(path, "mine", "novel")


def _provenance() -> checkpoint.Provenance:
    return checkpoint.Provenance(
        run="tiny-erm", backbone="conv4", image_size=16, dropout=0.0, source="tiny",
        source_fingerprint="f" * 64, class_names=("a", "b"), synthetic=False, recipe="erm", preset="cosine",
        epochs=2, epoch=1, train_seed=0, val_accuracy=0.5, settings=resolve(load_recipe("erm")).settings(),
        versions={"torch": "2.8.0"},
    )  # fmt: skip


def _checkpoints() -> list[bytes]:
    return [written(lambda path: checkpoint.write(path, {"w": torch.arange(3.0)}, _provenance()))]


def _read_checkpoint(path: Path) -> None:
    checkpoint.is_safetensors(path)
    checkpoint.load_provenance(path)


def _weights() -> list[bytes]:
    tensors = {"feature.w": torch.arange(3.0), "n": torch.tensor(1)}
    return [
        written(lambda path: torch.save(tensors, path)),
        written(lambda path: torch.save({"state": tensors}, path, _use_new_zipfile_serialization=False)),
        safetensors(tensors),
    ]


def _read_result(path: Path) -> None:
    result = result_files.read(path)
    assert not Path(result.path).is_absolute()
    assert ".." not in result.path.parts
    shown = tables([result])
    sections(shown)
    spreadsheet(shown)


def _task_lists() -> list[bytes]:
    shipped = [path.read_bytes() for path in sorted((GOLDEN.parents[1] / "episodes").glob("*.toml"))[:2]]
    spec = asdict(result().spec) | {"classes": ("a", "b"), "query_alpha": 2.0, "n_shot": 2, "least_shot": 1}
    even = pinned.pin("tiny", "novel", np.repeat(np.arange(2), 9), _spec(spec), ("a", "b"))
    return [*shipped, written(lambda path: pinned.write_task_list(path, even))]


def _spec(values: dict[str, object]) -> TaskSpec:
    return TaskSpec(**{**values, "n_way": 2, "n_tasks": 2})  # type: ignore[arg-type]


def _read_task_list(path: Path) -> None:
    pinned.read_task_list(str(path.rename(path.with_suffix(".toml"))))


_CONFIG = b"""\
[train-backbone]
dataset = "cifar-fs"
epochs = [4, 2]
learning-rate = 0.5
no-augment = true
out = "runs/x"

[data.prepare]
image-size = 32
"""


def _read_config(path: Path) -> None:
    parse(app, ["train-backbone", "erm", "--dataset", "glyphs", "--config", str(path)])


def _tables() -> list[bytes]:
    text = io.StringIO()
    csv.writer(text).writerows(
        [("filename", "label"), ("n01.jpg", "n1"), ('a "b".png', "ü"), ("c,d.png", "n1")]
    )
    return [text.getvalue().encode(), b"\xef\xbb\xbffilename,label\na.jpg,n1\n"]


def _read_table(path: Path) -> None:
    for name in ("train", "val", "test"):
        shutil.copyfile(path, path.with_name(f"{name}.csv"))
    for classes in (layouts.csv_splits(path.parent) or {}).values():
        for items in classes.values():
            for picture in items.values():
                assert isinstance(picture, Path)
                assert ".." not in picture.relative_to(path.parent).parts


def _cifar() -> list[bytes]:
    meta = {"fine_label_names": ["apple", "bear"]}
    train = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1], "filenames": ["a.png", "b.png"]}
    return [pickle.dumps(meta | train, protocol) for protocol in (2, 4)]


def _read_cifar(path: Path) -> None:
    for name in ("train", "test", "meta"):
        shutil.copyfile(path, path.with_name(name))
    layouts.cifar_pickles(path.parent)


def _arrow() -> list[bytes]:
    import pyarrow as pa

    images = pa.array(
        [{"bytes": b"abc", "path": "a.png"}, {"bytes": b"", "path": None}],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"]}}}}
    table = pa.table({"image": images, "label": pa.array([0, 1])})
    table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return [sink.getvalue()]


def _read_arrow(path: Path) -> None:
    path.with_name("state.json").write_text("{}")
    path.rename(path.with_name("data.arrow"))
    hugging_face(path.parent)


def _images() -> list[bytes]:
    image = Image.effect_noise((6, 5), 50).convert("RGB")
    contents = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        file = io.BytesIO()
        image.save(file, form)
        contents.append(file.getvalue())
    return contents


def _read_image(path: Path) -> None:
    decode._inspect(path)
    decode._square(Encoded("x", path.read_bytes()), 8)
    decode._thumbnail(path, 4)


def _archives() -> list[bytes]:
    def pack(mode: str) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as tar:
            for name in ("a/b.jpg", "c"):
                info = tarfile.TarInfo(name)
                info.size = 3
                tar.addfile(info, io.BytesIO(b"abc"))
        return file.getvalue()

    return [pack("w"), pack("w:gz")]


def _read_archive(path: Path) -> None:
    out = path.parent / "deep" / "out"
    try:
        unpack(path, out)
    finally:
        assert {other.name for other in path.parent.iterdir()} <= {"x", "deep"}
        if out.parent.exists():
            assert [other.name for other in out.parent.iterdir()] == ["out"]
            shutil.rmtree(out.parent)


def _overrides() -> list[bytes]:
    return [
        b"erm\ncosine\nepochs 20, batch_size 64",
        b"s2m2-r\npaper\nepochs 4 + 2, patience 3, learning_rate 0.1, dropout 0.5, augment off",
    ]


def _read_overrides(path: Path) -> None:
    recipe, preset, overrides = [*path.read_text(encoding="utf-8", errors="replace").split("\n", 2), "", ""][
        :3
    ]
    recipe = recipe_of(changed(result(), recipe=recipe, preset=preset, overrides=overrides))
    assert recipe.epochs > 0


def _logs() -> list[bytes]:
    return [
        b"stage,epoch,seconds,images_per_second,cross_entropy,val_accuracy,val_half_width\ntrain,1,2.0,9,1.5,0.4,0.1\n"
    ]


TARGETS = {
    "feature-store": Target(_read_features, _feature_stores, 0.03),
    "image-store": Target(_read_images, _image_stores, 0.03),
    "import-hdf5": Target(_read_import, _s2m2, 0.03),
    "import-numpy": Target(_read_import, _numpy_files, 0.1),
    "import-array": Target(importers.recognise, _numpy_arrays),
    "import-pickle": Target(_read_import, _pickles, 0.6),
    "pickle": Target(safe_pickle.read, _pickles),
    "checkpoint": Target(_read_checkpoint, _checkpoints, 1.5),
    "weights": Target(weight_files.read, _weights, 0.5),
    "result": Target(_read_result, lambda: [json.dumps(result_files.to_json(result())).encode()], 1.2),
    "task-list": Target(_read_task_list, _task_lists, 1.2),
    "config": Target(_read_config, lambda: [_CONFIG], 0.2),
    "split-table": Target(_read_table, _tables, 0.8),
    "cifar": Target(_read_cifar, _cifar, 0.8),
    "arrow": Target(_read_arrow, _arrow, 0.6),
    "image": Target(_read_image, _images, 0.8),
    "archive": Target(_read_archive, _archives, 0.02),
    "overrides": Target(_read_overrides, _overrides, 0.2),
    "log": Target(training._read, _logs, 0.03),
}
assert tomllib.loads(_CONFIG.decode())
