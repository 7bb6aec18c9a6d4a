"""Why a backbone is better: what the mixup papers claim, measured on trained checkpoints and toy problems."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fsbench.diagnose import attack, between, calibration, deform, hardness, noise, report, spectrum, toy
from fsbench.diagnose.section import Section
from fsbench.diagnose.subject import Study, load_study
from fsbench.engine import keep_memory
from fsbench.errors import FsbenchError, unknown

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
    cache: Path | None = None,
    device: torch.device,
    quiet: bool = False,
) -> Path:
    """Measure checkpoints side by side and write one report into `out`; the path of its Markdown file.

    Novel images are those of `dataset`, by default of the one the checkpoints were trained on, which must be
    the same for all. `only` names the sections to write; the toy problems need no checkpoint.

    Raises:
        FsbenchError: an unknown section, checkpoints that cannot be compared, or a folder that cannot be
            written.
    """
    for name in only:
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS)
    if device.type == "cpu":
        keep_memory()
    asked = [name for name in SECTIONS if name in (only or SECTIONS)]
    of_checkpoints = [name for name in asked if name != "toy"]
    sections = [toy.section()] if "toy" in asked else []
    lead = "No checkpoint was asked about."
    if of_checkpoints:
        if not checkpoints:
            raise FsbenchError(f"sections {', '.join(of_checkpoints)} need a checkpoint, but none is given")
        study = load_study(checkpoints, dataset=dataset, cache=cache, device=device, quiet=quiet)
        found = (OF_CHECKPOINTS[name](study) for name in of_checkpoints)
        sections += [section for section in found if section is not None]
        lead = _lead(study)
    return report.write(out, "Diagnosis", lead, sections)


def _lead(study: Study) -> str:
    """Which networks are compared, for people."""
    networks = "; ".join(
        f"{subject.name} ({subject.provenance.backbone}, run {subject.provenance.run}, "
        f"epoch {subject.provenance.epoch} of {subject.provenance.epochs})"
        for subject in study.subjects
    )
    synthetic = " These images are drawn by code." if study.novel.synthetic else ""
    return (
        f"Trained on {study.base.dataset}, asked about novel classes of {study.novel.dataset}: {networks}."
        f" One training seed each, so differences between networks hold for these runs alone. All answer the"
        f" same questions, so differences are surer than the intervals of single rows.{synthetic}"
    )
