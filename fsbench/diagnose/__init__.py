"""Why a backbone is better: what the mixup papers claim, measured on trained checkpoints and toy problems."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fsbench._util.errors import FsbenchError, unknown
from fsbench.diagnose import (
    attack,
    between,
    calibration,
    claims,
    deform,
    hardness,
    noise,
    report,
    spectrum,
    toy,
)
from fsbench.diagnose.section import Section, Table
from fsbench.diagnose.subject import QUESTIONS, Study, load_study

OF_CHECKPOINTS: dict[str, Callable[[Study], Section | None]] = {
    "noise": noise.section,
    "attack": attack.section,
    "deform": deform.section,
    "calibration": calibration.section,
    "between": between.section,
    "spectrum": spectrum.section,
    "hardness": hardness.section,
}
SECTIONS = ("toy", *OF_CHECKPOINTS)


def diagnose(
    checkpoints: Sequence[Path],
    out: Path,
    *,
    dataset: str | None = None,
    only: Sequence[str] = (),
    questions: int = QUESTIONS,
    cache: Path | None = None,
    device: torch.device,
    quiet: bool = False,
) -> Path:
    """Measure checkpoints side by side and write one report into `out`; the path of its Markdown file.

    Novel images are those of `dataset`, by default of the one the checkpoints were trained on, which must be
    the same for all. `only` names the sections to write; the toy problems need no checkpoint. Attacks,
    deformations and calibration ask about `questions` base images and as many queries of novel tasks.

    Raises:
        FsbenchError: an unknown section, too few questions, checkpoints that cannot be compared, or a folder
            that cannot be written.
    """
    for name in only:
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS)
    asked = [name for name in SECTIONS if name in (only or SECTIONS)]
    of_checkpoints = [name for name in asked if name != "toy"]
    sections = [toy.section()] if "toy" in asked else []
    lead = "No checkpoint was asked about."
    if of_checkpoints:
        if not checkpoints:
            raise FsbenchError(f"sections {', '.join(of_checkpoints)} need a checkpoint, but none is given")
        study = load_study(
            checkpoints, dataset=dataset, questions=questions, cache=cache, device=device, quiet=quiet
        )
        measured = [OF_CHECKPOINTS[name](study) for name in of_checkpoints]
        found = [section for section in measured if section is not None]
        compared = claims.section([claim for section in found for claim in section.claims])
        sections = [_networks(study), *([compared] if compared else []), *sections, *found]
        lead = _lead(study)
    return report.write(out, "Diagnosis", lead, sections)


def _lead(study: Study) -> str:
    synthetic = " These images are drawn by code." if study.novel.synthetic else ""
    return (
        f"Trained on {study.base.dataset}, asked about novel classes of {study.novel.dataset}.{synthetic} "
        "Each network is one training seed, so differences between networks hold for these runs alone."
    )


def _networks(study: Study) -> Section:
    """Which networks are compared."""
    told = [(subject.name, subject.provenance) for subject in study.subjects]
    rows = [(n, p.backbone, p.run, str(p.train_seed), f"{p.epoch} of {p.epochs}") for n, p in told]
    heads = ("network", "backbone", "run", "seed", "epoch")
    text = "The checkpoints, as they are named below."
    return Section(
        "networks", "Networks", text, (Table(heads, tuple(rows)),), {}, {n: p.run for n, p in told}
    )
