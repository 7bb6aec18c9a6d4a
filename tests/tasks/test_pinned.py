"""The shipped lists, their digests and the images that they were pinned over.

`python tests/tasks/test_pinned.py` writes them anew.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsbench._util.errors import FsbenchError
from fsbench.data.identity import Identity
from fsbench.data.loading import load
from fsbench.tasks import pinned, sampler
from fsbench.tasks.spec import TaskSpec

# Novel classes and images of each, runs of equal ones in the order of the classes.
CUB = [
    (1, 56), (1, 60), (1, 53), (4, 60), (1, 59), (3, 60), (1, 59), (5, 60), (1, 59), (5, 60), (1, 48),
    (3, 60), (1, 58), (1, 60), (1, 52), (1, 59), (6, 60), (1, 59), (1, 53), (7, 60), (2, 59), (2, 60),
]  # fmt: skip
SPLITS = {
    "cifar-fs": [(20, 600)],
    "cub": CUB,
    "mini-imagenet": [(20, 600)],
    "omniglot": [(659, 20)],
    "glyphs": [(20, 200)],
    "glyphs-fine": [(20, 200)],
}
# Fingerprints of the novel images that lists were pinned over: fsbench data show NAME begins them. CUB's are
# of a copy that was saved again as JPEG of quality 75; mini-ImageNet has none, as its copies are resized by
# whoever made them.
FINGERPRINTS = {
    "cub": "281036e603867261b9f12fdf9b6deaa0f6905f3cafdf306eae9732348d253941",
    "cifar-fs": "8057f3515aa4359f4ead43a0f6f7e052802f82ad0f0fc12cc7c0be0f01e81e1f",
    "omniglot": "d8ebeaf2f779048500b924264cea55e2dfc8e0a04012a84fecb90b58294686ad",
    "glyphs": "a1d290002ed62b1341f95a0bd88f053d9ff124171e436f48371789c47bdf6662",
    "glyphs-fine": "1d78434f4e2eb72dfd0087ed21e2b8ef53cac4cadd1490f7077df31539bf41ab",
}
DECODED = {  # of photographs: their files and what decoded them, as decoders differ in single bits
    "cub": {
        "files": "e077a75be818cd22afd0382af7f37e5bd748e72293979c086fdb3040f0d76006",
        "decoder": "Pillow 13.0.0, libjpeg-turbo 3.2.0",
    }
}
PROTOCOLS = {"omniglot": [(5, 1), (5, 5), (20, 1), (20, 5)]}  # as the field has them; else the first two


def labels_of(sizes) -> np.ndarray:
    counts = [images for classes, images in sizes for _ in range(classes)]
    return np.repeat(np.arange(len(counts)), counts)


def specs(dataset: str) -> list[TaskSpec]:
    images = min(size for _, size in SPLITS[dataset])
    protocols = PROTOCOLS.get(dataset, [(5, 1), (5, 5)])
    return [TaskSpec(n_way, n_shot, n_query=min(15, images - n_shot)) for n_way, n_shot in protocols]


def file_name(dataset: str, split: str, spec: TaskSpec) -> str:
    return f"{dataset}-{split}-{spec.n_way}w{spec.n_shot}s"


def pin_shipped(folder: Path) -> None:
    for dataset, sizes in SPLITS.items():
        for spec in specs(dataset):
            task_list = pinned.pin(dataset, "novel", labels_of(sizes), spec)
            bound = replace(task_list, fingerprint=FINGERPRINTS.get(dataset), **DECODED.get(dataset, {}))
            pinned.write_task_list(folder / f"{file_name(dataset, 'novel', spec)}.toml", bound)


@pytest.mark.parametrize("name", pinned.task_list_names())
def test_shipped_lists_have_their_digest(name):
    task_list = pinned.read_task_list(name)
    labels = labels_of(task_list.class_sizes)
    task_list.check(labels, images=Identity(FINGERPRINTS.get(task_list.dataset, "any"), "", ""))
    assert sampler.digest(labels, task_list.spec) == task_list.digest
    assert name == file_name(task_list.dataset, task_list.split, task_list.spec)


def test_shipped_lists_equal_those_of_the_command(tmp_path: Path):
    pin_shipped(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == pinned.task_list_names()
    for path in tmp_path.iterdir():
        assert pinned.read_task_list(str(path)) == pinned.read_task_list(path.stem)


def test_written_files_are_read_back(tmp_path: Path):
    task_list = pinned.pin("mine", "novel", labels_of([(3, 20), (2, 25)]), TaskSpec(n_tasks=7, seed=9))
    assert task_list.class_sizes == ((3, 20), (2, 25))
    pinned.write_task_list(tmp_path / "mine.toml", task_list)
    assert pinned.read_task_list(str(tmp_path / "mine.toml")) == task_list
    bound = replace(task_list, fingerprint="f" * 64, files="e" * 64, decoder="Pillow 12")
    pinned.write_task_list(tmp_path / "mine.toml", bound)
    assert pinned.read_task_list(str(tmp_path / "mine.toml")) == bound


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(3, 2, None, 9),
        TaskSpec(3, 2, 4, 9, query_alpha=0.5, least_shot=1),
        TaskSpec(3, 2, 4, 9, disjoint=True),
        TaskSpec(2, 2, 4, 9, classes=('a "b"', "ü")),
        TaskSpec(2, 2, 4, 9, classes=("\U0001f600", "ü")),
    ],
    ids=lambda spec: spec.name,
)
def test_every_kind_of_list_is_read_as_written(tmp_path: Path, spec):
    names = ('a "b"', "ü", "\U0001f600")
    task_list = pinned.pin("mine", "novel", labels_of([(3, 20)]), spec, names)
    pinned.write_task_list(tmp_path / "mine.toml", task_list)
    assert pinned.read_task_list(str(tmp_path / "mine.toml")) == task_list
    task_list.check(labels_of([(3, 20)]), names)


def test_other_class_sizes_are_refused():
    task_list = pinned.read_task_list("mini-imagenet-novel-5w1s")
    with pytest.raises(FsbenchError, match="20 classes of 600 images, but this split has 20 classes of 599"):
        task_list.check(labels_of([(20, 599)]))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([(1, 9)], "1 class of 9 images"),
        ([(1, 9), (2, 8), (3, 7)], "1 class of 9 images, 2 classes of 8 images, 3 classes of 7 images"),
        (
            [(1, 9), (2, 8), (3, 7), (1, 6)],
            "1 class of 9 images, 2 classes of 8 images, 3 classes of 7 images ...",
        ),
    ],
)
def test_class_sizes_are_named_up_to_the_third(sizes, words):
    task_list = pinned.pin(
        "mine", "novel", labels_of([(3, 20)]), TaskSpec(n_way=2, n_shot=1, n_query=2, n_tasks=2)
    )
    with pytest.raises(FsbenchError) as raised:
        task_list.check(labels_of(sizes))
    assert str(raised.value).endswith(f"but this split has {words}")


def test_a_digest_of_other_tasks_is_refused():
    labels = labels_of([(3, 20)])
    task_list = pinned.pin("mine", "novel", labels, TaskSpec(n_way=2, n_tasks=9))
    with pytest.raises(FsbenchError) as raised:
        replace(task_list, digest="0" * 64).check(labels)
    assert str(raised.value) == (
        "task list of mine novel: its digest is not that of the tasks drawn from its specification; "
        "pin it again"
    )


def test_other_images_in_classes_of_the_same_sizes_are_refused():
    task_list, labels = pinned.read_task_list("cifar-fs-novel-5w1s"), labels_of([(20, 600)])
    start = "task list of cifar-fs novel is pinned to images with fingerprint 8057f3515aa4, but "
    with pytest.raises(FsbenchError) as raised:
        task_list.check(labels, images=Identity("0" * 64, "files", "Pillow 12"))
    assert str(raised.value) == start + "these images have 000000000000"
    with pytest.raises(FsbenchError) as raised:
        task_list.check(labels)
    assert str(raised.value) == (
        start + "these features do not record which images they come from; "
        "draw tasks with --n-way, --n-shot and --n-query instead"
    )


def test_with_equal_files_the_decoder_is_the_cause():
    labels, spec = labels_of([(3, 20)]), TaskSpec(n_way=2, n_tasks=9)
    task_list = pinned.pin("mine", "novel", labels, spec, images=Identity("1" * 64, "files", "Pillow 11"))
    task_list.check(labels, images=Identity("1" * 64, "other files", "Pillow 12"))
    cause = "every file is the same, but Pillow 12 decodes them differently from Pillow 11"
    with pytest.raises(FsbenchError, match=cause):
        task_list.check(labels, images=Identity("2" * 64, "files", "Pillow 12"))


@pytest.mark.parametrize("name", ["glyphs", "glyphs-fine"])
def test_embedded_images_are_those_of_their_lists(glyphs_cache: Path, name: str):
    images = load(name, "novel", glyphs_cache)
    for shots in (1, 5):
        pinned.read_task_list(f"{name}-novel-5w{shots}s").check(images.labels, images=images.identity)


def test_unknown_names_and_broken_files_give_one_line(tmp_path: Path):
    with pytest.raises(
        FsbenchError, match="unknown task list 'cifar-novel-5w1s'; did you mean 'cifar-fs-novel-5w1s'"
    ):
        pinned.read_task_list("cifar-novel-5w1s")
    with pytest.raises(FsbenchError, match=r"cannot read task list .*absent\.toml: no such file"):
        pinned.read_task_list(str(tmp_path / "absent.toml"))
    broken = tmp_path / "broken.toml"
    for text in ("n_way = ", "n_way = 5", 'x = 1\ndigest = ""'):
        broken.write_text(text)
        with pytest.raises(FsbenchError, match="not a task list of fsbench"):
            pinned.read_task_list(str(broken))
    task_list = pinned.read_task_list("cifar-fs-novel-5w1s")
    pinned.write_task_list(broken, replace(task_list, sampler="uniform-0"))
    with pytest.raises(FsbenchError, match="drawn by sampler 'uniform-0', but this version has 'uniform-2'"):
        pinned.read_task_list(str(broken))


if __name__ == "__main__":
    pin_shipped(Path(__file__).parents[2] / "episodes")
