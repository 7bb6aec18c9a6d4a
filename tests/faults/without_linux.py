"""Run commands in one process where what Linux offers and other systems lack is taken away.

without_linux.py COMMANDS

COMMANDS is a JSON list of lists of words. This shows that fallbacks exist; it is no macOS and no Windows.
"""

import errno
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
FUNCTIONS = (
    *("chown", "fork", "forkpty", "geteuid", "getloadavg", "getuid", "killpg", "mkfifo", "register_at_fork"),
    *("sched_getaffinity", "sched_setaffinity", "setsid", "symlink", "sysconf", "uname"),
)
SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2")
HIDDEN = ("/proc", "/sys")
# Libraries have files of their own for each system, so they are loaded while this is still Linux.
LIBRARIES = (
    "filelock",
    "h5py",
    "matplotlib.pyplot",
    "numba",
    "pandas",
    "platformdirs",
    "scipy.stats",
    "torchvision",
)

looking: list[bool] = []  # not empty while this file itself reads /proc


def take_away_names() -> None:
    """Remove modules, functions and signals."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # its import fails
    for name in FUNCTIONS:
        delattr(os, name)
    for name in SIGNALS:
        delattr(signal, name)
    sys.platform = "elsewhere"  # type: ignore[assignment]


def take_away_files() -> None:
    """Hide files of the system, and refuse encodings that the system chooses."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        path = str(arguments[0]) if event == "open" else ""
        if path.startswith(HIDDEN) and not looking:
            raise FileNotFoundError(errno.ENOENT, "hidden", path)

    sys.addaudithook(refuse)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"(fsbench|baselines)\b")


def behave_as_windows() -> None:
    """Refuse to replace files in use, to open folders, and to sync files that are open for reading."""
    from fcntl import F_GETFL, fcntl

    def replace_closed(old: str, new: str) -> None:
        if is_used(os.path.realpath(new)) or is_used(os.path.realpath(old)):
            raise PermissionError(errno.EACCES, "used by a process", str(new))
        replace(old, new)

    def open_no_folder(path: str, *arguments: int) -> int:
        if sys._getframe(1).f_globals["__name__"].startswith("fsbench") and Path(path).is_dir():
            raise PermissionError(errno.EACCES, "is a folder", path)
        return open_file(path, *arguments)

    def sync_writable(handle: int) -> None:
        if fcntl(handle, F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open for writing")
        sync(handle)

    replace: Callable[[str, str], None] = os.replace
    open_file, sync = os.open, os.fsync
    os.replace, os.open, os.fsync = replace_closed, open_no_folder, sync_writable


def is_used(path: str) -> bool:
    """Whether this process has a file open or mapped."""
    looking.append(True)
    try:
        handles = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
        opened = [os.readlink(handle) for handle in handles if os.path.lexists(handle)]  # noqa: PTH115
        return path in opened or f" {path}\n" in Path("/proc/self/maps").read_text("utf-8")
    finally:
        looking.clear()


if __name__ == "__main__":
    for library in LIBRARIES:
        import_module(library)
    behave_as_windows()
    take_away_names()
    take_away_files()
    main = import_module("fsbench.cli").main
    for words in json.loads(sys.argv[1]):
        if code := main(words):
            sys.exit(f"{' '.join(words)}: exit code {code}")
