"""Functions that stand for the names allowed in a pickle: they build NumPy arrays, tensors and dicts."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RefusedError(Exception):
    """A file contains something that is not allowed; the message names it in one short line."""

    def __init__(self, content: str) -> None:
        super().__init__(ascii(content)[1:-1][:120])


class DType:
    """A NumPy data type under construction. Only numbers: the elements of object arrays are pointers."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code):
            raise RefusedError(f"an array of {code if isinstance(code, str) else type(code).__name__}")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        """Set the byte order; the other parts of the state do not concern numbers."""
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def set_items(target: object, *items: object) -> object:
    """Set alternating keys and values. Keys are scalars: hashing a deep tuple would overflow the C stack."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(target) is not dict or not isinstance(key, str | int | float | bytes | None):
            raise RefusedError(f"an item {type(key).__name__} of {type(target).__name__}")
        target[key] = value
    return target


def _new_dict(pairs: Iterable[tuple[Any, Any]] = ()) -> object:
    """Build a dict. Python 2 pickles an `OrderedDict` with its pairs."""
    return set_items({}, *(part for key, value in pairs for part in (key, value)))


def set_array_state(array: NDArray[Any], state: Any) -> None:
    """Set shape, type and data of a new array in place, because the pickle may already refer to it."""
    _, shape, dtype, fortran, data = state
    data = data.encode("latin1") if isinstance(data, str) else data
    checked = _array(data, dtype, shape, "F" if fortran else "C")  # NumPy does not check what it is given
    array.__setstate__((1, checked.shape, checked.dtype, fortran, data))


def _array(data: bytes, dtype: DType, shape: tuple[int, ...], order: str = "C") -> NDArray[Any]:
    """Build an array over exactly the bytes that its shape needs."""
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: DType, data: bytes | str) -> Any:
    """Build a Python number from a NumPy scalar."""
    return _array(data.encode("latin1") if isinstance(data, str) else data, dtype, ()).item()


def _encode(text: str, codec: str) -> bytes:
    """Build bytes, which protocol 2 stores as text."""
    if codec not in ("latin1", "latin-1"):
        raise RefusedError("a codec other than latin1")
    return text.encode("latin1")


def _tensor(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> NDArray[Any]:
    """Build a tensor as a read-only view of its storage, inside which it must lie."""
    if storage.ndim != 1 or not storage.flags.c_contiguous or not type(size) is type(stride) is tuple:
        raise TypeError("a tensor needs a storage and tuples of size and stride")
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or last >= len(storage):
        raise ValueError("a tensor does not lie in its storage")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


BUILDERS: dict[str, Any] = {
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",  # protocol 2 stores empty bytes as a call
    "builtins.list": None,  # default factory of a defaultdict
    "collections.OrderedDict": _new_dict,
    "collections.defaultdict": lambda *_: {},
    "numpy.core.multiarray._reconstruct": lambda *_: np.empty(0, np.float32),  # its state follows
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
    "numpy.dtype": DType,
    "numpy.ndarray": None,  # argument of _reconstruct
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
}
_ELEMENTS = {"Half": "<f2", "Float": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4"}
_ELEMENTS |= {"Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?"}
for _kind, _code in _ELEMENTS.items():
    BUILDERS[f"torch.{_kind}Storage"] = BUILDERS[f"torch.cuda.{_kind}Storage"] = np.dtype(_code)
