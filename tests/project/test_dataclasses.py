"""Frozen values that hold arrays are equal only to themselves: NumPy and torch compare element by element."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import fsbench
from fsbench.tasks.sampler import Tasks


def dataclasses() -> dict[str, type]:
    """All dataclasses of the package by full name."""
    classes = {}
    for module in pkgutil.walk_packages(fsbench.__path__, "fsbench."):
        if module.name == "fsbench.__main__":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and is_dataclass(value) and value.__module__.startswith("fsbench"):
                classes[f"{value.__module__}.{value.__qualname__}"] = value
    return classes


def holds_arrays(annotation: Any) -> bool:
    """Whether a value of this type is or contains arrays, tensors, modules or tables."""
    if isinstance(annotation, type) and issubclass(
        annotation, np.ndarray | torch.Tensor | nn.Module | pd.DataFrame | pd.Series
    ):
        return True
    if isinstance(annotation, type) and is_dataclass(annotation):
        return any(map(holds_arrays, get_type_hints(annotation, localns={"torch": torch}).values()))
    origin = get_origin(annotation)
    if origin is Callable:
        return False
    return origin is np.ndarray or any(map(holds_arrays, get_args(annotation)))


CLASSES = dataclasses()
WITH_ARRAYS = [name for name, value in CLASSES.items() if holds_arrays(value)]


def test_classes_with_arrays_are_detected():
    assert {
        "fsbench.tasks.sampler.Tasks",
        "fsbench.evaluation.subjects.Subject",
        "fsbench.models.pretrained.extractor.FeatureExtractor",
    } <= set(WITH_ARRAYS)
    assert "fsbench.training.precision.ComputeSettings" not in WITH_ARRAYS


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_values_that_hold_arrays_are_equal_only_to_themselves_and_can_be_keys(name: str):
    value = CLASSES[name]
    assert value.__eq__ is object.__eq__
    assert value.__hash__ is object.__hash__


def test_tasks_are_compared_and_hashed_without_an_error():
    first, second = (Tasks(*(np.zeros((1, 2, 3), dtype=np.int32) for _ in range(3))) for _ in range(2))
    assert first != second
    assert len({first, second, first}) == 2
