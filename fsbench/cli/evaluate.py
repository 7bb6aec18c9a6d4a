"""`fsbench evaluate`: a checkpoint, any other backbone or a feature file to results."""

import argparse
import re
import sys
from functools import partial
from itertools import product
from pathlib import Path

from fsbench.cli.colour import paint
from fsbench.cli.options import Verbs, add_backbone, add_computing, answer, device_of

_ACCURACY = re.compile(r"[\d.]+ ± [\d.]+ %")


def add(verbs: Verbs) -> None:
    """`fsbench evaluate SUBJECT...`."""
    verb = verbs.add_parser(
        "evaluate", help="few-shot accuracy of a checkpoint, any backbone or a feature file"
    )
    verb.add_argument(
        "subject",
        nargs="+",
        metavar="SUBJECT",
        help="checkpoint, feature file, timm:NAME, torchvision:NAME, ./mine.py:function, "
        "package.module:function, or a file of weights with --backbone",
    )
    add_backbone(verb)
    verb.add_argument("--dataset", nargs="+", default=[], help="targets (default: the one it was trained on)")
    verb.add_argument("--split", default="novel", choices=("base", "val", "novel"))
    verb.add_argument("--n-way", type=int, nargs="+", default=[5])
    verb.add_argument("--n-shot", type=int, nargs="+", default=[1, 5])
    verb.add_argument(
        "--n-query",
        type=_number_or_all,
        default=15,
        help="a class, or all that are not support (default: 15)",
    )
    verb.add_argument("--n-tasks", type=int, default=10_000, help="default: 10,000")
    verb.add_argument("--seed", type=int, default=0, help="of the task list (default: 0)")
    verb.add_argument(
        "--query-alpha", type=float, metavar="ALPHA", help="classes share the queries by Dirichlet(ALPHA)"
    )
    verb.add_argument("--least-shot", type=int, help="each class has this to N_SHOT support images")
    verb.add_argument("--classes", nargs="+", default=[], metavar="CLASS", help="make tasks of these alone")
    verb.add_argument(
        "--disjoint", action="store_true", help="no image in two tasks; as many as the images give"
    )
    verb.add_argument(
        "--tasks", nargs="+", default=[], metavar="LIST", help="pinned lists, by name or .toml file"
    )
    verb.add_argument(
        "--head",
        nargs="+",
        default=["nearest-mean", "logistic"],
        help="by name (see the README for all), or your own, ./mine.py:head",
    )
    verb.add_argument("--preprocess", nargs="+", default=[], help="none l2 cl2n (default: each head's own)")
    verb.add_argument(
        "--base",
        type=Path,
        metavar="FEATURES",
        help="file of base features, for cl2n of whatever was not trained by fsbench",
    )
    verb.add_argument("--out", type=Path, default=Path("results"), help="results folder (default: results)")
    verb.add_argument(
        "--details", action="store_true", help="write classes, their confusion and the hardest tasks, too"
    )
    verb.add_argument("--force", action="store_true", help="evaluate again what is there already")
    verb.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw them: a sweep, a cross-domain matrix, a heat map"
    )
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Evaluate and print a line a result, or all of them as JSON."""
    from fsbench._util.session import Session
    from fsbench.evaluation.flat import flatten
    from fsbench.evaluation.run import Output, evaluate
    from fsbench.evaluation.subjects import Images, subject_of
    from fsbench.tasks import pinned
    from fsbench.tasks.spec import TaskSpec

    ask = partial(
        evaluate,
        tasks=[pinned.read_task_list(name) for name in chosen.tasks]
        or [
            TaskSpec(
                n_way=n_way,
                n_shot=n_shot,
                n_query=chosen.n_query,
                n_tasks=chosen.n_tasks,
                seed=chosen.seed,
                query_alpha=chosen.query_alpha,
                least_shot=chosen.least_shot,
                classes=tuple(chosen.classes),
                disjoint=chosen.disjoint,
            )
            for n_way, n_shot in product(chosen.n_way, chosen.n_shot)
        ],
        heads=chosen.head,
        preprocess=chosen.preprocess,
        images=Images(chosen.dataset, chosen.split, chosen.base),
        session=Session(chosen.cache, device_of(chosen), chosen.quiet),
        output=Output(chosen.out, chosen.force, chosen.details),
    )
    subjects = [subject_of(name, chosen.backbone, chosen.image_size) for name in chosen.subject]
    found = [result for subject in subjects for result in ask(subject)]
    if chosen.plot:
        from fsbench.report.plots import of_call, save

        save(of_call(found), chosen.plot)
    lines = "\n".join(_ACCURACY.sub(_bold, result.line()) for result in found)
    answer(chosen, [flatten(result) for result in found], lines)


def _bold(found: re.Match[str]) -> str:
    return paint(found[0], "bold", sys.stdout)


def _number_or_all(text: str) -> int | None:
    """A number of images, or None for all."""
    return None if text == "all" else int(text)
