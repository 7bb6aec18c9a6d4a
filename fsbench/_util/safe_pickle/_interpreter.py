"""Interpreter of the pickle instructions that plain data need.

`pickle.Unpickler` with an allow-list in `find_class` is not enough for untrusted files. In CPython 3.11:

- an extension code that the process used before is called without `find_class`: code runs
  (tests/util/test_safe_pickle.py, `test_nothing_is_executed[extension]`);
- a deeply nested tuple as a dict key overflows the C stack: the process crashes
  (`test_forbidden_content_is_named[an item tuple of dict]`);
- the index of a memo entry and the length of a bytearray reserve memory before the data is there: 4 GiB for
  a file of 7 bytes (`test_a_small_file_does_not_fill_the_memory`, memo and bytearray).

`torch.load(weights_only=True)` refuses NumPy arrays, and it enlarges a storage before it finds that a tensor
does not fit (`test_tensors_outside_their_storage_are_refused`). So the instructions are interpreted here;
`pickletools` of the standard library decodes them.
"""

import codecs
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.safe_pickle._builders import DType, RefusedError, set_array_state, set_items

_COPIES = 4  # valid files are copied at most twice: protocol 2 stores bytes as encoded text
_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}
_LITERALS = frozenset(  # instructions that push their argument
    """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    """.split()  # noqa: SIM905 - a list would take one line per name
)


def _tuple(*items: Any) -> tuple[Any, ...]:
    """Collect values in a tuple."""
    return items


def _extend(target: list[Any], *items: Any) -> list[Any]:
    """Append items to a list of the file."""
    list.extend(target, items)
    return target


_ACTIONS: dict[str, Callable[..., Any]] = {  # (values that it pops, its own argument) -> value that it pushes
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "TUPLE": _tuple, "TUPLE1": _tuple, "TUPLE2": _tuple, "TUPLE3": _tuple,
    "EMPTY_LIST": list, "LIST": lambda *items: list(items), "APPEND": _extend, "APPENDS": _extend,
    "EMPTY_DICT": dict, "DICT": lambda *items: set_items({}, *items),
    "SETITEM": set_items, "SETITEMS": set_items,
    "POP": _tuple, "POP_MARK": _tuple, "PROTO": _tuple, "FRAME": _tuple,
}  # fmt: skip


class Interpreter:
    """One pickle, which starts at the current position of a file."""

    def __init__(self, file: Any, size: int, builders: Mapping[str, Any], load: Any = None) -> None:
        """Prepare for a file of `size` bytes; `load(key, dtype, count)` reads the storages of torch."""
        self.file, self.builders, self.load_storage = file, builders, load
        self.budget = _COPIES * size + 1024  # bytes and items that builders may still take
        self.storages: dict[str, NDArray[Any]] = {}
        self.memo: dict[int, Any] = {}
        self.actions: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self.memo.__getitem__),
            "GLOBAL": lambda names: self._builder(*names.split(" ", 1)), "STACK_GLOBAL": self._builder,
            "REDUCE": self._call, "BUILD": self._set_state, "BINPERSID": self._storage, **_ACTIONS,
        }  # fmt: skip

    def load(self) -> Any:
        """Run the instructions up to STOP and return the object that they build."""
        stack: list[Any] = []
        marks: list[int] = []  # positions in the stack
        while True:
            opcode = _OPCODES[self.file.read(1)]
            name, argument = opcode.name, self._argument(opcode)
            if name == "STOP":
                return stack.pop()
            if name in _LITERALS:
                stack.append(argument)
            elif name == "MARK":
                marks.append(len(stack))
            elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
            elif name in self.actions:
                count = len(opcode.stack_before)
                if pickletools.markobject in opcode.stack_before:  # values, the mark, values
                    count += len(stack) - marks.pop() - 2
                values = stack[len(stack) - count :]
                del stack[len(stack) - count :]
                result = self.actions[name](*values, *([] if argument is None else [argument]))
                stack += [result] * len(opcode.stack_after)
            else:
                raise RefusedError(f"{name} {'' if argument is None else argument}".rstrip())

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        """Read the argument of an instruction."""
        if opcode.name == "STRING":  # bytes of Python 2; `pickletools` would decode them as ASCII
            line = pickletools.read_stringnl(self.file, decode=False)
            return codecs.escape_decode(line)[0].decode("latin1")
        return opcode.arg.reader(self.file) if opcode.arg else None

    def _builder(self, module: str, name: str) -> Any:
        """Return the function that stands for a name; NumPy 2 and Python 3 renamed some modules."""
        if type(module) is not str or type(name) is not str:  # the text of nested lists has no limit
            raise TypeError("a name must be a string")
        current = "builtins" if module == "__builtin__" else module.replace("numpy._core.", "numpy.core.", 1)
        if f"{current}.{name}" not in self.builders:
            raise RefusedError(f"{module}.{name}")
        return self.builders[f"{current}.{name}"]

    def _call(self, builder: Callable[..., Any], arguments: Any) -> Any:
        """Call a builder."""
        self._spend_on(arguments)
        return builder(*arguments)

    def _set_state(self, target: Any, state: Any) -> Any:
        """Set the state of a new array or data type; functions, above all, have none."""
        if type(target) is DType:
            target.set_state(state)
        elif type(target) is np.ndarray and not target.size:  # a second state would free memory in use
            self._spend_on(state)
            set_array_state(target, state)
        else:
            raise RefusedError(f"a state of {type(target).__name__}")
        return target

    def _storage(self, persistent_id: Any) -> NDArray[Any]:
        """Return a storage of a torch file."""
        if (
            self.load_storage is None
            or persistent_id[0] != "storage"
            or any(view is not None for view in persistent_id[5:])
        ):
            raise RefusedError("a persistent id")
        _, dtype, key, _, count = persistent_id[:5]
        if not isinstance(key, str):
            raise TypeError("the key of a storage must be a string")
        if key not in self.storages:
            self._spend(count * dtype.itemsize)
            self.storages[key] = self.load_storage(key, dtype, count)
        if self.storages[key].dtype != dtype or len(self.storages[key]) != count:
            raise ValueError(f"storage {key} does not have the declared size")
        return self.storages[key]

    def _spend_on(self, arguments: Any) -> None:
        """Count what a builder takes: a pickle can pass one long argument any number of times."""
        if type(arguments) is not tuple:
            raise TypeError("arguments must be a tuple")
        copied = (str, bytes, bytearray, list, tuple, dict)  # arrays are not copied
        self._spend(sum(len(argument) for argument in arguments if isinstance(argument, copied)))

    def _spend(self, amount: int) -> None:
        """Reduce the budget; refuse the file if it is exhausted."""
        self.budget -= amount
        if self.budget < 0:
            raise RefusedError("more data than its size allows")
