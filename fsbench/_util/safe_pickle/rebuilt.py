"""What the names in a pickle stand for: functions that rebuild NumPy arrays, torch tensors and dicts."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Refused(Exception):  # noqa: N818 - the file is not wrong, it is refused
    """What a file asks for and does not get, in one short line."""

    def __init__(self, what: str) -> None:
        super().__init__(ascii(what)[1:-1][:120])


class DType:
    """A NumPy data type while it is built: numbers only, since an object array is made of pointers."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code):
            raise Refused(f"an array of {code if isinstance(code, str) else type(code).__name__}")
        self.plain = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order from a pickled state; its fields and flags are not a number's."""
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("no byte order")
        self.plain = self.plain.newbyteorder(state[1])


def _encode(text: str, codec: str) -> bytes:
    """The bytes of a protocol 2 pickle."""
    if codec not in ("latin1", "latin-1"):
        raise Refused("a codec other than latin1")
    return text.encode("latin1")


def new_dict(pairs: Sequence[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    """An `OrderedDict`; Python 2 pickles it with its pairs."""
    if not isinstance(pairs, list | tuple):
        raise TypeError("pairs are a list")
    found: dict[Any, Any] = {}
    for key, value in pairs:
        store(found, key, value)
    return found


def store(table: object, key: object, value: object) -> None:
    """Keep an item of a dict: arrays would convert it, and a deeply nested key overflows the stack."""
    if type(table) is not dict or not isinstance(key, str | int | float | bytes | None):
        raise Refused(f"an item {type(key).__name__} of {type(table).__name__}")
    table[key] = value


def _new_array(*_: object) -> NDArray[Any]:
    """The empty array that NumPy pickles before its state."""
    return np.empty(0, np.float32)


def _array(raw: bytes, dtype: DType, shape: tuple[int, ...], order: str = "C") -> NDArray[Any]:
    """An array over exactly the bytes that its shape needs."""
    return np.frombuffer(raw, dtype.plain).reshape(shape, order="F" if order == "F" else "C")


def build_array(array: NDArray[Any], state: Any) -> None:
    """Give a new array its state, in place: the pickle may refer to it already."""
    _, shape, dtype, fortran, raw = state
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    known = _array(raw, dtype, shape, "F" if fortran else "C")  # NumPy itself believes any shape and type
    array.__setstate__((1, known.shape, known.dtype, fortran, raw))


def _scalar(dtype: DType, raw: bytes | str) -> Any:
    return _array(raw.encode("latin1") if isinstance(raw, str) else raw, dtype, ()).item()


def _tensor(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> NDArray[Any]:
    """A tensor as a read-only view of its storage, inside of which it must lie."""
    if storage.ndim != 1 or not storage.flags.c_contiguous or not type(size) is type(stride) is tuple:
        raise TypeError("a tensor needs a storage and tuples of size and stride")
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or last >= len(storage):
        raise ValueError("a tensor does not lie in its storage")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


NAMES: dict[str, Any] = {
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",  # how protocol 2 pickles the empty ones
    "builtins.list": None,  # the factory of a defaultdict
    "collections.OrderedDict": new_dict,
    "collections.defaultdict": lambda *_: {},
    "numpy.core.multiarray._reconstruct": _new_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
    "numpy.dtype": DType,
    "numpy.ndarray": None,  # what _reconstruct is told to make
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
}
_ELEMENTS = {"Half": "<f2", "Float": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4"}
_ELEMENTS |= {"Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?"}
for _kind, _code in _ELEMENTS.items():
    NAMES[f"torch.{_kind}Storage"] = NAMES[f"torch.cuda.{_kind}Storage"] = np.dtype(_code)
