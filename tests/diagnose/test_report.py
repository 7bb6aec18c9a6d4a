"""A real report on two checkpoints of a small data set."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.data.loading import load
from fsbench.diagnose import SECTIONS, _spectrum, diagnose, study
from fsbench.diagnose import _plots as plots
from fsbench.diagnose import _report as report
from fsbench.diagnose import _toy as toy
from fsbench.diagnose._published import published
from fsbench.diagnose._section import ReportSection, TextTable
from fsbench.diagnose.run import OF_CHECKPOINTS
from fsbench.diagnose.study import evenly, load_study
from fsbench.evaluation import inference, result_files
from fsbench.features.extract import embed
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.models import checkpoint
from fsbench.models.backbones import build
from fsbench.models.checkpoint import load_network
from fsbench.models.pretrained.transform import standard_transform
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(cache: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diagnosis")
    paths = [trained / "best.safetensors", trained / "last.safetensors"]
    return diagnose(paths, out, only=list(OF_CHECKPOINTS), session=Session(cache, CPU, quiet=True))


@pytest.mark.slow
def test_every_section_has_a_row_for_every_checkpoint(measured: Path):
    text = measured.read_text(encoding="utf-8")
    sections = dict(zip(*[iter(re.split(r"^## (.*)$", text, flags=re.M)[1:])] * 2, strict=True))
    assert len(re.findall(r"^\| erm/(?:best|last) +\| +conv4 \|", sections.pop("Networks"), flags=re.M)) == 2
    claimed = sections.pop("What mixing is said to change")
    assert re.search(r"^\| number +\| +claimed +\| +erm/best +\| +erm/last +\|$", claimed, flags=re.M)
    assert len(sections) == len(OF_CHECKPOINTS) - 1  # neither was trained on label noise
    for body in sections.values():
        for name in ("best", "last"):
            assert re.search(rf"^\| erm/{name} +\|", body, flags=re.M)


@pytest.mark.slow
def test_all_figures_are_written_and_on_the_page(measured: Path):
    named = re.findall(r"!\[.*\]\((.*)\)", measured.read_text(encoding="utf-8"))
    page = measured.with_suffix(".html").read_text(encoding="utf-8")
    assert len(named) >= 8
    for name in named:
        assert (measured.parent / name).read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == len(named)
    assert not re.search(r"https?://|url\(", page)  # no request to the network
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in page


def test_one_network_alone_is_not_compared(cache: Path, trained: Path):
    """Neither with itself in a panel, nor as the only dot of a scatter plot."""
    one, two = (
        _spectrum.section(load_study(paths, session=Session(cache, CPU, quiet=True))).figures
        for paths in (
            [trained / "best.safetensors"],
            [trained / f"{n}.safetensors" for n in ("best", "last")],
        )
    )
    assert {caption: len(figure.axes) for caption, figure in one.items()} == {
        "mean spectrum of a novel class": 1
    }
    assert {caption: len(figure.axes) for caption, figure in two.items()} == {
        "mean spectrum of a novel class": 2, "novel features and accuracy": 4,
    }  # fmt: skip


@pytest.mark.slow
def test_numbers_are_kept_unrounded(measured: Path):
    values = json.loads(measured.with_suffix(".json").read_text())
    assert set(values) == {"networks", "claims", *OF_CHECKPOINTS} - {"noise"}
    attacks = values["attack"]["few-shot"]["erm/best"]
    assert len(attacks) == 1 + 4 + 4 + 1  # clean, FGSM, transferred, iterated
    assert 0 <= values["calibration"]["erm/best"]["base ECE"] <= 100


@pytest.mark.slow
def test_claims_are_differences_of_the_numbers_below_them(measured: Path):
    values = json.loads(measured.with_suffix(".json").read_text())
    best, last = (values["attack"]["few-shot"][f"erm/{name}"]["FGSM 4"]["mean"] for name in ("best", "last"))
    claim = values["claims"]["few-shot accuracy, FGSM 4"]
    assert claim["erm/best"] == pytest.approx(best)
    assert claim["differences"]["erm/last"]["mean"] == pytest.approx(last - best)
    best, last = (values["calibration"][f"erm/{name}"]["confidence, noise"] for name in ("best", "last"))
    assert values["claims"]["confidence on noise, %"]["differences"]["erm/last"]["mean"] == pytest.approx(
        last - best, abs=1e-4
    )


@pytest.mark.slow
def test_clean_accuracy_is_the_same_wherever_it_is_measured(measured: Path):
    values = json.loads(measured.with_suffix(".json").read_text())
    for kind in ("base", "few-shot"):
        for name, row in values["attack"][kind].items():
            assert row["clean 0"] == values["deform"][kind][name]["none"]
    for name, row in values["calibration"].items():
        assert row["base accuracy"] == pytest.approx(values["attack"]["base"][name]["clean 0"]["mean"])


def test_base_scores_and_novel_features_are_those_of_the_trained_network(cache: Path, trained: Path):
    path = trained / "best.safetensors"
    study = load_study([path], session=Session(cache, CPU, quiet=True))
    (trained,) = study.networks
    tensors, _ = checkpoint.read(path)
    backbone, _, _ = checkpoint.read_backbone(path)
    images = trained.images(study.novel.pixels[:4])
    assert images.min() >= 0
    assert images.max() <= 1
    features = torch.from_numpy(
        embed(backbone, standard_transform(backbone.image_size), study.novel.pixels[:4], Session(quiet=True))
    )
    torch.testing.assert_close(trained.features(images), features, rtol=1e-3, atol=1e-4)
    network, _ = load_network(path)
    assert torch.equal(network.classifier.direction, tensors["classifier.direction"])
    torch.testing.assert_close(trained.scores(images), network.classifier(features), rtol=1e-3, atol=1e-4)


def test_few_shot_batches_equal_those_of_the_evaluation(cache: Path, trained: Path):
    """The differentiable scores of whole tasks give the same answers as the head on extracted features."""
    study = load_study([trained / "best.safetensors"], session=Session(cache, CPU, quiet=True))
    (trained,) = study.networks
    right = [
        (batch.scores(batch.images).argmax(dim=1) == batch.answers).double().mean()
        for batch in study.batches(trained, "few-shot")
    ]
    values = l2(torch.from_numpy(trained.novel.values), None)
    expected = inference.accuracies(
        values, study.novel.labels, study.episodes, find_head("nearest-mean")
    ).mean()
    assert torch.stack(right).mean().item() == pytest.approx(expected, abs=2 / 450)


@pytest.mark.parametrize(
    ("runs", "short"),
    [
        (["erm-cosine-conv4-s0", "erm-linear-conv4-s0"], ["erm-cosine", "erm-linear"]),
        (["erm-s0", "mixup-paper-s0"], ["erm", "mixup-paper"]),
        (["erm-s0", "erm-s1"], ["erm-s0", "erm-s1"]),
        (["erm-s0", "erm-s0"], ["erm", "erm"]),
    ],
)
def test_run_names_omit_their_common_ending(runs, short):
    assert study._without_common_end(runs) == short


def test_more_questions_are_more_images_and_tasks(cache: Path, trained: Path):
    study = load_study([trained / "best.safetensors"], questions=45, session=Session(cache, CPU, quiet=True))
    for kind, count in (("base", 42), ("few-shot", 45)):  # six base classes
        assert sum(len(b.answers) for b in study.batches(study.networks[0], kind)) == count
    with pytest.raises(FsbenchError, match="questions must be at least 30, but is 29"):
        load_study([trained / "best.safetensors"], questions=29, session=Session(cache, CPU, quiet=True))


def test_images_are_drawn_evenly_and_the_same_each_time(cache: Path):
    labels = load("tiny", "base", cache).labels
    rows = evenly(labels, 30)
    assert torch.bincount(torch.from_numpy(labels[rows])).tolist() == [5] * 6
    assert len(set(rows)) == 30
    assert (evenly(labels, 30) == rows).all()


def test_toy_problems_need_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    section = toy.section(seeds=1, steps=2)
    monkeypatch.setattr(toy, "section", lambda: section)
    path = diagnose([], tmp_path, only=["toy"], session=Session(quiet=True))
    text = path.read_text(encoding="utf-8")
    assert "## Toy problems" in text
    assert "| manifold-mixup |" in text
    assert len(list((tmp_path / "figures").glob("toy-*.png"))) == 3


def test_equal_numbers_are_equal_files(tmp_path: Path):
    first, again = (
        report.write(tmp_path / name, "T", "L", [toy.section(seeds=1, steps=2)]) for name in ("a", "b")
    )
    for path in sorted(first.parent.rglob("*.*")):
        assert path.read_bytes() == (again.parent / path.relative_to(first.parent)).read_bytes()


def test_a_report_beside_results_is_no_result(tmp_path: Path):
    report.write(tmp_path / "diagnose" / "some", "T", "L", [ReportSection("x", "X", "", ())])
    assert list(tmp_path.rglob("*.json"))
    assert result_files.paths(tmp_path) == []


def test_a_panel_without_curves_is_left_out():
    """For example the panel of transferred attacks without a second network."""
    figure = plots.panels([plots.Panel("a", {"erm": [(0, 1), (1, 2)]}), plots.Panel("b", {})], "x")
    assert [axes.get_title() for axes in figure.axes] == ["a"]


def test_names_cannot_break_the_page(tmp_path: Path):
    section = ReportSection("x", "<b>", "a < b & c", (TextTable(("<i>",), (("<script>",),)),))
    report.write(tmp_path, "<title>", "&", [section])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "a &lt; b &amp; c" in page


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_networks_on_embedded_images_take_a_minute_of_two_cores(tmp_path: Path):
    cache = tmp_path / "cache"
    runs = [
        train_backbone(
            resolve(load_recipe(name), epochs=[1], batch_size=64),
            TrainingSpec("glyphs"),
            out=tmp_path / name,
            session=Session(cache, CPU, quiet=True),
        )
        for name in ("erm", "mixup")
    ]
    begin = time.process_time()
    path = diagnose([run.best for run in runs], tmp_path / "report", session=Session(cache, CPU, quiet=True))
    assert time.process_time() - begin < 120
    text = path.read_text(encoding="utf-8")
    assert "The images are synthetic." in text
    assert len(re.findall("^## ", text, flags=re.M)) == len(SECTIONS) - 1 + 2  # no noise; networks, claims


@pytest.mark.parametrize("section", ["attack", "deform", "calibration", "spectrum"])
def test_published_rows_say_where_they_were_read(section):
    table = published(section)
    assert table is not None
    for row in table.rows:
        assert len(row) == len(table.columns)
        assert row[-1].startswith("arXiv:")


def test_published_sections_exist():
    assert published("toy") is None
    assert {name for name in SECTIONS if published(name)} == {"attack", "deform", "calibration", "spectrum"}


def test_bad_arguments_are_one_line(cache: Path, trained: Path, tmp_path: Path):
    best = trained / "best.safetensors"
    with pytest.raises(FsbenchError, match=r"unknown section 'atack'; did you mean 'attack'\?"):
        diagnose([best], tmp_path, only=["atack"], session=Session(cache, CPU, quiet=True))
    with pytest.raises(FsbenchError, match="sections deform need at least one checkpoint"):
        diagnose([], tmp_path, only=["deform"], session=Session(cache, CPU, quiet=True))
    with pytest.raises(FsbenchError, match="must differ"):
        diagnose([best, best], tmp_path, only=["deform"], session=Session(cache, CPU, quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_other_images_is_refused(cache: Path, trained: Path, tmp_path: Path):
    tensors, _ = checkpoint.read(trained / "best.safetensors")
    provenance = checkpoint.load_provenance(trained / "best.safetensors")
    other = tmp_path / "other.safetensors"
    checkpoint.write(other, tensors, replace(provenance, source_fingerprint="0" * 64))
    with pytest.raises(FsbenchError, match="not on the images of tiny in the cache"):
        load_study([other], session=Session(cache, CPU, quiet=True))


def test_weights_of_another_network_are_refused(trained: Path, tmp_path: Path):
    provenance = checkpoint.load_provenance(trained / "best.safetensors")
    other = tmp_path / "other.safetensors"
    checkpoint.write(other, build("conv4", 16).state_dict(prefix="backbone."), provenance)
    with pytest.raises(FsbenchError, match=r"classifier\.direction is missing"):
        load_network(other)
