"""The command line as users run it: its output, the files that it writes and its errors."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cyclopts.annotations import get_choices_from_hint
from PIL import Image

from fsbench.cli import _names, main
from fsbench.data.glyphs import NAMES
from fsbench.data.listing import SPLITS
from fsbench.data.registry import SOURCES
from fsbench.diagnose import SECTIONS
from fsbench.heads import HEADS
from fsbench.heads.preprocess import PREPROCESS
from fsbench.models.backbones import BACKBONES
from fsbench.report.plots import KINDS
from fsbench.training.precision import PRECISIONS
from fsbench.training.recipe import recipe_names

SMALL = ["--n-way", "5", "--n-shot", "1", "--n-query", "3", "--n-tasks", "20"]
DEVICE = ["--device", "cpu"]


def command(*arguments: str | Path, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "fsbench", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, **options)


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def results(trained: Path, cache: Path, tmp_path: Path) -> Path:
    out = tmp_path / "results"
    assert run("evaluate", trained / "best.safetensors", *SMALL, *DEVICE, "--cache", cache, "--out", out) == 0
    return out


class TestHelp:
    @pytest.mark.parametrize(
        "command",
        [
            [],
            ["quickstart"],
            ["data"],
            ["data", "prepare"],
            ["train-backbone"],
            ["extract"],
            ["evaluate"],
            ["predict"],
            ["compare"],
            ["leaderboard"],
            ["reproduce"],
            ["validate"],
            ["plot"],
            ["diagnose"],
            ["doctor"],
            ["completion"],
        ],
    )
    def test_every_command_explains_itself(self, command, capsys):
        assert main([*command, "--help"]) == 0
        text = capsys.readouterr().out
        assert " ".join(["Usage: fsbench", *command]) in text
        assert "[ARGS]" not in text
        assert "Example" in text or command in ([], ["data"])
        assert main(["help", *command]) == 0
        assert capsys.readouterr().out == text
        if command in ([], ["data"]):
            assert main(command) == 0
            assert capsys.readouterr().out == text

    def test_it_says_groups_defaults_names_and_arguments(self, capsys):
        main(["evaluate", "--help"])
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        places = [text.index(f"─ {group} ─") for group in ("Arguments", "Model", "Tasks", "Heads", "Output")]
        assert places == sorted(places)
        for part in (
            "[default: 1 5]",
            "[default: nearest-mean logistic]",
            "[choices: base, val, novel] [default: novel]",
            "Default: results; in a clone of fsbench",
            "laplacian-shot",
            "SUBJECT... Checkpoints, folders of runs, feature files",
        ):
            assert part in text

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (_names.Head, HEADS),
            (_names.Backbone, BACKBONES),
            (_names.Preprocess, PREPROCESS),
            (_names.Plot, KINDS),
            (_names.Section, SECTIONS),
            (_names.DataSet, [*SOURCES, *NAMES]),
            (_names.Recipe, [*recipe_names(), "all"]),
            (_names.Precision, ["auto", *PRECISIONS]),
            (_names.Split, SPLITS),
        ],
    )
    def test_choices_match_the_library(self, names, expected):
        assert get_choices_from_hint(names, str) == list(expected)

    def test_help_imports_nothing_heavy(self):
        """Help is immediate because torch is imported only where it is used."""
        heavy = "('torch', 'pandas', 'scipy', 'h5py', 'matplotlib')"
        look = f"print([name for name in {heavy} if name in sys.modules])"
        code = f"import sys, fsbench.cli; fsbench.cli.main(sys.argv[1:]); {look}"
        for words in ([], ["evaluate", "--help"], ["plot", "--help"]):
            call = [sys.executable, "-c", code, *words]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            assert done.stdout.splitlines()[-1] == "[]"

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("fsbench 0.")


class TestMainJob:
    def test_data(self, tiny_folder: Path, tmp_path: Path, capsys):
        assert run("data", "prepare", "mine", tiny_folder, "--cache", tmp_path, "--quiet") == 0
        assert "mine" in capsys.readouterr().out
        assert run("data", "show", "mine", "--cache", tmp_path) == 0
        shown = capsys.readouterr().out
        for split, classes in (("base", 6), ("val", 5), ("novel", 7)):
            (line,) = [line for line in shown.splitlines() if split in line]
            assert str(classes) in line
        assert run("data", "list", "--cache", tmp_path) == 0
        listed = capsys.readouterr().out
        for name in ("mine", "cifar-fs", "mini-imagenet", "tiered-imagenet", "cub", "omniglot", "glyphs"):
            assert name in listed

    def test_training_shows_the_recipe_and_names_the_checkpoint(self, cache: Path, tmp_path: Path, capsys):
        out = tmp_path / "run"
        train = ["train-backbone", "erm", "--dataset", "tiny", "--epochs", "1", "--batch-size", "16", *DEVICE]
        assert run(*train, "--cache", cache, "--out", out) == 0
        output = capsys.readouterr()
        assert output.out == f"{out / 'best.safetensors'}\n"
        lines = output.err.splitlines()
        assert [line.split()[0] for line in lines[:5]] == ["training", "data", "network", "length", "folder"]
        for part in ("erm, preset fast (the default)", "changed: epochs", "120 images of 6 base classes"):
            assert part in output.err
        assert {path.name for path in out.iterdir() if path.suffix} >= {
            "best.safetensors",
            "last.safetensors",
            "log.csv",
        }

    def test_features_are_written_to_out(self, trained: Path, cache: Path, tmp_path: Path, capsys):
        out = tmp_path / "f.h5"
        assert (
            run("extract", trained / "best.safetensors", "--cache", cache, "--out", out, *DEVICE, "--quiet")
            == 0
        )
        assert capsys.readouterr().out == f"{out}\n"
        assert run("evaluate", out, *SMALL, *DEVICE, "--out", tmp_path / "results", "--quiet") == 0
        printed = capsys.readouterr().out
        assert printed.startswith("tiny-erm, tiny novel, 5-way 1-shot, 20 tasks, 3 queries per class\n")
        assert re.search(r"nearest-mean \(l2\) +\d+\.\d\d ± \d+\.\d\d  new\n", printed)

    def test_json_is_all_that_stdout_holds(self, trained: Path, cache: Path, tmp_path: Path, capsys):
        arguments = [
            "evaluate",
            trained / "best.safetensors",
            *SMALL,
            *DEVICE,
            "--cache",
            cache,
            "--out",
            tmp_path,
            "--json",
        ]
        done = command(*arguments, "--head", "nearest-mean", "logistic")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""  # no terminal, no progress
        results = json.loads(done.stdout)
        assert [result["head"] for result in results] == ["nearest-mean", "logistic"]
        for result in results:
            assert 0 < result["accuracy"] <= 1
            assert 0 < result["half_width"] < 1
            assert (result["n_tasks"], result["n_way"], result["n_shot"]) == (20, 5, 1)
            assert result["evaluate_seconds"] > 0
        assert run(*arguments, "--head", "nearest-mean", "logistic") == 0
        assert json.loads(capsys.readouterr().out) == results  # finished results are returned too

    def test_repeated_values_count_once(self, trained: Path, cache: Path, tmp_path: Path, capsys):
        best = trained / "best.safetensors"
        arguments = [*SMALL, *DEVICE, "--cache", cache, "--out", tmp_path, "--quiet", "--json"]
        heads = [
            "--head",
            "nearest-mean",
            "nearest-mean",
            "--preprocess",
            "l2",
            "l2",
            "--dataset",
            "tiny",
            "tiny",
        ]
        assert run("evaluate", best, best, *arguments, *heads, "--n-shot", "1", "1") == 0
        assert len(json.loads(capsys.readouterr().out)) == 1

    def test_a_comparison_is_suggested_where_it_is_possible(
        self, trained: Path, cache: Path, tmp_path: Path, capsys
    ):
        arguments = ["evaluate", trained / "best.safetensors", *SMALL, *DEVICE, "--cache", cache, "--quiet"]
        for more, possible in (
            ("--head nearest-mean --n-shot 1 5", False),
            ("--head nearest-mean --n-tasks 30", False),
            ("--head logistic", True),
            ("--head nearest-mean", True),  # with the result of the other head, which exists
        ):
            assert run(*arguments, "--out", tmp_path, *more.split()) == 0
            commands = {True: f"compare {tmp_path / 'tiny'}", False: f"leaderboard {tmp_path}"}
            assert capsys.readouterr().out.endswith(f"new); next: fsbench {commands[possible]}\n")
            assert (run("compare", tmp_path / "tiny") == 0) == possible
            capsys.readouterr()

    def test_leaderboard_and_its_check(self, results: Path, capsys):
        capsys.readouterr()
        assert run("leaderboard", results) == 0
        board = Path(capsys.readouterr().out.splitlines()[0])
        assert "5-way 1-shot" in board.read_text(encoding="utf-8")
        assert run("leaderboard", results, "--check") == 0
        board.write_text(board.read_text(encoding="utf-8").replace("±", "+-", 1), encoding="utf-8")
        assert run("leaderboard", results, "--check") == 2
        assert f"{board} is stale" in capsys.readouterr().err

    def test_results_are_compared_validated_and_reproduced(
        self, results: Path, trained: Path, cache: Path, tmp_path: Path, capsys
    ):
        run("leaderboard", results)
        logistic, nearest = (next(results.rglob(f"*{head}*.json")) for head in ("logistic", "nearest"))
        capsys.readouterr()
        assert run("compare", logistic, nearest, "--json") == 0
        (pair,) = json.loads(capsys.readouterr().out)["pairs"]
        assert pair["same_tasks"]
        assert 0 <= pair["p_classes"] <= 1
        assert run("compare", logistic, nearest) == 0
        assert "points" in capsys.readouterr().out
        assert run("validate", results) == 0
        best = trained / "best.safetensors"
        arguments = ["--checkpoint", best, "--cache", cache, "--out", tmp_path / "again", *DEVICE, "--quiet"]
        assert run("reproduce", nearest, *arguments) == 0
        assert "every task scores the same" in capsys.readouterr().out
        nearest.unlink()
        assert run("validate", results) == 2
        assert "README.md: is stale" in capsys.readouterr().out

    def test_all_recipes_are_trained_in_one_call(self, cache: Path, tmp_path: Path, capsys):
        arguments = [
            "--dataset",
            "tiny",
            "--epochs",
            "2",
            "--batch-size",
            "60",
            "--cache",
            cache,
            *DEVICE,
            "--quiet",
        ]
        assert run("train-backbone", "all", *arguments, "--out", tmp_path / "runs") == 0
        paths = capsys.readouterr().out.splitlines()
        assert [Path(line).parent.name for line in paths] == [f"{name}-fast" for name in recipe_names()]
        assert all(Path(line).exists() for line in paths)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def place(tmp_path: Path, trained: Path, cache: Path, tiny_folder: Path) -> dict[str, Path]:
    """Files and folders that the commands in BAD refer to, by name."""
    broken = tmp_path / "broken"
    shutil.copytree(tiny_folder / "novel", broken)
    (victim,) = sorted(broken.rglob("003.png"))[:1]
    victim.write_bytes(victim.read_bytes()[:-40])
    hollow = tmp_path / "hollow"
    picture(hollow / "full" / "0.png")
    (hollow / "empty").mkdir()
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes((trained / "best.safetensors").read_bytes()[:-10])
    (tmp_path / "text.h5").write_text("no features")
    (tmp_path / "file").write_text("a file in place of a folder")
    return {
        "best": trained / "best.safetensors", "cache": cache, "images": tiny_folder, "broken": broken,
        "hollow": hollow, "torn": torn, "text": tmp_path / "text.h5", "file": tmp_path / "file",
        "here": tmp_path,
    }  # fmt: skip


EVALUATE = "evaluate {best} --cache {cache} --out {here}/results --device cpu "
TRAIN = (
    "train-backbone erm --dataset tiny --epochs 1 --batch-size 16 "
    "--cache {cache} --out {here}/run --device cpu "
)
BAD = [  # command, part of the line on stderr
    ("evalute x", "unknown command 'evalute'; did you mean 'evaluate'?"),
    ("help evalute", "unknown command 'evalute'; did you mean 'evaluate'?"),
    ("tran", "unknown command 'tran'; did you mean 'train-backbone'?"),
    ("evaluate x --lr 5", "unknown flag '--lr'; choose --backbone, --base, "),
    ("data lst", "unknown command 'lst'; did you mean 'list'?"),
    ("evaluate", "SUBJECT... is missing; see: fsbench evaluate --help"),
    ("evaluate x --nway 5", "unknown flag '--nway'; did you mean '--n-way'?"),
    ("evaluate x --n-way", "--n-way needs a value; see: fsbench evaluate --help"),
    ("evaluate x --n-way 5.5", "--n-way must be an integer, but is '5.5'"),
    ("evaluate x --n-query some", "--n-query must be an integer or all, but is 'some'"),
    ("evaluate x --query-alpha a", "--query-alpha must be a number, but is 'a'"),
    ("data show a b", "unexpected argument 'b'; see: fsbench data show --help"),
    ("predict x --support a", "--query is missing; see: fsbench predict --help"),
    (EVALUATE + "--n-way five", "--n-way must be an integer, but is 'five'"),
    (EVALUATE + "--n-way 1", "n_way must be at least 2, but is 1"),
    (EVALUATE + "--n-way 5 8", "n_way = 8, but the split has only 7 classes"),
    (EVALUATE + "--n-shot 6", "n_shot + n_query = 21, but the smallest class has only 20 images"),
    (EVALUATE + "--head nearst-mean", "unknown head 'nearst-mean'; did you mean 'nearest-mean'?"),
    (EVALUATE + "--preprocess cl2", "unknown preprocess 'cl2'; did you mean 'cl2n'?"),
    (EVALUATE + "--dataset cifar-sf", "unknown data set 'cifar-sf'; did you mean 'cifar-fs'?"),
    (EVALUATE + "--dataset cub", "cub"),
    (EVALUATE + "--tasks tiny", "unknown task list 'tiny'"),
    (EVALUATE + "--tasks tiny --n-shot 1", "--n-shot has no effect with --tasks"),
    (EVALUATE + "--seed 0 --tasks tiny", "--seed has no effect with --tasks"),
    (EVALUATE + "--device cuda:77", "device 'cuda:77' cannot be used here"),
    ("evaluate {here}/absent.safetensors", "absent.safetensors: no such file or directory"),
    ("evaluate {torn} --out {here}/results", "torn.safetensors: damaged, or not a safetensors file"),
    ("evaluate {text} --out {here}/results", "text.h5: not a checkpoint, weights file or feature file\n"),
    ("evaluate {here} --out {here}/results", "is a folder without best.safetensors"),
    ("extract {best} --cache {cache} --split vall", "--split must be base, val or novel, but is 'vall'"),
    ("extract {best} --cache {cache} --out {file}/f.h5", "cannot write {file}/f.h5: "),
    (EVALUATE + "--plot {here}/x.gif", "must end in .png, .svg, .pdf, .jpg or .jpeg, but ends in .gif"),
    ("evaluate {best} --cache {cache} --out {file}/results", "cannot write {file}/results/result.json: "),
    ("plot features {best} --out {here}/x.gif", "plot {here}/x.gif: must end in .png, .svg, .pdf, .jpg or"),
    ("plot time {here} --head svm", "--head has no effect on plot time; leave it out"),
    ("plot features {best} --out {file}/x.png", "cannot write {file}/x.png: {file} is not a folder"),
    ("plot features {best} --out {here}/x.png", "{best}: is a checkpoint; extract features first: fsbench "),
    ("plot training {here} --out {here}/x.png", "{here} holds no training; pass a run folder"),
    ("predict {best} --support {here} --query {here} --out {file}/x.csv", "x.csv: {file} is not a folder"),
    (TRAIN + "--backbone conv5", "unknown backbone 'conv5'; choose conv4, resnet10"),
    (TRAIN + "--dataset tinny", "unknown data set 'tinny'; did you mean 'tiny'?"),
    (TRAIN + "--image-size 8", "image_size must be at least 16 for conv4, but is 8"),
    (TRAIN + "--preset cosin", "recipe 'erm' has no preset 'cosin'; did you mean 'cosine'?"),
    (TRAIN + "--epochs 0", "epochs must be at least 1, but is 0"),
    (TRAIN + "--out {file}", "cannot write {file}"),
    ("train-backbone erm", "--dataset is missing; choose cifar-fs, mini-imagenet, "),
    ("train-backbone ERM --dataset tiny", "unknown recipe 'ERM'; did you mean 'erm'?"),
    ("train-backbone emr --dataset tiny", "unknown recipe 'emr'; did you mean 'erm'?"),
    ("train-backbone {here}/mine.py --dataset tiny", "mine.py: file does not exist"),
    ("data prepare mine {here}/absent --cache {here}/c", "absent"),
    ("data prepare mine {broken} --cache {here}/c", "003.png"),
    ("data prepare mine {hollow} --cache {here}/c", "empty"),
    ("data prepare cub {images} --cache {here}/c", "cub"),
    ("data prepare mini-imagenet --cache {here}/c", "mini-imagenet"),
    ("data prepare mini-imagenet --download --cache {here}/c", "mini-imagenet"),
    ("data prepare mine {images} --cache {file}", "cannot write"),
    ("data show tinny --cache {cache}", "unknown data set 'tinny'; did you mean 'tiny'?"),
    ("leaderboard {here}/absent", "there is no such folder"),
    ("leaderboard {file}", "there is no such folder"),
    ("leaderboard {broken}", "there is no result below this folder"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_gives_one_line_and_leaves_no_file(line: str, message: str, place: dict[str, Path], capsys):
    before = contents(place["here"])
    assert main([part.format(**place) for part in line.split()]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("fsbench: ")
    assert message.format(**place) in output.err
    assert output.err.count("\n") == 1, output.err
    assert output.out == ""
    assert contents(place["here"]) == before


def contents(folder: Path) -> dict[str, int]:
    """The size of every file except locks, which are empty."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): path.stat().st_size for path in files}


def no_room() -> None:
    """Limit files of this process to 4 KiB; the system then fails as on a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.linux
@pytest.mark.parametrize(
    "line",
    [
        "data prepare mine {images} --cache {here}/c",
        pytest.param("extract {best} --cache {cache} --out {here}/f.h5 --device cpu", marks=pytest.mark.slow),
        pytest.param(TRAIN, marks=pytest.mark.slow),
        "evaluate {features} --n-query 3 --n-tasks 3000 --out {here}/results --device cpu",
    ],
)
def test_a_full_disk_gives_one_line_and_leaves_no_file(line: str, place: dict[str, Path]):
    features = place["here"] / "whole.h5"
    assert (
        run("extract", place["best"], "--cache", place["cache"], "--out", features, *DEVICE, "--quiet") == 0
    )
    before = contents(place["here"])
    done = command(*line.format(features=features, **place).split(), "--quiet", preexec_fn=no_room)
    assert done.returncode == 2, done.stderr
    errors = [text for text in done.stderr.splitlines() if text.startswith("fsbench: ")]
    assert len(errors) == 1, done.stderr
    assert "cannot write" in errors[0]
    assert "Traceback" not in done.stderr
    assert contents(place["here"]) == before


@pytest.mark.linux
@pytest.mark.parametrize("line", [["data", "list"], ["data", "list", "--json"], ["--help"]])
def test_output_on_a_full_disk_gives_one_line(line: list[str]):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-m", "fsbench", *line], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"fsbench: cannot write the output: no space left on device\n"


@pytest.mark.slow
def test_help_takes_less_than_half_a_second_and_25_starts_of_python():
    def least(*line: str) -> float:
        took = []
        for _ in range(7):
            began = time.perf_counter()
            subprocess.run([sys.executable, *line], capture_output=True, check=True)
            took.append(time.perf_counter() - began)
        return min(took)

    answer = least("-m", "fsbench", "--help")
    assert answer < 0.5
    assert answer < 25 * least("-c", "pass")
