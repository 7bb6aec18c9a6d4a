"""`fsbench extract`: write the features of a split to a file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench._util.errors import FsbenchError
from fsbench.cli._names import DataSet, Split
from fsbench.cli._options import DATA, DATA_SET, OUTPUT, Computing, Force, Weights
from fsbench.cli._output import answer

app = App(
    name="extract",
    help_epilogue="Example: fsbench extract timm:resnet50.a1_in1k --dataset cub --out cub.h5",
)


@app.default
def extract_features(
    subject: str,
    /,
    *,
    dataset: Annotated[DataSet | None, DATA_SET, Parameter(group=DATA)] = None,
    split: Annotated[Split, Parameter(group=DATA)] = "novel",
    weights: Weights = Weights(),
    out: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    force: Force = False,
    common: Computing = Computing(),
) -> None:
    """Write the features of a split to a file and print its path.

    Args:
        subject: Checkpoint, timm:NAME, torchvision:NAME, ./mine.py:function, package.module:function, or a
            weights file with --backbone.
        dataset: Data set of the images. Default: the one that the backbone was trained on.
        split: Split of the data set.
        out: Feature file. Default: a file in the cache.
    """
    from fsbench.features.extract import extract_features
    from fsbench.models.pretrained import find

    backbone = find(subject, weights.backbone, weights.image_size)
    dataset = dataset or backbone.dataset
    if dataset is None:
        raise FsbenchError(f"--dataset is missing: {subject} was not trained on a data set of fsbench")
    path, features = extract_features(backbone, dataset, split, common.session, out=out, force=force)
    n, width = features.values.shape
    answer(common, {"features": path, "images": n, "width": width, **asdict(features.origin)}, str(path))
