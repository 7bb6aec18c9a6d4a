"""One training loop for every recipe: recipe + data + seed -> checkpoints and a log.

Every random number is a function of the seed and of where the loop stands, so a run that was stopped and
started again goes on exactly as it would have gone.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Never

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from fsbench import checkpoint, episodes, machine, resume, stats
from fsbench.backbones import build
from fsbench.checkpoint import Provenance
from fsbench.data.augment import train_augment
from fsbench.data.prepare import load, splits_of
from fsbench.data.store import ImageSplit
from fsbench.episodes import TaskSpec
from fsbench.errors import FsbenchError
from fsbench.extract import embed
from fsbench.files import only_one, whole_file
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.network import Network
from fsbench.recipe import Recipe, Stage
from fsbench.score import right_answers
from fsbench.streams import stream, stream_seed

LARGEST_SIZE = 84  # image size for data sets of larger images, unless another is asked for
VAL_TASKS = 1000  # 5-way 1-shot nearest mean after each epoch
VAL_IMAGES = 100  # of each val class; ranks epochs at a small share of an epoch's time
LOOK_EVERY = 20  # steps between looks at the loss: each one waits for the device


@dataclass(frozen=True)
class Run:
    """One training run: all that stays the same while it goes on."""

    folder: Path
    recipe: Recipe
    network: Network
    pixels: Tensor  # (n, h, w, 3) uint8, base images on the device
    labels: Tensor  # (n,) int64
    val: ImageSplit | None
    provenance: Provenance

    @property
    def best(self) -> Path:
        """Checkpoint of the epoch with the highest few-shot accuracy on val classes."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch that is done."""
        return self.folder / "last.safetensors"

    @property
    def state(self) -> Path:
        """What an unfinished run goes on from."""
        return self.folder / "resume.safetensors"


def run_name(recipe: Recipe, dataset: str, backbone: str, image_size: int, seed: int) -> str:
    """The name of a run, from what usually tells it from others."""
    return f"{recipe.name}-{recipe.preset}-{backbone}-{dataset}-{image_size}px-{recipe.epochs}ep-s{seed}"


def train_backbone(
    recipe: Recipe,
    dataset: str,
    backbone: str = "conv4",
    *,
    image_size: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    cache: Path | None = None,
    device: torch.device,
    force: bool = False,
    quiet: bool = False,
) -> Run:
    """Train a backbone on the base classes of a data set; the run's folder holds best, last and a log.

    A finished run is left as it is and an unfinished one goes on, unless `force` starts it anew. `out` is
    `runs/<run name>` when not given; its last part names the run.

    Raises:
        FsbenchError: an argument that no run can be made for, a folder that holds another run, or a loss that
            is not finite.
    """
    base = load(dataset, "base", cache)
    val = _val_images(dataset, cache)
    for stage in recipe.stages:
        if stage.patience is not None and val is None:
            raise FsbenchError(
                f"dataset {dataset}: stage {stage.name} ends by val accuracy, but it has no val classes"
            )
    size = image_size or min(*base.pixels.shape[1:3], LARGEST_SIZE)
    folder = out or Path("runs", run_name(recipe, base.dataset, backbone, size, seed))
    with only_one(folder / "run"), torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, "classifier"))
        network = Network(
            build(backbone, size, dropout=recipe.dropout, seed=stream_seed(seed, "backbone")),
            max(len(base.class_names), recipe.classifier_width or 0),
            recipe.classifier,
            recipe.scale,
            recipe.extra_heads,
        ).to(device)
        network = network.to(memory_format=torch.channels_last)
        run = Run(
            folder=folder,
            recipe=recipe,
            network=network,
            pixels=torch.from_numpy(base.pixels).to(device),
            labels=torch.from_numpy(base.labels).long().to(device),
            val=val,
            provenance=Provenance(
                run=folder.name,
                backbone=backbone,
                image_size=size,
                dropout=network.backbone.dropout,
                source=base.dataset,
                source_fingerprint=base.fingerprint,
                class_names=base.class_names,
                synthetic=base.synthetic,
                recipe=recipe.name,
                preset=recipe.preset,
                epochs=recipe.epochs,
                epoch=0,
                train_seed=seed,
                val_accuracy=None,
                settings=recipe.settings(),
                versions=machine.versions(),
            ),
        )
        if force or not _is_finished(run):
            _train(run, None if force else _unfinished(run), quiet)
        run.state.unlink(missing_ok=True)
    return run


def _train(run: Run, stopped: resume.State | None, quiet: bool) -> None:
    """Go through the stages from where an earlier process stopped; write the files after each epoch."""
    log = stopped.log if stopped else []
    images = run.recipe.epochs * len(run.labels)
    with tqdm(total=images, unit="img", unit_scale=True, disable=True if quiet else None) as bar:
        bar.update(len(log) * len(run.labels))
        for number, stage in enumerate(run.recipe.stages):
            if stopped and number < stopped.stage:
                continue
            optimiser = run.recipe.optimiser.build(run.network.parameters())
            first = 0
            if stopped and number == stopped.stage:
                first = stopped.epoch
                stopped.restore(run.network, optimiser)
            elif stage.fresh_heads:
                torch.manual_seed(stream_seed(run.provenance.train_seed, "heads", stage.name))
                run.network.reset_heads()
            for epoch in range(first, stage.epochs):
                if _has_stalled(stage, epoch, log):
                    break
                row = _train_epoch(run, stage, epoch, optimiser, bar)
                log.append({"stage": stage.name, "epoch": len(log) + 1, **row, **_validate(run)})
                _write(run, log)
                resume.save(
                    run.state, run.network, optimiser, run.provenance, stage=number, epoch=epoch + 1, log=log
                )
    _write(run, log, finished=True)


def _has_stalled(stage: Stage, epochs: int, log: list[dict[str, Any]]) -> bool:
    """Whether a stage's accuracy on val classes has not risen for as many epochs as its patience.

    `epochs` of it are done. What it has to beat first is the last accuracy of the stage before.
    """
    if stage.patience is None or epochs == 0:
        return False
    accuracies = [row["val_accuracy"] for row in log[-epochs - 1 :]]
    return len(accuracies) - 1 - int(np.argmax(accuracies)) >= stage.patience


def _train_epoch(
    run: Run, stage: Stage, epoch: int, optimiser: torch.optim.Optimizer, bar: "tqdm[Never]"
) -> dict[str, float]:
    """One pass over the base images; mean loss terms and images a second."""
    recipe, device, seed = run.recipe, run.labels.device, run.provenance.train_seed
    rate = recipe.optimiser.rate(epoch / stage.epochs)
    for group in optimiser.param_groups:
        group["lr"] = rate
    run.network.train()
    order = torch.from_numpy(stream(seed, "order", stage.name, epoch).permutation(len(run.labels))).to(device)
    draws = torch.Generator(device)
    began = time.perf_counter()
    sums: dict[str, Tensor] = {}
    for step, rows in enumerate(order.split(recipe.batch_size)):
        here = (stage.name, epoch, step)
        torch.manual_seed(stream_seed(seed, "dropout", *here))
        draws.manual_seed(stream_seed(seed, "augment", *here))
        pixels = run.pixels[rows.repeat(stage.views)]
        images = train_augment(pixels, run.network.backbone.image_size, draws, recipe.augment)
        terms = stage.step(run.network, images, run.labels[rows], stream(seed, "step", *here))
        loss = torch.stack(tuple(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, term in terms.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + term.detach() * len(rows)
        if step % LOOK_EVERY == 0:
            _look(run, stage, epoch, step, loss.item(), bar)
        bar.update(len(rows))
    means = {f"loss_{name}": (total / len(run.labels)).item() for name, total in sums.items()}
    _look(run, stage, epoch, step, sum(means.values()), bar)
    seconds = time.perf_counter() - began
    return {
        **means,
        "learning_rate": rate,
        "seconds": seconds,
        "images_per_second": len(run.labels) / seconds,
    }


def _look(run: Run, stage: Stage, epoch: int, step: int, loss: float, bar: "tqdm[Never]") -> None:
    """Show the loss; stop when it is no number any more."""
    if not math.isfinite(loss):
        kept = f"the last good checkpoint is {run.last}" if run.last.exists() else "nothing was kept"
        raise FsbenchError(
            f"loss is {loss} in stage {stage.name}, epoch {epoch + 1}, step {step + 1}; {kept}"
        )
    bar.set_description(f"{stage.name} {epoch + 1}/{stage.epochs}", refresh=False)
    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)


def _validate(run: Run) -> dict[str, float]:
    """Few-shot accuracy on val classes and its half width, 0..1; nothing without val classes."""
    if run.val is None:
        return {}
    labels = run.val.labels
    spec = TaskSpec(n_way=5, n_shot=1, n_query=15, n_tasks=VAL_TASKS, seed=0)
    tasks = episodes.sample(labels, spec)
    values = embed(run.network.backbone, run.val.pixels, run.labels.device)
    right = right_answers(l2(torch.from_numpy(values), None), tasks, spec.n_shot, find_head("nearest-mean"))
    accuracy, half_width = stats.mean_and_half_width(right / (spec.n_way * spec.n_query))
    return {"val_accuracy": accuracy, "val_half_width": half_width}


def _val_images(dataset: str, cache: Path | None) -> ImageSplit | None:
    """The first images of each val class; None when the data set has too few for 5-way 1-shot tasks."""
    if "val" not in splits_of(dataset, cache):
        return None
    val = load(dataset, "val", cache)
    _, first, sizes = np.unique(val.labels, return_index=True, return_counts=True)
    if len(sizes) < 5 or sizes.min() < 16:
        return None
    rank = np.arange(len(val.labels)) - first[val.labels]
    kept = rank < VAL_IMAGES
    return replace(val, pixels=val.pixels[kept], labels=val.labels[kept])


def _write(run: Run, log: list[dict[str, Any]], *, finished: bool = False) -> None:
    """Write the log, the last checkpoint, and the best one when this epoch is it."""
    accuracies = [row.get("val_accuracy", 0.0) for row in log]
    provenance = replace(run.provenance, epoch=len(log), val_accuracy=log[-1].get("val_accuracy"))
    weights = run.network.state_dict()
    if run.val is None or len(log) == 1 or accuracies[-1] > max(accuracies[:-1]):
        checkpoint.write(run.best, weights, provenance)
    checkpoint.write(run.last, weights, provenance, finished=finished)
    with whole_file(run.folder / "log.csv") as part:
        pd.DataFrame(log).to_csv(part, index=False)


def _is_finished(run: Run) -> bool:
    """Whether the folder holds this very run, finished."""
    if not run.last.exists():
        return False
    about = checkpoint.read(run.last)[1]
    _same_run(run, about)
    return bool(about["finished"])


def _unfinished(run: Run) -> resume.State | None:
    """The state of this very run when an earlier process was stopped."""
    if not run.state.exists():
        return None
    state = resume.load(run.state)
    _same_run(run, state.about)
    return state


def _same_run(run: Run, about: dict[str, Any]) -> None:
    """Refuse a folder that holds another run; name the first setting that differs."""
    wanted = json.loads(json.dumps(asdict(run.provenance)))
    wanted |= wanted.pop("settings")
    found = {**about, **about["settings"]}
    for name in sorted(wanted.keys() - {"epoch", "val_accuracy", "versions"}):
        if wanted[name] != found.get(name):
            raise FsbenchError(
                f"--out {run.folder}: holds a run with {name} = {_short(found.get(name))}, "
                f"not {_short(wanted[name])}; name another folder, or --force to replace it"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
