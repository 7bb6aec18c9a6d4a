"""The training loop of every recipe: recipe, images and seed -> checkpoints and a log.

`train_backbone` prepares or continues a run, `_train` loops over its stages and epochs, `_train_epoch` over
the batches, and `_backward` calls the step of the recipe.

Every random number is a function of the seed and of the place in the loop. A run that was interrupted
therefore continues exactly as if it had not been interrupted.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsbench._util import machine
from fsbench._util.distributed import add_gradients
from fsbench._util.errors import memory_advice
from fsbench._util.files import exclusive_lock
from fsbench._util.progress import Bar, duration, progress
from fsbench._util.rng import stream, stream_seed
from fsbench._util.session import Session as Session
from fsbench.data.augment import train_augment
from fsbench.models.checkpoint import load_provenance
from fsbench.training import resume, saving
from fsbench.training.failures import check_losses, check_weights, kept_text, place_text
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import Recipe, Stage
from fsbench.training.run import Run, TrainingSpec, prepare_run
from fsbench.training.tensorboard import events_of, require_tensorboard
from fsbench.training.validation import has_stalled, is_due, validate

STEPS_PER_CHECK = 20  # steps between checks of the loss, each of which waits for the device


def train_backbone(
    recipe: Recipe,
    spec: TrainingSpec,
    *,
    session: Session,
    compute: ComputeSettings = ComputeSettings(),
    out: Path | None = None,
    tensorboard: bool = False,
    force: bool = False,
) -> Run:
    """Train a backbone on the base classes of a data set.

    The folder of the run holds best.safetensors, last.safetensors and log.csv. A finished run is left
    unchanged and an interrupted one is continued, unless `force` is set. Under `torchrun` all processes call
    this function with the same arguments; they share each batch, and the first one writes the files.

    Args:
        recipe: The recipe, with overrides if any: see `load_recipe` and `resolve`.
        spec: Data set, backbone, image size, images per class and seed.
        session: Cache folder of prepared data sets, device to train on, and whether to show progress.
        compute: Precision, compilation and micro-batches: see `choose_compute`.
        out: Folder of the run; its last part names the run. Default: `runs/<run_name(...)>`.
        tensorboard: Also write the log as TensorBoard events.
        force: Start from the beginning and replace the run in the folder.

    Returns:
        The run; `run.best` is the path of its best checkpoint.

    Raises:
        FsbenchError: The arguments do not fit together, the folder holds another run, a loss or the weights
            are not finite, or there is too little memory.

    Example:
        A small training on synthetic images that fsbench draws::

            recipe = resolve(load_recipe("erm"), epochs=[3])
            run = train_backbone(recipe, TrainingSpec("glyphs"), session=Session())
    """
    if tensorboard:
        require_tensorboard()
    run = prepare_run(recipe, spec, compute, session, out, tensorboard)
    alone = exclusive_lock(run.folder / "run") if run.is_writer else nullcontext()
    with alone, machine.preserved_generators(session.device):
        finished, state = run.distributed.agree(lambda: (False, None) if force else resume.find(run))
        if not finished:
            quiet = session.quiet or not run.is_writer
            log = state.log if state else []
            if not quiet:
                after = f"continues after epoch {len(log)} of {run.recipe.epochs}\n" if log else ""
                sys.stderr.write(f"{run.text(session.device)}\n{after}")
            try:
                _train(run, state, log, quiet)
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(_stopped_text(log, force)) from stop
            if not quiet:
                sys.stderr.write(f"{_best_text(run, log)}\n")
        elif run.is_writer and not session.quiet:
            sys.stderr.write(f"{_finished_text(run)}\n")
        run.distributed.wait()  # until the first process has written
    return run


def _finished_text(run: Run) -> str:
    """Describe the best checkpoint of a finished run, and what to do with it."""
    best = load_provenance(run.best)
    accuracy = (
        "not validated" if best.val_accuracy is None else f"val accuracy {100 * best.val_accuracy:.2f} %"
    )
    return (
        f"{run.folder}: the run is complete; its best checkpoint is of epoch {best.epoch} ({accuracy})\n"
        "to replace it: the same command with --force\n"
        f"next: fsbench evaluate {run.best}"
    )


def _best_text(run: Run, log: Sequence[Mapping[str, Any]]) -> str:
    """Describe the best epoch of a run that has just finished, and the next command."""
    best = log[saving.best_epoch(log) - 1]
    accuracy = _val_text(best) or "the last one, as there was no validation"
    return f"best epoch: {best['epoch']} of {len(log)}, {accuracy}\nnext: fsbench evaluate {run.best}"


def _val_text(row: Mapping[str, Any]) -> str:
    """Write the val accuracy of an epoch of the log; empty if it was not validated."""
    if "val_accuracy" not in row:
        return ""
    half_width = f" ± {100 * row['val_half_width']:.2f}" if "val_half_width" in row else ""
    return f"val accuracy {100 * row['val_accuracy']:.2f}{half_width} %"


def _stopped_text(log: Sequence[object], force: bool) -> str:
    """Describe what is kept of an interrupted run with a log of these epochs, and how to continue it."""
    if not log:
        return "stopped in the first epoch, so nothing is kept; the same command starts again"
    command = "the same command without --force" if force else "the same command"
    return f"stopped; finished epochs are kept, and {command} continues after them"


def _train(run: Run, state: resume.State | None, log: list[dict[str, Any]], quiet: bool) -> None:
    """Train from the beginning or from the state of an interrupted run; write all files after each epoch.

    `log` has one row per finished epoch and grows.
    """
    images = run.recipe.epochs * len(run.labels)
    began, resumed = time.monotonic(), len(log)
    with (
        events_of(run, log) as add_events,
        progress("train", images, "images", quiet=quiet, lines=False) as bar,
    ):
        bar.update(len(log) * len(run.labels))
        for number, stage in enumerate(run.recipe.stages):
            if state and number < state.stage:
                continue
            optimiser = run.recipe.optimiser.build(run.network.parameters())
            scaler = run.compute.scaler(run.labels.device)
            first = 0
            if state and number == state.stage:
                first = state.epoch
                state.restore(run.network, optimiser, scaler)
            elif stage.fresh_classifiers:
                # "heads" is the name of the random stream, which must never change.
                seed = stream_seed(run.provenance.train_seed, "heads", stage.name)
                machine.seed_generators(seed, run.labels.device)
                fresh = stage.fresh_classifiers
                run.network.reset_classifiers(None if isinstance(fresh, bool) else fresh)
            for epoch in range(first, stage.epochs):
                if has_stalled(stage, epoch, log):
                    break
                row = _train_epoch(run, stage, epoch, optimiser, scaler, bar)
                check_weights(run, stage, epoch)
                due = is_due(stage, epoch, run.val, len(run.labels))
                accuracy = validate(run.network.backbone, run.val, run.labels.device) if due else {}
                log.append({"stage": stage.name, "epoch": len(log) + 1, **row, **accuracy})
                seconds_left = (
                    (time.monotonic() - began) / (len(log) - resumed) * (run.recipe.epochs - len(log))
                )
                bar.line(_epoch_line(run, log[-1], seconds_left))
                if run.is_writer:
                    saving.write(run, log)
                    add_events(log[-1])
                    place = {"stage": number, "epoch_of_stage": epoch + 1, "log": log}
                    resume.save(run.folder, run.network, optimiser, scaler, run.provenance, place)
    if run.is_writer:
        saving.write(run, log, finished=True)
        resume.forget(run.folder)


def _epoch_line(run: Run, row: Mapping[str, Any], seconds_left: float) -> str:
    """Describe an epoch of the log in one line."""
    loss = sum(value for name, value in row.items() if name.startswith("loss_"))
    stage = f" ({row['stage']})" if len(run.recipe.stages) > 1 else ""
    last = row["epoch"] == run.recipe.epochs
    parts = [
        f"epoch {row['epoch']}/{run.recipe.epochs}{stage}: loss {loss:.3f}",
        f"{row['images_per_second']:,.0f} images/s",
        _val_text(row),
        "" if last else f"{duration(seconds_left)} left",
    ]
    return ", ".join(filter(None, parts))


def _train_epoch(
    run: Run,
    stage: Stage,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    bar: Bar,
) -> dict[str, float]:
    """Train on each base image once; return mean loss terms, learning rate and images per second."""
    device = run.labels.device
    run.network.train()
    rng = stream(run.provenance.train_seed, "order", stage.name, epoch)
    order = torch.from_numpy(rng.permutation(len(run.labels))).to(device)
    # Batch norm has no statistics of a single image, so a last batch of one is left out.
    batches = [rows for rows in order.split(run.recipe.batch_size) if len(rows) > 1]
    began = time.perf_counter()
    sums: dict[str, Tensor] = {}
    losses: list[Tensor] = []  # of the steps since the last check
    for step, rows in enumerate(batches):
        fraction = (epoch + (step + 0.5) / len(batches)) / stage.epochs  # in the middle of the step
        rate = stage.rate_factor * run.recipe.optimiser.rate(fraction)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
        with memory_advice(
            f"{place_text(stage, epoch, step)}, with {len(rows)} images",
            f"{kept_text(run, stage, epoch)}; use a smaller --micro-batch or --batch-size",
        ):
            terms = _backward(run, stage, rows, (stage.name, epoch, step), scaler)
        add_gradients(run.network, run.distributed)
        scaler.step(optimiser)
        scaler.update()
        for name, term in terms.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + term * len(rows)
        losses.append(torch.stack(tuple(terms.values())).sum())
        if step % STEPS_PER_CHECK == 0 or step == len(batches) - 1:
            check_losses(run, stage, epoch, step, losses)
            name = f"{stage.name}, " if len(run.recipe.stages) > 1 else ""
            bar.describe(f"{name}epoch {epoch + 1}/{stage.epochs}, loss {losses[-1].item():.3f}")
            losses.clear()
        bar.update(len(rows))
    images = sum(map(len, batches))
    means = {f"loss_{name}": total.item() / images for name, total in sums.items()}
    seconds = time.perf_counter() - began
    return {**means, "learning_rate": rate, "seconds": seconds, "images_per_second": images / seconds}


def _backward(
    run: Run, stage: Stage, rows: Tensor, place: tuple[str, int, int], scaler: torch.amp.GradScaler
) -> dict[str, Tensor]:
    """Add the gradient of one batch, `rows` (b,) of the base images; return its mean loss terms.

    All draws are functions of the seed and of the place in the loop (stage, epoch, step). Micro-batches share
    the draws of the step, so depth and weight of a mixture are drawn once per batch. Computations across
    images (batch statistics, mixing, mining) are limited to a micro-batch.
    """
    device, seed = rows.device, run.provenance.train_seed
    # Each process draws its own dropout masks.
    machine.seed_generators(stream_seed(seed, "dropout", *place) + run.distributed.rank, device)
    pixels = run.pixels[rows.repeat(stage.views)]
    rng = stream(seed, "augment", *place)
    images = train_augment(pixels, run.network.backbone.image_size, rng, run.recipe.augment)
    views = images.unflatten(0, (stage.views, len(rows)))
    means: dict[str, Tensor] = {}
    for part in run.compute.micro_batches(len(rows)):
        batch = views[:, part].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with run.compute.autocast(device):
            terms = stage.step(run.network, batch, run.labels[rows[part]], stream(seed, "step", *place))
        weight = len(rows[part]) / len(rows)
        loss = torch.stack(tuple(terms.values())).sum() * (weight / run.distributed.size)
        scaler.scale(loss).backward()
        for name, term in terms.items():
            means[name] = means.get(name, torch.zeros((), device=device)) + term.detach() * weight
    return means
