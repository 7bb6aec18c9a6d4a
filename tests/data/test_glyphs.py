"""The embedded synthetic images: pinned, and separated by structure but not by pixels or colours."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from fsbench._util.session import Session
from fsbench.data import glyphs

SPLITS = [(name, split) for name in glyphs.NAMES for split in glyphs.CLASSES[name]]
N_WAY, N_QUERY, N_TASKS = 5, 15, 300


def class_names(name: str, split: str) -> list[str]:
    return [f"{split}-{number:02d}" for number in range(glyphs.CLASSES[name][split])]


@pytest.fixture(scope="module", params=glyphs.NAMES)
def novel(request) -> np.ndarray:
    """Some images of each novel class, (20, 40, 32, 32, 3) in 0..1."""
    drawn = [glyphs.draw_class(request.param, name, 40) for name in class_names(request.param, "novel")]
    return np.stack(drawn).astype(np.float32) / 255


def one_shot_accuracy(values: np.ndarray) -> float:
    """5-way 1-shot accuracy of the nearest support image; values are (classes, items, d)."""
    rng, right = np.random.default_rng(0), []
    for _ in range(N_TASKS):
        classes = rng.choice(len(values), N_WAY, replace=False)
        items = np.stack(
            [values[c, rng.choice(values.shape[1], 1 + N_QUERY, replace=False)] for c in classes]
        )
        support, query = items[:, 0], items[:, 1:]  # (way, d), (way, query, d)
        distance = np.square(query).sum(-1)[..., None] - 2 * query @ support.T + np.square(support).sum(-1)
        right.append(distance.argmin(-1) == np.arange(N_WAY)[:, None])
    return float(np.mean(right))


def overlaps(name: str) -> np.ndarray:
    """Intersection over union of the ink of every two classes' undistorted figures."""
    shapes = []
    for split in glyphs.CLASSES[name]:
        for class_name in class_names(name, split):
            strokes = glyphs.figure(name, class_name)[None]
            shapes.append(glyphs.ink(strokes, np.float32([0.08]), np.float32([1]))[0])
    pairs = itertools.combinations(shapes, 2)
    return np.array(
        [np.minimum(first, second).sum() / np.maximum(first, second).sum() for first, second in pairs]
    )


@pytest.mark.parametrize(
    ("name", "class_name", "digest"),
    [
        ("glyphs", "base-63", "f9bfc5818e36aab2"),
        ("glyphs", "val-15", "e3944fb91f809a1e"),
        ("glyphs", "novel-19", "1eff8f9486efaca6"),
        ("glyphs-fine", "novel-19", "c88d1e338a5037c1"),
    ],
)
def test_images_are_pinned(name, class_name, digest):
    """If the images change, all results on these data sets must be computed again."""
    images = glyphs.draw_class(name, class_name, glyphs.PER_CLASS)
    assert hashlib.sha256(images).hexdigest()[:16] == digest


def test_listing_has_its_splits_and_no_image_twice(monkeypatch):
    monkeypatch.setattr(glyphs, "PER_CLASS", 2)
    images = []
    for name, n_classes in (("glyphs", [64, 16, 20]), ("glyphs-fine", [20])):
        listing = glyphs.draw(name)
        assert list(listing) == ["base", "val", "novel"][-len(n_classes) :]
        assert [len(classes) for classes in listing.values()] == n_classes
        names = [class_name for classes in listing.values() for class_name in classes]
        assert len(set(names)) == len(names)
        for classes in listing.values():
            for items in classes.values():
                assert list(items) == ["000", "001"]
                images += items.values()
    assert {(image.shape, image.dtype) for image in images} == {((32, 32, 3), np.dtype(np.uint8))}
    assert len({image.tobytes() for image in images}) == 2 * 120


def test_an_image_depends_only_on_its_name():
    many, few = (glyphs.draw_class("glyphs", "val-03", n) for n in (9, 4))
    assert (many[:4] == few).all()
    assert len({image.tobytes() for image in many}) == 9
    assert (glyphs.draw_class("glyphs", "val-04", 4) != few).any()
    assert (glyphs.draw_class("glyphs-fine", "val-03", 4) != few).any()


def test_quiet_is_silent(monkeypatch, capsys):
    monkeypatch.setattr(glyphs, "PER_CLASS", 1)
    glyphs.draw("glyphs-fine")
    assert capsys.readouterr() == ("", "")


def test_ink_covers_the_stroke():
    """A horizontal line through the centre, one and a half pixels thick on each side."""
    line = np.float32([[[[-0.5, 0], [0, 0], [0.5, 0]]]])
    cover = glyphs.ink(line, np.float32([1.5 / 16]), np.float32([1]))[0]
    # rows 15 and 16 lie half a pixel from the line, rows 14 and 17 a pixel and a half, on the edge
    np.testing.assert_allclose(cover[13:19, 16], [0, 0.5, 1, 1, 0.5, 0], atol=1e-5)
    np.testing.assert_array_equal(cover[:13], 0)
    assert cover[15, 8] == cover[15, 23] == 1  # the ends of the line
    np.testing.assert_array_equal(cover[:, [4, 27]], 0)  # beyond the ends


def test_pixels_do_not_separate_classes(novel):
    flat = novel.reshape(*novel.shape[:2], -1)
    assert one_shot_accuracy(flat) < 0.40
    assert one_shot_accuracy(flat / np.linalg.norm(flat, axis=-1, keepdims=True)) < 0.40


def test_colours_do_not_separate_classes(novel):
    colours = np.concatenate([novel.mean(axis=(2, 3)), novel.std(axis=(2, 3))], axis=-1)
    assert one_shot_accuracy(colours) < 0.23  # chance is 0.20


def test_structure_separates_classes_and_fine_ones_are_more_similar():
    coarse, fine = overlaps("glyphs"), overlaps("glyphs-fine")
    assert max(coarse.max(), fine.max()) < 0.85  # no two classes are nearly the same figure
    assert np.median(fine) > 0.5 > np.quantile(coarse, 0.99)


@pytest.mark.slow
def test_whole_data_sets_are_pinned():
    digests = {}
    for name in glyphs.NAMES:
        images = [
            image
            for classes in glyphs.draw(name).values()
            for items in classes.values()
            for image in items.values()
        ]
        assert len({image.tobytes() for image in images}) == len(images)
        digests[name] = hashlib.sha256(np.stack(images)).hexdigest()[:16]
    assert digests == {"glyphs": "395e6f43e768bc54", "glyphs-fine": "dbc3b89383f44baa"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_conv4_is_neither_perfect_nor_at_chance(tmp_path: Path):
    """Few epochs of ERM leave room for better and for worse recipes."""
    from fsbench.evaluation.run import Output, evaluate
    from fsbench.evaluation.subjects import Images
    from fsbench.tasks.spec import TaskSpec
    from fsbench.training.loop import train_backbone
    from fsbench.training.overrides import resolve
    from fsbench.training.recipe import load_recipe
    from fsbench.training.run import TrainingSpec

    device = torch.device("cpu")
    recipe = resolve(load_recipe("erm"), epochs=[5], batch_size=64)
    run = train_backbone(
        recipe, TrainingSpec("glyphs"), out=tmp_path / "erm", session=Session(tmp_path, device, quiet=True)
    )
    coarse, fine = evaluate(
        run.best,
        tasks=[TaskSpec(n_way=5, n_shot=1, n_tasks=2000)],
        images=Images(glyphs.NAMES),
        session=Session(tmp_path, device, quiet=True),
        output=Output(tmp_path / "results"),
    )
    assert 0.50 < coarse.outcome.accuracy < 0.85
    assert 0.25 < fine.outcome.accuracy < coarse.outcome.accuracy - 0.10
