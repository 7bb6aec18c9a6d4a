"""What test_distributed.py runs in one process and in two.

    distributed_job.py CACHE OUT

The files in OUT/one and OUT/two must agree. The two processes have those variables of `torchrun` that torch
needs to connect them.
"""

import os
import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import children  # the folder of a script comes first in sys.path
import numpy as np
import torch
from safetensors.torch import save_file

from fsbench._util.distributed import Worker, add_gradients, join, share_batch_norm
from fsbench._util.session import Session
from fsbench.models.backbones import build
from fsbench.models.classifiers import Network
from fsbench.training.loop import train_backbone
from fsbench.training.optim import Optimiser
from fsbench.training.overrides import resolve
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import Recipe, Stage, load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
RECIPES = ("erm", "mixup", "manifold-mixup", "rotation", "exemplar", "s2m2-r", "s2m2-e")
ROWS = (7, 1)  # an uneven split, and no row for the second process
RUNS = {"erm": [2], "manifold-mixup": [2], "rotation": [1], "s2m2-r": [1, 2]}  # epochs
# If a gradient is only rounding, as for a bias before batch norm, Adam would make full steps from it.
PRESETS = {"erm": "cosine"}  # paper for other recipes: with the scale of `fast`, rounding errors grow faster
SGD = Optimiser("sgd", learning_rate=1e-3)


def main(cache: Path, out: Path) -> None:
    children.prepare()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address, port = free.getsockname()
    torchrun = {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
    }
    started = [children.start(partial(run, cache, out / "one", {}))]
    for rank in ("0", "1"):
        variables = {**torchrun, "RANK": rank, "LOCAL_RANK": rank}
        started.append(children.start(partial(run, cache, out / "two", variables)))
    children.wait_for(started)


def run(cache: Path, out: Path, variables: dict[str, str]) -> None:
    """Compute the steps and train, as one of the processes that `variables` describe."""
    os.environ.update(variables)
    distributed = join(CPU)
    steps = {}
    for name in RECIPES:
        recipe = load_recipe(name, PRESETS.get(name, "paper"))
        for stage in recipe.stages:
            for rows in ROWS:
                for key, value in one_step(recipe, stage, rows, distributed).items():
                    steps[f"{name} {stage.name} {rows} {key}"] = value
    out.mkdir(parents=True, exist_ok=True)
    save_file(steps, out / f"steps-{distributed.rank}.safetensors")
    for name, epochs in RUNS.items():
        recipe = resolve(
            load_recipe(name, PRESETS.get(name, "paper")), epochs=epochs, batch_size=15
        )  # 8 images and 7
        recipe = replace(recipe, optimiser=SGD)
        compute = ComputeSettings(micro_batch=5 if name == "rotation" else None)  # 3 images and 2
        train_backbone(
            recipe,
            TrainingSpec("tiny"),
            out=out / name,
            compute=compute,
            session=Session(cache, CPU, quiet=True),
        )


def one_step(recipe: Recipe, stage: Stage, rows: int, distributed: Worker) -> dict[str, torch.Tensor]:
    """Loss terms, gradients and statistics of one step in float64, where rounding hides no error."""
    torch.manual_seed(0)
    network = Network(
        build("conv4", 16, seed=0), 4, recipe.classifier, recipe.scale, recipe.auxiliary_classifiers
    )
    network.backbone.distributed = distributed
    if distributed.size > 1:
        share_batch_norm(network)
    network.double()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(rows * stage.views, 3, 16, 16, generator=generator, dtype=torch.float64)
    terms = stage.step(network, images, torch.arange(rows) % 4, np.random.default_rng(0))
    (sum(terms.values()) / distributed.size).backward()
    add_gradients(network, distributed)
    gradients = {f"gradient of {name}": p.grad for name, p in network.named_parameters()}
    losses = {name: term.detach().clone() for name, term in terms.items()}
    return losses | gradients | dict(network.named_buffers())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
