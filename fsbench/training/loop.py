"""One training loop for every recipe: recipe + data + seed -> checkpoints and a log.

Every random number is a function of the seed and of where the loop stands, so a run that was stopped and
started again goes on exactly as it would have gone.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fsbench._util import machine
from fsbench._util.distributed import add_gradients, join, share_batch_norm
from fsbench._util.errors import FsbenchError, enough_memory
from fsbench._util.files import only_one, whole_file
from fsbench._util.progress import Bar, progress
from fsbench._util.rng import stream, stream_seed
from fsbench.data.augment import resized, train_augment
from fsbench.data.image_split import ImageSplit, few_images
from fsbench.data.label_noise import add_label_noise
from fsbench.data.loading import load_for
from fsbench.models import checkpoint
from fsbench.models.backbones import build
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network, assemble
from fsbench.training import resume
from fsbench.training import tensorboard as tracking
from fsbench.training.precision import Engine
from fsbench.training.recipe import Recipe, Stage
from fsbench.training.tensorboard import Track
from fsbench.training.validation import val_images, validate, validated_every

LARGEST_SIZE = 84  # image size for data sets of larger images, unless another is asked for
LOOK_EVERY = 20  # steps between looks at the loss: each one waits for the device


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: all that stays the same while it goes on."""

    folder: Path
    recipe: Recipe
    network: Network
    pixels: Tensor  # (n, h, w, 3) uint8, base images on the device
    labels: Tensor  # (n,) int64
    val: ImageSplit | None
    engine: Engine
    provenance: Provenance
    tensorboard: bool  # write the log as event files, too

    @property
    def best(self) -> Path:
        """Checkpoint of the epoch with the highest few-shot accuracy on val classes, of those validated."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch that is done."""
        return self.folder / "last.safetensors"

    def text(self, device: torch.device) -> str:
        """All that is resolved, for people: what is off by mistake shows before hours pass."""
        text = f"{self.recipe.text()}\ndevice        {machine.device_name(device)}\n{self.engine.text()}"
        if self.recipe.preset == "fast":
            text += "\nfast is the default preset, for short trainings; --preset chooses another one"
        return text


def run_name(
    recipe: Recipe, dataset: str, backbone: str, image_size: int, seed: int, per_class: int | None = None
) -> str:
    """The name of a run, from what usually tells it from others."""
    images = f"-{per_class}pc" if per_class else ""
    noise = f"-noise{recipe.label_noise:g}" if recipe.label_noise else ""
    name = f"{recipe.name}-{recipe.preset}-{backbone}-{dataset}{images}-{image_size}px-{recipe.epochs}ep"
    return f"{name}{noise}-s{seed}"


def train_backbone(
    recipe: Recipe,
    dataset: str,
    backbone: str = "conv4",
    *,
    image_size: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    cache: Path | None = None,
    device: torch.device,
    engine: Engine = Engine(),
    tensorboard: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Run:
    """Train a backbone on the base classes of a data set; the run's folder holds best, last and a log.

    A finished run is left as it is and an unfinished one goes on, unless `force` starts it anew. `out` is
    `runs/<run name>` when not given; its last part names the run. With `tensorboard` the log is an
    event file, too. Under `torchrun` all processes call this alike, share each batch, and the first one
    writes.

    Raises:
        FsbenchError: an argument that no run can be made for, a folder that holds another run, a loss or
            weights that are not finite, or too little memory.
    """
    if tensorboard:
        tracking.require_tensorboard()
    stored = resized(image_size or LARGEST_SIZE)
    base = load_for(dataset, "base", backbone, image_size, stored, cache)
    if per_class is not None:
        base, per_class = _few(base, per_class)
    val = val_images(dataset, cache, stored)
    for stage in recipe.stages:
        if stage.patience is not None and val is None:
            raise FsbenchError(
                f"dataset {dataset}: stage {stage.name} ends by val accuracy, but it has no val classes"
            )
    # a copy of what is mapped: torch takes nothing read-only
    pixels = np.require(base.pixels, requirements="W")
    labels = add_label_noise(base.labels, len(base.class_names), recipe.label_noise or 0.0, seed)
    size = image_size or min(*base.pixels.shape[1:3], LARGEST_SIZE)
    folder = out or Path("runs", run_name(recipe, base.dataset, backbone, size, seed, per_class))
    share = join(device)
    alone = only_one(folder / "run") if share.rank == 0 else nullcontext()
    with alone, machine.generators_kept(device):
        machine.seed_generators(stream_seed(seed, "classifier"), device)
        untrained = build(backbone, size, dropout=recipe.dropout, seed=stream_seed(seed, "backbone"))
        network = assemble(untrained, len(base.class_names), recipe.settings())
        network.backbone.share = share
        if share.size > 1:
            share_batch_norm(network)
        network = network.to(device).to(memory_format=torch.channels_last)
        if engine.compile:
            for block in network.backbone.blocks:
                block.compile()
        run = Run(
            folder=folder,
            recipe=recipe,
            network=network,
            pixels=torch.from_numpy(pixels).to(device),
            labels=torch.from_numpy(labels).long().to(device),
            val=val,
            engine=engine,
            provenance=Provenance(
                run=folder.name,
                backbone=backbone,
                image_size=size,
                dropout=network.backbone.dropout,
                source=base.dataset,
                source_fingerprint=base.fingerprint,
                source_files=base.identity.files,
                source_decoder=base.identity.decoder,
                class_names=base.class_names,
                synthetic=base.synthetic,
                recipe=recipe.name,
                preset=recipe.preset,
                epochs=recipe.epochs,
                epoch=0,
                train_seed=seed,
                val_accuracy=None,
                settings=recipe.settings(),
                precision=engine.precision,
                micro_batch=engine.micro_batch,
                per_class=per_class,
                versions=machine.versions(),
            ),
            tensorboard=tensorboard,
        )
        finished, stopped = share.agree(lambda: (False, None) if force else _found(run))
        if not finished:
            quiet = quiet or share.rank > 0
            if not quiet:
                sys.stderr.write(f"{run.text(device)}\n")
            _train(run, stopped, quiet)
        share.wait()  # until the first process has written
    return run


def _few(base: ImageSplit, per_class: int) -> tuple[ImageSplit, int | None]:
    """The first `per_class` images of each base class, and how many those are; None where they are all.

    Raises:
        FsbenchError: a class has fewer, or `per_class` is below 1.
    """
    smallest = int(np.bincount(base.labels).min())
    if not 1 <= per_class <= smallest:
        raise FsbenchError(
            f"--per-class must be 1 to {smallest}, the images of the smallest base class of {base.dataset}, "
            f"but is {per_class}"
        )
    few = few_images(base, per_class)
    return few, per_class if len(few.labels) < len(base.labels) else None


def _train(run: Run, stopped: resume.State | None, quiet: bool) -> None:
    """Go through the stages from where an earlier process stopped; write the files after each epoch."""
    log = stopped.log if stopped else []
    images = run.recipe.epochs * len(run.labels)
    with (
        _events(run, log) as track,
        progress("train", images, "images", quiet=quiet, lines=False) as bar,
    ):
        bar.update(len(log) * len(run.labels))
        for number, stage in enumerate(run.recipe.stages):
            if stopped and number < stopped.stage:
                continue
            optimiser = run.recipe.optimiser.build(run.network.parameters())
            scaler = run.engine.scaler(run.labels.device)
            first = 0
            if stopped and number == stopped.stage:
                first = stopped.epoch
                stopped.restore(run.network, optimiser, scaler)
            elif stage.fresh_heads:
                fresh = stream_seed(run.provenance.train_seed, "heads", stage.name)
                machine.seed_generators(fresh, run.labels.device)
                run.network.reset_heads()
            for epoch in range(first, stage.epochs):
                if _has_stalled(stage, epoch, log):
                    break
                row = _train_epoch(run, stage, epoch, optimiser, scaler, bar)
                _check_weights(run, stage, epoch)
                due = _is_due(run, stage, epoch)
                accuracy = validate(run.network.backbone, run.val, run.labels.device) if due else {}
                log.append({"stage": stage.name, "epoch": len(log) + 1, **row, **accuracy})
                bar.line(_epoch_line(run, log[-1]))
                if run.network.backbone.share.rank == 0:
                    _write(run, log, track)
                    place = {"stage": number, "epoch_of_stage": epoch + 1, "log": log}
                    resume.save(run.folder, run.network, optimiser, scaler, run.provenance, place)
    if run.network.backbone.share.rank == 0:
        _write(run, log, finished=True)
        resume.forget(run.folder)


def _epoch_line(run: Run, row: Mapping[str, Any]) -> str:
    """An epoch of the log as one line."""
    loss = sum(value for name, value in row.items() if name.startswith("loss_"))
    line = f"epoch {row['epoch']}/{run.recipe.epochs} ({row['stage']}): loss {loss:.3f}"
    if "val_accuracy" in row:
        line += f", val accuracy {100 * row['val_accuracy']:.2f} %"
    return f"{line}, {row['images_per_second']:,.0f} images/s"


def _events(run: Run, log: list[dict[str, Any]]) -> AbstractContextManager[Track | None]:
    """What takes each new row of the log, beside log.csv."""
    first = run.network.backbone.share.rank == 0
    if first and not log:
        tracking.forget(run.folder)  # of the run that this one replaces
    if first and run.tensorboard:
        return tracking.event_file(run.folder, run.provenance, log)
    return nullcontext()


def _is_due(run: Run, stage: Stage, epoch: int) -> bool:
    """Whether to validate after this epoch of a stage.

    Every epoch of a stage with early stopping is validated, and the last epoch of each stage. Of the other
    epochs, every n-th one is: `validated_every`.
    """
    if run.val is None:
        return False
    every = validated_every(len(run.labels), len(run.val.labels))
    return stage.patience is not None or (epoch + 1) % every == 0 or epoch + 1 == stage.epochs


def _has_stalled(stage: Stage, epochs: int, log: list[dict[str, Any]]) -> bool:
    """Whether a stage's accuracy on val classes has not risen for as many epochs as its patience.

    `epochs` of it are done. What it has to beat first is the last accuracy of the stage before.
    """
    if stage.patience is None or epochs == 0:
        return False
    accuracies = [row["val_accuracy"] for row in log[-epochs - 1 :]]
    return len(accuracies) - 1 - int(np.argmax(accuracies)) >= stage.patience


def _train_epoch(
    run: Run,
    stage: Stage,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    bar: Bar,
) -> dict[str, float]:
    """One pass over the base images; mean loss terms and images a second."""
    recipe, device, seed = run.recipe, run.labels.device, run.provenance.train_seed
    run.network.train()
    order = torch.from_numpy(stream(seed, "order", stage.name, epoch).permutation(len(run.labels))).to(device)
    batches = [
        rows for rows in order.split(recipe.batch_size) if len(rows) > 1
    ]  # one image has no statistics
    began = time.perf_counter()
    sums: dict[str, Tensor] = {}
    losses: list[Tensor] = []  # of the steps since the last look
    for step, rows in enumerate(batches):
        done = (epoch + (step + 0.5) / len(batches)) / stage.epochs  # in the middle of the step
        rate = stage.rate_factor * recipe.optimiser.rate(done)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        with enough_memory(
            f"{_where(stage, epoch, step)}, with {len(rows)} images",
            f"{_kept(run, stage, epoch)}; a run with a smaller --micro-batch, or --batch-size, needs less",
        ):
            terms = _backward(run, stage, rows, (stage.name, epoch, step), scaler)
        add_gradients(run.network, run.network.backbone.share)
        scaler.step(optimiser)
        scaler.update()
        for name, term in terms.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + term * len(rows)
        losses.append(torch.stack(tuple(terms.values())).sum())
        if step % LOOK_EVERY == 0 or step == len(batches) - 1:
            _look(run, stage, epoch, step, losses, bar)
            losses.clear()
        bar.update(len(rows))
    seen = sum(map(len, batches))
    means = {f"loss_{name}": total.item() / seen for name, total in sums.items()}
    seconds = time.perf_counter() - began
    return {**means, "learning_rate": rate, "seconds": seconds, "images_per_second": seen / seconds}


def _backward(
    run: Run, stage: Stage, rows: Tensor, here: tuple[str, int, int], scaler: torch.amp.GradScaler
) -> dict[str, Tensor]:
    """Add the gradient of one batch, `rows` (b,) of the base images; its mean loss terms.

    All draws are functions of the seed and of where the loop stands, `here`. The micro-batches of a batch
    share the step's draws, so depth and weight of a mixture are drawn once a batch; what a step does among
    images, such as batch statistics, mixing and mining, it does within a micro-batch.
    """
    device, seed, share = rows.device, run.provenance.train_seed, run.network.backbone.share
    machine.seed_generators(stream_seed(seed, "dropout", *here) + share.rank, device)  # own masks per process
    pixels = run.pixels[rows.repeat(stage.views)]
    rng = stream(seed, "augment", *here)
    images = train_augment(pixels, run.network.backbone.image_size, rng, run.recipe.augment)
    views = images.unflatten(0, (stage.views, len(rows)))
    means: dict[str, Tensor] = {}
    for part in run.engine.parts(len(rows)):
        some = views[:, part].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with run.engine.autocast(device):
            terms = stage.step(run.network, some, run.labels[rows[part]], stream(seed, "step", *here))
        weight = len(rows[part]) / len(rows)
        loss = torch.stack(tuple(terms.values())).sum() * (weight / share.size)
        scaler.scale(loss).backward()
        for name, term in terms.items():
            means[name] = means.get(name, torch.zeros((), device=device)) + term.detach() * weight
    return means


def _look(run: Run, stage: Stage, epoch: int, step: int, losses: list[Tensor], bar: Bar) -> None:
    """Show the loss of a step; stop when it, or one since the last look, is no number any more."""
    values = torch.stack(losses).tolist()
    for number, loss in enumerate(values, step + 1 - len(values)):
        if not math.isfinite(loss):
            where = _where(stage, epoch, number)
            raise FsbenchError(f"loss is {loss} in {where}; {_kept(run, stage, epoch)}")
    bar.describe(f"{stage.name}, epoch {epoch + 1}/{stage.epochs}, loss {values[-1]:.3f}")


def _check_weights(run: Run, stage: Stage, epoch: int) -> None:
    """Refuse to write weights that are no numbers: no loss has seen yet what the last step made of them."""
    weights = run.network.state_dict().values()
    if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
        raise FsbenchError(
            f"weights are not finite after stage {stage.name}, epoch {epoch + 1}; {_kept(run, stage, epoch)}"
        )


def _where(stage: Stage, epoch: int, step: int) -> str:
    return f"stage {stage.name}, epoch {epoch + 1}, step {step + 1}"


def _kept(run: Run, stage: Stage, epoch: int) -> str:
    """What is left of a run that stops in this epoch of a stage, from where the same command goes on."""
    if epoch == 0 and stage is run.recipe.stages[0]:
        return "nothing was kept"
    return f"the last good checkpoint is {run.last}"


def _write(
    run: Run, log: list[dict[str, Any]], track: Track | None = None, *, finished: bool = False
) -> None:
    """Write the log, the last checkpoint, and the best one when this epoch is it."""
    best = _best_epoch(log)
    provenance = replace(
        run.provenance, epoch=len(log), best_epoch=best, val_accuracy=log[-1].get("val_accuracy")
    )
    weights = run.network.state_dict()
    if len(log) == 1:  # what a run that this one replaces has left must not pass for this one's
        resume.forget(run.folder)
        run.last.unlink(missing_ok=True)
    if best == len(log):
        checkpoint.write(run.best, weights, provenance)
    checkpoint.write(run.last, weights, provenance, finished=finished)
    with whole_file(run.folder / "log.csv") as part:
        pd.DataFrame(log).to_csv(part, index=False)
    if track:
        track(log[-1])


def _best_epoch(log: Sequence[Mapping[str, Any]]) -> int:
    """The epoch of the highest accuracy on val classes; the newest while none was validated."""
    validated = [row for row in log if "val_accuracy" in row]
    best = max(validated, key=lambda row: float(row["val_accuracy"]), default=log[-1])
    return int(best["epoch"])


def _found(run: Run) -> tuple[bool, resume.State | None]:
    """Whether the folder holds this very run, finished; else its state if an earlier process was stopped.

    The state comes first: where there is one, a last checkpoint that a power cut tore is not looked at.
    """
    stopped = resume.load(run.folder)
    if stopped is not None:
        resume.refuse_other(run.folder, run.provenance, stopped.about)
        return False, stopped
    if not run.last.exists():
        return False, None
    about = checkpoint.read(run.last)[1]
    resume.refuse_other(run.folder, run.provenance, about)
    return bool(about["finished"]), None
