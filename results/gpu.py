"""Ten minutes of one GPU: its tests, a table of speeds, then trainings and evaluations, most valuable first.

    make gpu-results MINUTES=10
    make gpu-results REHEARSE=1          the same on a CPU with tiny numbers, in two minutes

`python3 -m results.gpu --minutes 10` in a checkout does the same without an installed package. Prepare the
data sets before. Each result is written at once, and the same command continues later. The output is result
files and `bench/gpu-<device>.json`, below `results/`.
"""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench.cli._app import call, command_line
from results import campaign, speed
from results import plan as plans
from results.campaign import ROOT, Setting

STEPS: tuple[Literal["tests", "speed", "campaign"], ...] = ("tests", "speed", "campaign")
MOST = 120  # seconds of tests, and of the table of speeds; at most a quarter of the time each
PLANS = ROOT / "results" / "plans"


app = command_line("python -m results.gpu", (__doc__ or "").partition("\n")[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 on success, 1 if a part failed, 2 for a wrong argument or without a GPU."""
    return campaign.guarded(lambda: int(call(app, sys.argv[1:] if arguments is None else arguments) or 0))


@app.default
def gpu(
    *,
    minutes: float = 10,
    plan: Path = PLANS / "gpu.toml",
    results: Path = Setting.results,
    runs: Path = Setting.runs,
    steps: tuple[Literal["tests", "speed", "campaign"], ...] = STEPS,
    rehearse: bool = False,
) -> int:
    """Test, measure and train on one GPU, most valuable first.

    Args:
        minutes: Time for all steps.
        plan: Plan file of the trainings.
        results: Results folder.
        runs: Folder of the runs.
        steps: Steps to do.
        rehearse: Compute on the CPU with tiny numbers, in a temporary folder.
    """
    setting = Setting(results, runs, time.monotonic() + 60 * minutes, "cuda")
    if rehearse:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            setting = replace(
                setting, results=place / "results", runs=place / "runs", device="cpu", threads=1
            )
            return work(steps, PLANS / "rehearsal.toml", setting, rehearse=True)
    if not torch.cuda.is_available():
        raise FsbenchError(
            "there is no CUDA device; --rehearse (make gpu-results REHEARSE=1) runs on the CPU"
        )
    return work(steps, plan, setting)


def work(steps: Sequence[str], path: Path, setting: Setting, *, rehearse: bool = False) -> int:
    """Go through the steps; report what fails, and go on with the next one."""
    jobs = plans.read(path)  # first, so that a mistake in it costs no time
    device = machine.find_device(setting.device)
    name = re.sub("[^a-z0-9]+", "-", machine.device_name(device).lower()).strip("-")
    bench = setting.results / "bench" / f"gpu-{name}.json"
    seconds = min(MOST, setting.left / 4)
    success = True
    if "tests" in steps:
        success &= run_tests(bench, device, seconds, setting)
    if "speed" in steps:
        success &= run_speed(bench, seconds, setting, rehearse=rehearse)
    if "campaign" in steps:
        _heading("Campaign", setting)
        success &= not campaign.work(jobs, setting)
    print(f"commit the new files below {setting.results}, among them bench/{bench.name}", flush=True)
    return 0 if success else 1


def run_tests(bench: Path, device: torch.device, seconds: float, setting: Setting) -> bool:
    """Run the tests marked `gpu` and record their outcome, unless they passed at this commit."""
    _heading("Tests", setting)
    record, commit = speed.read(bench, device), machine.commit()
    before = record.get("tests", {})
    if commit and before.get("exit_code") == 0 and before.get("commit") == commit:
        print(f"passed before: {before['summary']}", flush=True)
        return True
    flags = ["-m", "gpu", "-q", "--tb=short", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *flags, f"--rootdir={ROOT}", *map(str, test_files())]
    code, output, took = campaign.bounded(command, seconds, setting.environment())
    print(output, flush=True)
    lines = [line for line in output.splitlines() if line.strip()] or ["no output"]
    record["tests"] = {
        "commit": commit,
        "exit_code": code,  # null: stopped
        "seconds": round(took),
        "summary": lines[-1] if code is not None else f"stopped after {took:.0f} s",
        "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))],
    }
    speed.write(bench, record)
    return code == 0


def test_files() -> list[Path]:
    """List the files that have tests marked `gpu`; importing the others would take time."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [path for path in files if "mark.gpu" in path.read_text(encoding="utf-8")]


def run_speed(bench: Path, seconds: float, setting: Setting, *, rehearse: bool) -> bool:
    """Measure the table of speeds in its own process, so that a crash of the device ends only this step."""
    _heading("Speed", setting)
    command = [sys.executable, "-m", "results.speed", str(bench), "--device", setting.device]
    if rehearse:
        command += ["--rehearse", "--seconds", "0.2"]
    code, output, _ = campaign.bounded(command, seconds, setting.environment())
    print(output, flush=True)
    if code is None:
        print(f"stopped after {seconds:.0f} s; the other cases are measured next time", flush=True)
    return code in (0, None)


def _heading(name: str, setting: Setting) -> None:
    print(f"\n== {name} == {setting.left:.0f} s left", flush=True)


if __name__ == "__main__":
    campaign.stop_on_signals()
    sys.exit(main())
