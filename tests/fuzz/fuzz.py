"""Fuzz every reader with mutated files, guided by code coverage; it may only raise FsbenchError.

    python tests/fuzz/fuzz.py --inputs 100000 [TARGET ...]

Each reader runs in its own process, which stops at the first input that raises another exception, takes 20 s
or needs 4 GB. That input is saved in the folder `--findings`. Requires atheris: pip install -e ".[fuzz]"
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
    """Fuzz the selected readers one after the other and print the number of inputs of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", help="default: every reader")
    parser.add_argument(
        "--inputs",
        type=int,
        default=100_000,
        help="multiplied by the fraction of a reader (default: 100,000)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.target[0], options.inputs, options.seed, options.findings)
    from fuzz_targets import TARGETS

    total, failed = 0, []
    for name in options.target or TARGETS:
        inputs, began = int(options.inputs * TARGETS[name].fraction), time.perf_counter()
        command = [sys.executable, __file__, name, "--child", f"--inputs={inputs}", f"--seed={options.seed}"]
        run = subprocess.run(
            [*command, f"--findings={options.findings}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        runs = max((int(first or second) for first, second in _DONE.findall(run.stderr)), default=0)
        total += runs
        outcome = "nothing found" if run.returncode == 0 else f"FOUND, exit code {run.returncode}"
        print(f"{name:16} {runs:>9,} inputs {time.perf_counter() - began:6.0f} s  {outcome}", flush=True)
        if run.returncode:
            failed.append(name)
            options.findings.mkdir(parents=True, exist_ok=True)
            (options.findings / f"{name}.log").write_bytes(run.stderr[-20_000:])
    print(f"{'total':16} {total:>9,} inputs; {len(failed)} readers with findings")
    return 1 if failed else 0


def _child(name: str, inputs: int, seed: int, findings: Path) -> None:
    """Fuzz one reader in this process and exit."""
    import atheris

    with atheris.instrument_imports(include=["fsbench", "tomllib"]):
        from fuzz_targets import TARGETS, attempt, scratch
    target = TARGETS[name]
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus, scratch() as folder:
        for number, data in enumerate(target.seeds()):
            Path(corpus, str(number)).write_bytes(data)
        warnings.simplefilter("error")  # a warning would be a second line for the user

        def test_one_input(data: bytes) -> None:
            attempt(target, data, folder)

        limits = ["-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={findings}/{name}-"]
        atheris.Setup([name, f"-runs={inputs}", f"-seed={seed}", *limits, corpus], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
