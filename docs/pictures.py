"""Pictures of the pages, drawn by `fsbench plot` from committed files, and the synthetic images.

A picture is drawn again when its files have changed: `pictures/made-from.json` has a digest of them. The
bytes of a picture depend on the version of Matplotlib, so they are not compared.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from from_code import ROOT
from PIL import Image

FOLDER = ROOT / "docs" / "pictures"
MADE_FROM = FOLDER / "made-from.json"
CIFAR_FS = "fast-conv4-cifar-fs-32px-40ep-precisionbf16"
NEAREST_MEAN = "5w1s15q-nearest-mean-l2-10000t*.json"
WIDTH = 1200  # pixels of a picture
PALETTE = Image.Quantize.FASTOCTREE  # 256 colours, a fifth of the size; other methods merge colours of lines


def plots() -> dict[str, tuple[str, list[Path]]]:
    """Return the kind of plot and the files of each picture."""
    results, logs = ROOT / "results", ROOT / "results" / "checkpoints"
    three = ("cifar-fs", "mini-imagenet", "cub")
    nearest_mean = [
        path for name in three for path in _files(results / name, "*/5w[15]s15q-nearest-mean*.json")
    ]
    pictures = {
        "leaderboard": ("leaderboard", nearest_mean),
        "recipe-head": ("recipe-head", _files(results / "cifar-fs", "*-s[012]-*/5w[15]s15q-[cln]*.json")),
        "cross-domain": ("cross-domain", _files(results, f"*/*/{NEAREST_MEAN}")),
        "budget": ("budget", _files(results / "budget", "cifar-fs/*/5w1s15q-*.json")),
        "task-accuracies": ("task-accuracies", _files(results / "cifar-fs", f"erm-*-s0-*/{NEAREST_MEAN}")),
        "training": ("training", _files(logs, f"*-{CIFAR_FS}-s*.safetensors")),
        "time": ("time", _files(logs, f"*-{CIFAR_FS}-s*.safetensors")),
    }
    for path in sorted((ROOT / "baselines").glob("*.py")):
        name = path.stem.replace("_", "-")
        checkpoints = _files(logs, f"{name}-{CIFAR_FS}-s0.safetensors")
        if checkpoints:
            pictures[f"training-{name}"] = ("training", checkpoints)
    return pictures


def glyphs() -> Image.Image:
    """Draw three images of eight classes of each synthetic data set."""
    from fsbench.data.glyphs import NAMES, draw_class

    rows = []
    for name in NAMES:
        classes = [draw_class(name, f"novel-{number:02d}", 3) for number in range(8)]
        rows += [np.concatenate([images[item] for images in classes], axis=1) for item in range(3)]
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST)


def names() -> list[str]:
    """Return the names of all pictures."""
    return [*plots(), "glyphs"]


def stale() -> list[str]:
    """Return the names of pictures that are missing or whose files have changed."""
    before = json.loads(MADE_FROM.read_text(encoding="utf-8")) if MADE_FROM.is_file() else {}
    return [
        name
        for name, digest in _digests().items()
        if before.get(name) != digest or not (FOLDER / f"{name}.png").is_file()
    ]


def draw(names: Iterable[str]) -> None:
    """Draw pictures, and remember what all pictures are made from."""
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        path = FOLDER / f"{name}.png"
        if name == "glyphs":
            glyphs().quantize(method=PALETTE).save(path, optimize=True)
            continue
        kind, files = plots()[name]
        command = [sys.executable, "-m", "fsbench", "plot", kind, *files, "--out", path]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 - our command
        picture = Image.open(path).convert("RGB")
        height = round(picture.height * WIDTH / picture.width)
        picture.resize((WIDTH, height), Image.Resampling.LANCZOS).quantize(method=PALETTE).save(
            path, optimize=True
        )
    MADE_FROM.write_text(f"{json.dumps(_digests(), indent=2)}\n", encoding="utf-8")


def _digests() -> dict[str, str]:
    """Return a digest of what each picture shows."""
    digests = {}
    for name, (_, files) in plots().items():
        content = hashlib.sha256()
        for path in files:  # a checkpoint is large, and what a plot shows of it is in its log
            content.update((path.with_suffix(".csv") if path.suffix == ".safetensors" else path).read_bytes())
        digests[name] = content.hexdigest()[:16]
    digests["glyphs"] = hashlib.sha256(glyphs().tobytes()).hexdigest()[:16]
    return digests


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))
