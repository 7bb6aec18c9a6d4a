"""Work through a plan of trainings and evaluations for some minutes; the same command goes on from there.

    python -m results.campaign results/plans/conv4.toml --minutes 60 --threads 1

Each training and each evaluation is a call of the command line, so that one that fails ends nothing else. A
run that is done (`results/plan.py` says when) is skipped. When the minutes are used up, the current call is
stopped: a training later goes on from its last epoch, an evaluation from its last result file.
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
from results.plan import Question, Run

ROOT = Path(__file__).resolve().parent.parent
LEAST = 15  # seconds that must be left for another call to be started
GRACE = 10  # seconds that a call has to end when it is stopped


@dataclass(frozen=True)
class Setting:
    """Where, how and until when a campaign runs."""

    results: Path = ROOT / "results"
    runs: Path = ROOT / "runs"
    deadline: float = math.inf  # of time.monotonic()
    device: str = "auto"
    threads: int | None = None  # of each call; None: all
    fsbench: tuple[str, ...] = (sys.executable, "-m", "fsbench")

    @property
    def left(self) -> float:
        """Seconds until everything stops."""
        return self.deadline - time.monotonic()

    def kept(self, run: Run) -> Path:
        """Where a run's checkpoint lies if it is committed."""
        return self.results / "checkpoints" / f"{run.name}.safetensors"

    def environment(self) -> dict[str, str]:
        """What a call inherits: this checkout comes before any installed package."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **threads}


@dataclass(frozen=True, eq=False)
class Todo:
    """What is left of a run."""

    run: Run
    unanswered: Sequence[Question]
    missing: frozenset[str]  # data sets that it needs and that are not prepared
    possible: bool  # whether any of it can be done on this machine

    @property
    def state(self) -> str:
        """For people."""
        if not self.unanswered:
            return "done"
        return "to do" if self.possible else "no data"


class OutOfTimeError(Exception):
    """The minutes are used up."""


class CallError(Exception):
    """A call of `fsbench` ended with an error, whose last line this is."""


app = command_line("python -m results.campaign", (__doc__ or "").partition("\n")[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when nothing failed, 1 when a run did, 2 for a wrong argument or plan."""
    return guarded(lambda: int(call_command(app, sys.argv[1:] if arguments is None else arguments) or 0))


def guarded(command: Callable[[], int]) -> int:
    """The exit code of a command; a wrong argument or file is one line on stderr."""
    try:
        return command()
    except FsbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
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
        only: Only runs whose name contains this text.
        part: Every N-th run, so that N processes share a plan.
        dry_run: List the runs and what is done, and end.
        threads: Processor threads of each call. Default: all.
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
        results: Results folder.
        runs: Folder of the runs.
    """
    setting = Setting(results, runs, time.monotonic() + 60 * minutes, device, threads)
    selected = select(plans.read(plan), only, *_part(part))
    if dry_run:
        for todo in examine(selected, setting):
            n_questions = len(todo.run.questions)
            answered = f"{n_questions - len(todo.unanswered)} of {n_questions}"
            print(f"{todo.state:<8} {answered:>9} results  {todo.run.name}")
        return 0
    return 1 if work(selected, setting) else 0


def _part(text: str) -> tuple[int, int]:
    """`I/N` as two numbers."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise FsbenchError(f"--part must be I/N with 1 <= I <= N, but is {text!r}")
    return int(number), int(count)


def select(runs: Sequence[Run], only: str = "", part: int = 1, parts: int = 1) -> list[Run]:
    """The runs whose name contains `only`, of one part of a plan; equal names are always in the same part."""
    places = {name: place for place, name in enumerate(dict.fromkeys(run.name for run in runs))}
    return [run for run in runs if only in run.name and places[run.name] % parts == part - 1]


def examine(runs: Sequence[Run], setting: Setting) -> list[Todo]:
    """What is left of each run, by the result files and the data sets on this machine."""
    known, prepared = plans.answers(setting.results), {*glyphs.NAMES, *image_store.prepared_stores()}
    todos = []
    for run in runs:
        unanswered = plans.unanswered(run, known)
        needed = {question.dataset for question in run.questions} if unanswered else set()
        possible = any(question.dataset in prepared for question in unanswered)
        if unanswered and not setting.kept(run).exists():
            source = plans.stored_name(run.source)
            needed, possible = needed | {source}, possible and source in prepared
        todos.append(Todo(run, unanswered, frozenset(needed - prepared), possible))
    return todos


def work(runs: Sequence[Run], setting: Setting) -> list[str]:
    """Do what is left of the runs, in order, until the deadline; returns what failed, a line each."""
    todos = examine(runs, setting)
    states = [todo.state for todo in todos]
    print(
        f"{len(runs)} runs: {states.count('done')} done, {states.count('to do')} to do, "
        f"{states.count('no data')} without data",
        flush=True,
    )
    for name in sorted({name for todo in todos for name in todo.missing}):
        print(f"not prepared, so left out: {name}; see: fsbench data show {name}", flush=True)
    failures: list[str] = []
    open_runs = [todo for todo in todos if todo.state == "to do"]
    finished = 0
    try:
        for number, todo in enumerate(open_runs, 1):
            print(f"[{number}/{len(open_runs)}] {todo.run.name}", flush=True)
            failed = _do(todo, setting)
            failures += failed
            finished += not failed
    except OutOfTimeError:
        print("the time is used up; the same command goes on from here", flush=True)
    print(f"{finished} of {len(open_runs)} runs finished, {len(failures)} errors", flush=True)
    for failure in failures:
        print(f"error: {failure}", flush=True)
    return failures


def _do(todo: Todo, setting: Setting) -> list[str]:
    """Train a run and evaluate it; returns what failed.

    All evaluations of the plan are made, as some may have answers from another checkpoint: a row of a table
    is one checkpoint. `fsbench` skips those that this one has.
    """
    run, failures = todo.run, []
    checkpoint, kept = setting.runs / run.name / "best.safetensors", setting.kept(run)
    if kept.exists():
        checkpoint = kept
    else:
        try:
            train = ("train-backbone", *run.flags, "--out", str(checkpoint.parent))
            _, seconds = call(train, run.name, setting)
        except CallError as error:
            return [f"{run.name}: training: {error}"]
        print(f"  trained in {seconds:.0f} s", flush=True)
        if run.keep_checkpoint:
            log = checkpoint.with_name("log.csv")
            for source, copy in (
                (log, kept.with_suffix(".csv")),
                (checkpoint, kept),
            ):  # the log, then what counts
                with atomic_write(copy) as part:
                    shutil.copyfile(source, part)
    for evaluation in run.evaluations:
        datasets = [name for name in evaluation.datasets if plans.stored_name(name) not in todo.missing]
        if not datasets:
            continue
        flags = ("--dataset", *datasets, *evaluation.flags, "--out", str(setting.results))
        try:
            lines, seconds = call(("evaluate", str(checkpoint), *flags), run.name, setting)
        except CallError as error:
            failures.append(f"{run.name}: evaluation: {error}")
            continue
        print("\n".join(f"  {line}" for line in lines))
        print(f"  evaluated in {seconds:.0f} s", flush=True)
    return failures


def call(arguments: Sequence[str], name: str, setting: Setting) -> tuple[list[str], float]:
    """Call `fsbench`; the lines it prints and the seconds it took.

    What it writes on stderr goes to `<runs>/logs/<name>.txt`.

    Raises:
        OutOfTimeError: the deadline came first, or is too near.
        CallError: it ended with an error.
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
    """Run a command for so many seconds at most; its exit code, output and seconds.

    The exit code is None when it was stopped: by Ctrl-C first, killed if that does not end it.
    """
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - a command of ours
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


def end_calls_when_told() -> None:
    """Make SIGTERM stop the current call as Ctrl-C does, which a shell's background jobs would ignore."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    end_calls_when_told()
    sys.exit(main())
