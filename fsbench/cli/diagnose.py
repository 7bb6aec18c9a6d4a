"""`fsbench diagnose`: write a report on backbones."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli._names import DataSet, Section
from fsbench.cli._options import DATA, DATA_SET, OUTPUT, Computing
from fsbench.cli._output import answer

app = App(
    name="diagnose",
    help_epilogue="Example: fsbench diagnose runs/erm/best.safetensors runs/mixup/best.safetensors",
    usage="Usage: fsbench diagnose [OPTIONS] [CHECKPOINT...]",
)


@app.default
def diagnose(
    checkpoint: Annotated[tuple[Path, ...], Parameter(name="checkpoint...")] = (),
    /,
    *,
    dataset: Annotated[DataSet | None, DATA_SET, Parameter(group=DATA)] = None,
    questions: Annotated[int, Parameter(group=DATA, metavar="IMAGES")] = 450,
    only: Annotated[tuple[Section, ...], Parameter(group=OUTPUT, metavar="SECTION...")] = (),
    out: Annotated[Path, Parameter(group=OUTPUT, metavar="FOLDER")] = Path("diagnosis"),
    common: Computing = Computing(),
) -> None:
    """Write a report on the robustness, calibration and representation of backbones.

    Args:
        checkpoint: Checkpoints to compare; the toy problems need none.
        dataset: Data set of the novel images. Default: the one that the checkpoints were trained on.
        questions: Number of base images, and of query images, that are classified.
        only: Sections to write. Default: all.
        out: Folder of the report.
    """
    from fsbench.diagnose.run import diagnose

    report = diagnose(
        checkpoint, out, dataset=dataset, only=only, questions=questions, session=common.session
    )
    answer(common, {"report": report}, str(report))
