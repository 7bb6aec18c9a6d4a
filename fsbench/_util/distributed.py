"""A process's share of a batch, so that several processes compute what one would.

Every process holds the whole batch and its labels; the backbone splits the rows among them, and puts features
together again before anything looks at the batch as a whole: mixing, mining, the loss. Batch norm takes its
statistics over all processes. So every recipe runs unchanged, and its loss is that of one process. The work
lies in the backbone; augmentation and losses, which all processes compute alike, are a few percent of a step.
"""

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    def mine(self, rows: Tensor) -> Tensor:
        """This process's rows of a whole batch (b, ...)."""
        return rows if self.size == 1 else rows.tensor_split(self.size)[self.rank]

    def whole(self, rows: Tensor, total: int) -> Tensor:
        """The whole batch (total, ...) from every process's rows of it; gradients flow back to their process.

        Each process adds its rows to zeros, which also serves shares of unequal size.
        """
        if self.size == 1:
            return rows
        even, odd = divmod(total, self.size)  # tensor_split gives the first `odd` processes a row more
        before = self.rank * even + min(self.rank, odd)
        padding = (0, 0) * (rows.ndim - 1) + (before, total - before - len(rows))
        summed: Tensor = all_reduce(nn.functional.pad(rows, padding))
        return summed

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def agree(self, find: Callable[[], T]) -> T:
        """What the first process finds, told to all: only its disk counts."""
        if self.size == 1:
            return find()
        found = [find() if self.rank == 0 else None]
        dist.broadcast_object_list(found)
        return found[0]  # type: ignore[return-value]  # the others' None is overwritten


ALONE = Share()


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' rows.

    torch has it for GPUs only; this one runs wherever processes can add numbers.
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
        rows = wide.new_full((1,), wide.numel() / wide.shape[1])  # pixels of a channel
        sums = all_reduce(torch.cat([wide.sum((0, 2, 3)), rows]))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        centred = wide - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(images.dtype)


def share_batch_norm(network: nn.Module) -> None:
    """Make every batch norm of a network take its statistics over all processes."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm(child.num_features)
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared)


def add_gradients(network: nn.Module, share: Share) -> None:
    """Sum the gradients of all processes, as one message."""
    if share.size == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    message = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(message)
    for gradient, part in zip(gradients, message.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def join(device: torch.device) -> Share:
    """This process's share when `torchrun` started it, else all of it.

    Processes talk by NCCL on GPUs and by gloo elsewhere.
    """
    if not dist.is_torchelastic_launched():
        return ALONE
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Share(dist.get_rank(), dist.get_world_size())
