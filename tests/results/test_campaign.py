"""Plans of trainings and evaluations, and the command that runs them (results/*.py)."""

import json
import math
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.models import checkpoint
from fsbench.report import leaderboard
from fsbench.tasks.sampler import SAMPLER
from fsbench.training.recipe import load_recipe
from results import campaign, gpu, plan, speed
from results.campaign import Setting
from tests.changed import changed

RESULTS = Path(__file__).parents[2] / "results"
KEPT = sorted((RESULTS / "checkpoints").glob("*.safetensors"))
COMMITTED = next(RESULTS.glob("cifar-fs/erm-fast-conv4-*-s0-*/5w1s15q-nearest-mean-*.json"))
OF_COMMITTED = """
[[entry]]
recipe = "erm"
preset = "fast"
dataset = "cifar-fs"
image-size = 32
evaluate = { head = "nearest-mean", n-shot = 1 }
"""
STUB = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
here, words = Path(__file__).parent, sys.argv[1:]
try:
    with (here / "calls.txt").open("a") as calls:
        print(*words, file=calls)
    if words[0] == "evaluate":
        print("a result")
    elif words[1] == "rotation":
        sys.exit("fsbench: loss is nan")
    elif words[1] == "mixup":
        time.sleep(60)
    else:
        out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True)
        (out / "best.safetensors").write_bytes(b"weights")
        (out / "log.csv").write_text("stage,epoch")
except KeyboardInterrupt:
    (here / "interrupted").touch()
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plan file."""

    def write(text: str) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def stub(tmp_path: Path) -> Setting:
    """A setting in which `fsbench` is a script that appends its calls to calls.txt."""
    script = tmp_path / "stub.py"
    script.write_text(STUB, encoding="utf-8")
    return Setting(tmp_path / "results", tmp_path / "runs", fsbench=(sys.executable, str(script)))


def calls(setting: Setting) -> list[str]:
    """The first two words of each call of the stub."""
    lines = (setting.runs.parent / "calls.txt").read_text(encoding="utf-8").splitlines()
    return [" ".join(line.split()[:2]) for line in lines]


class TestPlan:
    def test_the_first_key_is_the_outermost_loop(self, write: Write):
        path = write(
            """
            [[entry]]
            seed = [0, 1]
            recipe = ["erm", "s2m2-r"]
            image-size = 16
            dataset = "glyphs"
            epochs = [4, 6]
            [[entry]]
            recipe = "s2m2-r"
            dataset = "cifar-fs"
            image-size = 32
            epochs = [[4, 2]]
            learning-rate = 0.01
            no-augment = true
        """
        )
        assert [job.name for job in plan.read(path)] == [
            "erm-fast-conv4-glyphs-16px-4ep-s0",
            "erm-fast-conv4-glyphs-16px-6ep-s0",
            "s2m2-r-fast-conv4-glyphs-16px-1-3ep-s0",
            "s2m2-r-fast-conv4-glyphs-16px-2-4ep-s0",
            "erm-fast-conv4-glyphs-16px-4ep-s1",
            "erm-fast-conv4-glyphs-16px-6ep-s1",
            "s2m2-r-fast-conv4-glyphs-16px-1-3ep-s1",
            "s2m2-r-fast-conv4-glyphs-16px-2-4ep-s1",
            "s2m2-r-fast-conv4-cifar-fs-32px-4-2ep-learning-rate0.01-no-augment-s0",
        ]

    def test_flags_match_the_command_line(self, write: Write):
        path = write("""
            [[evaluate]]
            dataset = ["glyphs", "glyphs-fine"]
            head = ["nearest-mean", "tim"]
            n-shot = [1, 5]
            [[entry]]
            image-size = 16
            dataset = "glyphs"
            recipe = "s2m2-r"
            epochs = [[4, 2]]
            no-augment = false
        """)
        (job,) = plan.read(path)
        assert job.flags == ("s2m2-r", "--image-size=16", "--dataset=glyphs", "--epochs", "4", "2")
        (evaluation,) = job.evaluations
        assert evaluation.datasets == ("glyphs", "glyphs-fine")
        assert evaluation.flags == ("--head", "nearest-mean", "tim", "--n-shot", "1", "5")
        assert len(job.cells) == 2 * 2 * 2
        cell = next(iter(job.cells))
        assert (cell.recipe, cell.preset, cell.overrides) == ("s2m2-r", "fast", "epochs 4 + 2")
        assert set(job.cells.values()) == {10_000}

    def test_an_entry_may_have_evaluations_of_its_own(self, write: Write):
        path = write("""
            [[evaluate]]
            n-shot = 1
            [[entry]]
            recipe = "erm"
            image-size = 16
            dataset = "glyphs"
            [[entry.evaluate]]
            head = "tim"
            n-tasks = 50
            [[entry.evaluate]]
            head = "svm"
            dataset = "glyphs-fine"
        """)
        (job,) = plan.read(path)
        assert [(q.head, q.dataset, q.tasks.n_shot) for q in job.cells] == [
            ("tim", "glyphs", 1),
            ("tim", "glyphs", 5),
            ("svm", "glyphs-fine", 1),
            ("svm", "glyphs-fine", 5),
        ]
        assert list(job.cells.values()) == [50, 50, 10_000, 10_000]

    @pytest.mark.parametrize("path", sorted((RESULTS / "plans").glob("*.toml")), ids=lambda path: path.stem)
    def test_every_committed_plan_can_be_read(self, path: Path, write: Write):
        """With one seed: reading takes as long for each of them."""
        text = path.read_text(encoding="utf-8")
        assert plan.read(write(re.sub(r"^seed = .*$", "seed = 0", text, flags=re.MULTILINE)))


class TestDone:
    @pytest.fixture
    def result(self) -> Result:
        return changed(result_files.read(COMMITTED), sampler=SAMPLER)

    def test_a_result_file_fills_its_cell(self, write: Write, tmp_path: Path, result: Result):
        (job,) = plan.read(write(OF_COMMITTED))
        result_files.write(tmp_path / "results", result)
        assert not plan.empty_cells(job, plan.filled_cells(tmp_path / "results"))
        assert plan.empty_cells(job, plan.filled_cells(tmp_path / "nowhere"))

    @pytest.mark.parametrize(
        "other",
        [
            {"recipe": "mixup"},
            {"preset": "linear"},
            {"overrides": "epochs 6"},
            {"epochs": 7},
            {"source": "mini-imagenet"},
            {"backbone": "resnet12"},
            {"image_size": 36},
            {"per_class": 20},
            {"train_seed": 1},
            {"dataset": "omniglot"},
            {"split": "val"},
            {"sampler": "uniform-1"},
            {"head": "ridge"},
            {"preprocess": "cl2n"},
            {"n_shot": 5},
            {"n_way": 4},
            {"n_query": 14},
            {"seed": 1},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_a_result_that_differs_in_one_key_fills_another_cell(self, write: Write, result: Result, other):
        (job,) = plan.read(write(OF_COMMITTED))
        filled = {plan.cell_of(result): 10_000}
        assert not plan.empty_cells(job, {replace(q, precision=None): n for q, n in filled.items()})
        different = replace(plan.cell_of(changed(result, **other)), precision=None)
        assert plan.empty_cells(job, {different: 10_000})

    def test_a_head_with_settings_has_a_cell_of_its_own(self, write: Write, tmp_path: Path, result: Result):
        """Whatever the spelling of the settings in the plan."""
        head = 'head = "cosine-sgd:epochs=1e2"'
        (job,) = plan.read(write(OF_COMMITTED.replace('head = "nearest-mean"', head)))
        (cell,) = plan.empty_cells(job, {})
        assert (cell.head, cell.preprocess) == ("cosine-sgd:epochs=100", "none")
        measured = changed(result, head="cosine-sgd", preprocess="none", head_settings={"epochs": 100})
        for settings, missing in (({}, [cell]), ({"epochs": 50}, [cell]), ({"epochs": 100}, [])):
            filled = {plan.cell_of(changed(measured, head_settings=settings)): 10_000}
            filled |= {replace(key, precision=None): number for key, number in filled.items()}
            assert plan.empty_cells(job, filled) == missing
        assert job.evaluations[0].flags[0] == "--head=cosine-sgd:epochs=1e2"

    def test_fewer_tasks_do_not_fill_a_cell(self, write: Write):
        (job,) = plan.read(write(OF_COMMITTED))
        (cell,) = job.cells
        assert plan.empty_cells(job, {cell: 9_999})
        assert not plan.empty_cells(job, {cell: 20_000})

    def test_precision_counts_when_it_is_stated(self, write: Write, tmp_path: Path, result: Result):
        result_files.write(tmp_path / "results", changed(result, precision="bf16"))
        filled = plan.filled_cells(tmp_path / "results")
        left = {}
        for precision in ("auto", "bf16", "float32"):
            (job,) = plan.read(write(f'{OF_COMMITTED}precision = "{precision}"'))
            left[precision] = len(plan.empty_cells(job, filled))
        assert left == {"auto": 0, "bf16": 0, "float32": 1}


class TestCampaign:
    PLAN = """
        [[entry]]
        recipe = ["rotation", "erm", "manifold-mixup"]
        image-size = 16
        dataset = "glyphs"
        keep-checkpoint = true
    """

    def test_a_failed_run_is_reported_and_the_others_continue(self, write: Write, stub: Setting, capsys):
        failures = campaign.work(plan.read(write(self.PLAN)), stub)
        assert calls(stub) == [
            "train-backbone rotation",
            "train-backbone erm",
            f"evaluate {stub.runs / 'erm-fast-conv4-glyphs-16px-40ep-s0/best.safetensors'}",
            "train-backbone manifold-mixup",
            f"evaluate {stub.runs / 'manifold-mixup-fast-conv4-glyphs-16px-40ep-s0/best.safetensors'}",
        ]
        (failure,) = failures
        assert failure.startswith("rotation-fast-conv4-glyphs-16px-40ep-s0: training: exit code 1, ")
        assert "fsbench: loss is nan (see " in failure
        printed = capsys.readouterr().out
        assert printed.count("  a result\n") == 2
        assert "2 of 3 jobs finished, 1 errors" in printed
        assert f"error: {failure}\n" in printed

    def test_the_exit_code_tells_of_failures(self, write: Write, monkeypatch):
        for failures, code in (["erm: training: exit code 1"], 1), ([], 0):
            monkeypatch.setattr(campaign, "work", lambda *_, found=failures: found)
            assert campaign.main([str(write(self.PLAN))]) == code

    def test_a_dry_run_lists_what_is_to_do(self, write: Write, tmp_path: Path, capsys):
        assert campaign.main([str(write(self.PLAN)), "--results", str(tmp_path), "--dry-run"]) == 0
        assert "to do       0 of 4 results  erm-fast-conv4-glyphs-16px-40ep-s0\n" in capsys.readouterr().out

    def test_a_kept_checkpoint_takes_the_place_of_training(self, write: Write, stub: Setting):
        jobs = [job for job in plan.read(write(self.PLAN)) if "erm" in job.name]
        campaign.work(jobs, stub)
        kept = stub.results / "checkpoints" / f"{jobs[0].name}.safetensors"
        assert kept.read_bytes() == b"weights"
        assert kept.with_suffix(".csv").read_text() == "stage,epoch"
        shutil.rmtree(stub.runs)
        campaign.work(jobs, stub)
        assert calls(stub)[2:] == [f"evaluate {kept}"]

    @pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
    def test_kept_checkpoints_match_the_current_presets(self, path: Path):
        """If a preset changes, its kept checkpoints must not be used for new results."""
        about = checkpoint.load_provenance(path)
        now = load_recipe(about.recipe, about.preset)
        now = replace(now, overrides=tuple(about.settings["overrides"]))
        stages = tuple(
            replace(stage, epochs=trained["epochs"])
            for stage, trained in zip(now.stages, about.settings["stages"], strict=True)
        )
        expected = json.loads(json.dumps(replace(now, stages=stages).settings()))
        assert about.settings == expected

    def test_kept_checkpoints_are_no_results(self, tmp_path: Path):
        folder = tmp_path / "results"
        shutil.copytree(COMMITTED.parent, folder / "cifar-fs" / COMMITTED.parent.name)
        before = result_files.paths(folder)
        leaderboard.update(folder, None)
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "erm.safetensors").write_bytes(b"weights")
        shutil.copytree(RESULTS / "plans", folder / "plans")
        assert result_files.paths(folder) == before
        assert not list(leaderboard.stale(folder, None))

    def test_at_the_deadline_the_run_stops_and_none_starts(
        self, write: Write, stub: Setting, monkeypatch, capsys
    ):
        monkeypatch.setattr(campaign, "LEAST", 0.5)
        jobs = plan.read(write('[[entry]]\nrecipe = ["mixup", "erm"]\nimage-size = 16\ndataset = "glyphs"'))
        began = time.monotonic()
        assert campaign.work(jobs, replace(stub, deadline=began + 5)) == []
        assert time.monotonic() - began < 40
        assert calls(stub) == ["train-backbone mixup"]
        assert (stub.runs.parent / "interrupted").exists()  # it could handle the interrupt
        assert "the time is used up" in capsys.readouterr().out

    def test_nothing_starts_when_little_time_is_left(self, write: Write, stub: Setting):
        jobs = plan.read(write(self.PLAN))
        assert campaign.work(jobs, replace(stub, deadline=time.monotonic() + campaign.LEAST - 1)) == []
        assert not (stub.runs.parent / "calls.txt").exists()

    def test_finished_work_is_not_repeated(self, write: Write, stub: Setting, monkeypatch):
        jobs = plan.read(write(self.PLAN))
        monkeypatch.setattr(
            plan, "filled_cells", lambda _: {q: 10_000 for job in jobs[:2] for q in job.cells}
        )
        assert [todo.state for todo in campaign.examine(jobs, stub)] == ["done", "done", "to do"]

    def test_data_sets_that_are_not_prepared_are_named_and_left_out(
        self, write: Write, stub: Setting, capsys
    ):
        path = write("""
            [[evaluate]]
            dataset = ["glyphs", "cub"]
            [[entry]]
            recipe = "erm"
            image-size = 84
            dataset = ["mini-imagenet", "glyphs"]
        """)
        jobs = plan.read(path)
        assert [todo.state for todo in campaign.examine(jobs, stub)] == ["no data", "to do"]
        assert campaign.work(jobs, stub) == []
        assert calls(stub)[0] == "train-backbone erm"
        last = (stub.runs.parent / "calls.txt").read_text().splitlines()[-1]
        assert "--dataset glyphs --out" in last
        printed = capsys.readouterr().out
        assert "not prepared, so left out: cub;" in printed
        assert "not prepared, so left out: mini-imagenet;" in printed

    def test_a_target_that_is_not_prepared_is_left_out_even_if_it_has_results(
        self, write: Write, stub: Setting, monkeypatch
    ):
        path = write("""
            [[entry]]
            recipe = "erm"
            image-size = 16
            dataset = "glyphs"
            evaluate = { dataset = ["cub", "glyphs"], n-shot = 1 }
        """)
        jobs = plan.read(path)
        filled = {q: n for q, n in jobs[0].cells.items() if q.dataset == "cub"}
        monkeypatch.setattr(plan, "filled_cells", lambda _: filled)
        assert campaign.work(jobs, stub) == []
        last = (stub.runs.parent / "calls.txt").read_text(encoding="utf-8").splitlines()[-1]
        assert "--dataset glyphs --n-shot=1" in last

    @pytest.mark.parametrize("parts", [1, 2, 3])
    def test_parts_share_a_plan(self, write: Write, parts: int):
        jobs = plan.read(
            write("""
            [[entry]]
            recipe = ["erm", "mixup", "rotation", "exemplar", "s2m2-r"]
            image-size = 16
            dataset = "glyphs"
            [[entry]]
            recipe = "mixup"
            image-size = 16
            dataset = "glyphs"
            evaluate = { head = "tim" }
        """)
        )
        shares = [campaign.select(jobs, "", part, parts) for part in range(1, parts + 1)]
        assert sorted(jobs.index(job) for share in shares for job in share) == list(range(6))
        names = [{job.name for job in share} for share in shares]
        assert sum(map(len, names)) == 5  # both entries of mixup are in one part

    def test_only_selects_runs_by_a_part_of_their_name(self, write: Write):
        recipes = 'recipe = ["erm", "mixup", "manifold-mixup"]'
        jobs = plan.read(write(f'[[entry]]\n{recipes}\nimage-size = 16\ndataset = "glyphs"'))
        assert campaign.select(jobs, "mixup") == jobs[1:]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("entries = 1", "plan PLAN has no key 'entries'; did you mean 'entry'?"),
            ("", "plan PLAN: has no [[entry]]"),
            ("[[entry]", "plan PLAN: not a TOML file ("),
            ("entry = 1", "plan PLAN: entry must be a table"),
            ('[[entry]]\nrecipe = "erm"', "plan PLAN, entry 1: image-size is missing"),
            ("[[entry]]\nimage-size = 16", "plan PLAN, entry 1: recipe is missing"),
            (
                '[[entry]]\nrecipe = "emr"\nimage-size = 16\ndataset = "glyphs"',
                "plan PLAN, entry 1: unknown recipe 'emr'; did you mean 'erm'?",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nepoch = 3',
                "plan PLAN, entry 1: unknown flag '--epoch'; did you mean '--epochs'?",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nepochs = []',
                "entry 1: epochs must have a value, but is []",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nout = "x"',
                "plan PLAN, entry 1: out is not allowed in a plan",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nkeep-checkpoint = 1',
                "entry 1: keep-checkpoint must be true or false, but is 1",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nseed = { a = 1 }',
                "entry 1: seed must be text, a number, true or false, but is {'a': 1}",
            ),
            (
                '[[entry]]\nrecipe = "erm"\nimage-size = 16\ndataset = "glyphs"\nevaluate = { head = "tym" }',
                "plan PLAN, entry 1: unknown head 'tym'; did you mean 'tim'?",
            ),
        ],
    )
    def test_a_wrong_plan_gives_one_line(self, write: Write, capsys, text: str, message: str):
        path = write(text)
        assert campaign.main([str(path)]) == 2
        error = capsys.readouterr().err
        assert message.replace("PLAN", str(path)) in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ["no-such.toml"],
            [],
            ["x.toml", "--part", "3/2"],
            ["x.toml", "--part", "1"],
            ["x.toml", "--minute", "1"],
        ],
        ids=lambda arguments: " ".join(arguments) or "none",
    )
    def test_a_wrong_argument_gives_one_line(self, capsys, arguments: list[str]):
        assert campaign.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_plan_is_trained_and_evaluated_until_done(
    write: Write, cache: Path, tmp_path: Path, monkeypatch, capsys
):
    """Use the real command line."""
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    path = write("""
        [[evaluate]]
        head = ["nearest-mean", "ridge"]
        n-query = 5
        n-tasks = 10
        [[entry]]
        recipe = "erm"
        dataset = "tiny"
        image-size = 16
        epochs = 1
        keep-checkpoint = true
    """)
    places = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    assert campaign.main([str(path), *places, "--threads", "1"]) == 0
    assert len(result_files.paths(tmp_path / "results")) == 4
    assert sorted(path.name for path in (tmp_path / "results/checkpoints").iterdir()) == [
        "erm-fast-conv4-tiny-16px-1ep-s0.csv",
        "erm-fast-conv4-tiny-16px-1ep-s0.safetensors",
    ]
    capsys.readouterr()
    assert campaign.main([str(path), *places, "--dry-run"]) == 0
    assert capsys.readouterr().out == "done        4 of 4 results  erm-fast-conv4-tiny-16px-1ep-s0\n"


class TestSpeed:
    def test_measurements_are_written_and_not_repeated(self, tmp_path: Path, monkeypatch, capsys):
        path, cpu = tmp_path / "bench" / "gpu.json", torch.device("cpu")
        small, too_small = speed.Case("conv4", 16, 4), speed.Case("conv4", 8, 4)
        assert not speed.fill(path, [too_small, small], cpu, 0.01)
        printed = capsys.readouterr().out
        assert "conv4, 8 px, batch 4, float32: failed: FsbenchError: image_size must be" in printed
        record = speed.read(path, cpu)
        assert list(record["cases"]) == ["conv4, 16 px, batch 4, float32"]
        row = record["cases"]["conv4, 16 px, batch 4, float32"]
        assert row.pop("commit") == machine.commit()
        assert all(value > 0 for value in row.values())
        assert record["figures"]["conv4, 16 px, batch 4, float32: images/s"] == row["images_per_second"]
        monkeypatch.setattr(speed, "measure", pytest.fail)
        assert speed.fill(path, [small], cpu, 0.01)

    def test_too_little_memory_is_recorded_and_no_error(self, tmp_path: Path, monkeypatch):
        def measure(*_: object) -> dict[str, float]:
            raise FsbenchError("out of memory in stage class; a smaller --batch-size needs less")

        monkeypatch.setattr(speed, "measure", measure)
        path, cpu, case = tmp_path / "gpu.json", torch.device("cpu"), speed.Case("conv4", 16, 4)
        assert speed.fill(path, [case], cpu, 0.01)
        assert "out of memory" in speed.read(path, cpu)["cases"][case.name("float32")]["failed"]
        monkeypatch.setattr(speed, "measure", pytest.fail)
        assert speed.fill(path, [case], cpu, 0.01)

    def test_figures_of_another_device_are_not_mixed_in(self, tmp_path: Path):
        path = tmp_path / "gpu.json"
        speed.write(path, {**speed.read(path, torch.device("cpu")), "device": "another", "figures": {"a": 1}})
        assert speed.read(path, torch.device("cpu"))["figures"] == {}

    def test_operations_of_a_convolution_by_hand(self, monkeypatch):
        """Conv4 at 16 px: four 3 x 3 convolutions to 64 channels, 64 classes; backward takes twice that."""
        pixels = [16 * 16, 8 * 8, 4 * 4, 2 * 2]
        forward = [2 * 9 * fan_in * 64 * n for fan_in, n in zip([3, 64, 64, 64], pixels, strict=True)]
        expected = 3 * (sum(forward) + 2 * 64 * 64) - forward[0]  # no gradient of the images
        assert speed.flops(speed.Case("conv4", 16, 4)) == expected

    def test_every_combination_is_a_case_and_compiling_comes_late(self):
        cases = speed.cases()
        assert len(set(cases)) == 2 * 2 * 4 * 2
        assert not any(case.compiled for case in cases[:8])


@pytest.mark.slow
def test_the_rehearsal_goes_through_all_steps(capfd):
    assert gpu.main(["--rehearse", "--minutes", "60"]) == 0
    printed = capfd.readouterr().out
    assert "skipped" in printed  # the tests marked gpu
    assert "conv4, 16 px, batch 4, float32, compiled: " in printed
    assert "2 of 2 jobs finished, 0 errors" in printed


def test_files_with_tests_of_a_gpu_are_found_in_all_folders():
    names = {path.relative_to(RESULTS.parent / "tests").as_posix() for path in gpu.test_files()}
    assert {"heads/test_sgd_heads.py", "training/test_precision.py"} <= names
    assert "tasks/test_sampler.py" not in names


def test_results_of_a_gpu_need_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "there is no CUDA device; --rehearse" in capsys.readouterr().err


def test_passed_tests_of_a_commit_are_not_run_again(tmp_path: Path, monkeypatch, capsys):
    bench, cpu = tmp_path / "gpu.json", torch.device("cpu")
    setting = Setting(tmp_path, tmp_path, math.inf)
    outcomes = iter([(1, "FAILED test_a\n1 failed in 2.00s\n", 2.0), (0, "1 passed in 2.00s\n", 2.0)])
    monkeypatch.setattr(campaign, "bounded", lambda *_: next(outcomes))
    monkeypatch.setattr(gpu.machine, "commit", lambda: "abc")
    assert not gpu.run_tests(bench, cpu, 9, setting)
    assert speed.read(bench, cpu)["tests"]["failed"] == ["FAILED test_a"]
    assert gpu.run_tests(bench, cpu, 9, setting)
    assert gpu.run_tests(bench, cpu, 9, setting)  # without a third outcome
    assert "passed before: 1 passed in 2.00s" in capsys.readouterr().out
