"""Compare the speed and accuracy of fsbench with other projects, on the same features and tasks.

    pip install easyfsl==1.5.0
    git clone https://github.com/nupurkmr9/S2M2_fewshot; git clone https://github.com/yhu01/PT-MAP
    python -m results.peers results/bench/cpu-mine.json --s2m2 S2M2_fewshot --pt-map PT-MAP

The code of the projects is imported, none of it is part of fsbench. Every method classifies the first tasks
of the list that fsbench draws. Each project is measured with one thread and with all threads, and the faster
one counts; fsbench has all threads. Calls of `.cuda()` do nothing on a CPU.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench._util.files import write_text
from fsbench.cli._app import call, command_line
from fsbench.evaluation import inference
from fsbench.heads import find_head, find_preprocess
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec
from fsbench.training.precision import keep_memory
from results.campaign import guarded

CLASSES, PER_CLASS, D = 20, 600, 640
N_WAY, N_QUERY = 5, 15
SHOTS = (1, 5)
MOST_TASKS, TIMES_AS_MANY = 10_000, 50  # tasks of fsbench: at most, and relative to the other project


@dataclass(frozen=True)
class Row:
    """The same method in two projects, on the same tasks.

    Attributes:
        project: Name and version of the other project.
        method: Name of the method there.
        head: Head of fsbench, with its preprocessing.
        task: The tasks, such as "5w1s".
        tasks: Number of tasks that the other project has classified.
        peer_rate: Tasks per second of the other project.
        rate: Tasks per second of fsbench.
        peer_accuracy: Mean accuracy of the other project, in percent.
        accuracy: Mean accuracy of fsbench on the same tasks, in percent.
        half_width: 95 % half width of that accuracy.
    """

    project: str
    method: str
    head: str
    task: str
    tasks: int
    peer_rate: float
    rate: float
    peer_accuracy: float
    accuracy: float
    half_width: float


@dataclass(frozen=True)
class Peer:
    """A method of another project, and the head of fsbench that is compared with it.

    Attributes:
        project: Name and version of the project.
        method: Name of the method.
        head: Name of the head.
        preprocess: Preprocessing of its features.
        tasks: Number of tasks for the project's code.
        accuracies: Function of all features (n, d) and tasks that returns the accuracy of each task, or their
            mean, (tasks,) or (1,).
    """

    project: str
    method: str
    head: str
    preprocess: str
    tasks: int
    accuracies: Callable[[Tensor, sampler.Tasks], NDArray[np.floating]]


app = command_line("python -m results.peers", (__doc__ or "").partition("\n")[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 on success, 2 for a wrong argument."""
    return guarded(lambda: int(call(app, sys.argv[1:] if arguments is None else arguments) or 0))


@app.default
def compare_projects(
    file: Path, /, *, s2m2: Path | None = None, pt_map: Path | None = None, only: str = ""
) -> None:
    """Compare the speed of fsbench with other projects.

    Args:
        file: JSON file of this processor, which gets a section "peers".
        s2m2: Checkout of nupurkmr9/S2M2_fewshot; without it, its loop is left out.
        pt_map: Checkout of yhu01/PT-MAP; without it, its loop is left out.
        only: Measure methods whose name contains this text.
    """
    keep_memory()
    values = features()
    peers = [*easyfsl(values), *(s2m2_loop(s2m2) if s2m2 else ()), *(pt_map_loop(pt_map) if pt_map else ())]
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    name = machine.device_name(torch.device("cpu"))
    record.setdefault("device", f"{name}, {torch.backends.cpu.get_cpu_capability()}")
    rows = record.get("peers", {}).get("rows", [])
    for peer in peers:
        for n_shot in SHOTS:
            if only not in peer.method:
                continue
            row = measure(peer, values, n_shot)
            print(row, flush=True)
            same = ("project", "method", "task")
            rows = [old for old in rows if any(old[key] != getattr(row, key) for key in same)]
            rows.append({key: _rounded(value) for key, value in asdict(row).items()})
            record["peers"] = {"commit": machine.commit(), "versions": machine.versions(), "rows": rows}
            write_text(file, json.dumps(record, indent=2) + "\n")


def features() -> Tensor:
    """Draw features that are not negative and about as hard as those of a real backbone, (n, D)."""
    rng = torch.Generator().manual_seed(0)
    centres = 0.3 * torch.randn(CLASSES, 1, D, generator=rng)
    return (centres + torch.randn(CLASSES, PER_CLASS, D, generator=rng)).relu().flatten(0, 1)


def measure(peer: Peer, values: Tensor, n_shot: int) -> Row:
    """Run both projects on the same tasks."""
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    n_tasks = min(MOST_TASKS, TIMES_AS_MANY * peer.tasks)
    spec = TaskSpec(n_way=N_WAY, n_shot=n_shot, n_query=N_QUERY, n_tasks=n_tasks)
    tasks = sampler.sample(labels, spec, stop=peer.tasks)
    threads, rates = len(os.sched_getaffinity(0)), []
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        peer.accuracies(values, tasks[: max(1, peer.tasks // 10)])
        began = time.perf_counter()
        theirs = peer.accuracies(values, tasks)
        rates.append(peer.tasks / (time.perf_counter() - began))
    head, preprocess = find_head(peer.head), find_preprocess(peer.preprocess)
    for measured in (replace(spec, n_tasks=64), spec):  # the first compiles code
        began = time.perf_counter()
        ours = inference.accuracies(preprocess(values, values.mean(dim=0)), labels, measured, head)
    rate = spec.n_tasks / (time.perf_counter() - began)
    same = ours[: peer.tasks]
    return Row(
        project=peer.project,
        method=peer.method,
        head=f"{peer.head} ({peer.preprocess})",
        task=f"{N_WAY}w{n_shot}s",
        tasks=peer.tasks,
        peer_rate=max(rates),
        rate=rate,
        peer_accuracy=100 * float(theirs.mean()),
        accuracy=100 * float(same.mean()),
        half_width=196 * float(same.std(ddof=1)) / len(same) ** 0.5,
    )


def easyfsl(values: Tensor) -> list[Peer]:
    """List the methods of easyfsl, each with the preprocessing of its paper and otherwise its defaults."""
    try:
        from easyfsl import methods
        from easyfsl.datasets import FeaturesDataset
        from easyfsl.samplers import TaskSampler
        from easyfsl.utils import evaluate
    except ImportError as error:
        raise FsbenchError("easyfsl is not installed: pip install easyfsl==1.5.0") from error
    from importlib.metadata import version

    class SameTasks(TaskSampler):  # type: ignore[misc, no-any-unimported]
        """The given tasks; the initialiser of the base class fails with a current torch."""

        def __init__(self, rows: NDArray[np.int32], n_shot: int) -> None:
            self.rows, self.n_way, self.n_shot, self.n_query = rows, N_WAY, n_shot, N_QUERY
            self.n_tasks = len(rows)

        def __iter__(self) -> Iterator[list[int]]:
            yield from self.rows.reshape(len(self.rows), -1).tolist()

    labels = [label for label in range(CLASSES) for _ in range(PER_CLASS)]

    def accuracies(model: torch.nn.Module, values: Tensor, tasks: sampler.Tasks) -> NDArray[np.floating]:
        dataset = FeaturesDataset(labels, values, [str(label) for label in range(CLASSES)])
        same = SameTasks(_by_class(tasks), tasks.support.shape[2])
        loader = torch.utils.data.DataLoader(dataset, batch_sampler=same, collate_fn=same.episodic_collate_fn)
        return np.array([evaluate(model, loader, device="cpu", use_tqdm=False)])

    centring, scaling = {"feature_centering": values.mean(dim=0)}, {"feature_normalization": 2.0}
    project = f"easyfsl {version('easyfsl')}"
    table = [
        (methods.PrototypicalNetworks, {}, "nearest-mean", "none", 600),
        (methods.SimpleShot, scaling, "nearest-mean", "l2", 600),
        (methods.BDCSPN, {**centring, **scaling}, "bd-cspn", "cl2n", 600),
        (methods.LaplacianShot, {**centring, **scaling}, "laplacian-shot", "cl2n", 600),
        (methods.TIM, scaling, "tim", "l2", 60),
        (methods.Finetune, {}, "cosine-sgd", "none", 60),
        (methods.PTMAP, scaling, "pt-map", "pt", 20),
    ]
    return [
        Peer(project, method.__name__, head, preprocess, tasks, _bound(accuracies, method(**options)))
        for method, options, head, preprocess, tasks in table
    ]


def _bound(
    accuracies: Callable[[torch.nn.Module, Tensor, sampler.Tasks], NDArray[np.floating]],
    model: torch.nn.Module,
) -> Callable[[Tensor, sampler.Tasks], NDArray[np.floating]]:
    """Bind the model."""
    return lambda values, tasks: accuracies(model, values, tasks)


def s2m2_loop(checkout: Path) -> list[Peer]:
    """The cosine classifier of S2M2, trained by its own code, task by task."""
    with _importable(checkout):
        from methods.baselinefinetune import BaselineFinetune

    def accuracies(values: Tensor, tasks: sampler.Tasks) -> NDArray[np.floating]:
        model = BaselineFinetune(lambda: SimpleNamespace(final_feat_dim=D), N_WAY, tasks.support.shape[2])
        model.n_query = N_QUERY
        answers = torch.arange(N_WAY).repeat_interleave(N_QUERY)
        with _on_the_cpu():
            rows = torch.from_numpy(_by_class(tasks)).long()
            predicted = torch.stack([model.set_forward(values[task])[-1].argmax(dim=1) for task in rows])
        return (predicted == answers).float().mean(dim=1).numpy()

    return [Peer("S2M2_fewshot", "BaselineFinetune", "cosine-sgd", "none", 10, accuracies)]


def pt_map_loop(checkout: Path) -> list[Peer]:
    """PT-MAP by its own code, all tasks in one batch."""

    def accuracies(values: Tensor, tasks: sampler.Tasks) -> NDArray[np.floating]:
        n_shot = tasks.support.shape[2]
        # Its tasks list the first image of each class, then the second of each class, and so on.
        rows = torch.from_numpy(_by_class(tasks)).long().mT.flatten(1)
        script = _functions_of(checkout / "test_standard.py")
        script.update(n_shot=n_shot, n_ways=N_WAY, n_queries=N_QUERY, n_runs=len(tasks))
        script.update(n_lsamples=N_WAY * n_shot, n_usamples=N_WAY * N_QUERY)
        script["labels"] = torch.arange(N_WAY).repeat(len(tasks), n_shot + N_QUERY)
        with _on_the_cpu(), patch.object(torch, "qr", torch.linalg.qr):  # torch no longer has the former
            points = script["QRreduction"](torch.pow(values[rows] + 1e-6, 0.5))
            script["n_nfeat"] = points.shape[2]
            script["ndatas"] = script["centerDatas"](script["scaleEachUnitaryDatas"](points))
            model = script["GaussianModel"](N_WAY, 10)
            model.initFromLabelledDatas()
            return np.array([script["MAP"](0.2).loop(model, n_epochs=20)[0]])

    return [Peer("PT-MAP", "test_standard.py", "pt-map", "pt", 200, accuracies)]


def _functions_of(path: Path) -> dict[str, Any]:
    """Run the definitions of a script and return its global names, which its functions share."""
    if not path.is_file():
        raise FsbenchError(f"{path}: file does not exist; pass a checkout of the project")
    module = ModuleType("peer")
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)  # noqa: S102 - the user's checkout
    return module.__dict__


def _by_class(tasks: sampler.Tasks) -> NDArray[np.int32]:
    """Return the rows of each task as (tasks, n_way, n_shot + n_query), support first."""
    order = np.argsort(tasks.answers, axis=1, kind="stable")
    queries = np.take_along_axis(tasks.query, order, axis=1).reshape(len(tasks), N_WAY, N_QUERY)
    return np.concatenate([tasks.support, queries], axis=2)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make the modules of a folder importable within the block."""
    if not folder.is_dir():
        raise FsbenchError(f"{folder}: folder does not exist; pass a checkout of the project")
    with patch.object(sys, "path", [str(folder), *sys.path]):
        yield


@contextmanager
def _on_the_cpu() -> Iterator[None]:
    """Make `.cuda()` return its tensor or module unchanged."""
    with (
        patch.object(torch.Tensor, "cuda", lambda self: self),
        patch.object(torch.nn.Module, "cuda", lambda self: self),
    ):
        yield


def _rounded(value: object) -> object:
    """Round a float to four digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
