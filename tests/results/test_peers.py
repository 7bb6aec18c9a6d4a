"""The comparison with other projects: both sides classify the same tasks."""

import numpy as np
import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec
from results import peers

LABELS = np.repeat(np.arange(peers.CLASSES), peers.PER_CLASS)


def plain_nearest_mean(values: torch.Tensor, tasks: sampler.Tasks) -> np.ndarray:
    """Accuracies of a nearest-mean classifier written out, task by task."""
    accuracies = []
    for rows in torch.from_numpy(peers._by_class(tasks)).long():
        n_shot = rows.shape[1] - peers.N_QUERY
        means, query = values[rows[:, :n_shot]].mean(dim=1), values[rows[:, n_shot:]].flatten(0, 1)
        answers = torch.arange(peers.N_WAY).repeat_interleave(peers.N_QUERY)
        accuracies.append((torch.cdist(query, means).argmin(dim=1) == answers).float().mean().item())
    return np.array(accuracies)


@pytest.mark.parametrize("n_shot", [1, 5])
def test_a_method_and_its_head_have_the_same_tasks(n_shot, monkeypatch):
    monkeypatch.setattr(peers, "TIMES_AS_MANY", 2)
    threads = torch.get_num_threads()
    peer = peers.Peer("a project", "a method", "nearest-mean", "none", 12, plain_nearest_mean)
    row = peers.measure(peer, peers.features(), n_shot)
    torch.set_num_threads(threads)
    assert row.accuracy == pytest.approx(row.peer_accuracy)
    assert (row.project, row.head, row.task, row.tasks) == (
        "a project",
        "nearest-mean (none)",
        f"5w{n_shot}s",
        12,
    )
    assert row.rate > 0 < row.peer_rate


def test_rows_are_grouped_by_class_with_the_support_first():
    spec = TaskSpec(n_shot=2, n_query=peers.N_QUERY, n_tasks=3)
    tasks = sampler.sample(LABELS, spec)
    rows = peers._by_class(tasks)
    assert rows.shape == (3, 5, 17)
    assert (LABELS[rows] == LABELS[rows[:, :, :1]]).all()
    np.testing.assert_array_equal(rows[:, :, :2], tasks.support)
    np.testing.assert_array_equal(np.sort(rows[:, :, 2:].reshape(3, -1)), np.sort(tasks.query))


def test_a_missing_checkout_is_refused(tmp_path):
    with pytest.raises(FsbenchError, match="file does not exist; pass a checkout of the project"):
        peers.pt_map_loop(tmp_path)[0].accuracies(
            peers.features(), sampler.sample(LABELS, TaskSpec(n_tasks=2))
        )
    with pytest.raises(FsbenchError, match="folder does not exist; pass a checkout of the project"):
        peers.s2m2_loop(tmp_path / "none")
