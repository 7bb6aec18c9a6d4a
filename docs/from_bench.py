"""Parts of pages from the benchmark files in `results/bench/`: figures of each processor and GPU."""

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from from_code import table

BENCH = Path(__file__).resolve().parent.parent / "results" / "bench"
_OF_HEADS = ("evaluate", "sgd_heads", "heads")  # parts with the times of heads


def time_of(head: str) -> str:
    """Say how long 10,000 tasks take on each processor on which it was measured."""
    times = [
        f"{seconds} s on {processor}, {ratio} times as fast as a loop over tasks"
        for processor, (seconds, ratio) in _heads_speed().get((head, "5-way 5-shot"), {}).items()
    ]
    if not times:
        return ""
    return (
        "10,000 tasks (5-way 5-shot, 15 queries per class, 640 features) take, with two threads, "
        f"{'; '.join(times)}. [Speed](../speed.md) has all figures."
    )


def speed(part: str) -> str:
    """Figures of one part: heads, memory, training or peers on each processor, or those of each GPU."""
    match part:
        case "heads":
            return _measured_on(*_OF_HEADS) + _table_of_heads()
        case "memory":
            return _measured_on("evaluate") + _table_of_memory()
        case "peers":
            return _tables_of_peers()
        case "gpu":
            return _sections_of_gpus() or "No GPU was measured yet: `make gpu-results` measures one."
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for processor, record in _processors().items():
        for name, value in _figures(record, part).items():
            rows[name][processor] = value
    names = [name for name, values in rows.items() if values]
    columns = [processor for processor in _processors() if any(processor in rows[name] for name in names)]
    cells = [
        [*reversed(name.rsplit(": ", 1)), *(_round(rows[name].get(each)) for each in columns)]
        for name in names
    ]
    return _measured_on(part) + table(["what", "case", *columns], cells)


def _table_of_heads() -> str:
    """Seconds for 10,000 tasks, and the ratio to a loop, of each head: two columns per processor."""
    labels = list(_processors())
    rows = [
        [f"`{head}`", task, *(cell for label in labels for cell in values.get(label, ("-", "-")))]
        for (head, task), values in _heads_speed().items()
    ]
    columns = [column for label in labels for column in (f"{label}: seconds", "times as fast")]
    relative = "nearest-mean, 5w5s: time relative to gathering the features once"
    times = {label: _figures(record, "evaluate").get(relative) for label, record in _processors().items()}
    gathering = ", ".join(f"{_round(value)} times ({label})" for label, value in times.items() if value)
    note = f"`nearest-mean` takes {gathering} as long as gathering the features of the tasks once."
    return f"{table(['head', 'task', *columns], rows)}\n\n{note}"


def _table_of_memory() -> str:
    """MiB beside the features: a column per processor on which they were measured."""
    queries = {"5w5s15q": "15", "5w5sallq": "595"}
    cells: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for label, record in _processors().items():
        for name, value in _figures(record, "evaluate").items():
            if name.endswith("MiB of memory beside the features"):
                head, task = name.partition(":")[0].split(", ")
                cells[head, queries[task]][label] = value
    labels = [label for label in _processors() if any(label in values for values in cells.values())]
    rows = [
        [f"`{head}`", count, *(_round(values.get(label)) for label in labels)]
        for (head, count), values in cells.items()
    ]
    return table(["head", "queries per class", *labels], rows)


def _tables_of_peers() -> str:
    """A table per processor: the same method in another project and here, side by side."""
    tables = []
    for label, record in _processors().items():
        rows = [
            [
                row["project"],
                row["method"],
                f"`{row['head']}`",
                row["task"],
                _round(row["peer_rate"]),
                _round(row["rate"]),
                f"**{_round(row['rate'] / row['peer_rate'])}**",
                f"{row['peer_accuracy']:.1f}",
                f"{row['accuracy']:.1f} ± {row['half_width']:.1f}",
            ]
            for row in record.get("peers", {}).get("rows", [])
        ]
        columns = ["project", "method", "head", "task", "its tasks/s", "tasks/s", "times as fast"]
        if rows:
            body = table([*columns, "its accuracy", "accuracy"], rows)
            tables.append(f"Measured on {label}, {_torch(record['peers'])}.\n\n{body}")
    return "\n\n".join(tables) or "Not measured yet."


def _sections_of_gpus() -> str:
    """A table per GPU."""
    records = [_read(path) for path in sorted(BENCH.glob("gpu-*.json"))]
    return "\n\n".join(
        f"Measured on {record['device']}, {_torch(record)}.\n\n"
        + table(
            ["case", "measured", "value"],
            [[*name.split(": ", 1), _round(value)] for name, value in record["figures"].items()],
        )
        for record in records
    )


def _heads_speed() -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    """Seconds for 10,000 tasks, and how many times as fast as a loop, by head and task, then processor."""
    cells: dict[tuple[str, str], dict[str, tuple[str, str]]] = defaultdict(dict)
    for processor, record in _processors().items():
        for part in _OF_HEADS:
            for name, value in _figures(record, part).items():
                case, measured = name.split(": ", 1)
                head, task, *_ = case.split(", ")
                shape = re.fullmatch(r"(\d+)w(\d+)s", task)
                kind = measured.partition(" ")[0]
                if shape and kind in ("seconds", "speed"):
                    of_case = cells[head.replace("_", "-"), f"{shape[1]}-way {shape[2]}-shot"]
                    seconds, ratio = of_case.get(processor, ("-", "-"))
                    pair = (_round(value), ratio) if kind == "seconds" else (seconds, _round(value))
                    of_case[processor] = pair
    return cells


def _measured_on(*parts: str) -> str:
    """Say on which processors, and with which torch and commit, parts of the figures were measured."""
    processors = []
    for label, record in _processors().items():
        runs = [record[part] for part in parts if part in record]
        software = dict.fromkeys(f"{_torch(run)}, commit `{run['commit'][:8]}`" for run in runs)
        if software:
            processors.append(f"{label}: {record['device']}, {' and '.join(software)}")
    return f"{'; '.join(processors)}.\n\n"


@cache
def _processors() -> dict[str, dict[str, Any]]:
    """Read the file of each processor, by a short label such as "Intel Xeon" or "AMD EPYC (AVX2)"."""
    records = {}
    for path in sorted(BENCH.glob("cpu-*.json")):
        record = _read(path)
        name, _, *instructions = record["device"].split(", ")
        name = re.sub(r"\(\w+\)| Processor", "", name)
        records[f"{name} ({instructions[0]})" if instructions else name] = record
    return records


def _figures(record: dict[str, Any], part: str) -> dict[str, float]:
    """Return the figures of one file of benchmarks; empty if this processor has not run it."""
    figures: dict[str, float] = record.get(part, {}).get("figures", {})
    return figures


def _torch(record: dict[str, Any]) -> str:
    """Return the version of torch of a measurement."""
    return f"torch {record['versions']['torch'].partition('+')[0]}"


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _round(value: float | None) -> str:
    """Write a figure with three or more digits and without an exponent."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value else "0"
