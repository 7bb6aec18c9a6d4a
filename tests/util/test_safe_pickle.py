import copyreg
import io
import os
import pickle
import re
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">i2"),
    np.array([True, False]),
    np.zeros((0, 3), np.float16),
    np.array(7, dtype=np.uint8),
    np.arange(300, dtype=np.int64)[::2],
]
TENSORS = [
    torch.arange(6.0).reshape(2, 3),
    torch.arange(6).reshape(2, 3).T,
    torch.arange(10.0)[3:9:2],
    torch.ones(2).half().expand(3, 2),
    torch.tensor(5, dtype=torch.uint8),
    torch.empty(0, 4),
    torch.tensor([True, False]),
]
WRITERS: dict[str, Callable[[object, Path], None]] = {
    **{
        f"pickle-{protocol}": lambda thing, path, protocol=protocol: path.write_bytes(
            pickle.dumps(thing, protocol)
        )
        for protocol in range(6)
    },
    "torch-zip": lambda thing, path: torch.save(thing, path),
    "torch-old": lambda thing, path: torch.save(thing, path, _use_new_zipfile_serialization=False),
}


def read(program: bytes, folder: Path) -> object:
    (folder / "x.plk").write_bytes(program)
    return safe_pickle.read(folder / "x.plk")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
class TestValidFiles:
    def test_arrays_and_tensors(self, write, tmp_path: Path):
        for thing in [*ARRAYS, *TENSORS]:
            write([thing, thing], tmp_path / "x")
            result = safe_pickle.read(tmp_path / "x")
            expected = np.asarray(thing)
            assert [(x.dtype.str[1:], x.shape) for x in result] == [
                (expected.dtype.str[1:], expected.shape)
            ] * 2
            np.testing.assert_array_equal(result[0], expected)
            np.testing.assert_array_equal(result[1], expected)

    def test_plain_containers(self, write, tmp_path: Path):
        thing = {"a": [1, -(2**70), 0.5, None, True], 3: ("ü", b"\xff\x00"), "d": {}}
        write(thing, tmp_path / "x")
        assert safe_pickle.read(tmp_path / "x") == thing

    def test_subclasses_of_dict_are_dicts(self, write, tmp_path: Path):
        shared = [np.float32(0.5)]
        lists = defaultdict(list, {0: shared, np.int64(1): shared})
        write([lists, OrderedDict(b=1, a=2)], tmp_path / "x")
        result = safe_pickle.read(tmp_path / "x")
        assert type(result[0]) is dict
        assert result == [{0: [0.5], 1: [0.5]}, {"b": 1, "a": 2}]
        assert result[0][0] is result[0][1]


def test_many_rows_of_one_storage(tmp_path: Path):
    rows = list(torch.arange(20_000.0).reshape(2000, 10))
    torch.save(rows, tmp_path / "x")
    np.testing.assert_array_equal(np.stack(safe_pickle.read(tmp_path / "x")), torch.stack(rows).numpy())


def test_python_2_strings_are_latin1(tmp_path: Path):
    """`cPickle.dumps({'label': np.array([1, 255], 'u1'), u'x': [5L]}, 2)`, and OrderedDict with its pairs."""
    program = (
        b"\x80\x02}q\x01(U\x05labelcnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87Rq\x03(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87Rq\x04(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbX\x01\x00\x00\x00x]\x8a\x01\x05a"
        b"U\x01occollections\nOrderedDict\n(](U\x01\xe9K\x07eatRu."
    )
    program = program.replace(b"(](U\x01\xe9K\x07eatR", b"](]q\x09(U\x01\xe9K\x07ee\x85R")
    result = read(program, tmp_path)
    np.testing.assert_array_equal(result.pop("label"), np.array([1, 255], np.uint8))
    assert result == {"x": [5], "o": {"é": 7}}


def test_python_2_strings_in_protocol_0(tmp_path: Path):
    r"""`cPickle.dumps({'a': 'it\'s \xe9\n'})`."""
    program = b"(dp1\nS'a'\np2\nS\"it's \\xe9\\n\"\np3\ns."
    assert read(program, tmp_path) == {"a": "it's é\n"}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    SCALARS,
    lambda part: (
        st.lists(part)
        | st.lists(part).map(tuple)
        | st.dictionaries(st.text() | st.integers(), part)
        | part.map(lambda x: [x, x])
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(PLAIN, st.sampled_from(range(6)))
def test_plain_data_equals_what_python_reads(thing: object, protocol: int):
    with tempfile.TemporaryDirectory() as folder:
        assert read(pickle.dumps(thing, protocol), Path(folder)) == thing


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def evil(command: str) -> dict[str, bytes]:
    """Pickles that run a command in Python's own unpickler, by technique."""
    text, system = repr(command).encode(), Calls(os.system, command)
    short = b"\x8c" + bytes([len(command)]) + command.encode()
    lazy = b"cbuiltins\nmap\ncos\nsystem\n(S" + text + b"\nl\x86\x81\x85"  # (map(os.system, [command]),)
    code = f"__import__('os').system({command!r})"
    old = io.BytesIO()
    torch.save(system, old, _use_new_zipfile_serialization=False)
    return {
        "global": b"cos\nsystem\n(S" + text + b"\ntR.",
        "global, python 2": b"c__builtin__\neval\n(S" + repr(code).encode() + b"\ntR.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + short + b"\x85R.",
        "dotted name": b"\x80\x04\x8c\x07os.path\x8c\x09os.system\x93" + short + b"\x85R.",
        "reduce": pickle.dumps(system),
        "exec": pickle.dumps(Calls(exec, code)),
        "getattr": pickle.dumps(Calls(eval, f"getattr(__import__('os'), 'system')({command!r})")),
        "inst": b"(S" + text + b"\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS" + text + b"\no.",
        "newobj": b"\x80\x02cbuiltins\nbytes\n" + lazy + b"\x81.",
        "newobj_ex": b"\x80\x04cbuiltins\nbytes\n" + lazy + b"}\x92.",
        "build": b"ctypes\nSimpleNamespace\n)R}S'__setstate__'\ncos\nsystem\nsbS" + text + b"\nb.",
        "extension": b"\x80\x02\x82\xf0(S" + text + b"\ntR.",
        "in a dict, dropped": b"}K\x01cos\nsystem\n(S" + text + b"\ntRs0N.",
        "object array": pickle.dumps(np.array([system, 1], dtype=object)),
        "in a tensor's storage": pickle.dumps(Calls(torch.storage._load_from_bytes, old.getvalue())),
    }  # fmt: skip


@pytest.mark.parametrize("way", evil(""))
def test_nothing_is_executed(way: str, tmp_path: Path, monkeypatch):
    canary = tmp_path / "canary"
    program = evil(f"touch {canary}")[way]
    monkeypatch.setitem(copyreg._inverted_registry, 240, ("os", "system"))  # extension code 0xf0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pickle.loads(program)
    assert canary.exists(), "the program is harmless, so the test says nothing"
    canary.unlink()
    with pytest.raises(FsbenchError, match=r"^[^\n]*x\.plk: contains [^\n]+, but only arrays[^\n]*$"):
        read(program, tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_executes_nothing(zipped: bool, tmp_path: Path):
    canary = tmp_path / "canary"
    things = {"features": torch.ones(3), "evil": Calls(os.system, f"touch {canary}")}
    torch.save(things, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    torch.load(tmp_path / "x", weights_only=False)
    assert canary.exists()
    canary.unlink()
    with pytest.raises(FsbenchError, match=r"contains (posix|nt)\.system"):
        safe_pickle.read(tmp_path / "x")
    assert not canary.exists()


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
NEW = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
F4 = b"cnumpy\ndtype\n(S'f4'\ntR"
STATE = b"(I1\n(I1\nt" + F4 + b"I00\nC\x04\0\0\0\0tb"
STRANGE = {
    "posix.system": b"cposix\nsystem\n.",
    "numpy.load": b"cnumpy\nload\n(S'x.npy'\ntR.",
    "numpy.core.multiarray.fromfile": b"cnumpy.core.multiarray\nfromfile\n.",
    "numpy.ndarray.tofile": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
    "torch.load": b"ctorch\nload\n(S'x.pt'\ntR.",
    "torch.serialization.load": b"ctorch.serialization\nload\n.",
    "torch._utils._rebuild_parameter": b"ctorch._utils\n_rebuild_parameter\n.",
    "builtins.list.append": b"\x80\x04\x8c\x08builtins\x8c\x0blist.append\x93.",
    r"a\nb.\x1b[2J": b"\x80\x04\x8c\x03a\nb\x8c\x04\x1b[2J\x93.",
    "INST os system": b"(ios\nsystem\n.",
    "EXT4 70000": b"\x84\x70\x11\x01\x00.",
    "PERSID spam": b"Pspam\n.",
    "a persistent id": b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI1\ntQ.",
    "READONLY_BUFFER": b"N\x98.",
    "an array of O8": b"cnumpy\ndtype\n(S'O8'\ntR.",
    "an array of V16": b"cnumpy\ndtype\n(S'V16'\ntR.",
    "a codec": b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    "a state of function": b"c_codecs\nencode\n(N(dS'__defaults__'\nNstb.",
    "a state of type": b"cnumpy\ndtype\n(dS'build'\nNsb.",
    "a state of ndarray": NEW + STATE + STATE + b".",
    "an item int of ndarray": NEW + b"I0\nI0\ns.",
    "an item tuple of dict": b"}" + b")" + b"\x85" * 200_000 + b"Ns.",  # hashing it overflows C's stack
}  # fmt: skip


@pytest.mark.parametrize("content", STRANGE)
def test_forbidden_content_is_named(content: str, tmp_path: Path):
    with pytest.raises(FsbenchError, match="contains " + re.escape(content)):
        read(STRANGE[content], tmp_path)


def test_refused_pickles_change_nothing(tmp_path: Path):
    """BUILD could change the functions behind allowed names, and so how the next file is read."""

    def state() -> list[tuple[object, ...]]:
        functions = [thing for thing in safe_pickle._BUILDERS.values() if hasattr(thing, "__code__")]
        return [(f, f.__code__, f.__defaults__, f.__kwdefaults__, dict(vars(f))) for f in functions]

    before, dtype_state = state(), dict(vars(safe_pickle._builders.DType))
    for content in ("a state of function", "a state of type"):
        with pytest.raises(FsbenchError, match="contains"):
            read(STRANGE[content], tmp_path)
    assert state() == before
    assert dict(vars(safe_pickle._builders.DType)) == dtype_state


def long_text(n: int) -> bytes:
    """A text of n letters, stored in the memo as 0."""
    return b"X" + struct.pack("<I", n) + b"a" * n + b"q\x00"


def old_torch(program: bytes, keys: bytes, storages: bytes) -> bytes:
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    return safe_pickle._TORCH_MAGIC + pickle.dumps(1001, 2) + system + program + keys + storages


def stored(count: int) -> bytes:
    return b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\nNtQ" % count


ENCODED = b"c_codecs\nencode\n(h\0S'latin1'\ntR"
PAIRS = b"](" + b"".join(b"(I%d\nNt" % i for i in range(1_000)) + b"e"
NESTED = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))  # as text, 2^60 brackets
ORDERED = b"ccollections\nOrderedDict\n(h\0tR"
BOMBS = {
    "memo": b"Nr\xf0\xff\xff\xffN.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"abc.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 10**10) + b"abc.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 10**12) + b"N.",
    "text": b"X\xff\xff\xff\xffabc.",
    "array": NEW + b"(I1\n(I1000000000000\nt" + F4 + b"I00\nC\x04\0\0\0\0tb.",
    "array of negative sides": NEW + b"(I1\n(I-2\nI-2\nt" + F4 + b"I00\nC\x10" + bytes(16) + b"tb.",
    "storage": old_torch(stored(10**12) + b".", b"]S'0'\na.", struct.pack("<q", 10**12)),
    "name": NESTED + b"\x8c\x02osh\x3c\x93.",
    "size": old_torch(NESTED + stored(4) + stored(4).replace(b"I4\n", b"h\x3c") + b".", b"].", b""),
    "encoded again and again": long_text(100_000) + b"0](" + ENCODED * 20_000 + b"e.",
    "items again and again": PAIRS + b"q\x000](" + ORDERED * 1_000 + b"e.",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_small_file_does_not_fill_the_memory(bomb: bytes, tmp_path: Path):
    tracemalloc.start()
    try:
        with suppress(FsbenchError):  # an index or frame that is too high is harmless here
            read(bomb, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 256 * len(bomb) + (1 << 20)
    finally:
        tracemalloc.stop()


OUTSIDE = {  # views outside a storage of 4 elements
    "length": b"I0\n(I5\nt(I1\nt",
    "offset": b"I4\n(I1\nt(I1\nt",
    "negative offset": b"I-1\n(I2\nt(I1\nt",
    "stride": b"I0\n(I2\nI2\nt(I3\nI1\nt",
    "negative stride": b"I0\n(I2\nt(I-1\nt",
    "negative size": b"I0\n(I-5\nI-5\nt(I1\nI1\nt",
}


@pytest.mark.parametrize("place", OUTSIDE.values(), ids=OUTSIDE)
def test_tensors_outside_their_storage_are_refused(place: bytes, tmp_path: Path):
    def file(place: bytes) -> bytes:
        program = TENSOR + b"(" + stored(4) + place + b"I00\nNtR."
        return old_torch(program, b"]S'0'\na.", struct.pack("<q", 4) + np.arange(4, dtype="<f4").tobytes())

    np.testing.assert_array_equal(read(file(b"I1\n(I3\nt(I1\nt"), tmp_path), [1, 2, 3])
    with pytest.raises(FsbenchError, match=r"a tensor does not lie in its storage"):
        read(file(place), tmp_path)


def test_a_view_as_a_storage_is_refused(tmp_path: Path):
    """A tensor of one element, repeated indefinitely, is the storage of the next tensor."""
    endless = TENSOR + b"(" + stored(4) + b"I0\n(I1000000000\nt(I0\ntI00\nNtR"
    program = TENSOR + b"(" + endless + b"I0\n(I1000000\nt(I1\ntI00\nNtR."
    with pytest.raises(FsbenchError, match="a tensor needs a storage"):
        read(old_torch(program, b"]S'0'\na.", struct.pack("<q", 4) + bytes(16)), tmp_path)


def test_storages_of_the_wrong_size_are_refused(tmp_path: Path):
    whole = old_torch(stored(4) + b".", b"]S'0'\na.", struct.pack("<q", 4) + bytes(16))
    read(whole, tmp_path)
    for file in (
        whole[:-1],
        whole[:-12],  # one remaining element, which NumPy would repeat
        old_torch(stored(4) + b".", b"].", b""),
        old_torch(stored(4) + b".", b"]S'0'\na.", struct.pack("<q", 3) + bytes(12)),
        old_torch(stored(4) + b".", b"]S'1'\na.", struct.pack("<q", 4) + bytes(16)),
    ):
        with pytest.raises(FsbenchError, match="damaged, or not a pickle or torch file"):
            read(file, tmp_path)


def rewritten(path: Path, compression: int = zipfile.ZIP_STORED, **records: bytes) -> None:
    """Change records of a torch zip."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(entries)).partition("/")[0]
    entries |= {f"{root}/{name.replace('_', '/')}": data for name, data in records.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def test_a_changed_torch_zip_is_refused(tmp_path: Path):
    path = tmp_path / "x"
    for change, message in (
        ({"data_0": bytes(8)}, "damaged, or not a pickle or torch file"),
        ({"data_0": bytes(4000)}, "damaged, or not a pickle or torch file"),
        ({"byteorder": b"big"}, "contains another byte order"),
        ({"compression": zipfile.ZIP_DEFLATED}, "contains a zip archive that torch did not write"),
    ):
        torch.save(torch.ones(3), path)
        rewritten(path)
        np.testing.assert_array_equal(safe_pickle.read(path), np.ones(3))
        rewritten(path, **change)
        with pytest.raises(FsbenchError, match=message):
            safe_pickle.read(path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_damaged_files_give_one_line_or_are_read(write, tmp_path: Path):
    path = tmp_path / "x"
    write({"features": np.ones((3, 4), np.float32), "labels": torch.arange(3)}, path)
    whole = path.read_bytes()
    for percent in range(0, 100, 2):
        path.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(FsbenchError, match=r"^[^\n]*x: [^\n]*$"):
            safe_pickle.read(path)
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(60):
        changed = bytearray(whole)
        for place in rng.integers(len(whole), size=2):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            safe_pickle.read(path)
        except FsbenchError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)


def test_unreadable_files_give_one_line(tmp_path: Path):
    for path, message in ((tmp_path / "absent", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(FsbenchError, match=message):
            safe_pickle.read(path)
    for content in (b"", b"hello", b"N", b"PK\x03\x04"):
        with pytest.raises(FsbenchError, match="damaged, or not a pickle or torch file"):
            read(content, tmp_path)
