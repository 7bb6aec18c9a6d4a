"""What commands print: JSON, progress and colour on terminals only, and completion scripts."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fsbench.cli import _quickstart, main

SMALL = "--n-shot 1 --n-query 3 --n-tasks 20 --device cpu --quiet"
TRAIN = "train-backbone erm --dataset tiny --epochs 1 --batch-size 60 --device cpu --quiet"


@pytest.fixture(scope="module")
def made(trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint, its cache and two results, by name."""
    here = tmp_path_factory.mktemp("made")
    line = f"evaluate {trained}/best.safetensors --cache {cache} --out {here}/results {SMALL}"
    assert main(line.split()) == 0
    first, second = sorted((here / "results").rglob("*.json"))
    return {
        "best": trained / "best.safetensors",
        "cache": cache,
        "here": here,
        "first": first,
        "second": second,
    }


def printed(line: str, capsys: pytest.CaptureFixture[str], code: int = 0):
    """The JSON that a command prints, which must be one line."""
    capsys.readouterr()
    assert main([*line.split(), "--json"]) == code
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


class TestJson:
    def test_of_data(self, made: dict[str, Path], tiny_folder: Path, tmp_path: Path, capsys):
        prepared = printed(f"data prepare mine {tiny_folder} --cache {tmp_path} --quiet", capsys)
        assert prepared["splits"]["novel"]["classes"] == 7
        shown = printed(f"data show mine --cache {tmp_path}", capsys)
        assert (shown["name"], shown["stores"]) == ("mine", [prepared])
        assert printed(f"data show cub --cache {tmp_path}", capsys)["stores"] == []
        listed = {dataset["name"]: dataset for dataset in printed(f"data list --cache {tmp_path}", capsys)}
        assert listed["mine"]["classes"] == [6, 5, 7]
        assert listed["mine"]["stores"] == {"16": prepared["path"]}
        assert (listed["cub"]["download"], listed["mini-imagenet"]["download"]) == (True, False)
        removed = printed(f"data remove mine --cache {tmp_path}", capsys)
        assert removed == {"removed": [prepared["path"]]}
        assert listed["cifar-fs"]["classes"] == [64, 16, 20]

    def test_of_training_and_features(self, made: dict[str, Path], tmp_path: Path, capsys):
        (run,) = printed(f"{TRAIN} --cache {made['cache']} --out {tmp_path}/run", capsys)
        assert Path(run["checkpoint"]).exists()
        assert (run["recipe"], run["epochs"], run["source"]) == ("erm", 1, "tiny")
        out = tmp_path / "f.h5"
        extracted = printed(
            f"extract {run['checkpoint']} --cache {made['cache']} --out {out} --device cpu --quiet", capsys
        )
        assert (extracted["features"], extracted["images"], extracted["split"]) == (str(out), 140, "novel")

    def test_of_results(self, made: dict[str, Path], tmp_path: Path, capsys):
        results = made["here"] / "results"
        (pair,) = printed(f"compare {made['first']} {made['second']}", capsys)["pairs"]
        assert pair["same_tasks"] is True
        figure = tmp_path / "a.png"
        assert printed(f"plot task-accuracies {made['first']} --out {figure}", capsys) == {
            "figure": str(figure)
        }
        written = printed(f"leaderboard {results}", capsys)["written"]
        assert written[0] == str(results / "README.md")
        assert printed(f"leaderboard {results} --check", capsys) == {"stale": []}
        assert printed(f"validate {results}", capsys) == {"problems": []}
        Path(written[0]).write_text("old", encoding="utf-8")
        assert printed(f"leaderboard {results} --check", capsys, code=2) == {"stale": [written[0]]}
        (problem,) = printed(f"validate {results}", capsys, code=2)["problems"]
        assert problem.startswith(f"{written[0]}: is stale; write it again: fsbench leaderboard {results}")

    def test_of_reproduce(self, made: dict[str, Path], tmp_path: Path, capsys):
        options = f"--checkpoint {made['best']} --cache {made['cache']} --out {tmp_path} --device cpu --quiet"
        reproduction = printed(f"reproduce {made['first']} {options}", capsys)
        assert reproduction["same_answers"] is True
        assert (
            reproduction["now"]["accuracy"]
            == reproduction["before"]["accuracy"]
            == json.loads(made["first"].read_text())["outcome"]["accuracy"]
        )
        assert "accuracies" not in reproduction["now"]  # a result computes it itself

    def test_of_diagnose(self, made: dict[str, Path], tmp_path: Path, capsys):
        options = f"--only hardness --cache {made['cache']} --out {tmp_path} --device cpu --quiet"
        assert Path(printed(f"diagnose {made['best']} {options}", capsys)["report"]).exists()

    def test_of_quickstart(self, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
        board = tmp_path / "README.md"
        board.write_text("the board\n")
        outcome = _quickstart.Outcome((), "", board)
        monkeypatch.setattr(_quickstart, "quickstart", lambda *_: outcome)  # it takes minutes
        page = board.with_name("leaderboard.html")
        assert printed("quickstart --device cpu", capsys) == {"leaderboard": str(board), "page": str(page)}

    def test_is_empty_when_an_argument_is_wrong(self, capsys):
        assert main(["data", "show", "tinny", "--json"]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("fsbench: unknown data set 'tinny'")


@pytest.mark.linux
class TestPipesAndTerminals:
    def run(self, *line: str | Path, **variables: str) -> tuple[str, str]:
        """Run a command and return its standard output, a pipe, and its standard error, a terminal."""
        import pty
        import termios

        ours, theirs = pty.openpty()
        termios.tcsetwinsize(ours, (24, 80))  # a bar needs some width
        environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        process = subprocess.Popen(
            [sys.executable, "-m", "fsbench", *map(str, line)],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment | variables,
        )
        os.close(theirs)
        stderr = b""
        try:
            while part := os.read(ours, 1 << 16):
                stderr += part
        except OSError:  # Linux: the other end is closed
            pass
        os.close(ours)
        return process.communicate()[0].decode(), stderr.decode()

    def test_errors_are_coloured_on_a_terminal(self):
        assert self.run("data", "lst")[1].startswith("\x1b[31mfsbench:\x1b[0m unknown command 'lst'")
        assert self.run("data", "lst", NO_COLOR="1")[1].startswith("fsbench: unknown command 'lst'")

    def test_accuracy_is_bold_on_a_terminal(self, made: dict[str, Path], tmp_path: Path, capsys, monkeypatch):
        line = f"evaluate {made['best']} --cache {made['cache']} --out {tmp_path} {SMALL} --head nearest-mean"
        capsys.readouterr()
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert main(line.split()) == 0
        assert re.search(r"\(l2\) +\x1b\[1m\d+\.\d\d ± \d+\.\d\d\x1b\[0m", capsys.readouterr().out)
        monkeypatch.setenv("NO_COLOR", "1")
        assert main(line.split()) == 0
        assert "\x1b" not in capsys.readouterr().out

    @pytest.mark.parametrize("quiet", [False, True])
    def test_progress_goes_to_a_terminal(self, tiny_folder: Path, tmp_path: Path, quiet: bool):
        prepare = ["data", "prepare", "mine", tiny_folder, "--cache", tmp_path, *["--quiet"] * quiet]
        stdout, stderr = self.run(*prepare)
        assert "novel" in stdout
        assert ("images/s" in stderr) != quiet

    def test_progress_goes_to_nothing_but_a_terminal(
        self, made: dict[str, Path], tiny_folder: Path, tmp_path: Path, capsys
    ):
        for line in (
            f"data prepare mine {tiny_folder} --cache {tmp_path}",
            f"extract {made['best']} --cache {made['cache']} --out {tmp_path}/f.h5 --device cpu",
            f"evaluate {tmp_path}/f.h5 --out {tmp_path} {SMALL.removesuffix('--quiet')}",
        ):
            capsys.readouterr()
            assert main(line.split()) == 0
            output = capsys.readouterr()
            assert output.err == ""
            assert "\x1b" not in output.out

    def test_a_reader_that_leaves_early_is_no_error(self):
        reader, writer = os.pipe()
        os.close(reader)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [sys.executable, "-m", "fsbench", "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            env=environment,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "fsbench.bash"
    with path.open("w") as file, contextlib.redirect_stdout(file):
        assert main(["completion", "bash"]) == 0
    return path


class TestCompletion:
    @pytest.mark.parametrize(
        ("words", "proposed"),
        [
            ("fsbench eval", {"evaluate"}),
            ("fsbench data ", {"list", "prepare", "remove", "show"}),
            ("fsbench evaluate x --n-q", {"--n-query"}),
            ("fsbench evaluate x --head near", {"nearest-mean"}),
            ("fsbench evaluate x --head nearest-mean dist", {"distribution-calibration"}),
            ("fsbench evaluate x --head nearest-mean tim sv", {"svm"}),
            ("fsbench evaluate x --n-shot 1 5 --head tim --preprocess l2 c", {"cl2n"}),
            ("fsbench evaluate x --dataset glyphs tin", {"tiny"}),
            ("fsbench evaluate x --split val nearest", set()),
            ("fsbench train-backbone --dataset tiny er", {"erm"}),
            ("fsbench train-backbone manif", {"manifold-mixup"}),
            ("fsbench train-backbone erm --dataset mini", {"mini-imagenet"}),
            ("fsbench evaluate x --dataset tin", {"tiny"}),
            ("fsbench train-backbone erm --compile o", {"on", "off"}),
            ("fsbench evaluate x --config my", {"my.toml"}),
        ],
    )
    def test_bash_proposes(self, words: str, proposed: set[str], script: Path, cache: Path, tmp_path: Path):
        (tmp_path / "my.toml").write_text("")
        code = f"""
            source {script}
            COMP_WORDS=({words} {"''" if words.endswith(" ") else ""})
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            $(complete -p fsbench | sed 's/.*-F \\([^ ]*\\).*/\\1/') fsbench
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        path = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ["PATH"]]
        )  # the script completes names of data sets by calling Python
        environment = {**os.environ, "PATH": path, "FSBENCH_CACHE": str(cache)}
        call = ["bash", "-c", code]
        done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
        assert {word.strip() for word in done.stdout.split()} == proposed

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_other_shells_complete_every_command(self, shell: str, capsys):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        for word in ("train-backbone", "leaderboard", "manifold-mixup", "distribution-calibration"):
            assert word in script

    def test_other_shells_complete_files_where_a_name_may_be_a_path(self, capsys):
        """Neither shell needs to be installed: these are the parts of the scripts that complete files."""
        main(["completion", "zsh"])
        zsh = capsys.readouterr().out
        assert re.search(r"'\*:Checkpoints, folders of runs, .*:_files'", zsh)
        assert re.search(r":\{compadd -- erm .* all; _files\}", zsh)
        assert ":head:{compadd -- nearest-mean " in zsh
        assert ":_files:_files" not in zsh
        assert "cmds:_files" not in zsh
        main(["completion", "fish"])
        fish = capsys.readouterr().out
        assert "-l tasks -r -F -a" in fish
        assert "-F -a 'erm " in fish
