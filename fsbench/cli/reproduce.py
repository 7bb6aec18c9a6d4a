"""`fsbench reproduce`: repeat the training and evaluation of a result file."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli._options import HEADS, MODEL, OUTPUT, Computing
from fsbench.cli._output import answer

app = App(
    name="reproduce",
    help_epilogue="Example: fsbench reproduce result.json --checkpoint runs/erm/best.safetensors",
)


@app.default
def reproduce(
    result: Path,
    /,
    *,
    checkpoint: Annotated[Path | None, Parameter(group=MODEL, metavar="FILE")] = None,
    head: Annotated[str | None, Parameter(group=HEADS, metavar="FILE:FUNCTION")] = None,
    out: Annotated[Path, Parameter(group=OUTPUT, metavar="FOLDER")] = Path("reproduced"),
    common: Computing = Computing(),
) -> None:
    """Run the training and evaluation of a result file again and compare the results.

    Args:
        result: Result file.
        checkpoint: Evaluate this checkpoint instead of training again.
        head: The head of the result, if it is your own code. It runs only if you name it here.
        out: Folder of the new run and result.
    """
    from fsbench.evaluation.flat import flatten
    from fsbench.report.reproduce import reproduce

    comparison = reproduce(result, checkpoint=checkpoint, head=head, out=out, session=common.session)
    values = {**vars(comparison), "before": flatten(comparison.before), "now": flatten(comparison.now)}
    answer(common, values, comparison.line())
