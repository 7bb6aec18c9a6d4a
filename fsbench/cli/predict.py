"""`fsbench predict`: classify unlabelled images from a few labelled ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli import _names
from fsbench.cli._options import DATA, HEADS, OUTPUT, Computing, Weights
from fsbench.cli._output import answer, print_error

app = App(
    name="predict",
    help_epilogue="Example: fsbench predict timm:resnet50.a1_in1k --support labelled --query unlabelled",
)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class Folders:
    """Where the images are.

    Attributes:
        support: Folder with one folder of labelled images per class. Classes may differ in their number.
        query: Folder of the images to classify, with or without subfolders.
        n_shot: Number of support images per class, the first ones by name. Default: all.
    """

    support: Annotated[Path, Parameter(metavar="FOLDER")]
    query: Annotated[Path, Parameter(metavar="FOLDER")]
    n_shot: int | None = None


@Parameter(name="*", group=HEADS)
@dataclass(frozen=True)
class Classifier:
    """The few-shot classifier.

    Attributes:
        head: Head by name, or your own, ./mine.py:head.
        preprocess: Step applied to features before the head. Default: the head's own.
        seed: Random seed of heads that draw random numbers.
    """

    head: Annotated[_names.Head, Parameter(metavar="NAME")] = "nearest-mean"
    preprocess: Annotated[_names.Preprocess | None, Parameter(metavar="NAME")] = None
    seed: int = 0


@app.default
def predict(
    subject: str,
    /,
    *,
    folders: Folders,
    weights: Weights = Weights(),
    classifier: Classifier = Classifier(),
    out: Annotated[Path, Parameter(group=OUTPUT, metavar="FILE")] = Path("predictions.csv"),
    sheet: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE.html")] = None,
    common: Computing = Computing(),
) -> None:
    """Classify your own images from a few labelled ones.

    Query images that cannot be read are named, left out and counted; a support image that cannot be read ends
    the command. If query images are in subfolders with the names of classes, accuracy is printed, too.

    The probability of an image is the softmax of the head's scores. It ranks images by confidence but is not
    calibrated: the summary compares it with accuracy.

    Args:
        subject: Checkpoint, timm:NAME, torchvision:NAME, ./mine.py:function, package.module:function, or a
            weights file with --backbone.
        out: CSV file with one row per query image.
        sheet: Also write a contact sheet as an HTML page, which marks the least confident images.
    """
    from fsbench._util.files import atomic_write, check_writable
    from fsbench.models import pretrained
    from fsbench.prediction import classify, text
    from fsbench.prediction import sheet as sheets

    session = common.session
    check_writable(out)
    if sheet is not None:
        sheets.check_name(sheet)
        check_writable(sheet)
    outcome = classify.predict(
        pretrained.find(subject, weights.backbone, weights.image_size),
        folders.support,
        folders.query,
        head=classifier.head,
        preprocess=classifier.preprocess,
        n_shot=folders.n_shot,
        seed=classifier.seed,
        session=session,
    )
    for line in outcome.unreadable:
        print_error(line)
    with atomic_write(out) as part:
        outcome.table().to_csv(part, index=False)
    if sheet is not None:
        sheets.write_sheet(outcome, folders.support, folders.query, sheet)
    written = "\n".join(str(path) for path in (out, sheet) if path is not None)
    answer(common, text.as_json(outcome), *text.parts(outcome), "", written)
