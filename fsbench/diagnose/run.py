"""Measure checkpoints side by side and write one report."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.machine import device_of_heads
from fsbench._util.session import Session as Session
from fsbench.diagnose import (
    _attack,
    _between,
    _calibration,
    _claims,
    _deform,
    _hardness,
    _noise,
    _report,
    _spectrum,
    _toy,
)
from fsbench.diagnose._section import ReportSection, TextTable
from fsbench.diagnose.study import QUESTIONS, Study, load_study

OF_CHECKPOINTS: dict[str, Callable[[Study], ReportSection | None]] = {
    "noise": _noise.section,
    "attack": _attack.section,
    "deform": _deform.section,
    "calibration": _calibration.section,
    "between": _between.section,
    "spectrum": _spectrum.section,
    "hardness": _hardness.section,
}
SECTIONS = ("toy", *OF_CHECKPOINTS)


def diagnose(
    checkpoints: Sequence[Path],
    out: Path,
    *,
    dataset: str | None = None,
    only: Sequence[str] = (),
    questions: int = QUESTIONS,
    session: Session,
) -> Path:
    """Measure checkpoints side by side and write one report.

    Attacks, deformations and calibration use `questions` base images and as many query images of novel tasks.
    The toy problems need no checkpoint.

    Args:
        checkpoints: Checkpoints that were trained on the same images. All are compared with the first one.
        out: Folder of the report: `report.md` with its figures, `report.html` and `report.json`.
        dataset: Data set of the novel images; None: the one that the checkpoints were trained on.
        only: The sections to write, from `SECTIONS`; empty: all.
        questions: Number of base images, and of query images of novel tasks; at least 30.
        session: Cache folder, device and progress.

    Returns:
        The path of the Markdown report.

    Raises:
        FsbenchError: A section is unknown, there are too few questions, checkpoints cannot be compared, or
            the folder cannot be written.

    Example:
        >>> diagnose([Path("erm.safetensors"), Path("mixup.safetensors")], Path("report"), session=Session())
    """
    for name in only:
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS)
    names = [name for name in SECTIONS if name in (only or SECTIONS)]
    of_checkpoints = [name for name in names if name != "toy"]
    sections = [_toy.section()] if "toy" in names else []
    lead = "This report does not compare checkpoints."
    if of_checkpoints:
        if not checkpoints:
            raise FsbenchError(f"sections {', '.join(of_checkpoints)} need at least one checkpoint")
        session = replace(session, device=device_of_heads(session.device))  # numbers are float64 here, too
        study = load_study(checkpoints, dataset=dataset, questions=questions, session=session)
        measured = [section for name in of_checkpoints if (section := OF_CHECKPOINTS[name](study))]
        claims = _claims.section([claim for section in measured for claim in section.claims])
        sections = [_networks(study), *([claims] if claims else []), *sections, *measured]
        lead = _lead(study)
    return _report.write(out, "Diagnosis", lead, sections)


def _lead(study: Study) -> str:
    """State what the networks were trained on and what the numbers cover."""
    synthetic = " The images are synthetic." if study.novel.synthetic else ""
    return (
        f"Networks trained on {study.base.dataset}, tested on novel classes of {study.novel.dataset}."
        f"{synthetic} Each network is one training seed, so differences between networks hold for these "
        "training runs only."
    )


def _networks(study: Study) -> ReportSection:
    """List the networks that are compared."""
    networks = [(network.name, network.provenance) for network in study.networks]
    return ReportSection(
        "networks",
        "Networks",
        "The checkpoints and their names in this report.",
        (
            TextTable(
                ("network", "backbone", "run", "seed", "epoch"),
                tuple(
                    (name, p.backbone, p.run, str(p.train_seed), f"{p.epoch} of {p.epochs}")
                    for name, p in networks
                ),
            ),
        ),
        {},
        {name: p.run for name, p in networks},
    )
