"""Arguments that are almost right, and the default results folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsbench.cli import main
from fsbench.cli._options import results_folder
from fsbench.data.loading import find_store
from fsbench.data.preparation import prepare

SMALL = "--n-shot 1 --n-query 3 --n-tasks 20 --head nearest-mean --device cpu --quiet"


def test_the_folder_of_a_run_stands_for_its_best_checkpoint(
    trained: Path, cache: Path, tmp_path: Path, capsys
):
    for subject in (trained, trained / "best.safetensors"):
        assert main(f"evaluate {subject} --cache {cache} --out {tmp_path} {SMALL}".split()) == 0
        assert "1 result" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("*.json"))) == 1
    assert main(f"extract {trained} --cache {cache} --out {tmp_path}/f.h5 --device cpu --quiet".split()) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "evaluate resnet50",
            "cannot read resnet50: no such file or directory; a model of another library is timm:",
        ),
        ("evaluate absent/x.h5", "cannot read absent/x.h5: no such file or directory\n"),
        ("evaluate .", ".: is a folder without best.safetensors; name a file or a run's folder\n"),
        (
            "evaluate x --backbone resnet50",
            "unknown backbone 'resnet50'; choose conv4, resnet10, resnet12, resnet18, wrn28-10. "
            "Models of other libraries: timm:resnet50, torchvision:resnet50\n",
        ),
        (
            "evaluate x --split test",
            "--split must be base, val or novel, but is 'test'; did you mean 'novel'?\n",
        ),
        ("evaluate x --split Train", "but is 'Train'; did you mean 'base'?\n"),
        ("extract x --split VAL", "but is 'VAL'; did you mean 'val'?\n"),
        ("leaderboard", "results: there is no such folder; fsbench evaluate writes results\n"),
    ],
)
def test_the_message_names_what_was_meant(line: str, message: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_too_few_images_suggest_a_number_of_queries(trained: Path, cache: Path, tmp_path: Path, capsys):
    line = f"evaluate {trained} --cache {cache} --out {tmp_path} --device cpu --quiet --n-query 25 --n-shot "
    assert main([*line.split(), "4"]) == 2
    assert "class has only 20 images (" in (error := capsys.readouterr().err)
    assert "); use --n-query 16, or leave out small classes with --classes" in error
    assert main([*line.split(), "20"]) == 2
    assert "use a smaller --n-shot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "nearest-mean bd-cspn",
            "head bd-cspn (cl2n) needs the mean of the base features of tiny, which is not prepared; "
            "prepare it, pass --base FILE, or use --preprocess l2\n",
        ),
        (
            "distribution-calibration bd-cspn",
            "head distribution-calibration (tukey) needs the base features of tiny, which is not prepared; "
            "prepare it or pass --base FILE\n",
        ),
    ],
)
def test_a_head_names_the_base_images_that_it_needs(
    flags: str, message: str, trained: Path, tiny_folder: Path, tmp_path: Path, capsys
):
    """The user asks for another data set, which is prepared."""
    prepare("other", tiny_folder, cache=tmp_path, quiet=True)
    line = f"evaluate {trained} --dataset other --cache {tmp_path} --out {tmp_path}/r {SMALL}"
    assert main([*line.split(), "--head", *flags.split()]) == 2
    assert capsys.readouterr().err == f"fsbench: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{trained} {here}/nix", "cannot read {here}/nix: no such file or directory"),
        ("{trained} {here}/table.csv", "table.csv"),
        ("{trained} timm:nix", "timm has no model 'nix'"),
        ("{trained} {features} --split val", "holds split novel, not val"),
        ("{trained} {features} --base {here}/nix", "--base {here}/nix: no such file"),
        ("{trained} --base {here}/nix", "--base {here}/nix: no such file"),
        ("{features} --base {here}/nix", "--base {here}/nix: no such file"),
        ("{features} {trained} --base {here}/table.csv", "table.csv: not a readable feature store"),
        ("{features} {trained} --cache {here}/empty", "data set 'tiny'"),
    ],
)
def test_every_subject_is_checked_before_the_first_is_evaluated(
    line: str, message: str, trained: Path, cache: Path, tmp_path: Path, capsys, monkeypatch
):
    place = {"trained": trained, "here": tmp_path, "features": tmp_path / "f.h5"}
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    features = f"extract {trained} --cache {cache} --out {place['features']} --device cpu --quiet"
    assert main(features.split()) == 0
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    capsys.readouterr()
    assert main(f"evaluate {line} --out {tmp_path}/results {SMALL}".format(**place).split()) == 2
    assert message.format(**place) in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_results_go_elsewhere_in_a_clone(tmp_path: Path, monkeypatch):
    """There, `results` holds the tracked results of the project."""
    monkeypatch.chdir(tmp_path)
    assert results_folder(None) == Path("results")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert results_folder(None) == Path("results")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "fsbench"\n')
    assert results_folder(None) == Path("runs", "results")
    assert results_folder(Path("results")) == Path("results")
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    assert results_folder(None) == Path("runs", "results")
    assert "/runs/" in (root / ".gitignore").read_text().splitlines()


def test_a_checkpoint_is_evaluated_on_the_images_it_was_trained_on(
    trained: Path, cache: Path, tiny_folder: Path, tmp_path: Path, capsys
):
    """A store of another size may hold other images; the fingerprint in the checkpoint tells which."""
    own = tmp_path / "cache"
    prepare("tiny", tiny_folder, cache=own, quiet=True)
    other = tmp_path / "images"
    for split, count in (("base", 6), ("val", 5), ("novel", 7)):
        for name in range(count):
            folder = other / split / f"{split}{name}"
            folder.mkdir(parents=True)
            for item in range(20):
                noise = np.random.default_rng([name, item]).integers(256, size=(20, 20, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{item}.png")
    prepare("tiny", other, cache=own, quiet=True)
    assert main(["evaluate", str(trained), "--cache", str(own), "--out", str(tmp_path), *SMALL.split()]) == 0
    assert "tiny novel" in capsys.readouterr().out
    names = ["--head", "bd-cspn"]  # needs base images as well
    line = ["evaluate", str(trained), "--cache", str(own), "--out", str(tmp_path), *SMALL.split(), *names]
    assert main(line) == 0
    with pytest.raises(Exception, match="hold different images; choose one as tiny@20"):
        find_store("tiny", own)
