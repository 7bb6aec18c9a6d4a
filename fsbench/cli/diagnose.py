"""`fsbench diagnose`: a report on backbones."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_computing, answer, device_of


def add(verbs: Verbs) -> None:
    """`fsbench diagnose CHECKPOINT...`."""
    verb = verbs.add_parser("diagnose", help="robustness, calibration and representation of backbones")
    verb.add_argument("checkpoints", type=Path, nargs="*", metavar="CHECKPOINT")
    verb.add_argument("--dataset", help="novel images (default: of the one they were trained on)")
    verb.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="SECTION",
        help="toy noise attack deform calibration between spectrum hardness (default: all)",
    )
    verb.add_argument(
        "--questions", type=int, default=450, metavar="N", help="base images and query images (default: 450)"
    )
    verb.add_argument("--out", type=Path, default=Path("diagnosis"), help="folder (default: diagnosis)")
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Write a report and say where it lies."""
    from fsbench._util.session import Session
    from fsbench.diagnose.run import diagnose

    report = diagnose(
        chosen.checkpoints,
        chosen.out,
        dataset=chosen.dataset,
        only=chosen.only,
        questions=chosen.questions,
        session=Session(chosen.cache, device_of(chosen), chosen.quiet),
    )
    answer(chosen, {"report": report}, str(report))
