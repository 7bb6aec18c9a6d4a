"""On a CPU, the logits of a task do not depend on batch, memory alignment or threads, bit by bit."""

import importlib
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from fsbench.heads import HEADS, Head
from fsbench.heads.base import BaseStatistics, base_statistics
from fsbench.heads.batching import product
from fsbench.heads.preprocess import PREPROCESS

WIDTHS = (1, 7, 8, 40)  # all others in slow tests
TIM, PT_MAP, CALIBRATION = (
    importlib.import_module(f"fsbench.heads._{name}")
    for name in ("tim", "pt_map", "distribution_calibration")
)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Few iterations suffice: sums keep their order after any number of steps."""
    monkeypatch.setattr(TIM, "STEPS", 3)
    monkeypatch.setattr(PT_MAP, "MOST_ROUNDS", 8)
    monkeypatch.setattr(CALIBRATION, "DRAWS", 10)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


def shifted(values: Tensor) -> Tensor:
    """The same values, shifted by one element from aligned memory."""
    room = values.new_empty(values.numel() + 1)
    return room[1:].view(values.shape).copy_(values)


class Tasks:
    """Overlapping classes with non-negative features, and the other arguments of a head."""

    def __init__(self, head: Head, d: int, sizes: tuple[int, int, int, int], uneven: bool = False):
        n_tasks, n_way, n_shot, n_query = sizes
        rng = torch.Generator().manual_seed(d)
        centres = torch.rand(n_tasks, n_way, 1, d, generator=rng)
        values = (centres + 0.5 * torch.randn(n_tasks, n_way, n_shot + n_query, d, generator=rng)).relu()
        self.support, self.query = values[:, :, :n_shot].contiguous(), values[:, :, n_shot:].flatten(1, 2)
        self.shots = torch.randint(1, n_shot + 1, (n_tasks, n_way), generator=rng) if uneven else None
        self.head, self.keys, self.base = head, torch.arange(n_tasks), None
        if head.needs_base:
            base = torch.rand(12, d, generator=rng)
            self.base: BaseStatistics = base_statistics(base, torch.arange(3).repeat_interleave(4))

    def logits(self, tasks: slice | Tensor, move: bool = False) -> Tensor:
        shots = None if self.shots is None else self.shots[tasks]
        support, query = (shifted(x)[tasks] if move else x[tasks] for x in (self.support, self.query))
        return self.head(support, query, keys=self.keys[tasks], shots=shots, base=self.base)

    def singly(self) -> Tensor:
        return torch.cat([self.logits(torch.tensor([t])) for t in range(len(self.keys))])


def changes(tasks: Tasks, batches: Sequence[int]) -> Iterator[str]:
    """Yield the settings whose logits differ from those of each task alone, aligned and on one thread."""
    torch.set_num_threads(1)
    expected, n_tasks = tasks.singly(), len(tasks.keys)
    parts = {f"{n} tasks": slice(n) for n in (*batches, n_tasks)}
    parts |= {"all tasks but the first": slice(1, None), "the last task": slice(n_tasks - 1, None)}
    parts["tasks in reverse order"] = torch.arange(n_tasks).flip(0)
    for change, part in parts.items():
        for move in (False, True):
            if not torch.equal(tasks.logits(part, move), expected[part]):
                yield f"{change}{', shifted in memory' if move else ''}"
    for threads in (2, 3):
        torch.set_num_threads(threads)
        for n in (1, 2, n_tasks):
            if not torch.equal(tasks.logits(slice(n)), expected[:n]):
                yield f"{n} tasks on {threads} threads"


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestHead:
    @pytest.mark.parametrize("d", WIDTHS)
    def test_is_exact(self, head, d):
        assert not list(changes(Tasks(head, d, (6, 3, 2, 4)), batches=(2, 5)))

    def test_is_exact_with_uneven_shots(self, head):
        assert not list(changes(Tasks(head, 9, (6, 3, 3, 3), uneven=True), batches=(2, 5)))

    @pytest.mark.parametrize(
        ("d", "sizes"), [(40, (6, 5, 5, 15)), (64, (4, 20, 1, 5))], ids=["images", "ways"]
    )
    def test_is_exact_with_more(self, head, d, sizes):
        assert not list(changes(Tasks(head, d, sizes), batches=(2,)))

    @pytest.mark.slow
    @pytest.mark.parametrize("sizes", [(23, 5, 5, 15), (23, 5, 1, 15), (23, 3, 2, 4), (23, 2, 3, 1)], ids=str)
    def test_is_exact_at_every_width_in_every_batch(self, head, sizes):
        for d in range(1, 41):
            assert not list(changes(Tasks(head, d, sizes), batches=range(1, 23))), f"width {d}"


@pytest.mark.parametrize("name", PREPROCESS)
def test_preprocessing_is_exact(name):
    prepare = PREPROCESS[name]
    for d in range(1, 41):
        values = torch.rand(
            2000, d, generator=torch.Generator().manual_seed(d)
        )  # shared among threads if wide
        torch.set_num_threads(1)
        mean, whole = values.mean(dim=0), prepare(values, values.mean(dim=0))
        rows = torch.cat([prepare(values[i : i + 1].clone(), mean) for i in range(23)])
        assert torch.equal(whole[:23], rows)
        for n in range(1, 24):
            assert torch.equal(prepare(values[1:n], mean), whole[1:n])
            assert torch.equal(prepare(shifted(values[:n]), mean), whole[:n])
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(prepare(values, mean), whole)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_product_equals_that_of_torch(dtype, transposed):
    rng = torch.Generator().manual_seed(0)
    for m, k, n in ((1, 3, 5), (3, 7, 1), (5, 30, 75), (5, 25, 25), (2, 16, 16), (3, 50, 10)):
        left = torch.randn(4, m, k, generator=rng, dtype=dtype)
        right = torch.randn(4, k, n, generator=rng, dtype=dtype)
        right = right.mT.contiguous().mT if transposed else right
        for plus in (torch.randn(4, m, n, generator=rng, dtype=dtype), torch.ones(4, m, 1, dtype=dtype)):
            for part in (slice(4), slice(1)):
                x, y, z = left[part], right[part], plus[part]
                torch.testing.assert_close(product(x, y), x @ y)
                expected = 2 * (x @ y) - 3 * z
                torch.testing.assert_close(product(x, y, z, beta=-3, alpha=2), expected, atol=1e-5, rtol=1e-5)
