import pytest
import torch

from fsbench import machine
from fsbench.errors import FsbenchError


def test_devices_by_name():
    assert machine.find_device("cpu") == torch.device("cpu")
    assert machine.find_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("name", ["cpuu", "", "cuda:99"])
def test_devices_that_are_not_there_are_named(name):
    with pytest.raises(FsbenchError, match=f"device '{name}' cannot be used here") as raised:
        machine.find_device(name)
    assert "\n" not in str(raised.value)


def test_a_timing_names_processor_and_threads():
    assert machine.device_name(torch.device("cpu")).endswith(f", {torch.get_num_threads()} threads")


def test_versions_name_what_a_number_depends_on():
    assert machine.versions()["torch"] == torch.__version__
    assert machine.versions().keys() == {"fsbench", "python", "torch", "numpy"}
