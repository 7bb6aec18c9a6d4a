"""`fsbench predict`: a few labelled images of one's own to what the others are."""

import argparse
import sys
from pathlib import Path

from fsbench.cli.options import Verbs, add_backbone, add_computing, answer, device_of

DESCRIPTION = """
Says of each query image which class it is, from a few images of each class. Support is a folder of class
folders, which may hold different numbers of images; query is a folder of images, however nested. Query images
that cannot be read are named, left out and counted; a support image that cannot be read ends the call. Where
query images lie in folders named as the classes, accuracy is shown, too.
"""
EPILOG = """
The probability of an image is the softmax of the head's scores: what the head makes of its few images. It
orders images by how sure they are and is no promise of how often they are right; the summary says more.
"""


def add(verbs: Verbs) -> None:
    """`fsbench predict BACKBONE --support FOLDER --query FOLDER`."""
    verb = verbs.add_parser(
        "predict",
        help="classify your own images from a few labelled ones",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    verb.add_argument(
        "subject", metavar="CHECKPOINT|BACKBONE", help="a checkpoint, or such as timm:resnet50.a1_in1k"
    )
    verb.add_argument(
        "--support", type=Path, required=True, metavar="FOLDER", help="a folder of class folders"
    )
    verb.add_argument("--query", type=Path, required=True, metavar="FOLDER", help="a folder of images")
    add_backbone(verb)
    verb.add_argument(
        "--head", default="nearest-mean", help="nearest-mean, logistic, tim ... (default: nearest-mean)"
    )
    verb.add_argument("--preprocess", help="none l2 cl2n (default: the head's own)")
    verb.add_argument(
        "--n-shot", type=int, help="support images of each class, the first by name (default: all)"
    )
    verb.add_argument("--seed", type=int, default=0, help="of heads that draw random numbers (default: 0)")
    verb.add_argument(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help="a row an image (default: predictions.csv)",
    )
    verb.add_argument(
        "--sheet", type=Path, metavar="FILE.html", help="also write a contact sheet as an HTML page"
    )
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Predict, write the table and the sheet, and print a summary."""
    from fsbench._util.files import atomic_write
    from fsbench._util.session import Session
    from fsbench.models import pretrained
    from fsbench.prediction import sheet, text
    from fsbench.prediction.classify import predict

    if chosen.sheet is not None:
        sheet.check_name(chosen.sheet)
    found = predict(
        pretrained.find(chosen.subject, chosen.backbone, chosen.image_size),
        chosen.support,
        chosen.query,
        head=chosen.head,
        preprocess=chosen.preprocess,
        n_shot=chosen.n_shot,
        seed=chosen.seed,
        session=Session(chosen.cache, device_of(chosen), chosen.quiet),
    )
    for line in found.unreadable:
        print(f"fsbench: {line}", file=sys.stderr)
    with atomic_write(chosen.out) as part:
        found.table().to_csv(part, index=False)
    if chosen.sheet is not None:
        sheet.write_sheet(found, chosen.support, chosen.query, chosen.sheet)
    written = "\n".join(str(path) for path in (chosen.out, chosen.sheet) if path is not None)
    answer(chosen, text.as_json(found), f"{text.summary(found)}\n\n{written}")
