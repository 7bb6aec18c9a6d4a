"""Work through a plan of trainings and evaluations for some minutes; the same command continues later.

    python -m results.campaign results/plans/conv4.toml --minutes 60 --threads 1

Each training and each evaluation is a call of the command line, so that a failure stops nothing else. Jobs
that are done (see `results/plan.py`) are skipped. At the end of the minutes the current call is stopped; the
next campaign continues a training from its last epoch, and an evaluation from its last result file.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fsbench._util.errors import FsbenchError
from fsbench._util.files import atomic_write
from fsbench.cli._app import call as call_command
from fsbench.cli._app import command_line
from fsbench.data import glyphs, image_store
from results import plan as plans
from results.plan import Cell, Job

ROOT = Path(__file__).resolve().parent.parent
LEAST = 15  # seconds; with less time left, no other call is started
GRACE = 10  # seconds; a call that is stopped is killed after them


@dataclass(frozen=True)
class Setting:
    """Folders, device and end of a campaign."""

    results: Path = ROOT / "results"
    runs: Path = ROOT / "runs"
    deadline: float = math.inf  # of time.monotonic()
    device: str = "auto"
    threads: int | None = None  # of each call; None: all
    fsbench: tuple[str, ...] = (sys.executable, "-m", "fsbench")

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def kept(self, job: Job) -> Path:
        """Return the path of a job's committed checkpoint."""
        return self.results / "checkpoints" / f"{job.name}.safetensors"

    def environment(self) -> dict[str, str]:
        """Return the environment of a call, in which this checkout comes before an installed package."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **threads}


@dataclass(frozen=True, eq=False)
class Todo:
    """A job and what is left of it."""

    job: Job
    empty: Sequence[Cell]
    missing: frozenset[str]  # data sets that the job needs and that are not prepared
    possible: bool  # whether any part of it can be done on this machine

    @property
    def state(self) -> str:
        """Return `done`, `to do` or `no data`."""
        if not self.empty:
            return "done"
        return "to do" if self.possible else "no data"


class OutOfTimeError(Exception):
    """The deadline is reached, or too near for another call."""


class CallError(Exception):
    """A call of `fsbench` ended with an error; the message has its last line."""


app = command_line("python -m results.campaign", (__doc__ or "").partition("\n")[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 on success, 1 if a job failed, 2 for a wrong argument or plan."""
    return guarded(lambda: int(call_command(app, sys.argv[1:] if arguments is None else arguments) or 0))


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; print a wrong argument or file as one line on stderr."""
    try:
        return command()
    except FsbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@app.default
def campaign(
    plan: Path,
    /,
    *,
    minutes: float = math.inf,
    only: Annotated[str, Parameter(metavar="TEXT")] = "",
    part: Annotated[str, Parameter(metavar="I/N")] = "1/1",
    dry_run: bool = False,
    threads: int | None = None,
    device: str = "auto",
    results: Path = Setting.results,
    runs: Path = Setting.runs,
) -> int:
    """Work through a plan of trainings and evaluations.

    Args:
        plan: Plan file, results/plans/*.toml.
        minutes: Stop after this time.
        only: Only jobs whose name contains this text.
        part: Every N-th job, so that N processes share a plan.
        dry_run: List the jobs and their states, and end.
        threads: Processor threads of each call. Default: all.
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
        results: Results folder.
        runs: Folder of the runs.
    """
    setting = Setting(results, runs, time.monotonic() + 60 * minutes, device, threads)
    selected = select(plans.read(plan), only, *_part(part))
    if dry_run:
        for todo in examine(selected, setting):
            n_cells = len(todo.job.cells)
            filled = f"{n_cells - len(todo.empty)} of {n_cells}"
            print(f"{todo.state:<8} {filled:>9} results  {todo.job.name}")
        return 0
    return 1 if work(selected, setting) else 0


def _part(text: str) -> tuple[int, int]:
    """Parse `I/N`."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise FsbenchError(f"--part must be I/N with 1 <= I <= N, but is {text!r}")
    return int(number), int(count)


def select(jobs: Sequence[Job], only: str = "", part: int = 1, parts: int = 1) -> list[Job]:
    """Select the jobs of one part whose names contain `only`; equal names are always in the same part."""
    places = {name: place for place, name in enumerate(dict.fromkeys(job.name for job in jobs))}
    return [job for job in jobs if only in job.name and places[job.name] % parts == part - 1]


def examine(jobs: Sequence[Job], setting: Setting) -> list[Todo]:
    """Compare jobs with the result files and the data sets on this machine."""
    filled, prepared = plans.filled_cells(setting.results), {*glyphs.NAMES, *image_store.prepared_stores()}
    todos = []
    for job in jobs:
        empty = plans.empty_cells(job, filled)
        needed = {cell.dataset for cell in job.cells} if empty else set()
        possible = any(cell.dataset in prepared for cell in empty)
        if empty and not setting.kept(job).exists():
            source = plans.stored_name(job.source)
            needed, possible = needed | {source}, possible and source in prepared
        todos.append(Todo(job, empty, frozenset(needed - prepared), possible))
    return todos


def work(jobs: Sequence[Job], setting: Setting) -> list[str]:
    """Do what is left of the jobs, in order, until the deadline; return one line per failure."""
    todos = examine(jobs, setting)
    states = [todo.state for todo in todos]
    print(
        f"{len(jobs)} jobs: {states.count('done')} done, {states.count('to do')} to do, "
        f"{states.count('no data')} without data",
        flush=True,
    )
    for name in sorted({name for todo in todos for name in todo.missing}):
        print(f"not prepared, so left out: {name}; see: fsbench data show {name}", flush=True)
    failures: list[str] = []
    open_jobs = [todo for todo in todos if todo.state == "to do"]
    finished = 0
    try:
        for number, todo in enumerate(open_jobs, 1):
            print(f"[{number}/{len(open_jobs)}] {todo.job.name}", flush=True)
            errors = _do(todo, setting)
            failures += errors
            finished += not errors
    except OutOfTimeError:
        print("the time is used up; the same command continues", flush=True)
    print(f"{finished} of {len(open_jobs)} jobs finished, {len(failures)} errors", flush=True)
    for failure in failures:
        print(f"error: {failure}", flush=True)
    return failures


def _do(todo: Todo, setting: Setting) -> list[str]:
    """Train and evaluate; return one line per failure.

    All evaluations are made, not only those of empty cells: results of other cells may come from another
    checkpoint, and a row of a table is one checkpoint. `fsbench` skips the results that this one has.
    """
    job, failures = todo.job, []
    checkpoint, kept = setting.runs / job.name / "best.safetensors", setting.kept(job)
    if kept.exists():
        checkpoint = kept
    else:
        try:
            train = ("train-backbone", *job.flags, "--out", str(checkpoint.parent))
            _, seconds = call(train, job.name, setting)
        except CallError as error:
            return [f"{job.name}: training: {error}"]
        print(f"  trained in {seconds:.0f} s", flush=True)
        if job.keep_checkpoint:
            copies = {checkpoint.with_name("log.csv"): kept.with_suffix(".csv"), checkpoint: kept}
            for source, copy in copies.items():  # the checkpoint last, since it marks the training as done
                with atomic_write(copy) as part:
                    shutil.copyfile(source, part)
    for evaluation in job.evaluations:
        datasets = [name for name in evaluation.datasets if plans.stored_name(name) not in todo.missing]
        if not datasets:
            continue
        flags = ("--dataset", *datasets, *evaluation.flags, "--out", str(setting.results))
        try:
            lines, seconds = call(("evaluate", str(checkpoint), *flags), job.name, setting)
        except CallError as error:
            failures.append(f"{job.name}: evaluation: {error}")
            continue
        print("\n".join(f"  {line}" for line in lines))
        print(f"  evaluated in {seconds:.0f} s", flush=True)
    return failures


def call(arguments: Sequence[str], name: str, setting: Setting) -> tuple[list[str], float]:
    """Call `fsbench`; its stderr goes to `<runs>/logs/<name>.txt`.

    Returns:
        The lines that it prints, and its time in seconds.

    Raises:
        OutOfTimeError: The deadline came first, or is too near.
        CallError: The call ended with an error.
    """
    if setting.left < LEAST:
        raise OutOfTimeError
    log = setting.runs / "logs" / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = (*setting.fsbench, *arguments, "--device", setting.device)
    with log.open("a", encoding="utf-8") as errors:
        print("$", *command, file=errors, flush=True)
        code, output, seconds = bounded(command, setting.left, setting.environment(), errors.fileno())
    if code is None:
        raise OutOfTimeError
    if code != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise CallError(f"exit code {code}, {last} (see {log})")
    return output.splitlines(), seconds


def bounded(
    command: Sequence[str], seconds: float, environment: Mapping[str, str], stderr: int | None = None
) -> tuple[int | None, str, float]:
    """Run a command for some seconds at most, then stop it by Ctrl-C, then kill it.

    Returns:
        Exit code (None if the command was stopped), output, and time in seconds.
    """
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - a command of this repository
        command, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8", env=dict(environment)
    ) as process:
        try:
            output, _ = process.communicate(timeout=None if math.isinf(seconds) else max(0, seconds))
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as why:
            process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
            if isinstance(why, KeyboardInterrupt):
                raise
            return None, output, time.monotonic() - began
        return process.returncode, output, time.monotonic() - began


def stop_on_signals() -> None:
    """Make SIGINT and SIGTERM stop the current call, also in a background job, which ignores SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    stop_on_signals()
    sys.exit(main())
