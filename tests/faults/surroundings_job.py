"""What test_invariants.py runs here and in other surroundings: the verbs, and what must not depend on those.

surroundings_job.py IMAGES RESULTS OUT
"""

import contextlib
import io
import json
import locale
import re
import shutil
import sys
from pathlib import Path

# Durations, and the commit, which another process may change.
_VOLATILE = {"extract_seconds", "evaluate_seconds", "commit"}


def outcome(images: Path, golden: Path, out: Path) -> dict[str, object]:
    """The output of the commands and their files below `out`, without durations, as JSON values."""
    import pandas as pd
    import torch

    from fsbench.cli import main
    from fsbench.data.image_store import fingerprints
    from fsbench.data.loading import find_store
    from fsbench.features import store as features
    from fsbench.models import checkpoint

    printed = io.StringIO()

    def run(line: str) -> None:
        with contextlib.redirect_stdout(printed):
            assert main([word.replace("OUT", str(out)) for word in line.split()]) == 0, line

    options = "--n-way 3 --n-shot 1 2 --n-query 2 --n-tasks 30 --device cpu --quiet"
    run(f"data prepare mine {images} --cache OUT/cache --quiet")
    run("train-backbone manifold-mixup --dataset mine --epochs 1 --batch-size 8 --cache OUT/cache "
        "--out OUT/run --device cpu --quiet")  # fmt: skip
    run(f"evaluate OUT/run/best.safetensors --cache OUT/cache --out OUT/results --details {options}")
    paths = sorted((out / "results").rglob("*.json"))
    run(f"compare {paths[0]} {paths[1]}")
    run(f"plot task-accuracies {paths[0]} --out OUT/figure.svg")
    shutil.copytree(golden, out / "golden")
    run("leaderboard OUT/golden")
    log = pd.read_csv(out / "run" / "log.csv").drop(columns=["seconds", "images_per_second"])
    documents = {path.name: json.loads(path.read_bytes()) for path in paths}
    weights = checkpoint.read(out / "run" / "best.safetensors")[0]
    (store,) = (out / "cache" / "features").rglob("*.h5")
    pages = [*(out / "golden").glob("*.*"), *(out / "results").rglob("*.csv")]
    return {
        "decimal point": locale.localeconv()["decimal_point"],
        "threads": torch.get_num_threads(),
        "printed": re.sub(r"(in )?[\d.]+ s\b", "", printed.getvalue().replace(str(out), "OUT")),
        "images": [list(pair) for pair in fingerprints(find_store("mine", out / "cache"))],
        "weights": {name: tensor.double().sum().item() for name, tensor in weights.items()},
        "log": log.to_dict("list"),
        "features": features.read(store).digest,
        "results": {
            name: {
                **document,
                "outcome": {key: value for key, value in document["outcome"].items() if key not in _VOLATILE},
            }
            for name, document in documents.items()
        },
        "pages": {path.name: path.read_bytes().decode() for path in pages},
        "figure": re.sub("<dc:date>.*</dc:date>", "", (out / "figure.svg").read_text(encoding="utf-8")),
    }


if __name__ == "__main__":
    locale.setlocale(locale.LC_ALL, "")
    folder = Path(sys.argv[3])
    folder.mkdir()
    document = json.dumps(outcome(Path(sys.argv[1]), Path(sys.argv[2]), folder))
    (folder / "outcome.json").write_bytes(document.encode())
