"""Files of weights that others have saved: safetensors, or torch files, read without running code."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError, reason
from fsbench.models.checkpoint import fit, is_safetensors

_WITHIN = ("state", "state_dict", "model", "params")  # where training scripts put a state dict among others
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_PARTS = ("backbone.", "feature.", "encoder.")  # what a backbone is called beside its classifier


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the names of wrappers, in the order that they were saved in.

    Raises:
        FsbenchError: unreadable, damaged, needs code to be loaded, or holds no state dict.
    """
    try:
        tensors = load_file(path) if is_safetensors(path) else _torch_file(path)
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except SafetensorError as error:
        raise FsbenchError(f"{path}: not a whole safetensors file ({error})") from error
    for wrapper in _WRAPPERS:
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _torch_file(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old forms of files, which load all the same
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                        raise pickle.UnpicklingError("torch packs nothing, and what is packed has no bounds")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise FsbenchError(
            f"{path}: holds more than tensors and plain values, or is no torch file"
        ) from error
    except Exception as error:  # torch names no bounds to what a torn file raises
        raise FsbenchError(f"{path}: not a whole torch file ({type(error).__name__})") from error
    for name in _WITHIN:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(name, str) and _is_plain(value) for name, value in tensors.items()):
        places = ", ".join(_WITHIN)
        raise FsbenchError(f"{path}: must hold tensors by name, as they are or under one of {places}")
    return tensors


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor of numbers that lie in memory, one after the other."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def fit_own(backbone: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load one of fsbench's architectures: by its names, else by those of the field's other code.

    Code for the same architecture names layers in its own way but makes them in the order in which images
    pass them: S2M2's and closer-look's files fit layer by layer. Kind and shape of each weight must be the
    same, and what is left over must be a classifier.

    Raises:
        FsbenchError: a weight is missing, of another kind or shape, or a convolution is left over.
    """
    part = next((part for part in _PARTS if any(name.startswith(part) for name in weights)), "")
    weights = {name.removeprefix(part): t for name, t in weights.items() if name.startswith(part)}
    wanted = {name: t for name, t in backbone.state_dict().items() if not _is_counter(name)}
    if not wanted.keys() <= weights.keys():
        weights = _in_order(wanted, weights, path)
    for name in weights.keys() - wanted.keys():
        if weights[name].ndim > 2:
            raise FsbenchError(f"{path}: weights are of another network: {name} is not part of it")
    counters = {name: t for name, t in backbone.state_dict().items() if _is_counter(name)}
    fit(backbone, {**counters, **{name: weights[name] for name in wanted}}, path)


def fit_named(
    network: nn.Module, weights: Mapping[str, Tensor], classifier: Sequence[str], path: Path
) -> int | None:
    """Load a network by the names of its weights; the number of classes of the file's classifier, if any.

    `classifier` names the layers that the network has lost and the file may have.

    Raises:
        FsbenchError: a weight is missing, unknown or of another shape.
    """
    theirs = {name: t for name, t in weights.items() if name.rpartition(".")[0] in classifier}
    fit(network, {name: t for name, t in weights.items() if name not in theirs}, path)
    return max((len(tensor) for tensor in theirs.values()), default=None)


def _in_order(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights, renamed to the wanted ones that stand at the same place."""
    if is_safetensors(path):  # sorts by name
        raise FsbenchError(f"{path}: names of its weights are not fsbench's: {next(iter(weights))}")
    rows = [(name, tensor) for name, tensor in _without_aliases(weights).items() if not _is_counter(name)]
    for (ours, needed), (theirs, tensor) in zip(wanted.items(), rows, strict=False):
        if _kind(ours) != _kind(theirs) or needed.shape != tensor.shape:
            raise FsbenchError(
                f"{path}: weights are of another network: {theirs} is {_kind(theirs)} {tuple(tensor.shape)}, "
                f"needed {_kind(ours)} {tuple(needed.shape)} for {ours}"
            )
    if len(rows) < len(wanted):
        raise FsbenchError(f"{path}: weights are of another network: {list(wanted)[len(rows)]} is missing")
    names = [*wanted, *(name for name, _ in rows[len(wanted) :])]
    return {name: tensor for name, (_, tensor) in zip(names, rows, strict=True)}


def _without_aliases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first of all names of the same memory: closer-look's Conv4 lists each layer twice."""
    seen: set[tuple[int, torch.Size]] = set()
    first_names = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in seen:
            seen.add(place)
            first_names[name] = tensor
    return first_names


def _is_counter(name: str) -> bool:
    """Whether it counts batches, which evaluation ignores and old files lack."""
    return _kind(name) == "num_batches_tracked"


def _kind(name: str) -> str:
    """What the last part of a name says: weight, bias, running_mean ..."""
    return name.rpartition(".")[2]
