"""What test_resume.py runs: a training that is killed and started again until it ends, at each place.

    kill_job.py CACHE OUT never:0 PLACE...

A place is `fsync:3` (killed at that call) or `random:7` (killed over and over, after at most the time of the
first run, which is not killed). A run is a forked child in the folder OUT/PLACE. Prints how often each place
killed.
"""

import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import children  # the folder of a script comes first in sys.path
import numpy as np
import torch

from fsbench._util.session import Session
from fsbench.training import loop
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

KILLABLE = {"fsync": (os, "fsync"), "step": (loop, "_backward"), "epoch": (loop, "validate")}


def main(cache: Path, out: Path, places: list[str]) -> None:
    children.prepare()
    longest = 0.0
    for place in places:
        deaths = until_done(cache, out / place, *place.split(":"), longest)
        longest = longest or resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        sys.stdout.write(f"{place} {deaths}\n")


def until_done(cache: Path, folder: Path, place: str, number: str, longest: float) -> int:
    """Start the run again until it ends; return how often it was killed."""
    rng, deaths = np.random.default_rng(int(number)), 0
    killed = (signal.SIGKILL, signal.SIGPROF)

    def start() -> int:
        seconds = longest * rng.uniform(0.01, 1)
        return children.start(partial(run, cache, folder, place, int(number), seconds))

    while children.wait_for([start()], killed):
        deaths += 1
        if place != "random":
            place = "never"
    return deaths


def run(cache: Path, folder: Path, place: str, number: int, seconds: float) -> None:
    """Train until killed at a place or after some seconds; an unhandled SIGPROF kills like SIGKILL."""
    if place == "random":
        signal.setitimer(signal.ITIMER_PROF, seconds)  # processor time does not depend on other load
    elif place != "never":
        die_at(*KILLABLE[place], number)
    recipe = resolve(load_recipe("s2m2-r", "paper"), epochs=[1, 2], batch_size=40, patience=2)
    device = torch.device("cpu")
    loop.train_backbone(recipe, TrainingSpec("tiny"), out=folder, session=Session(cache, device, quiet=True))


def die_at(owner: Any, name: str, call: int) -> None:
    """Kill the process when a function is called for the n-th time, counted from 0."""
    original, left = getattr(owner, name), iter(range(call, -1, -1))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
