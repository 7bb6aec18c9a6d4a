"""Parts of arrays on several threads: every row is processed once, also in a forked child."""

import os
import signal
import threading

import numpy as np
import pytest
import torch

from fsbench._util.threads import in_threads, map_single_threaded


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_row_is_processed_once(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    rows, sums, seen = np.arange(12.0).reshape(4, 3), np.zeros(4), []

    def add(part, total):
        seen.append(len(part))
        total += part.sum(axis=1)

    in_threads(add, rows, sums)
    assert sums.tolist() == rows.sum(axis=1).tolist()
    assert len(seen) == threads


def test_parts_run_concurrently(monkeypatch):
    """Each part waits for the other one, which would never arrive if parts ran one after the other."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = threading.Barrier(2, timeout=600)
    in_threads(lambda _: both.wait(), np.zeros(2))


def test_an_error_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 / int(part[0]), np.array([1, 0]))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class TestMapSingleThreaded:
    def test_parts_run_concurrently_with_one_thread_each(self, two_threads):
        both = threading.Barrier(2, timeout=600)

        def threads(_: int) -> int:
            both.wait()
            return torch.get_num_threads()

        assert map_single_threaded(threads, [0, 1]) == [1, 1]
        assert torch.get_num_threads() == 2

    @pytest.mark.parametrize("inference", [False, True])
    def test_threads_use_the_modes_of_the_caller(self, two_threads, inference):
        with torch.inference_mode(inference), torch.set_grad_enabled(False):
            modes = map_single_threaded(
                lambda _: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), [0, 1]
            )
        assert modes == [(inference, False)] * 2

    def test_an_error_reaches_the_caller_and_restores_the_threads(self, two_threads):
        with pytest.raises(ZeroDivisionError):
            map_single_threaded(lambda part: 1 / part, [1, 0])
        assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # running threads are intended here
def test_a_forked_child_has_its_own_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = threading.Barrier(2, timeout=600)  # both threads have started, and the child has neither
    in_threads(lambda _: both.wait(), np.zeros(2))
    child = os.fork()
    if child == 0:
        signal.alarm(600)  # otherwise waiting for missing threads would never end
        values = np.zeros(2)
        in_threads(lambda part: part.__iadd__(1), values)
        os._exit(0 if values.tolist() == [1, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0
