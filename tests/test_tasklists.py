"""The shipped lists and their digests. To pin a list anew, or another one:

python -c "import numpy as np; from fsbench import tasklists as t; from fsbench.episodes import TaskSpec; ..."
as `pin_shipped` below does; it is run by `python tests/test_tasklists.py`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsbench import episodes, tasklists
from fsbench.episodes import TaskSpec
from fsbench.errors import FsbenchError

# Novel classes and images of each; data sets of unequal classes are pinned where they are at hand.
SPLITS = {
    "cifar-fs": (20, 600),
    "mini-imagenet": (20, 600),
    "omniglot": (659, 20),
    "glyphs": (20, 200),
    "glyphs-fine": (20, 200),
}
PROTOCOLS = {"omniglot": [(5, 1), (5, 5), (20, 1), (20, 5)]}  # as the field has them; else the first two


def labels_of(sizes) -> np.ndarray:
    counts = [images for classes, images in sizes for _ in range(classes)]
    return np.repeat(np.arange(len(counts)), counts)


def specs(dataset: str) -> list[TaskSpec]:
    images = SPLITS[dataset][1]
    protocols = PROTOCOLS.get(dataset, [(5, 1), (5, 5)])
    return [TaskSpec(n_way, n_shot, n_query=min(15, images - n_shot)) for n_way, n_shot in protocols]


def file_name(dataset: str, split: str, spec: TaskSpec) -> str:
    return f"{dataset}-{split}-{spec.n_way}w{spec.n_shot}s"


def pin_shipped(folder: Path) -> None:
    for dataset, sizes in SPLITS.items():
        for spec in specs(dataset):
            made = tasklists.pin(dataset, "novel", labels_of([sizes]), spec)
            tasklists.write(folder / f"{file_name(dataset, 'novel', spec)}.toml", made)


@pytest.mark.parametrize("name", tasklists.shipped())
def test_shipped_lists_have_their_digest(name):
    made = tasklists.read(name)
    labels = labels_of(made.class_sizes)
    made.check(labels)
    assert episodes.digest(labels, made.spec) == made.digest
    assert name == file_name(made.dataset, made.split, made.spec)


def test_shipped_lists_are_those_that_the_command_makes(tmp_path: Path):
    pin_shipped(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == tasklists.shipped()
    for path in tmp_path.iterdir():
        assert tasklists.read(str(path)) == tasklists.read(path.stem)


def test_what_is_written_is_read(tmp_path: Path):
    made = tasklists.pin("mine", "novel", labels_of([(3, 20), (2, 25)]), TaskSpec(n_tasks=7, seed=9))
    assert made.class_sizes == ((3, 20), (2, 25))
    tasklists.write(tmp_path / "mine.toml", made)
    assert tasklists.read(str(tmp_path / "mine.toml")) == made


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(3, 2, None, 9),
        TaskSpec(3, 2, 4, 9, query_alpha=0.5, least_shot=1),
        TaskSpec(3, 2, 4, 9, disjoint=True),
        TaskSpec(2, 2, 4, 9, classes=('a "b"', "ü")),
    ],
    ids=lambda spec: spec.name,
)
def test_every_kind_of_list_is_read_as_written(tmp_path: Path, spec):
    names = ('a "b"', "ü", "c")
    made = tasklists.pin("mine", "novel", labels_of([(3, 20)]), spec, names)
    tasklists.write(tmp_path / "mine.toml", made)
    assert tasklists.read(str(tmp_path / "mine.toml")) == made
    made.check(labels_of([(3, 20)]), names)


def test_other_images_are_refused():
    made = tasklists.read("cifar-fs-novel-5w1s")
    with pytest.raises(
        FsbenchError, match="20 classes of 600 images, but the images at hand are 20 classes of 599"
    ):
        made.check(labels_of([(20, 599)]))


def test_unknown_names_and_broken_files_are_one_line(tmp_path: Path):
    with pytest.raises(
        FsbenchError, match="unknown task list 'cifar-novel-5w1s'; did you mean 'cifar-fs-novel-5w1s'"
    ):
        tasklists.read("cifar-novel-5w1s")
    with pytest.raises(FsbenchError, match=r"cannot read task list .*absent\.toml: no such file"):
        tasklists.read(str(tmp_path / "absent.toml"))
    broken = tmp_path / "broken.toml"
    for text in ("n_way = ", "n_way = 5", 'x = 1\ndigest = ""'):
        broken.write_text(text)
        with pytest.raises(FsbenchError, match="not a list of fsbench"):
            tasklists.read(str(broken))
    made = tasklists.read("cifar-fs-novel-5w1s")
    tasklists.write(broken, replace(made, sampler="uniform-0"))
    with pytest.raises(FsbenchError, match="drawn by sampler 'uniform-0', but this one is 'uniform-1'"):
        tasklists.read(str(broken))


if __name__ == "__main__":
    pin_shipped(Path(__file__).parent.parent / "episodes")
