"""From features, a task list and a head to the right answers of each task."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from fsbench.heads import Head

_FLOATS_AT_ONCE = 1 << 26  # gathered feature values in one batch of tasks: 256 MiB


def right_answers(
    values: Tensor, tasks: NDArray[np.int32], n_shot: int, head: Head, *, quiet: bool = True
) -> NDArray[np.int64]:
    """Right answers of each task, shape (tasks,), of n_way * n_query.

    `values` (n, d) are preprocessed features, `tasks` (tasks, n_way, n_shot + n_query) their rows. Tasks are
    gathered in batches of bounded memory; how many there are in one does not change a task's answer.
    """
    n_tasks, n_way, per_class = tasks.shape
    answers = torch.arange(n_way, device=values.device).repeat_interleave(per_class - n_shot)
    right = np.empty(n_tasks, dtype=np.int64)
    at_once = max(1, _FLOATS_AT_ONCE // (n_way * per_class * values.shape[1]))
    with tqdm(total=n_tasks, desc="evaluate", unit="task", disable=True if quiet else None) as bar:
        for start in range(0, n_tasks, at_once):
            rows = torch.from_numpy(tasks[start : start + at_once]).to(values.device)
            support = _gather(values, rows[:, :, :n_shot])  # (tasks, n_way, n_shot, d)
            query = _gather(values, rows[:, :, n_shot:]).flatten(1, 2)  # (tasks, n_way * n_query, d)
            logits = head.classify(support, query)  # (tasks, n_way * n_query, n_way)
            right[start : start + at_once] = (logits.argmax(-1) == answers).sum(-1).cpu().numpy()
            bar.update(len(rows))
    return right


def _gather(values: Tensor, rows: Tensor) -> Tensor:
    """Rows of `values` (n, d) in the shape of `rows`, (..., d)."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, values.shape[1])
