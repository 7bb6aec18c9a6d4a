"""`prepare`: what a store holds, when a store is replaced, and which folders and names are refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from fsbench._util import files
from fsbench._util.errors import FsbenchError
from fsbench.cli import main
from fsbench.data import glyphs, image_store, summary
from fsbench.data._build_store import UNEVEN_SIZE
from fsbench.data.class_split import parse_shares
from fsbench.data.loading import find_store, load, splits_of
from fsbench.data.preparation import prepare

RNG = np.random.default_rng(0)
IMAGES = {  # pixels by path, in the order in which they are stored
    f"{split}/{name}/{item}": RNG.integers(256, size=(6, 6, 3), dtype=np.uint8)
    for split, classes in {"base": ("ape", "bee"), "val": ("cow",), "novel": ("dog 1", "fox", "émeu")}.items()
    for name in classes
    for item in ("0.png", "1.png", "deep/0.png")
}


def save(root: Path, images=IMAGES, *, backwards: bool = False) -> Path:
    for name, pixels in sorted(images.items(), reverse=backwards):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


def fingerprint_of(name: str, split: str, cache: Path) -> str:
    return image_store.split_info(find_store(name, cache), split).identity.fingerprint


def contents(folder: Path) -> dict[str, int]:
    """The modification time of every file except locks, which are empty."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save(tmp_path / "images")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class TestContent:
    def test_pixels_names_and_labels_belong_together_bit_by_bit(self, root: Path, cache: Path):
        prepare("mine", root, cache=cache, quiet=True)
        assert splits_of("mine", cache) == ("base", "val", "novel")
        for split in splits_of("mine", cache):
            images = load("mine", split, cache)
            expected = {name: pixels for name, pixels in IMAGES.items() if name.startswith(f"{split}/")}
            names = [
                f"{split}/{images.class_names[label]}/{item}"
                for label, item in zip(images.labels, images.items, strict=True)
            ]
            assert sorted(names) == sorted(expected)
            np.testing.assert_array_equal(images.pixels, np.stack([expected[name] for name in names]))
            assert images.fingerprint == fingerprint_of("mine", split, cache)
            assert not images.synthetic

    def test_the_order_of_file_creation_does_not_matter(self, root: Path, tmp_path: Path, cache: Path):
        other = save(tmp_path / "other", backwards=True)
        assert [
            p.name for p in prepare("mine", root, cache=cache / "a", quiet=True).parents[1].iterdir()
        ] == ["images"]
        prepare("mine", other, cache=cache / "b", quiet=True)
        prints = [
            [fingerprint_of("mine", split, cache / c) for split in ("base", "val", "novel")] for c in "ab"
        ]
        assert prints[0] == prints[1]

    def test_images_of_many_sizes_become_squares_of_96(self, root: Path, cache: Path):
        Image.new("RGB", (7, 6)).save(root / "val" / "cow" / "2.png")
        assert prepare("mine", root, cache=cache, quiet=True).name == "mine@96.h5"
        assert load("mine", "base", cache).pixels.shape == (6, 96, 96, 3)
        assert int(1.15 * 84) == UNEVEN_SIZE

    def test_images_of_one_uneven_size_become_squares(self, tmp_path: Path, cache: Path):
        save(tmp_path / "wide", {"a/0.png": np.zeros((4, 8, 3), dtype=np.uint8)})
        assert prepare("mine", tmp_path / "wide", cache=cache, quiet=True).name == "mine@96.h5"

    def test_an_image_in_two_splits_is_reported(self, root: Path, cache: Path, caplog):
        for place in ("novel/fox", "novel/émeu", "base/bee"):  # a copy within a split is allowed
            (root / place / "copy.png").write_bytes((root / "base/ape/0.png").read_bytes())
        for _ in range(2):
            prepare("mine", root, cache=cache, quiet=True)
        warning = (
            r"data set mine: 2 images are in two splits, for example novel/\w+/copy.png \(also in base\)"
        )
        assert len(caplog.messages) == 2
        assert all(re.fullmatch(f"fsbench: warning: {warning}", message) for message in caplog.messages)

    def test_all_splits_are_read_at_one_bit_depth(self, tmp_path: Path, cache: Path, caplog):
        for split, value in (("base", 4095), ("novel", 900)):  # 12 bits; 10 bits would suffice for the second
            (tmp_path / split / split).mkdir(parents=True)
            Image.fromarray(np.full((6, 6), value, dtype=np.uint16)).save(tmp_path / split / split / "0.png")
        prepare("deep", tmp_path, cache=cache, quiet=True)
        levels = [load("deep", split, cache).pixels[0, 0, 0, 0] for split in ("base", "novel")]
        assert levels == [255, round(900 * 255 / 4095)]
        (warning,) = caplog.messages
        assert "no value is above 4095, so they are read as 12-bit images" in warning


class TestReplacement:
    def test_preparing_again_changes_nothing(self, root: Path, cache: Path):
        path = prepare("mine", root, cache=cache, quiet=True)
        before = contents(cache)
        assert prepare("mine", root, cache=cache, quiet=True) == path
        assert contents(cache) == before
        os.utime(path, (0, 0))
        prepare("mine", root, cache=cache, quiet=True, force=True)
        assert contents(cache).keys() == before.keys()
        assert path.stat().st_mtime > 0

    @pytest.mark.parametrize("change", ["bytes", "name", "class", "split", "fewer"])
    def test_other_images_or_names_replace_the_store(self, root: Path, cache: Path, change: str):
        def state() -> tuple:
            images = [load("mine", split, cache) for split in splits_of("mine", cache)]
            return tuple((part.split, part.fingerprint, part.class_names, part.items) for part in images)

        path = prepare("mine", root, cache=cache, quiet=True)
        before = state()
        if change == "bytes":
            Image.fromarray(255 - IMAGES["val/cow/0.png"]).save(root / "val/cow/0.png")
        elif change == "fewer":
            (root / "val/cow/0.png").unlink()
        else:
            old, new = {"name": ("val/cow/0.png", "val/cow/x.png"), "class": ("val/cow", "val/kine"),
                        "split": ("val", "train")}[change]  # fmt: skip
            if change == "split":
                (root / "base").rename(root / "validation")
            (root / old).rename(root / new)
        assert prepare("mine", root, cache=cache, quiet=True) == path
        assert state() != before
        assert list(contents(cache)) == ["images/mine@6.h5"]

    def test_several_sizes_are_stored_side_by_side(self, root: Path, cache: Path):
        prepare("mine", root, cache=cache, quiet=True)
        for size in (4, 12):
            assert prepare("mine", root, cache=cache, image_size=size, quiet=True).name == f"mine@{size}.h5"
            assert load(f"mine@{size}", "val", cache).pixels.shape == (3, size, size, 3)
        for at_least, size in ((0, 4), (4, 4), (5, 6), (12, 12), (13, 12)):
            assert find_store("mine", cache, at_least) == image_store.store_path("mine", size, cache)
        assert len({fingerprint_of(f"mine@{size}", "val", cache) for size in (4, 6, 12)}) == 1
        with pytest.raises(FsbenchError, match="size must be one of 4, 6, 12 px, but is 5; "):
            load("mine@5", "val", cache)

    def test_stores_of_one_name_with_different_images_are_selected_by_size(self, root: Path, cache: Path):
        prepare("mine", root, cache=cache, quiet=True)
        (root / "val/cow/0.png").unlink()
        prepare("mine", root, cache=cache, image_size=12, quiet=True)
        with pytest.raises(FsbenchError, match="6, 12 px hold different images; choose one as mine@12"):
            load("mine", "val", cache)
        assert len(load("mine@12", "val", cache).items) == len(load("mine@6", "val", cache).items) - 1

    def test_names_with_a_common_prefix_are_two_data_sets(self, root: Path, tmp_path: Path, cache: Path):
        prepare("mine", root, cache=cache, quiet=True)
        other = save(tmp_path / "other", {"toad/0.png": np.zeros((6, 6, 3), dtype=np.uint8)})
        for name in ("mine-6px-other", "mine-2", "min"):
            prepare(name, other, cache=cache, quiet=True)
        assert load("mine", "val", cache).class_names == ("cow",)
        assert load("mine-2", "novel", cache).class_names == ("toad",)
        assert find_store("min", cache).name == "min@6.h5"

    @pytest.mark.parametrize("damage", ["torn", "format"])
    def test_an_unreadable_store_is_written_again(self, root: Path, cache: Path, damage: str):
        path = prepare("mine", root, cache=cache, quiet=True)
        whole = load("mine", "novel", cache).fingerprint
        if damage == "torn":
            path.write_bytes(path.read_bytes()[:-200])
        else:
            with h5py.File(path, "a") as file:
                file.attrs["format"] = 0
        with pytest.raises(FsbenchError, match="prepare it again"):
            load("mine", "novel", cache)
        prepare("mine", root, cache=cache, quiet=True)
        assert load("mine", "novel", cache).fingerprint == whole

    def test_only_one_of_two_processes_writes(self, root: Path, cache: Path):
        code = (
            "import sys; from pathlib import Path; from fsbench.data import preparation as module\n"
            "write = module.write_store\n"
            "module.write_store = lambda *a, **k: (print('wrote'), write(*a, **k))\n"
            "module.prepare('mine', Path(sys.argv[1]), cache=Path(sys.argv[2]), quiet=True)"
        )
        line = [sys.executable, "-c", code, str(root), str(cache)]
        processes = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sorted(outputs) == ["", "wrote\n"]
        assert list(contents(cache)) == ["images/mine@6.h5"]
        assert load("mine", "val", cache).class_names == ("cow",)

    def test_leftovers_of_a_killed_process_are_removed(self, root: Path, cache: Path):
        (cache / "images").mkdir(parents=True)
        for name in (".mine@6.h5.abc.part", ".mine@60.h5.abc.part"):
            (cache / "images" / name).touch()
        prepare("mine", root, cache=cache, quiet=True)
        assert sorted(contents(cache)) == ["images/.mine@60.h5.abc.part", "images/mine@6.h5"]


class TestEmbedded:
    @pytest.fixture
    def drawn(self, monkeypatch, tmp_path: Path) -> list[str]:
        """Draw two plain images instead, because real drawing takes seconds; record the names drawn."""
        calls: list[str] = []

        def draw(name: str, *, quiet: bool):
            calls.append(name)
            return {"novel": {name: {f"{i}": np.full((32, 32, 3), i, dtype=np.uint8) for i in range(2)}}}

        monkeypatch.setattr(glyphs, "draw", draw)
        monkeypatch.setattr(glyphs, "__file__", str(tmp_path / "code.py"))
        (tmp_path / "code.py").write_text("one way to draw")
        return calls

    def test_are_drawn_on_first_use_and_when_the_code_changes(self, drawn, cache: Path, tmp_path: Path):
        for name in (*glyphs.NAMES, *glyphs.NAMES):
            images = load(name, "novel", cache)
            assert images.synthetic
            assert images.class_names == (name,)
        assert drawn == list(glyphs.NAMES)
        (tmp_path / "code.py").write_text("another way to draw")
        load("glyphs", "novel", cache)
        assert drawn == [*glyphs.NAMES, "glyphs"]
        assert summary.contents(prepare("glyphs", cache=cache, quiet=True)).synthetic

    @pytest.mark.parametrize("options", [{"path": Path()}, {"image_size": 84}, {"download": True}])
    def test_take_no_images(self, drawn, cache: Path, options):
        with pytest.raises(
            FsbenchError,
            match="data set glyphs: drawn by code at 32 px, so it takes no PATH, no download and",
        ):
            prepare("glyphs", cache=cache, **options)


class TestNames:
    @pytest.mark.parametrize("name", ["CUB", "a b", "a@84", "../a", "a*", "[a]", "-a", ".a", "", "é", "a/b"])
    def test_names_unsuitable_for_file_names_are_refused(self, root: Path, cache: Path, name: str):
        with pytest.raises(FsbenchError, match=r"consist of a-z, 0-9, '.', '_' and '-', but is "):
            prepare(name, root, cache=cache)

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("cifar_fs", "cifar-fs"),
            ("miniimagenet", "mini-imagenet"),
            ("c.u.b", "cub"),
            ("glyphs_fine", "glyphs-fine"),
        ],
    )
    def test_another_spelling_of_a_published_name_is_refused(self, root: Path, cache: Path, name, suggestion):
        with pytest.raises(FsbenchError, match=f"unknown data set '{name}'; did you mean '{suggestion}'"):
            prepare(name, root, cache=cache)

    def test_unknown_and_unprepared_data_sets(self, root: Path, cache: Path):
        prepare("birds", root, cache=cache, quiet=True)
        with pytest.raises(FsbenchError, match="unknown data set 'bird'; did you mean 'birds'"):
            load("bird", "novel", cache)
        with pytest.raises(FsbenchError) as raised:
            load("cub", "novel", cache)
        assert str(raised.value) == (
            "data set cub is not prepared; use fsbench data prepare cub PATH, where PATH must hold "
            "CUB_200_2011/images/<001.Black_footed_Albatross>/*, or {base,val,novel}/<class>/*, "
            "or fsbench data prepare cub --download"
        )

    def test_the_list_fits_a_terminal(self, root: Path, cache: Path, capsys):
        prepare("mine", root, cache=cache, quiet=True)
        prepare("mine", root, cache=cache, image_size=9, quiet=True)
        image_store.store_path("torn", 84, cache).write_text("no store")
        assert main(["data", "list", "--cache", str(cache)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        rows = {line.split()[0]: line for line in lines[1:] if line}
        assert rows["mine"].split() == ["mine", "2/1/3", "6,", "9", "px", "(0.0", "MiB)", "your", "images"]
        assert rows["torn"].split() == ["torn", "unreadable", "84", "px", "(0.0", "MiB)", "your", "images"]
        assert rows["cub"].split()[:3] == ["cub", "100/50/50", "-"]
        assert rows["glyphs"].split()[:3] == ["glyphs", "64/16/20", "-"]


class TestRefusals:
    @pytest.mark.parametrize("size", [0, -1, 4097])
    def test_image_size(self, root: Path, cache: Path, size: int):
        with pytest.raises(FsbenchError, match=f"image_size must be between 1 and 4096, but is {size}"):
            prepare("mine", root, cache=cache, image_size=size)

    def test_path_is_missing(self, cache: Path):
        with pytest.raises(
            FsbenchError,
            match="data set mine: PATH is missing; use fsbench data prepare mine PATH, where PATH must hold",
        ):
            prepare("mine", cache=cache)

    def test_a_torn_image_leaves_the_old_store(self, root: Path, cache: Path):
        prepare("mine", root, cache=cache, quiet=True)
        before = contents(cache)
        torn = root / "novel" / "fox" / "deep" / "0.png"
        torn.write_bytes(torn.read_bytes()[:-40])
        with pytest.raises(FsbenchError, match=f"image {torn}: cannot be read"):
            prepare("mine", root, cache=cache, quiet=True)
        assert contents(cache) == before

    @pytest.mark.linux
    @pytest.mark.parametrize("room", [0, 500, 2_000, 5_000, 8_000, 12_000])
    def test_a_full_disk_leaves_the_old_store(self, root: Path, cache: Path, room: int):
        """Limit files to `room` bytes; the system then fails as on a full disk."""
        import resource

        path = prepare("mine", root, cache=cache, quiet=True)
        assert path.stat().st_size > room
        before = contents(cache)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(FsbenchError, match=f"cannot write {re.escape(str(path))}: "):
                prepare("mine", root, cache=cache, quiet=True, force=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert contents(cache) == before
        assert load("mine", "val", cache).class_names == ("cow",)

    def test_no_permission_to_write(self, root: Path, cache: Path, monkeypatch):
        def refuse(**options: object) -> None:
            raise PermissionError(13, "Permission denied", str(options["dir"]))

        monkeypatch.setattr(files, "mkstemp", refuse)
        with pytest.raises(
            FsbenchError, match=f"cannot write {cache / 'images' / 'mine@6.h5'}: permission denied"
        ):
            prepare("mine", root, cache=cache, quiet=True)
        assert contents(cache) == {}

    def test_no_permission_to_read(self, root: Path, cache: Path, monkeypatch):
        victim, read_bytes = root / "val" / "cow" / "0.png", Path.read_bytes

        def guarded(path: Path) -> bytes:
            if path == victim:
                raise PermissionError(13, "Permission denied", str(path))
            return read_bytes(path)

        monkeypatch.setattr(Path, "read_bytes", guarded)
        with pytest.raises(FsbenchError, match=f"image {victim}: cannot be read \\(permission denied"):
            prepare("mine", root, cache=cache, quiet=True)
        assert contents(cache) == {}

    def test_no_permission_to_enter_a_parent_folder(self, cache: Path, monkeypatch):
        def refuse(path: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "stat", refuse)
        monkeypatch.setattr(Path, "stat", refuse)
        with pytest.raises(FsbenchError, match="cannot read /locked/images: permission denied"):
            prepare("mine", Path("/locked/images"), cache=cache, quiet=True)

    def test_file_names_that_are_not_text(self, root: Path, cache: Path):
        (root / "val" / "cow" / "0.png").rename(os.fsdecode(bytes(root / "val" / "cow") + b"/\xff.png"))
        with pytest.raises(
            FsbenchError, match=r"'\\udcff.png' of split val must be a name in printable text; rename it"
        ):
            prepare("mine", root, cache=cache, quiet=True)


def break_images(root: Path, count: int) -> list[str]:
    """Damage `count` images in turns: no image at all, or cut off at the end."""
    paths = [root / name for name in sorted(IMAGES)[:count]]
    for place, path in enumerate(paths):
        path.write_bytes(b"no image" if place % 2 else path.read_bytes()[:-30])
    return [str(path) for path in paths]


def test_unreadable_images_are_named_one_per_line_in_order(root: Path, cache: Path, caplog):
    broken = break_images(root, 12)
    with pytest.raises(FsbenchError, match=r"^12 images cannot be read; .* with --skip-unreadable$"):
        prepare("mine", root, cache=cache, quiet=True)
    assert [line.partition(": cannot be read")[0] for line in caplog.messages] == [
        f"fsbench: image {path}" for path in broken[:10]
    ]
    assert not contents(cache)


def test_unreadable_images_are_left_out(root: Path, cache: Path, caplog):
    broken = break_images(root, 2)
    prepare("mine", root, cache=cache, skip_unreadable=True, quiet=True)
    assert sum(len(load("mine", split, cache).labels) for split in splits_of("mine", cache)) == 16
    assert [any(path in text for text in caplog.messages) for path in broken] == [True, True]


def test_a_class_without_a_readable_image_is_refused(root: Path, cache: Path):
    break_images(root, 3)  # those of the first class
    with pytest.raises(FsbenchError, match="class ape of split base must have at least one image"):
        prepare("mine", root, cache=cache, skip_unreadable=True, quiet=True)


class TestLooseImages:
    def refused(self, root: Path, cache: Path, message: str):
        with pytest.raises(
            FsbenchError, match=rf"^PATH: {message}; move (it|them) into a class folder, or out of"
        ):
            prepare("mine", root, cache=cache, quiet=True)
        assert not contents(cache)

    def test_images_beside_class_folders_are_not_lost(self, tmp_path: Path, cache: Path):
        image = IMAGES["val/cow/0.png"]
        root = save(tmp_path / "x", {"b.png": image, "a.png": image, "sub/0.png": image})
        self.refused(root, cache, f"{root} has 2 images beside its folders, for example a.png")

    @pytest.mark.parametrize("folder", ["", "base/"])
    def test_images_beside_folders_of_splits_and_their_classes_are_not_lost(
        self, tmp_path: Path, cache: Path, folder: str
    ):
        root = save(tmp_path / "x", {**IMAGES, f"{folder}a.png": IMAGES["val/cow/0.png"]})
        self.refused(root, cache, f"{root / folder} has 1 image beside its folders, for example a.png")

    def test_other_files_and_hidden_images_may_lie_there(self, root: Path, cache: Path):
        (root / "readme.txt").write_text("x")
        (root / ".a.png").write_bytes(b"x")
        prepare("mine", root, cache=cache, quiet=True)


class TestLevel:
    @pytest.mark.parametrize("between", ["animals", "a/b"])
    def test_a_folder_one_level_too_high_is_refused_with_the_right_one(
        self, tmp_path: Path, cache: Path, between: str
    ):
        right = save(tmp_path / "high" / between)
        with pytest.raises(
            FsbenchError, match=rf"3 folders base, novel, val; .* use PATH {re.escape(str(right))}$"
        ):
            prepare("mine", tmp_path / "high", cache=cache, quiet=True)

    def test_a_class_that_consists_of_folders_beside_others_is_a_warning(
        self, tmp_path: Path, cache: Path, caplog
    ):
        image = IMAGES["val/cow/0.png"]
        save(tmp_path / "mixed", {"sorted/ape/0.png": image, "sorted/bee/0.png": image, "other/0.png": image})
        prepare("mine", tmp_path / "mixed", cache=cache, quiet=True)
        (text,) = caplog.messages
        assert "class sorted consists of the 2 folders ape, bee" in text
        assert text.endswith(f"use PATH {tmp_path / 'mixed' / 'sorted'}")

    def test_one_folder_between_class_and_images_is_usual(self, tmp_path: Path, cache: Path, caplog):
        save(tmp_path / "deep", {"ape/images/0.png": RNG.integers(256, size=(6, 6, 3), dtype=np.uint8)})
        prepare("mine", tmp_path / "deep", cache=cache, quiet=True)
        assert not caplog.messages


class TestSplit:
    @pytest.fixture
    def flat(self, tmp_path: Path) -> Path:
        images = {f"{c}/0.png": RNG.integers(256, size=(6, 6, 3), dtype=np.uint8) for c in "abcdefghij"}
        return save(tmp_path / "flat", images)

    def test_class_folders_are_split_by_shares(self, flat: Path, cache: Path):
        prepare("mine", flat, cache=cache, split=(60, 20, 20), quiet=True)
        names = {split: load("mine", split, cache).class_names for split in splits_of("mine", cache)}
        assert {split: len(classes) for split, classes in names.items()} == {"base": 6, "val": 2, "novel": 2}
        assert sorted(name for classes in names.values() for name in classes) == list("abcdefghij")
        assert sorted(names["base"]) != list("abcdef"), "random, not by name"

    def test_val_may_have_no_share(self, flat: Path, cache: Path):
        prepare("mine", flat, cache=cache, split=(50, 0, 50), quiet=True)
        assert splits_of("mine", cache) == ("base", "novel")

    @pytest.mark.parametrize("text", ["60/20", "60/20/20/0", "a/b/c", "", "60/-20/60", "0/20/80", "60/40/0"])
    def test_shares_are_three_numbers(self, text: str):
        with pytest.raises(FsbenchError, match=r"^--split must .*, but is "):
            parse_shares(text)

    def test_shares_add_up_to_100(self, flat: Path, cache: Path):
        with pytest.raises(FsbenchError, match=r"^--split must add up to 100, but 60/20/10 adds up to 90$"):
            prepare("mine", flat, cache=cache, split=(60, 20, 10), quiet=True)

    @pytest.mark.parametrize(
        ("percent", "message"),
        [
            (10, "has only 1 novel class, but tasks have 5 by default; a task needs at least 2"),
            (40, "has only 4 novel classes, but tasks have 5 by default; evaluate with --n-way 4 or less"),
            (50, None),
        ],
    )
    def test_fewer_novel_classes_than_a_task_has_are_a_warning(
        self, flat: Path, cache: Path, capsys, percent: int, message: str | None
    ):
        split = f"{100 - percent}/0/{percent}"
        line = ["data", "prepare", "mine", str(flat), "--cache", str(cache), "--split", split, "--quiet"]
        assert main(line) == 0
        assert capsys.readouterr().err == (f"fsbench: warning: data set mine: {message}\n" if message else "")

    def test_splits_are_not_divided_again(self, root: Path, flat: Path, cache: Path):
        with pytest.raises(FsbenchError, match="--split: PATH is already divided into base, val, novel"):
            prepare("mine", root, cache=cache, split=(60, 20, 20), quiet=True)
        with pytest.raises(FsbenchError, match=r"^--split: 10 classes are too few for a val share of 1 %$"):
            prepare("mine", flat, cache=cache, split=(98, 1, 1), quiet=True)

    def test_training_without_base_classes_mentions_it(self, flat: Path, cache: Path):
        prepare("mine", flat, cache=cache, quiet=True)
        with pytest.raises(FsbenchError, match=r"only novel; .* --split 60/20/20"):
            load("mine", "base", cache)


def test_a_store_is_removed(root: Path, cache: Path, capsys):
    for size in (6, 8):
        prepare("mine", root, cache=cache, image_size=size, quiet=True)
    line = ["data", "remove", "mine@8", "--cache", str(cache)]
    assert main(line) == 0
    store = re.escape(str(cache / "images" / "mine@8.h5"))
    assert re.fullmatch(rf"removed {store} \(\d\.\d MiB\)\n", capsys.readouterr().out)
    assert main(line) == 2
    assert "mine@8: is not prepared" in capsys.readouterr().err
    assert main(["data", "remove", "mine@", "--cache", str(cache)]) == 2
    assert "mine@: the size is missing; use mine@SIZE, or mine for all sizes" in capsys.readouterr().err
    assert splits_of("mine", cache) == ("base", "val", "novel")
    assert main(["data", "remove", "mine", "--cache", str(cache)]) == 0
    assert not contents(cache)
    assert contents(root), "the images stay"
    for name, message in (("glyphs", "glyphs: is not prepared"), ("mine", "unknown data set 'mine'")):
        assert main(["data", "remove", name, "--cache", str(cache)]) == 2
        assert message in capsys.readouterr().err


def test_what_a_data_set_needs_is_an_answer(root: Path, cache: Path, capsys):
    for name, parts in (
        ("mini-imagenet", ("not prepared", "train.csv", "not possible", "data prepare mini-imagenet PATH")),
        ("cifar-fs", ("64/16/20", "data prepare cifar-fs --download")),
        ("glyphs-fine", ("drawn on first use",)),
    ):
        assert main(["data", "show", name, "--cache", str(cache)]) == 0
        printed = capsys.readouterr().out
        assert all(part in printed for part in parts)
    for size in (6, 8):
        prepare("mine", root, cache=cache, image_size=size, quiet=True)
    assert main(["data", "show", "mine", "--cache", str(cache)]) == 0
    printed = capsys.readouterr().out
    assert "mine@6.h5" in printed
    assert "mine@8.h5" in printed
    assert main(["data", "show", "mine@8", "--cache", str(cache)]) == 0
    assert "mine@6.h5" not in capsys.readouterr().out
    assert main(["data", "show", "mine@9", "--cache", str(cache)]) == 2
    assert "size must be one of 6, 8 px, but is 9" in capsys.readouterr().err
    assert main(["data", "list", "--cache", str(cache)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"mine +2/1/3 +6, 8 px \(\d\.\d MiB\) +your images\n", printed)
    assert re.search(r"cifar-fs +64/16/20 +- +PATH or --download", printed)
