"""Malicious files: refused with one line; nothing runs, is written elsewhere or exhausts the memory.

Pickles are tested in `tests/util/test_safe_pickle.py`, arbitrary bytes in `tests/fuzz`.
"""

import csv
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from itertools import product
from pathlib import Path, PureWindowsPath

import h5py
import numpy as np
import pytest
import torch
from fuzz_targets import LABELS, TARGETS, VALUES, attempt, result, scratch
from markdown_it import MarkdownIt
from PIL import Image
from safetensors.torch import save

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.data import _download as download
from fsbench.data import _layouts as layouts
from fsbench.data import image_store
from fsbench.data.decode import inspect_files, squares
from fsbench.evaluation import result_files
from fsbench.evaluation.breakdown import breakdown
from fsbench.evaluation.flat import flatten
from fsbench.features import importers
from fsbench.features import store as features
from fsbench.features.store import Features, Origin
from fsbench.models import checkpoint
from fsbench.models.pretrained import weight_files
from fsbench.report import leaderboard
from fsbench.report.plots import page
from fsbench.report.reproduce import reproduce
from fsbench.tasks import pinned
from fsbench.tasks.sampler import Tasks
from tests.changed import changed, document

CPU = torch.device("cpu")
CONTROL_TEXTS = {  # texts that control a terminal, break a line or mislead a reader
    "escape": "\x1b[2J\x1b]0;title\x07",
    "newline": "erm\nfsbench: all right",
    "return": "erm\rall right",
    "backspace": "erm\b\b\b",
    "delete": "a\x7f",
    "C1 control": "a\x9b31m",
    "null": "a\0b",
    "right to left": "a\u202egnp.exe",
    "mark": "a\u200f",
    "invisible": "a\u200b",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffa",
    "very long": "a" * 100_000,
}


def snapshot(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def one_line(arguments: list[object], capsys) -> str:
    """Run a command that fails with exit code 2 and nothing on stdout; return its one printable line."""
    assert main(list(map(str, arguments))) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("fsbench: ")
    assert output.err.count("\n") == 1
    assert output.err[:-1].isprintable()
    return output.err


class Calls:
    """Object that pickles as a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def npz(thing: object, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, features=np.array([thing]), labels=LABELS)


WRITERS: dict[str, Callable[[object, Path], None]] = {
    **{
        f"pickle {protocol}": lambda thing, path, protocol=protocol: path.write_bytes(
            pickle.dumps(thing, protocol)
        )
        for protocol in range(6)
    },
    "torch": lambda thing, path: torch.save(thing, path),
    "old torch": lambda thing, path: torch.save(thing, path, _use_new_zipfile_serialization=False),
    "npz": npz,
}


class TestCode:
    """The canary is a file that the pickle creates if it is executed."""

    @pytest.fixture(params=WRITERS)
    def armed(self, request, tmp_path: Path):
        """A file that creates the canary when it is loaded unsafely, and the canary."""
        path, canary = tmp_path / "weights.tar", tmp_path / "canary"
        WRITERS[request.param]({"features": VALUES, "evil": Calls(f"touch {canary}")}, path)
        if request.param == "npz":
            with np.load(path, allow_pickle=True) as archive:
                assert len(archive["features"])
        elif "torch" in request.param:
            torch.load(path, weights_only=False)
        else:
            pickle.loads(path.read_bytes())
        assert canary.exists(), "the file is harmless, so the test says nothing"
        canary.unlink()
        return path, canary

    def test_no_reader_executes_it(self, armed, tmp_path: Path, capsys):
        path, canary = armed
        for name in ("train", "test", "meta"):
            (tmp_path / name).write_bytes(path.read_bytes())
        for read in (
            lambda: importers.read(path, "mine", "novel"),
            lambda: importers.recognise(path),
            lambda: weight_files.read(path),
            lambda: checkpoint.read_backbone(path),
            lambda: features.read(path),
            lambda: layouts.cifar_pickles(tmp_path),
        ):
            with pytest.raises(FsbenchError):
                read()
        one_line(["evaluate", path, "--dataset", "mine"], capsys)
        one_line(["evaluate", path, "--backbone", "conv4", "--image-size", 32], capsys)
        one_line(["predict", path, "--support", tmp_path, "--query", tmp_path], capsys)
        assert not canary.exists()

    def test_compressed_weights_are_refused(self, tmp_path: Path):
        torch.save({"w": torch.zeros(10_000)}, tmp_path / "a.pt")
        with zipfile.ZipFile(tmp_path / "a.pt") as plain:
            parts = {name: plain.read(name) for name in plain.namelist()}
        with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
            for name, part in parts.items():
                packed.writestr(name, part)
        assert weight_files.read(tmp_path / "a.pt").keys() == {"w"}
        with pytest.raises(FsbenchError, match=r"b\.pt: holds more than tensors"):
            weight_files.read(tmp_path / "b.pt")

    @pytest.mark.parametrize(
        "thing",
        [
            {"w": torch.eye(3).to_sparse()},
            {"w": torch.zeros(3, dtype=torch.complex64)},
            {"w": torch.zeros(3, device="meta")},
            {3: torch.zeros(3)},
            {"w": "text"},
            [torch.zeros(3)],
            {},
        ],
    )
    def test_weights_must_be_plain_tensors(self, thing: object, tmp_path: Path):
        torch.save(thing, tmp_path / "x.pt")
        with pytest.raises(FsbenchError, match="must hold tensors by name"):
            weight_files.read(tmp_path / "x.pt")

    def test_code_named_in_a_result_does_not_run(self, tmp_path: Path, monkeypatch):
        """An untrusted result is reproduced, with a code file from the same source in the folder."""
        monkeypatch.chdir(tmp_path)
        code = (
            "from pathlib import Path\nPath('canary').touch()\ndef head(support, query): ...\nPRESETS = {}\n"
        )
        Path("evil.py").write_text(code, encoding="utf-8")
        for changes in (
            {"head": "./evil.py:head", "head_code": "0" * 64},
            {"head": "evil:head", "head_code": "0" * 64},
            {"recipe": "./evil.py"},
        ):
            path = result_files.write(Path("results"), changed(result(), **changes))
            with pytest.raises(FsbenchError, match=r"runs only if you name it|recipe must be a name"):
                reproduce(path, session=Session(quiet=True))
        assert not Path("canary").exists()

    def test_images_are_not_executed(self, tmp_path: Path):
        """Pillow runs Ghostscript for EPS files, whatever their suffix."""
        Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
        (tmp_path / "a.eps").rename(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as opened:
            assert opened.format == "EPS"
        with pytest.raises(
            FsbenchError, match=r"a\.png: cannot be read \(it is not an image of a known format\)"
        ):
            list(squares([tmp_path / "a.png"], 8))


LINES = {"task-list", "config", "split-table", "overrides", "log", "archive", "arrow", "image"}


@pytest.mark.parametrize("name", TARGETS)
def test_truncated_files_are_refused(name: str):
    """A truncated file may be read if the rest is valid: lines of a text, members of an archive."""
    target = TARGETS[name]
    with scratch() as folder:
        for seed in target.seeds():
            for percent in range(100):
                assert attempt(target, seed[: len(seed) * percent // 100], folder) or name in LINES, percent


def hdf5_files() -> dict[str, tuple[bytes, str, Callable[[Path], object]]]:
    """Return a valid file of each HDF5 format, the array to attack, and the reader."""
    return {
        "features": (TARGETS["feature-store"].seeds()[0], "features", features.read),
        "images": (
            TARGETS["image-store"].seeds()[0],
            "novel/pixels",
            lambda path: image_store.read(path, "novel"),
        ),
        "import": (
            TARGETS["import-hdf5"].seeds()[0],
            "all_feats",
            lambda path: importers.read(path, "m", "novel"),
        ),
    }


@pytest.mark.parametrize("form", hdf5_files())
class TestHdf5:
    @pytest.fixture
    def change(self, form: str, tmp_path: Path):
        """Change a valid file by a function of (open file, name of the array); return the error message."""
        data, name, read = hdf5_files()[form]
        path = tmp_path / "x.h5"
        path.write_bytes(data)
        read(path)

        def changed(by: Callable[[h5py.File, str], None]) -> str:
            with h5py.File(path, "r+") as file:
                by(file, name)
            with pytest.raises(FsbenchError) as caught:
                read(path)
            assert str(caught.value).isprintable()
            return str(caught.value)

        return changed

    def test_links_are_not_followed(self, change, tmp_path: Path):
        for kind in ("soft", "external"):

            def link(file: h5py.File, name: str, kind: str = kind) -> None:
                if kind == "soft":
                    file.move(name, "there")
                    file[name] = h5py.SoftLink("/there")
                else:
                    with h5py.File(tmp_path / "other.h5", "w") as other:
                        file.copy("there", other)
                    del file[name]
                    file[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/there")
                assert file[name].size, "the link is dead, so the test says nothing"

            assert "must be an array in the file itself" in change(link)

    def test_bytes_of_other_files(self, change, tmp_path: Path):
        (tmp_path / "secret").write_bytes(bytes(1000))

        def external(file: h5py.File, name: str) -> None:
            old = file[name]
            shape, dtype = old.shape, old.dtype
            del file[name]
            file.create_dataset(name, shape, dtype, external=[(str(tmp_path / "secret"), 0, 1000)])

        assert "must be an array in the file itself" in change(external)

    def test_virtual_arrays(self, change):
        def virtual(file: h5py.File, name: str) -> None:
            shape, dtype = file[name].shape, file[name].dtype
            file.move(name, "there")
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(".", "there", shape)
            file.create_virtual_dataset(name, layout)

        assert "must be an array in the file itself" in change(virtual)

    @pytest.mark.parametrize(
        ("value", "options", "message"),
        [
            ("text", {}, "claims"),
            (np.array(["a", "b"], dtype="S3"), {}, "claims"),
            (np.zeros(3, dtype=[("a", "f4")]), {}, "claims"),
            (h5py.Empty("f4"), {}, "claims"),
            (None, {"shape": (10**9, 10**6), "dtype": "f4", "chunks": (1000, 1000)}, "claims"),
            (
                None,
                {"shape": (3, 4), "maxshape": (None, None), "dtype": "f4", "chunks": (30000, 30000)},
                "claims",
            ),
            (
                np.zeros((3, 4), "f4"),
                {"compression": "lzf"},
                "must be uncompressed or compressed by gzip|claims",
            ),
            (np.zeros((3, 4), "f4"), {"scaleoffset": 2}, "must be uncompressed or compressed by gzip|claims"),
            (np.zeros((0, 4), "f4"), {}, ""),
            (np.zeros((4, 0), "f4"), {}, ""),
            (np.zeros((2, 3, 4, 5, 6), "f4"), {}, ""),
            (np.float32(1), {}, ""),
            (np.full((6, 3), np.nan, "f4"), {}, ""),
            (np.zeros((6, 3), "c8"), {}, "claims"),
        ],
        ids=str,
    )
    def test_other_arrays(self, change, value: object, options: dict, message: str):
        def replaced(file: h5py.File, name: str) -> None:
            del file[name]
            kind = {} if value is None else {"data": value}
            file.create_dataset(name, **kind, **options)

        assert re.search(message, change(replaced))

    def test_a_decompression_bomb(self, change):
        """A chunk of 1 KiB that decompresses to 64 MiB: HDF5 allocates whatever comes out."""

        def bomb(file: h5py.File, name: str) -> None:
            del file[name]
            array = file.create_dataset(name, (16, 16), "f4", chunks=(16, 16), compression="gzip")
            array.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 26)))

        error = change(bomb)
        assert "decompresses to more than its declared size" in error or "claims" in error


def test_a_split_in_another_file(tmp_path: Path):
    path = tmp_path / "x.h5"
    path.write_bytes(TARGETS["image-store"].seeds()[0])
    image_store.read(path, "novel")
    with h5py.File(path, "r+") as file:
        with h5py.File(tmp_path / "other.h5", "w") as other:
            file.copy("novel", other)
        del file["novel"]
        file["novel"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/novel")
        assert file["novel/pixels"].size
    with pytest.raises(FsbenchError, match="novel must be a group in the file itself, but is ExternalLink"):
        image_store.read(path, "novel")


def _texts(file: h5py.File, values: list[str]) -> None:
    file.pop("class_names", None)
    file.create_dataset("class_names", data=np.array(values, dtype=object), dtype=h5py.string_dtype())


FEATURE_CHANGES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    **{
        f"class name: {kind}": (lambda file, text=text: _texts(file, ["a", "b", text]), "printable")
        for kind, text in CONTROL_TEXTS.items()
        if kind != "null"  # ends a text in HDF5
    },
    **{
        f"attribute: {kind}": (lambda file, text=text: file.attrs.modify("dataset", text), "printable")
        for kind, text in CONTROL_TEXTS.items()
        if kind not in ("null", "very long")
    },
    "too few names": (lambda file: _texts(file, ["a"]), "labels must be sorted numbers of 1 classes"),
    "labels that are not sorted": (lambda file: file["labels"].write_direct(LABELS[::-1].copy()), "sorted"),
    "negative labels": (lambda file: file["labels"].write_direct(LABELS - 1), "sorted numbers"),
    "an array as attribute": (lambda file: file.attrs.create("dataset", [1, 2]), "attribute 'dataset'"),
    "an empty attribute": (lambda file: file.attrs.create("dataset", h5py.Empty("f")), "attribute 'dataset'"),
    "bytes as attribute": (lambda file: file.attrs.create("dataset", np.bytes_(b"a")), "attribute 'dataset'"),
    "many attributes": (lambda file: [file.attrs.create(f"a{i}", i) for i in range(200)], "attributes"),
    "another format": (lambda file: file.attrs.modify("format", 99), "not a feature store of format"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FEATURE_CHANGES)
def test_content_of_a_feature_store(kind: str, tmp_path: Path):
    change, message = FEATURE_CHANGES[kind]
    path = tmp_path / "x.h5"
    path.write_bytes(TARGETS["feature-store"].seeds()[0])
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FsbenchError, match=message) as caught:
        features.read(path)
    assert str(caught.value).isprintable()


def test_an_object_of_length_zero_in_a_text_heap_is_refused(tmp_path: Path):
    """Two bytes of a feature store, found by `make fuzz`, make HDF5 2.0 loop forever."""
    data = bytearray(TARGETS["feature-store"].seeds()[0])
    heap = data.index(b"GCOL")
    place = heap + 16
    while data[place : place + 2] != b"\0\0":  # the free space
        place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
    data[place + 8 : place + 16] = bytes(8)
    (tmp_path / "x.h5").write_bytes(data)
    with pytest.raises(FsbenchError, match="a text heap has an object of length zero"):
        features.read(tmp_path / "x.h5")


FINDINGS = {  # other findings of `make fuzz`: the reader, the input, and the expected error
    "log": ("log", b"stage,epoch,seconds,images_per_second\ntrain,1,2.0,0.4/0.1\n", "must be numbers"),
    "arrow": ("arrow", b"\0\xff\xff\xff" + bytes(60), "damaged, or not a table"),
}


@pytest.mark.parametrize("finding", FINDINGS)
def test_findings_of_fuzzing(finding: str, tmp_path: Path):
    name, data, message = FINDINGS[finding]
    assert message in attempt(TARGETS[name], data, tmp_path)


class TestPlaces:
    """Files are written only below the folder that the user names."""

    LEADING = (
        "../out",
        "/tmp/out",
        "a/../../out",
        "a/b",
        "a\\b",
        "x" * 300,
    )  # also invalid as parts of a name
    OUTSIDE = ("..", ".", "", *LEADING)

    @pytest.mark.parametrize("name", OUTSIDE)
    @pytest.mark.parametrize("field", ["run", "dataset"])
    def test_features_name_only_folders_below_out(self, field: str, name: str, tmp_path: Path, capsys):
        origin = Origin(**{"dataset": "tiny", "split": "novel", "run": "x", field: name})
        values = np.repeat(VALUES, 4, axis=0)
        (tmp_path / "in").mkdir()
        path = tmp_path / "in" / "f.h5"
        features.write(path, Features(values, np.repeat(LABELS, 4), ("a", "b", "c"), origin))
        before = snapshot(tmp_path)
        ask = ["evaluate", path, "--out", tmp_path / "in" / "results", "--n-way", 2, "--n-query", 2]
        output = one_line([*ask, "--n-tasks", 5, "--n-shot", 1, "--head", "nearest-mean", "--quiet"], capsys)
        assert f"{field} must be" in output
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_checkpoints_name_only_single_folders(self, name: str, tmp_path: Path, trained: Path):
        tensors, about = checkpoint.read(trained / "best.safetensors")
        forged = tmp_path / "x.safetensors"
        forged.write_bytes(save(tensors, metadata={checkpoint.FORMAT: json.dumps({**about, "run": name})}))
        for read in (checkpoint.read_backbone, checkpoint.load_network, checkpoint.load_provenance):
            with pytest.raises(FsbenchError, match="run must be a name for a file or folder"):
                read(forged)

    @pytest.mark.parametrize(
        ("field", "name"),
        [*product(["run", "dataset"], OUTSIDE), *product(["split", "head", "preprocess"], LEADING)],
    )
    @pytest.mark.parametrize("schema", [1, 2])
    def test_results_name_only_folders_below_out(self, field: str, name: str, schema: int, tmp_path: Path):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(document(result(), schema, **{field: name})))
        before = snapshot(tmp_path)
        with pytest.raises(FsbenchError, match=r"must be a name for|lead to another folder"):
            reproduce(path, out=tmp_path / "out", session=Session(quiet=True))
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize("name", ["D:x", "\\x", "D:\\x", "..\\x", "\\\\host\\share\\x"])
    def test_on_windows_tables_name_no_drive_and_no_host(self, name: str, monkeypatch):
        monkeypatch.setattr(layouts, "Path", PureWindowsPath)
        with pytest.raises(FsbenchError, match="must lie below"):
            layouts._below(PureWindowsPath("C:/images"), name, PureWindowsPath("t.csv"))

    def test_tables_name_only_images_below_their_folder(self, tmp_path: Path):
        for name in ("../secret.png", "/etc/secret.png", "a/../../secret.png"):
            (tmp_path / "train.csv").write_text(f"filename,label\n{name},n1\n")
            with pytest.raises(FsbenchError, match="must lie below"):
                layouts.csv_splits(tmp_path)
        lists = tmp_path / "cifar100" / "splits" / "bertinetto"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("../../..\n")
        with pytest.raises(FsbenchError, match="must lie below"):
            layouts.cifar_release(tmp_path)
        (lists / "train.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(FsbenchError, match="must be text in UTF-8"):
            layouts.cifar_release(tmp_path)


def member(kind: bytes, name: str, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o7777
    return info


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python has no extraction filters")
class TestArchives:
    @pytest.mark.parametrize(
        "members",
        [
            [member(tarfile.REGTYPE, "../evil")],
            [member(tarfile.REGTYPE, "a/../../evil")],
            [member(tarfile.SYMTYPE, "a", "../.."), member(tarfile.REGTYPE, "a/evil")],
            [member(tarfile.SYMTYPE, "a", "/etc/passwd")],
            [member(tarfile.SYMTYPE, "a/b", "../../../evil")],
            [member(tarfile.LNKTYPE, "a", "../secret")],
            [member(tarfile.LNKTYPE, "a", "/etc/passwd")],
            [member(tarfile.SYMTYPE, "d", "."), member(tarfile.SYMTYPE, "d/e", "..")],
            [member(tarfile.CHRTYPE, "a")],
            [member(tarfile.FIFOTYPE, "a")],
        ],
        ids=lambda members: ", ".join(f"{info.name} {info.linkname}".strip() for info in members),
    )  # fmt: skip
    def test_nothing_leaves_the_folder(self, members: list[tarfile.TarInfo], tmp_path: Path):
        (tmp_path / "secret").write_text("secret")
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as tar:
            for info in members:
                tar.addfile(info, io.BytesIO())
        before = snapshot(tmp_path)
        with pytest.raises(FsbenchError, match=r"cannot unpack .*a\.tar: ."):
            download.unpack(path, tmp_path / "out")
        assert {
            outside for outside in snapshot(tmp_path) if tmp_path / "out" not in (outside, *outside.parents)
        } == before

    def test_absolute_names_are_made_relative(self, tmp_path: Path):
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as tar:
            tar.addfile(member(tarfile.REGTYPE, f"{tmp_path}/evil"), io.BytesIO())
        download.unpack(path, tmp_path / "out")
        assert not (tmp_path / "evil").exists()
        inside = (tmp_path / "out" / str(tmp_path).lstrip("/") / "evil").stat().st_mode
        assert inside & 0o7022 == 0, "nor may others write it, or it run as another user"


class TestImages:
    @pytest.mark.linux
    def test_pipes_and_devices_are_not_images(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "zero.png").symlink_to("/dev/zero")
        for name in ("pipe.png", "zero.png"):
            for read in (lambda path: list(squares([path], 8)), lambda path: list(inspect_files([path]))):
                with pytest.raises(FsbenchError, match="it is not a regular file"):
                    read(tmp_path / name)

    @pytest.mark.parametrize("form", ["PDF", "ICO", "TGA", "PCX", "SGI", "EPS"])
    def test_other_formats_with_the_suffix_of_an_image(self, form: str, tmp_path: Path):
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png", form)
        with pytest.raises(FsbenchError, match="it is not an image of a known format"):
            list(inspect_files([tmp_path / "a.png"]))

    def test_decompression_bombs_when_warnings_are_not_errors(self, tmp_path: Path):
        """Where warnings are not errors: 10^9 pixels, and 10^8 pixels, for which Pillow only warns."""
        program = """
import sys
from pathlib import Path
from fsbench.data.decode import squares
from fsbench._util.errors import FsbenchError
sys.path.insert(0, sys.argv[1])
from test_decode import vast
for side in (31623, 10000):
    Path(sys.argv[2]).write_bytes(vast(side))
    try:
        list(squares([Path(sys.argv[2])], 8))
    except FsbenchError as error:
        print(error)
"""
        run = [sys.executable, "-c", program, Path(__file__).parents[1] / "data", tmp_path / "x.png"]
        output = subprocess.run(run, capture_output=True, text=True, check=True)
        assert "Traceback" not in output.stderr  # Pillow also prints a warning
        assert output.stdout.count("decompression bomb") == output.stdout.count("\n") == 2


ABSURD = {
    "accuracy": [None, "0.5", True, -0.1, 1.1, 1e308, [0.5], {}],
    "half_width": [None, -1, 1e308, "x"],
    "class_half_width": [-1, 1e308, "x", [1]],
    "class_values": [[], [0.5], [1e308, 0], [3, 0], ["x", "y"], [[1], [1]], 0.5, "x", {}],
    "correct": [None, [], [1], [-1, 5, 11], [4, 5, 600], ["4", "5", "6"], [4.0, 5.0, 6.0], [[4], [5], [6]],
                [True, True, True], [1e308] * 3, [10**30] * 3, {"0": 4}, list(range(100_000)), 7],
    "queries": [0, -1, "x", [10], [10, 10, 0], [10, 10, 10, 10], [[10], [10], [10]], 1e308, True],
    "n_tasks": [0, 1, 2, 4, -3, 1e308, "3", None, 10**18, True],
    "n_way": [0, 1, -5, "5", 1e308, None, 5.0, 10**15],
    "n_shot": [0, -1, "1", None, []],
    "n_query": [0, -1, "2", 1e308],
    "seed": [-1, 1 << 64, 1.5, "0", None],
    "query_alpha": [0, -1, "x", []],
    "least_shot": [0, 5, "x"],
    "classes": ["ab", [1], ["a", "a"], [["a"]], {"a": 1}],
    "versions": [[], {"torch": 2}, {"torch": "\x1b"}, None, "2.8"],
    "image_size": ["32", 1e308, [32]],
    "dropout": [-0.1, 2, "x"],
    "evaluate_seconds": [None, "x", []],
    "transductive": [0, 1, "yes", None],
    "schema": [3, "1", None, 1.5],
    "unknown": [1],
}  # fmt: skip


class TestResultFiles:
    @pytest.mark.parametrize("field", ABSURD)
    @pytest.mark.parametrize("schema", [1, 2])
    def test_absurd_values(self, field: str, schema: int, tmp_path: Path, capsys):
        folder = tmp_path / "results"
        folder.mkdir()
        for value in ABSURD[field]:
            (folder / "x.json").write_text(json.dumps(document(result(), schema, **{field: value})))
            with pytest.raises(FsbenchError) as caught:
                result_files.read(folder / "x.json")
            assert str(caught.value).isprintable()
        output = one_line(["leaderboard", folder], capsys)
        assert "x.json" in output
        assert list(folder.iterdir()) == [folder / "x.json"], "no page is written"

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_numbers_that_are_not_finite(self, number: str, tmp_path: Path):
        text = json.dumps(result_files.to_json(result())).replace('"accuracy": 0.5', f'"accuracy": {number}')
        assert number in text
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(FsbenchError, match="not a result file"):
            result_files.read(tmp_path / "x.json")

    @pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "null", "[]", "\xff", '"x"'])
    def test_other_json(self, text: str, tmp_path: Path):
        (tmp_path / "x.json").write_text(text, encoding="latin1")
        with pytest.raises(FsbenchError, match="not a result file"):
            result_files.read(tmp_path / "x.json")

    @pytest.mark.parametrize("kind", CONTROL_TEXTS)
    def test_control_characters_in_texts(self, kind: str, tmp_path: Path, capsys):
        texts = [name for name, value in flatten(result()).items() if isinstance(value, str)]
        assert len(texts) > 15
        (tmp_path / "results").mkdir()
        for name, schema in product(texts, (1, 2)):
            text = json.dumps(document(result(), schema, **{name: CONTROL_TEXTS[kind]}))
            (tmp_path / "results" / "x.json").write_text(text)
            with pytest.raises(FsbenchError, match=f"{'name' if name == 'head' else name} must be") as caught:
                result_files.read(tmp_path / "results" / "x.json")
            assert str(caught.value).isprintable()
        one_line(["leaderboard", tmp_path / "results"], capsys)
        one_line(["compare", tmp_path / "results" / "x.json", tmp_path / "results" / "x.json"], capsys)


MARKUP = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "comment": "<!-- leaderboard:end -->",
    "template": "{{script}}{{data}}",
    "entity": "&lt;b&gt;&amp;",
    "link": "[a](javascript:alert(1)) ![x](http://e.com/x.png) <http://e.com>",
    "table": "a|b\\|c",
    "emphasis": "**a** _b_ `c` ~~d~~ ***",
    "heading": "# a",
    "formula": '=HYPERLINK("http://e.com","x")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "quotes": "a\"b'c,d;e",
    "percent": "%s %(x)s {x} {0}",
    "maths": "$\\frac{$ $x^$",
}


class Tags(HTMLParser):
    """The elements of an HTML page, with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


@cache
def leaderboard_of(text: str) -> dict[str, str]:
    """The files of a leaderboard of two results with this text in every text field."""
    fields = ("source", "backbone", "recipe", "preset", "overrides", "classifier", "transform", "sampler")
    first = changed(result(), **dict.fromkeys(fields, text), classes=(text, "b"))
    with tempfile.TemporaryDirectory() as folder:
        result_files.write(Path(folder), first)
        result_files.write(Path(folder), changed(first, run="other", train_seed=1, checkpoint="d" * 64))
        return {
            path.name: path.read_text(encoding="utf-8") for path in leaderboard.update(Path(folder), None)
        }


@pytest.mark.parametrize("kind", MARKUP)
class TestMarkup:
    """Names with markup of HTML, Markdown, spreadsheets or Matplotlib are shown literally."""

    @pytest.fixture
    def pages(self, kind: str) -> dict[str, str]:
        """Leaderboards of results with the name in every text field, and with plain names."""
        plain = {f"plain {name}": page for name, page in leaderboard_of("plain").items()}
        return leaderboard_of(MARKUP[kind]) | plain

    def test_html(self, pages: dict[str, str], kind: str):
        assert Tags(pages["leaderboard.html"]).found == Tags(pages["plain leaderboard.html"]).found
        data = pages["leaderboard.html"].split('type="application/json">')[1].split("</script>")[0]
        row = json.loads(data)["tables"][0]["rows"][0]
        assert row["backbone"] == row["recipe"] == MARKUP[kind]

    def test_markdown(self, pages: dict[str, str], kind: str):
        def shape(text: str) -> list[tuple[str, str]]:
            html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text)
            return [(tag, str(names)) for tag, names in Tags(html).found]

        def words(text: str) -> str:
            tokens = MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text)
            inline = [child for token in tokens for child in token.children or []]
            return " ".join("".join(child.content for child in inline).split())

        assert shape(pages["README.md"]) == shape(pages["plain README.md"])
        assert " ".join(MARKUP[kind].split()) in words(pages["README.md"])

    def test_csv(self, pages: dict[str, str], kind: str):
        lines = list(csv.DictReader(io.StringIO(pages["leaderboard.csv"])))
        assert len(lines) == 2
        for cell in (cell for line in lines for cell in line.values()):
            assert cell[:1] not in tuple("=+-@") or cell.lstrip("-").replace(".", "").isdigit()
        assert lines[0]["recipe"].removeprefix("'") == MARKUP[kind]

    def test_tables_of_classes(self, kind: str, tmp_path: Path):
        tasks = Tasks(np.array([[[0], [2]]]), np.array([[1, 3]]), np.array([[0, 1]], dtype=np.int16))
        tables = breakdown(
            [(tasks, np.array([[0, 0]], dtype=np.int16))], np.array([0, 0, 1, 1]), [MARKUP[kind], "b"]
        )
        for path in tables.write(tmp_path / "x.json"):
            for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
                assert not any(cell.startswith(tuple("=+-@")) for cell in row)

    def test_plots(self, kind: str, tmp_path: Path):
        figure, (part,) = page.page([page.Section(MARKUP[kind], MARKUP[kind], 2)])
        axes = part.subplots()
        axes.set(title=MARKUP[kind], xticks=[0, 1], xticklabels=[MARKUP[kind], "b"])
        page.legend_below(part, [MARKUP[kind]])
        page.save(figure, tmp_path / "x.svg")
        assert (tmp_path / "x.svg").stat().st_size > 1000


TOML = {
    "deep lists": "x = " + "[" * 100_000,
    "deep tables": "x = " + "{a=" * 5_000,
    "long key": "a" * 1_000_000 + " = 1",
    "long number": "x = " + "9" * 100_000,
    "null": 'x = "\\u0000"',
    "not text": "\udcff",
    "a verb that is no table": 'evaluate = "x"',
    "tables of tables": "[[evaluate]]\nseed = 1",
    "a date": "[evaluate]\nseed = 2020-01-01",
    "infinity": "[evaluate]\nseed = inf",
    "a text that steers": '[evaluate]\nout = "a\\u001b[2Jb"',
    "a null in a path": '[evaluate]\nout = "a\\u0000b"',
    "a key that steers": '[evaluate]\n"\\u001b[2J" = 1',
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_settings_and_task_lists(text: str, tmp_path: Path, capsys):
    path = tmp_path / "x.toml"
    path.write_text(text, errors="surrogateescape")
    one_line(["evaluate", "x.h5", "--config", path], capsys)
    with pytest.raises(FsbenchError, match="not a task list of fsbench") as caught:
        pinned.read_task_list(str(path))
    assert str(caught.value).isprintable()


LISTS = {
    "n_way": ["true", "5.0", "nan", '"5"', "-1", "[5]"],
    "n_tasks": ["inf", "0", "1e9"],
    "seed": ["-1", "18446744073709551616", "1.5"],
    "query_alpha": ["nan", "inf", "0", '"x"', "-1"],
    "classes": ['"ab"', "[1]", '["a", "a"]', '["\\u001b"]', "3"],
    "n_query": ['"every"', "2.0", "0"],
    "class_sizes": ["3", "[3]", "[[1, 2, 3]]", '[["a", 1]]', "[[1.5, 2]]", f"[[0x{'f' * 9999}, 1]]"],
    "digest": ["1", '"\\u202e"', "2020-01-01"],
    "dataset": ["1", '"a\\nb"'],
    "disjoint": ["1", '"yes"'],
    "unknown": ["1"],
}


@pytest.mark.parametrize("key", LISTS)
def test_absurd_task_lists(key: str, tmp_path: Path):
    plain = TARGETS["task-list"].seeds()[0].decode()
    lines = [line for line in plain.splitlines() if not line.startswith(f"{key} ")]
    for value in LISTS[key]:
        (tmp_path / "x.toml").write_text("\n".join([*lines, f"{key} = {value}"]))
        with pytest.raises(FsbenchError, match="not a task list of fsbench") as caught:
            pinned.read_task_list(str(tmp_path / "x.toml"))
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["sampler", "n_way", "n_shot", "n_query", "n_tasks", "seed", "class_sizes"])
def test_task_lists_without_a_key(key: str, tmp_path: Path):
    lines = TARGETS["task-list"].seeds()[0].decode().splitlines()
    (tmp_path / "x.toml").write_text("\n".join(line for line in lines if not line.startswith(f"{key} ")))
    with pytest.raises(FsbenchError, match=f"not a task list of fsbench \\(lacks {key}\\)"):
        pinned.read_task_list(str(tmp_path / "x.toml"))


PROVENANCE = {
    "class_names": [None, "ab", [1], {"a": 1}, ["\x1b[2J"]],
    "image_size": [0, -1, 10**9, "32", None, 1e308, True],
    "backbone": [None, 1, "\x1b"],
    "dropout": ["x", None, []],
    "settings": [None, [], {}, {"overrides": 3}, "x"],
    "recipe": [3, "a\nb"],
    "val_accuracy": ["x", []],
    "versions": [[], {"a": 1}],
}


@pytest.mark.parametrize("key", PROVENANCE)
def test_absurd_checkpoints(key: str, tmp_path: Path, trained: Path, capsys):
    tensors, about = checkpoint.read(trained / "best.safetensors")
    path = tmp_path / "x.safetensors"
    for value in PROVENANCE[key]:
        path.write_bytes(save(tensors, metadata={checkpoint.FORMAT: json.dumps({**about, key: value})}))
        for read in (checkpoint.read_backbone, checkpoint.load_network):
            with pytest.raises(FsbenchError, match=f"checkpoint .*{key}|lacks") as caught:
                read(path)
            assert str(caught.value).isprintable()
    one_line(["evaluate", path], capsys)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "{}", "NaN", '"x"'])
def test_checkpoints_without_provenance(text: str, tmp_path: Path, trained: Path):
    tensors, _ = checkpoint.read(trained / "best.safetensors")
    (tmp_path / "x.safetensors").write_bytes(save(tensors, metadata={checkpoint.FORMAT: text}))
    with pytest.raises(FsbenchError, match=r"x\.safetensors: (not|lacks)"):
        checkpoint.read_backbone(tmp_path / "x.safetensors")


def test_a_checkpoint_that_claims_more_than_it_holds(tmp_path: Path, trained: Path):
    """Otherwise a classifier of 10^12 outputs is allocated before its weights are known to be missing."""
    tensors, about = checkpoint.read(trained / "best.safetensors")
    path = tmp_path / "x.safetensors"
    for change in ({"classifier_width": 10**12}, {"extra_heads": {"a": 10**12}}):
        forged = {**about, "settings": {**about["settings"], **change}}
        path.write_bytes(save(tensors, metadata={checkpoint.FORMAT: json.dumps(forged)}))
        with pytest.raises(FsbenchError, match="classifier weights, more than it holds"):
            checkpoint.load_network(path)


@pytest.mark.parametrize("kind", [kind for kind in CONTROL_TEXTS if kind not in ("null", "very long")])
def test_control_characters_in_file_names(kind: str, tmp_path: Path, capsys):
    name = CONTROL_TEXTS[kind].replace("/", "")
    for arguments in (
        ["evaluate", tmp_path / f"{name}.h5"],
        ["evaluate", "x.h5", "--config", tmp_path / name],
        ["leaderboard", tmp_path / name],
        ["train-backbone", tmp_path / f"{name}.py", "--dataset", "glyphs"],
        ["data", "prepare", name, tmp_path],
        ["data", "prepare", "mine", tmp_path / name],
        ["evaluate", "x.h5", "--dataset", name],
    ):
        one_line(arguments, capsys)


def test_control_characters_in_class_folders(tmp_path: Path, capsys):
    for kind in ("escape", "newline", "right to left", "invisible"):
        folder = tmp_path / kind / CONTROL_TEXTS[kind].replace("/", "")
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "a.png")
        output = one_line(["data", "prepare", "mine", tmp_path / kind, "--cache", tmp_path / "cache"], capsys)
        assert "must be a name in printable text" in output


def test_an_error_is_one_line_of_limited_length():
    assert str(FsbenchError("a\nb\x1b[2J\u202e\udcff")) == r"a\nb\x1b[2J\u202e\udcff"
    assert len(str(FsbenchError("a" * 10**6))) < 3000
    assert str(FsbenchError("Zürich: ± 5 → 东京")) == "Zürich: ± 5 → 东京"


def write_repeated_name(path: Path, text: str, count: int) -> None:
    """Write class names that all refer to the same bytes of the file."""
    path.write_bytes(TARGETS["feature-store"].seeds()[0])
    with h5py.File(path, "r+") as file:
        _texts(file, [text, *[""] * (count - 1)])
        place = file["class_names"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[place : place + 16 * count] = data[place : place + 16] * count
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert file["class_names"].asstr()[count - 1] == text


@pytest.mark.linux
@pytest.mark.slow
def test_small_files_do_not_exhaust_the_memory(tmp_path: Path):
    """The files are read in a separate process, whose memory grows by less than 200 MiB."""
    seed = TARGETS["feature-store"].seeds()[0]
    for name in "abc":
        (tmp_path / name).write_bytes(seed)
    with h5py.File(tmp_path / "b", "r+") as file:  # 6 GB, never written
        del file["features"]
        file.create_dataset("features", (40_000, 40_000), "f4", chunks=(1000, 1000))
    with h5py.File(tmp_path / "c", "r+") as file:  # 512 MiB in half a MiB
        del file["features"]
        array = file.create_dataset("features", (64, 64), "f4", chunks=(64, 64), compression="gzip")
        array.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 29), 1))
    write_repeated_name(tmp_path / "d", "x" * 100_000, 20_000)  # 2 GB
    with h5py.File(tmp_path / "a") as file:
        place = file["class_names"].id.get_offset()
    (tmp_path / "e").write_bytes(seed[:place] + b"\xff\xff\xff\x7f" + seed[place + 4 :])  # a text of 2 GB
    program = """
import sys
from pathlib import Path
from fsbench.features import store as features
from fsbench._util.errors import FsbenchError
from tests.memory import memory
features.read(Path(sys.argv[1]))
before = memory("VmHWM")
for path in map(Path, sys.argv[2:]):
    try:
        features.read(path)
    except FsbenchError as error:
        print(error)
print(memory("VmHWM") - before)
"""
    run = [sys.executable, "-c", program, *(tmp_path / name for name in "abcde")]
    *output, grown = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    longer = "longer than the file can hold"
    for line, message in zip(output, ("claims", "decompresses to more", longer, longer), strict=True):
        assert message in line
    assert int(grown) < 200 << 20
