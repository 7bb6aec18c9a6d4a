"""The machine that runs a pickle, without its dangerous instructions."""

import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsbench._util.safe_pickle.rebuilt import DType, Refused, build_array, new_dict, store

_Base: Any = pickle._Unpickler  # the one in C has no table of instructions, and its memo grows with an index
_COPIES = 4  # honest files are taken in at most twice: a protocol 2 pickle holds bytes as encoded text
_ADMITTED = frozenset(  # instructions of the machine, beside those that Machine defines
    """
    MARK STOP POP POP_MARK PROTO FRAME NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4
    FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT EMPTY_TUPLE TUPLE TUPLE1
    TUPLE2 TUPLE3 GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID
    """.split()  # noqa: SIM905 - a list would take a line a name
)


class File(Protocol):
    """What pickles and storages are read from; a read past the end is short."""

    def read(self, n: int, /) -> bytes:
        """The next n bytes."""

    def readline(self) -> bytes:
        """The bytes up to the end of the line, and that."""


def _refusal(opcode: pickletools.OpcodeInfo) -> Callable[[Any], None]:
    """An instruction that names itself and its argument instead of doing anything."""

    def refuse(machine: Any) -> None:
        raise Refused(f"{opcode.name} {opcode.arg.reader(machine) if opcode.arg else ''}".rstrip())

    return refuse


class Machine(_Base):  # type: ignore[misc]
    """The pickle machine without its dangerous instructions."""

    def __init__(
        self, file: File, length: int, names: Mapping[str, Any], load: Callable[..., Any] | None = None
    ) -> None:
        """Run a pickle of a file of `length` bytes; `load(key, dtype, count)` gives the storages of torch."""
        super().__init__(file, encoding="latin1")
        self.left = _COPIES * length + 1024  # bytes and items that functions may still take in
        self.names, self.load_storage = names, load
        self.storages: dict[str, NDArray[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; NumPy 2 and Python 3 moved some."""
        moved = "builtins" if module == "__builtin__" else module.replace("numpy._core.", "numpy.core.", 1)
        if f"{moved}.{name}" not in self.names:
            raise Refused(f"{module}.{name}")
        return self.names[f"{moved}.{name}"]

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """A storage of a torch file."""
        if self.load_storage is None or pid[0] != "storage" or any(view is not None for view in pid[5:]):
            raise Refused("a persistent id")
        _, dtype, key, _, count = pid[:5]
        if not isinstance(key, str):
            raise TypeError("a storage is named by a string")
        if key not in self.storages:
            self._take(count * dtype.itemsize)
            self.storages[key] = self.load_storage(key, dtype, count)
        if self.storages[key].dtype != dtype or len(self.storages[key]) != count:
            raise ValueError(f"storage {key} is not {count} elements of {dtype}")
        return self.storages[key]

    def load_reduce(self) -> None:
        """Call what a name stands for."""
        arguments = self.stack.pop()
        self._take_all(arguments)
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        """Give a new array or data type its state; other things, functions among them, have none."""
        state, built = self.stack.pop(), self.stack[-1]
        if type(built) is DType:
            built.build(state)
        elif type(built) is np.ndarray and not built.size:  # a second state would free what views look at
            self._take_all(state)
            build_array(built, state)
        else:
            raise Refused(f"a state of {type(built).__name__}")

    def load_setitem(self) -> None:
        """Keep an item of a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        store(self.stack[-1], key, value)

    def load_setitems(self) -> None:
        """Keep items of a dict."""
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            store(self.stack[-1], key, value)

    def load_dict(self) -> None:
        """Make a dict of items."""
        items = self.pop_mark()
        self.append(new_dict(list(zip(items[::2], items[1::2], strict=True))))

    def load_bytearray8(self) -> None:
        """Take a bytearray as bytes; the machine's own makes room before it knows that so much follows."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))

    def _take(self, length: int) -> None:
        """Count what functions take in: a pickle can name one long argument any number of times."""
        self.left -= length
        if self.left < 0:
            raise Refused("more data than it holds")

    def _take_all(self, arguments: Any) -> None:
        if type(arguments) is not tuple:
            raise TypeError("arguments are a tuple")
        sized = (str, bytes, bytearray, list, tuple, dict)  # arrays are not copied
        self._take(sum(len(given) for given in arguments if isinstance(given, sized)))

    dispatch = {
        ord(opcode.code): _Base.dispatch[ord(opcode.code)] if opcode.name in _ADMITTED else _refusal(opcode)
        for opcode in pickletools.opcodes
    } | {
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }
