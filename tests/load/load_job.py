"""One evaluation in its own process for test_load.py, with its seconds and its memory.

python -m tests.load.load_job FEATURES N_TASKS MAPPED BATCH ROOM: values of MAPPED bytes and more stay on the
disk, what is gathered for a batch takes at most BATCH bytes, and the process may have ROOM bytes more of its
own than when all is imported.
"""

import hashlib
import json
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from fsbench._util import files
from fsbench._util.session import Session
from fsbench.evaluation import inference
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Subject
from fsbench.features.store import Features, Origin
from fsbench.models.identity import Model
from fsbench.tasks.spec import TaskSpec
from tests.memory import memory

CPU = torch.device("cpu")


def main(path: Path, n_tasks: int, mapped: int, batch: int, room: int) -> None:
    files.MAP_ABOVE = mapped
    inference._LARGEST_BATCH = {"cpu": batch}
    labels = np.repeat(np.arange(5, dtype=np.int32), 8)
    small = Features(np.ones((40, 2), np.float32), labels, tuple("abcde"), Origin(dataset="a", split="novel"))
    options = {"session": Session(), "output": Output(None)}
    evaluate(
        Subject(small, Model(run="small")), tasks=[TaskSpec(n_query=3, n_tasks=10)], **options
    )  # all is imported now
    before, peak, done = memory("RssAnon"), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak.append(memory("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    limit = memory("VmData") + room
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # read-only mapped memory does not count
    began = time.perf_counter()
    try:
        (result,) = evaluate(path, tasks=[TaskSpec(n_shot=5, n_tasks=n_tasks)], **options)
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - began
    report = {
        "accuracy": result.outcome.accuracy,
        "tasks": len(result.outcome.correct),
        "scores": hashlib.sha256(
            repr((result.outcome.correct, result.outcome.task_digest)).encode()
        ).hexdigest(),
        "seconds": round(seconds, 1),
        "evaluate_seconds": round(result.outcome.evaluate_seconds, 1),
        "own": max(peak) - before,
        "with_mapped_pages": memory("VmHWM"),
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
