"""Weights files of other projects: safetensors or torch files, read without running code."""

import logging
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

_log = logging.getLogger(__name__)

_EMBEDDING = "embedding"  # of MetaOptNet, beside the state dict of its few-shot classifier
# Names under which training scripts store a state dict.
_STATE_DICT_KEYS = ("state", "state_dict", "model", "params", _EMBEDDING)
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_BACKBONE_PREFIXES = ("backbone.", "feature.", "encoder.")  # of weights beside those of a classifier


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name, without the prefixes of wrappers, in their stored order.

    Torch files of MetaOptNet (arXiv:1904.03758) hold an embedding and a few-shot classifier. Only the
    embedding is read, and a line in the log names the rest.

    Raises:
        FsbenchError: The file is unreadable or damaged, needs code to be loaded, or has no state dict.
    """
    try:
        tensors = load_file(path) if is_safetensors(path) else _torch_file(path)
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except SafetensorError as error:
        raise FsbenchError(f"{path}: damaged, or not a safetensors file ({error})") from error
    for wrapper in _WRAPPERS:
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _torch_file(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file of `torch.save`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old formats, which it can load
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                        raise pickle.UnpicklingError("torch compresses nothing; the size could be unlimited")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise FsbenchError(
            f"{path}: holds more than tensors and plain values, or is not a torch file"
        ) from error
    except Exception as error:  # torch raises errors of any kind for damaged files
        raise FsbenchError(f"{path}: damaged, or not a torch file ({type(error).__name__})") from error
    for name in _STATE_DICT_KEYS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            if name == _EMBEDDING and (ignored := ", ".join(str(key) for key in content if key != name)):
                _log.warning("fsbench: %s: only its embedding is read, and %s is ignored", path, ignored)
            content = content[name]
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(name, str) and _is_plain(value) for name, value in tensors.items()):
        keys = ", ".join(_STATE_DICT_KEYS)
        raise FsbenchError(f"{path}: must hold tensors by name, at the top level or under one of {keys}")
    return tensors


def _is_plain(value: object) -> bool:
    """Whether a value is a dense tensor of real numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def fit_backbone(backbone: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights of a backbone of fsbench, by name or else by their order.

    Other projects give other names to the layers of an architecture, but create them in the order in which
    images pass them. So files of S2M2, closer-look and MetaOptNet fit layer by layer. Kind and shape of each
    weight must be equal; only the weights of a classifier may remain.

    Raises:
        FsbenchError: A weight is missing, of another kind or shape, or a convolution remains.
    """
    prefix = next((p for p in _BACKBONE_PREFIXES if any(name.startswith(p) for name in weights)), "")
    weights = {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}
    wanted = {name: t for name, t in backbone.state_dict().items() if not _is_counter(name)}
    if not wanted.keys() <= weights.keys():
        weights = _in_order(wanted, weights, path)
    for name in weights.keys() - wanted.keys():
        if weights[name].ndim > 2:
            raise FsbenchError(f"{path}: weights do not fit the network: {name} is not part of it")
    counters = {name: t for name, t in backbone.state_dict().items() if _is_counter(name)}
    fit(backbone, {**counters, **{name: weights[name] for name in wanted}}, path)


def fit_by_name(
    network: nn.Module, weights: Mapping[str, Tensor], classifier: Sequence[str], path: Path
) -> int | None:
    """Load a network by the names of its weights, and return the number of classes of the file's classifier.

    `classifier` names the layers that were removed from the network; the file may contain them.

    Raises:
        FsbenchError: A weight is missing, unknown or of another shape.
    """
    removed = {name: t for name, t in weights.items() if name.rpartition(".")[0] in classifier}
    fit(network, {name: t for name, t in weights.items() if name not in removed}, path)
    return max((len(tensor) for tensor in removed.values()), default=None)


def _in_order(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename weights to the wanted weights at the same position."""
    if is_safetensors(path):  # sorted by name, not by position
        raise FsbenchError(f"{path}: its weights have other names than in fsbench: {next(iter(weights))}")
    rows = [(name, tensor) for name, tensor in _without_aliases(weights).items() if not _is_counter(name)]
    for (ours, needed), (theirs, tensor) in zip(wanted.items(), rows, strict=False):
        if _kind(ours) != _kind(theirs) or needed.shape != tensor.shape:
            raise FsbenchError(
                f"{path}: weights do not fit the network: {theirs} is {_kind(theirs)} {tuple(tensor.shape)}, "
                f"needed {_kind(ours)} {tuple(needed.shape)} for {ours}"
            )
    if len(rows) < len(wanted):
        raise FsbenchError(f"{path}: weights do not fit the network: {list(wanted)[len(rows)]} is missing")
    names = [*wanted, *(name for name, _ in rows[len(wanted) :])]
    return {name: tensor for name, (_, tensor) in zip(names, rows, strict=True)}


def _without_aliases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep the first name of each tensor: closer-look's Conv4 lists each layer twice."""
    names: dict[tuple[int, torch.Size], str] = {}
    for name, tensor in weights.items():
        names.setdefault((tensor.data_ptr(), tensor.shape), name)
    return {name: weights[name] for name in names.values()}


def _is_counter(name: str) -> bool:
    """Whether a weight counts batches; evaluation ignores it and old files lack it."""
    return _kind(name) == "num_batches_tracked"


def _kind(name: str) -> str:
    """Return the last part of a name: weight, bias, running_mean ..."""
    return name.rpartition(".")[2]
