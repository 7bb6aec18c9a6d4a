"""`fsbench extract`: a checkpoint or any other backbone, and a split, to a feature file."""

import argparse
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench.cli.options import Verbs, add_backbone, add_computing, answer, device_of


def add(verbs: Verbs) -> None:
    """`fsbench extract SUBJECT`."""
    verb = verbs.add_parser("extract", help="write the features of a split to a file")
    verb.add_argument(
        "subject",
        metavar="SUBJECT",
        help="checkpoint, timm:NAME, torchvision:NAME, ./mine.py:function, package.module:function, "
        "or a file of weights with --backbone",
    )
    add_backbone(verb)
    verb.add_argument("--dataset", help="default: the one it was trained on")
    verb.add_argument("--split", default="novel", choices=("base", "val", "novel"))
    verb.add_argument("--out", type=Path, help="feature file (default: in the cache)")
    verb.add_argument("--force", action="store_true", help="extract again, in place of what is there")
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Extract and print where the features lie."""
    from fsbench._util.session import Session
    from fsbench.features.extract import extract_features
    from fsbench.models.pretrained import find

    backbone = find(chosen.subject, chosen.backbone, chosen.image_size)
    dataset = chosen.dataset or backbone.dataset
    if dataset is None:
        raise FsbenchError(
            f"{chosen.subject}: was trained on no data set of fsbench; name one with --dataset"
        )
    path, found = extract_features(
        backbone,
        dataset,
        chosen.split,
        Session(chosen.cache, device_of(chosen), chosen.quiet),
        out=chosen.out,
        force=chosen.force,
    )
    n, width = found.values.shape
    answer(chosen, {"features": path, "images": n, "width": width, **found.about}, str(path))
