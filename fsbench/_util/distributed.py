"""Distributed training that computes the same as a single process.

Every process holds the whole batch and its labels. In the backbone, each process computes its share of the
rows; the features are then gathered, so that mixing, mining and the loss see the whole batch. Batch norm uses
the statistics of all processes. Therefore every recipe runs unchanged, with the loss of a single process.
Every process computes augmentation and losses, which are a few percent of a step.
"""

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """This process among those that train together.

    Attributes:
        rank: Index of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    def mine(self, rows: Tensor) -> Tensor:
        """Return the rows of a batch (b, ...) that this process computes."""
        return rows if self.size == 1 else rows.tensor_split(self.size)[self.rank]

    def whole(self, rows: Tensor, total: int) -> Tensor:
        """Gather the rows of all processes into the batch (total, ...); gradients flow back to each process.

        Each process adds its rows to a batch of zeros, which also works for shares of unequal size.
        """
        if self.size == 1:
            return rows
        even, odd = divmod(total, self.size)  # as tensor_split: the first `odd` processes have one more row
        before = self.rank * even + min(self.rank, odd)
        padding = (0, 0) * (rows.ndim - 1) + (before, total - before - len(rows))
        summed: Tensor = _sum(nn.functional.pad(rows, padding))
        return summed

    def wait(self) -> None:
        """Wait until all processes have called this method."""
        if self.size > 1:
            dist.barrier()

    def agree(self, find: Callable[[], T]) -> T:
        """Call `find` in the first process only, and return its result in all processes."""
        if self.size == 1:
            return find()
        results = [find() if self.rank == 0 else None]
        dist.broadcast_object_list(results)
        return results[0]  # type: ignore[return-value]  # broadcasting replaces None


ALONE = Worker()


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose training statistics cover the rows of all processes.

    `torch.nn.SyncBatchNorm` runs on GPUs only; this class runs on any device.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images (b, c, h, w)."""
        if not self.training:
            return super().forward(images)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        rows = wide.new_full((1,), wide.numel() / wide.shape[1])  # pixels per channel
        sums = _sum(torch.cat([wide.sum((0, 2, 3)), rows]))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        centred = wide - mean[:, None, None]
        variance = _sum(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(images.dtype)


def share_batch_norm(network: nn.Module) -> None:
    """Replace every batch norm of a network by one with statistics over all processes."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm(child.num_features)
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared)


def add_gradients(network: nn.Module, worker: Worker) -> None:
    """Sum the gradients over all processes, in one message."""
    if worker.size == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    message = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(message)
    for gradient, part in zip(gradients, message.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def join(device: torch.device) -> Worker:
    """Join the other processes if `torchrun` started this one; otherwise return `ALONE`.

    The backend is NCCL on GPUs, where torch has it, and gloo otherwise.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return ALONE
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        nccl = device.type == "cuda" and dist.is_nccl_available()  # torch has none for Windows
        dist.init_process_group("nccl" if nccl else "gloo")
        atexit.register(dist.destroy_process_group)
    return Worker(dist.get_rank(), dist.get_world_size())


def _sum(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes, in the graph of gradients."""
    from torch.distributed.nn.functional import all_reduce  # absent where torch is built without distributed

    summed: Tensor = all_reduce(tensor)
    return summed
