"""Print the score of `make mutants` by module, and each survivor that explained.toml does not explain.

    python tests/mutants/report.py

Reads the folder `mutants`, which mutmut leaves. Fails when a mutant has survived without an explanation.
Needs mutmut: pip install -e ".[mutants]"
"""

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path

from tabulate import tabulate

EXPLAINED = Path(__file__).with_name("explained.toml")
MUTANTS = Path("mutants")
KILLED = (1, 3)  # exit codes of pytest: a test failed, or its fixture raised
SURVIVED = (0, 5, 33)  # the tests passed, or no test calls the function
UNFINISHED = (None, 2, 34, 37)  # not run; every other code means a timeout or a crash


def main() -> int:
    """Print the table and the unexplained survivors; return 1 if there are any."""
    explanations = explained()
    rows, unexplained, used = [], [], set()
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if not codes:
            continue
        file = path.relative_to(MUTANTS).with_suffix("").as_posix()
        count: Counter[str] = Counter()
        for name, code in codes.items():
            state = state_of(code)
            if state == "survived":
                change = (file, *change_of(name, file))
                state = "explained" if change in explanations else "unexplained"
                used.add(change)
                unexplained += [change] if state == "unexplained" else []
            count[state] += 1
        numbers = [count[state] for state in ("killed", "timed out", "explained", "unexplained", "not run")]
        rows.append((f"`{file}`", len(codes), *numbers))
    total = ("**all**", *(sum(row[column] for row in rows) for column in range(1, 7)))
    heads = ("module", "mutants", "killed", "timed out", "survived, explained", "unexplained", "not run")
    print(tabulate([*rows, total], heads, "pipe"))
    for file, before, after in unexplained:
        print(f"\n{file}\n- {before}\n+ {after}")
    files = {row[0].strip("`") for row in rows if row[-1] == 0}  # files whose mutants were all run
    for change in sorted(change for change in explanations - used if change[0] in files):
        print("\nexplained, but killed or gone:", *change, sep="\n  ")
    return int(bool(unexplained))


def state_of(code: int | None) -> str:
    """The state of a mutant by the exit code of its tests."""
    if code in KILLED:
        return "killed"
    if code in SURVIVED:
        return "survived"
    return "not run" if code in UNFINISHED else "timed out"


def explained() -> set[tuple[str, ...]]:
    """The changes that no test can detect: file, line before, line after."""
    document = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    return {
        (file, *change.split("\n"))
        for group in document["group"]
        for file, changes in group["changes"].items()
        for change in changes
    }


def change_of(name: str, file: str) -> tuple[str, str]:
    """The lines of a function that a mutant replaces and their replacement, without indentation."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    lines = get_diff_for_mutant(name, path=file).splitlines()[2:]
    before, after = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return before, after


if __name__ == "__main__":
    sys.exit(main())
