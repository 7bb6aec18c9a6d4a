"""`fsbench predict`: classify unlabelled images from a few labelled ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli import _names
from fsbench.cli._options import DATA, HEADS, OUTPUT, Computing, Weights
from fsbench.cli._output import answer, print_error

UNREADABLE = 10  # images that are named on stderr

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
        head: Head by name, or your own, ./mine.py:head. Settings follow a colon: cosine-sgd:epochs=100, or
            NAME:a=1,b=false for several. The setting "balanced" of a head is false unless you give it.
        preprocess: Step applied to features before the head. Default: the head's own.
        reject: Answer "none of these" for images that resemble no class. Some images of your classes are
            rejected by mistake: about 10 %, or more if there are few labelled images. The output names the
            share.
        seed: Random seed of heads that draw random numbers.
    """

    head: Annotated[_names.Head, Parameter(metavar="NAME")] = "nearest-mean"
    preprocess: Annotated[_names.Preprocess | None, Parameter(metavar="NAME")] = None
    reject: bool = False
    seed: int = 0


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True)
class Files:
    """What is written. An existing table or page is replaced.

    Attributes:
        out: Table with one row per query image: .csv, or .json with all values. An existing file is replaced.
        sheet: Also write a contact sheet as an HTML page.
        sort_into: Also copy every query image into a folder of its class in this folder, which must be new or
            empty, and must not contain the table or the contact sheet.
    """

    out: Annotated[Path, Parameter(metavar="FILE")] = Path("predictions.csv")
    sheet: Annotated[Path | None, Parameter(metavar="FILE.html")] = None
    sort_into: Annotated[Path | None, Parameter(metavar="FOLDER")] = None


@app.default
def predict(
    subject: str,
    /,
    *,
    folders: Folders,
    weights: Weights = Weights(),
    classifier: Classifier = Classifier(),
    files: Files = Files(),
    common: Computing = Computing(),
) -> None:
    """Classify your own images from a few labelled ones.

    The first line is the accuracy to expect, measured on the labelled images: each is classified by the
    others, and each class counts equally. Probabilities are calibrated on them as well, and an answer is sure
    if its probability is at least 90 %. Both need two or more labelled images per class. If query images are
    in subfolders with the names of classes, the actual accuracy is printed, too.

    Query images that cannot be read are named, left out and counted; a support image that cannot be read ends
    the command.

    Args:
        subject: Checkpoint, timm:NAME, torchvision:NAME, ./mine.py:function, package.module:function, or a
            weights file with --backbone.
    """
    from fsbench._util.files import check_writable
    from fsbench.models import pretrained
    from fsbench.prediction import classify, output, text
    from fsbench.prediction import sheet as sheets

    session = common.session
    output.check_table(files.out)
    if files.sheet is not None:
        sheets.check_name(files.sheet)
        check_writable(files.sheet)
    if files.sort_into is not None:
        output.check_sort_into(files.sort_into, folders.support, folders.query, files.out, files.sheet)
    prediction = classify.predict(
        pretrained.find(subject, weights.backbone, weights.image_size),
        folders.support,
        folders.query,
        head=classifier.head,
        preprocess=classifier.preprocess,
        n_shot=folders.n_shot,
        reject=classifier.reject,
        seed=classifier.seed,
        session=session,
    )
    for line in prediction.unreadable[:UNREADABLE]:
        print_error(line)
    if len(prediction.unreadable) > UNREADABLE:
        print_error(f"{len(prediction.unreadable) - UNREADABLE} more images cannot be read")
    written = [f"{path}{' (replaced)' if path.exists() else ''}" for path in (files.out, files.sheet) if path]
    output.write_table(prediction, files.out)
    if files.sheet is not None:
        sheets.write_sheet(prediction, folders.support, folders.query, files.sheet)
    if files.sort_into is not None:
        counts = output.sort_into(prediction, folders.query, files.sort_into)
        written.append(f"{files.sort_into}: {sum(counts.values())} copies in {len(counts)} folders")
    answer(common, text.as_json(prediction), *text.parts(prediction), "", *written)
