"""Memory of this process, for the programs that tests start from the root of the repository."""

from pathlib import Path


def memory(name: str) -> int:
    """A line of /proc/self/status, in bytes; VmHWM is the peak.

    The `ru_maxrss` of a process begins with that of its parent, so that nothing grows beside a large parent.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
