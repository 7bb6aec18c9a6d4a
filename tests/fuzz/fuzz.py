"""Give every reader many mutated files, guided by the code they reach; only an FsbenchError may come of it.

    python tests/fuzz/fuzz.py --inputs 100000 [TARGET ...]

Each reader runs in a process of its own, which ends at the first input that raises anything else, hangs for
20 s or takes 4 GB; that input is kept in the folder `--findings`. Needs atheris: pip install -e ".[fuzz]"
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

_DONE = re.compile(rb"Done (\d+) runs|#(\d+)\s")


def main() -> int:
    """Fuzz the chosen readers one after the other and print how many inputs each had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", help="default: every reader")
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="times the share of a reader (default: 100,000)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        _child(chosen.target[0], chosen.inputs, chosen.seed, chosen.findings)
    from fuzz_targets import TARGETS

    total, found = 0, []
    for name in chosen.target or TARGETS:
        inputs, began = int(chosen.inputs * TARGETS[name].share), time.perf_counter()
        command = [sys.executable, __file__, name, "--child", f"--inputs={inputs}", f"--seed={chosen.seed}"]
        run = subprocess.run(
            [*command, f"--findings={chosen.findings}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        runs = max((int(one or other) for one, other in _DONE.findall(run.stderr)), default=0)
        total += runs
        outcome = "nothing found" if run.returncode == 0 else f"FOUND, exit code {run.returncode}"
        print(f"{name:16} {runs:>9,} inputs {time.perf_counter() - began:6.0f} s  {outcome}", flush=True)
        if run.returncode:
            found.append(name)
            chosen.findings.mkdir(parents=True, exist_ok=True)
            (chosen.findings / f"{name}.log").write_bytes(run.stderr[-20_000:])
    print(f"{'in all':16} {total:>9,} inputs; {len(found)} readers with findings")
    return 1 if found else 0


def _child(name: str, inputs: int, seed: int, findings: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["fsbench", "tomllib"]):
        from fuzz_targets import TARGETS, attempt, scratch
    target = TARGETS[name]
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus, scratch() as folder:
        for number, data in enumerate(target.seeds()):
            Path(corpus, str(number)).write_bytes(data)
        warnings.simplefilter("error")  # a user would see a second line

        def one(data: bytes) -> None:
            attempt(target, data, folder)

        limits = ["-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={findings}/{name}-"]
        atheris.Setup([name, f"-runs={inputs}", f"-seed={seed}", *limits, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
