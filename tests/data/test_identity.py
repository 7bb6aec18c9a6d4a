"""The same images are the same data set, whatever their file names, order and layout."""

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsbench.data import _layouts, identity, image_store, registry
from fsbench.data.decode import pixel_digests
from fsbench.data.identity import Identity
from fsbench.data.loading import find_store, load
from fsbench.data.preparation import prepare
from fsbench.tasks.sampler import digest, rows_of, sample
from fsbench.tasks.spec import TaskSpec

SPLITS = {"base": 3, "val": 2, "novel": 4}  # classes
PER_CLASS, SIZE = 6, 8
RNG = np.random.default_rng(0)
PIXELS = {
    split: RNG.integers(256, size=(n, PER_CLASS, SIZE, SIZE, 3), dtype=np.uint8)
    for split, n in SPLITS.items()
}


def folders(root: Path, suffix: str = "png", seed: int = 0) -> Path:
    """The images in class folders, with names and orders drawn by seed."""
    rng = np.random.default_rng(seed)
    for split, classes in PIXELS.items():
        for number, label in enumerate(rng.permutation(len(classes))):
            folder = root / split / f"{split}{rng.integers(1 << 30)}-{number}"
            folder.mkdir(parents=True)
            for image in rng.permutation(classes[label]):
                Image.fromarray(image).save(folder / f"{rng.integers(1 << 30)}.{suffix}")
    return root


def function(root: Path) -> Path:
    """The same images in arrays that a user's function returns."""
    root.mkdir()
    np.savez(root / "pixels.npz", **PIXELS)
    (root / "mine.py").write_text(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "def images():\n"
        "    found = np.load(Path(__file__).parent / 'pixels.npz')\n"
        "    return {split: {f'{split}{i}': list(found[split][i]) for i in range(len(found[split]))}\n"
        "            for split in found}\n"
    )
    return Path(f"{root / 'mine.py'}:images")


def table(root: Path) -> Path:
    """The same images in a data set saved by Hugging Face's library."""
    datasets = pytest.importorskip("datasets")
    parts = {}
    for split, classes in PIXELS.items():
        images = [Image.fromarray(image) for images in classes[::-1] for image in images]
        labels = [f"{split}-{len(classes) - i}" for i in range(len(classes)) for _ in range(PER_CLASS)]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
        name = {"base": "train", "val": "validation", "novel": "test"}[split]
        parts[name] = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    datasets.DatasetDict(parts).save_to_disk(str(root))
    return root


FORMS = {
    "png": lambda root: folders(root, seed=0),
    "other names and order": lambda root: folders(root, seed=1),
    "bmp": lambda root: folders(root, "bmp", seed=2),
    "tiff": lambda root: folders(root, "tiff", seed=3),
    "function": function,
    "datasets": table,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The cache of each form, prepared under the name `mine`."""
    caches = {}
    for name, write in FORMS.items():
        root = tmp_path_factory.mktemp("form")
        caches[name] = root / "cache"
        prepare("mine", write(root / "images"), cache=caches[name], quiet=True)
    return caches


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_form_gives_the_same_images_in_the_same_order(prepared, form: str, split: str):
    expected, images = load("mine", split, prepared["png"]), load("mine", split, prepared[form])
    assert expected.fingerprint == images.fingerprint
    np.testing.assert_array_equal(expected.pixels, images.pixels)
    np.testing.assert_array_equal(expected.labels, images.labels)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_tasks(prepared, form: str):
    spec = TaskSpec(n_way=3, n_shot=1, n_query=2, n_tasks=20)
    images = []
    for cache in (prepared["png"], prepared[form]):
        split = load("mine", "novel", cache)
        images.append(split.pixels[rows_of(sample(split.labels, spec))])
    np.testing.assert_array_equal(*images)


def test_images_are_ordered_by_digest_at_native_size(prepared):
    """Compare with the definition in plain code."""
    novel = load("mine", "novel", prepared["png"])
    shape = np.array([SIZE, SIZE], dtype="<i8").tobytes()
    classes = []
    for images in PIXELS["novel"]:
        digests = sorted(hashlib.sha256(shape + image.tobytes()).digest() for image in images)
        classes.append((hashlib.sha256(b"".join(digests)).digest(), digests))
    classes.sort()
    fingerprint = hashlib.sha256(b"".join(name for name, _ in classes)).hexdigest()
    assert novel.fingerprint == fingerprint
    stored = [hashlib.sha256(shape + image.tobytes()).digest() for image in novel.pixels]
    assert stored == [item for _, items in classes for item in items]


def test_the_stored_size_changes_neither_fingerprint_nor_order(prepared):
    cache = prepared["function"]
    before = image_store.digests(find_store("mine", cache), "novel")
    form = cache.parent / "images" / "mine.py"
    path = prepare("mine", Path(f"{form}:images"), cache=cache, image_size=5, quiet=True)
    assert image_store.digests(path, "novel") == before
    assert image_store.fingerprints(path) == image_store.fingerprints(find_store("mine@8", cache))


@pytest.mark.parametrize("change", ["pixel", "class", "fewer"])
def test_other_images_change_the_fingerprint(prepared, tmp_path: Path, change: str):
    root = folders(tmp_path / "images")
    first, second = sorted((root / "novel").iterdir())[:2]
    image = sorted(first.iterdir())[0]
    if change == "pixel":
        with Image.open(image) as opened:
            pixels = np.asarray(opened).copy()
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(image)
    elif change == "class":
        image.rename(second / "moved.png")
    else:
        image.unlink()
    path = prepare("mine", root, cache=tmp_path / "cache", quiet=True)
    before = dict(image_store.fingerprints(find_store("mine", prepared["png"])))
    after = dict(image_store.fingerprints(path))
    assert {split for split in SPLITS if before[split] != after[split]} == {"novel"}


def test_the_shape_is_part_of_the_digest():
    flat = np.zeros((2, 8, 3), dtype=np.uint8)
    first, second = pixel_digests([flat, flat.reshape(8, 2, 3)])
    assert first != second


def test_names_order_only_equal_images():
    images = {"b": {"y": b"1", "x": b"1", "z": b"0"}, "a": {"q": b"1", "p": b"0", "r": b"1"}}
    ordered = identity.ordered(images)
    assert list(ordered) == ["a", "b"]  # the same images
    assert ordered == {"a": ["p", "q", "r"], "b": ["z", "x", "y"]}


def test_a_decoder_change_is_named_if_every_file_is_the_same():
    now = Identity("f" * 64, "files", "Pillow 12")
    assert identity.explain_mismatch("files", "Pillow 11", now) == (
        "; every file is the same, but Pillow 12 decodes them differently from Pillow 11"
    )
    assert identity.explain_mismatch("other files", "Pillow 11", now) == ""
    assert identity.explain_mismatch("files", "Pillow 12", now) == ""
    assert identity.explain_mismatch(None, None, now) == ""


def test_cifar_fs_from_pickles_and_from_folders_is_the_same_data_set(tmp_path: Path, monkeypatch):
    """torchvision's CIFAR-100 against class folders, with four of the classes of each split."""
    listed = {split: names[:2] for split, names in _layouts.class_list("cifar-fs").items()}
    names = sorted(name for part in listed.values() for name in part)
    pixels = RNG.integers(256, size=(len(names), 4, 32, 32, 3), dtype=np.uint8)
    pickles = tmp_path / "cifar-100-python"
    pickles.mkdir()
    (pickles / "meta").write_bytes(pickle.dumps({"fine_label_names": names}, protocol=2))
    for part, half in (("train", slice(2)), ("test", slice(2, 4))):
        flat = pixels[:, half].transpose(0, 1, 4, 2, 3).reshape(-1, 3072)
        document = {
            "data": flat,
            "fine_labels": np.repeat(np.arange(len(names)), 2).tolist(),
            "filenames": [f"{part}_{i}.png" for i in range(len(flat))],
        }
        (pickles / part).write_bytes(pickle.dumps(document, protocol=2))
    for split, classes in listed.items():
        for name in classes:
            folder = tmp_path / "folders" / split / name
            folder.mkdir(parents=True)
            for i, image in enumerate(pixels[names.index(name)]):
                Image.fromarray(image).save(folder / f"{9 - i}.png")
    monkeypatch.setattr(_layouts, "class_list", lambda name: listed)
    few = {"n_classes": (2, 2, 2), "split_of": lambda _: None}
    monkeypatch.setitem(registry.SOURCES, "cifar-fs", replace(registry.SOURCES["cifar-fs"], **few))
    stores = [
        prepare("cifar-fs", tmp_path / folder, cache=tmp_path / cache, quiet=True)
        for folder, cache in ((".", "a"), ("folders", "b"))
    ]
    assert image_store.fingerprints(stores[0]) == image_store.fingerprints(stores[1])
    for split in listed:
        first, second = (image_store.read(path, split) for path in stores)
        assert first.class_names == second.class_names
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert digest(first.labels, TaskSpec(2, 1, 1, 5)) == digest(second.labels, TaskSpec(2, 1, 1, 5))
