"""The verbs of `fsbench`: each parses its arguments, calls one function and prints what it returns.

Everything heavy is imported inside the verbs, so that `--help` answers at once.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

from fsbench import __version__
from fsbench.errors import FsbenchError

Verbs = Any  # argparse keeps the type of its subparsers to itself


class OneLineParser(argparse.ArgumentParser):
    """argparse, but an error is one line as everywhere else, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise FsbenchError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 when it is done, 2 with one line on stderr when an argument or a file is wrong."""
    parser = OneLineParser(
        prog="fsbench",
        description="Few-shot image classification, measured.",
        epilog="fsbench VERB --help tells more; start with: fsbench quickstart",
    )
    parser.add_argument("--version", action="version", version=f"fsbench {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for add in (
        add_quickstart,
        add_data,
        add_train_backbone,
        add_extract,
        add_evaluate,
        add_compare,
        add_plot,
        add_diagnose,
        add_leaderboard,
        add_reproduce,
        add_validate,
    ):
        add(verbs)
    try:
        chosen = parser.parse_args(arguments)
        chosen.run(chosen)
    except FsbenchError as error:
        print(f"fsbench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fsbench: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return 0


def add_data(verbs: Verbs) -> None:
    """`fsbench data list | prepare | show`."""
    data = verbs.add_parser("data", help="list, prepare and show data sets")
    actions = data.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="data sets that fsbench knows, and which are prepared")
    _add_cache(listing)
    listing.set_defaults(run=run_data_list)

    prepare = actions.add_parser("prepare", help="turn images on your disk into an image store, once")
    prepare.add_argument("name", help="a known data set (see: fsbench data list) or a name for your own")
    prepare.add_argument("path", type=Path, nargs="?", help="the folder the images lie in")
    prepare.add_argument(
        "--download", action="store_true", help="fetch it from its publisher, where that is possible"
    )
    prepare.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="resize to this square (default: as they are, 96 where their sizes differ)",
    )
    prepare.add_argument("--force", action="store_true", help="prepare again, in place of what is there")
    _add_cache(prepare)
    _add_quiet(prepare)
    prepare.set_defaults(run=run_data_prepare)

    show = actions.add_parser("show", help="classes, images and fingerprints of a prepared data set")
    show.add_argument("name")
    _add_cache(show)
    show.set_defaults(run=run_data_show)


def add_train_backbone(verbs: Verbs) -> None:
    """`fsbench train-backbone RECIPE`."""
    verb = verbs.add_parser("train-backbone", help="train a backbone with a recipe")
    verb.add_argument(
        "recipe", help="a shipped one (erm ...), all of them, or the path of your own, ./mine.py"
    )
    verb.add_argument("--preset", help="which variant of the recipe (default: its first)")
    verb.add_argument(
        "--dataset", default="glyphs", help="data set whose base classes it learns (default: glyphs)"
    )
    verb.add_argument(
        "--backbone", default="conv4", help="conv4 resnet10 resnet12 resnet18 wrn28-10 (default: conv4)"
    )
    verb.add_argument("--image-size", type=int, metavar="PIXELS", help="default: the data set's, at most 84")
    verb.add_argument(
        "--epochs", type=int, nargs="+", help="in all, or a number for each stage (default: the recipe's)"
    )
    verb.add_argument(
        "--patience", type=int, help="epochs without a better val accuracy that end a stage of s2m2"
    )
    verb.add_argument("--batch-size", type=int, help="default: the recipe's")
    verb.add_argument("--learning-rate", type=float, help="default: the recipe's")
    verb.add_argument("--classifier", choices=("cosine", "linear"), help="default: the recipe's")
    verb.add_argument("--dropout", type=float, help="default: the recipe's, else the backbone's")
    verb.add_argument(
        "--label-noise",
        type=float,
        metavar="SHARE",
        help="train with this share of base labels drawn at random",
    )
    verb.add_argument("--no-augment", action="store_true", help="train on plain images; costs several points")
    verb.add_argument(
        "--precision", default="auto", help="auto, float32, bf16, fp16 (default: auto, by the device)"
    )
    verb.add_argument(
        "--compile", default="auto", choices=("auto", "on", "off"), help="torch.compile (default: auto)"
    )
    verb.add_argument(
        "--micro-batch", type=int, metavar="IMAGES", help="at most so many a forward, to save memory"
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument(
        "--out", type=Path, help="folder of the run, of the runs for all (default: runs/<what is trained>)"
    )
    verb.add_argument("--force", action="store_true", help="train anew, in place of what is there")
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_train_backbone)


def add_extract(verbs: Verbs) -> None:
    """`fsbench extract CHECKPOINT`."""
    verb = verbs.add_parser("extract", help="write the features of a split to a file")
    verb.add_argument("checkpoint", type=Path)
    verb.add_argument("--dataset", help="default: the one it was trained on")
    verb.add_argument("--split", default="novel", choices=("base", "val", "novel"))
    verb.add_argument("--out", type=Path, help="feature file (default: in the cache)")
    verb.add_argument("--force", action="store_true", help="extract again, in place of what is there")
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_extract)


def add_evaluate(verbs: Verbs) -> None:
    """`fsbench evaluate CHECKPOINT | FEATURES`."""
    verb = verbs.add_parser("evaluate", help="few-shot accuracy of a checkpoint or a feature file")
    verb.add_argument("subject", type=Path, nargs="+", metavar="CHECKPOINT|FEATURES")
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
        "--head", nargs="+", default=["nearest-mean", "logistic"], help="see the README for all"
    )
    verb.add_argument("--preprocess", nargs="+", default=[], help="none l2 cl2n (default: each head's own)")
    verb.add_argument(
        "--base", type=Path, metavar="FEATURES", help="base features, for cl2n of a feature file"
    )
    verb.add_argument("--out", type=Path, default=Path("results"), help="results folder (default: results)")
    verb.add_argument(
        "--details", action="store_true", help="write classes, their confusion and the hardest tasks, too"
    )
    verb.add_argument("--force", action="store_true", help="evaluate again what is there already")
    verb.add_argument("--json", action="store_true", help="print the results as JSON and nothing else")
    verb.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw them: a sweep, a cross-domain matrix, a heat map"
    )
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_evaluate)


def add_leaderboard(verbs: Verbs) -> None:
    """`fsbench leaderboard RESULTS`."""
    verb = verbs.add_parser("leaderboard", help="write the tables that follow from a results folder")
    verb.add_argument("results", type=Path, nargs="?", default=Path("results"))
    verb.add_argument("--readme", type=Path, help="also put the tables between its leaderboard markers")
    verb.add_argument(
        "--memory-rows",
        action="store_true",
        help="also show published numbers that were not read at their source",
    )
    verb.add_argument("--check", action="store_true", help="write nothing; fail when a table is stale")
    verb.set_defaults(run=run_leaderboard)


def add_compare(verbs: Verbs) -> None:
    """`fsbench compare RESULT RESULT ...`."""
    verb = verbs.add_parser("compare", help="which results differ, by how much and how surely")
    verb.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT", help="result files, or folders of them"
    )
    verb.add_argument(
        "--against", choices=("all", "first", "best"), default="all", help="which pairs (default: all)"
    )
    verb.add_argument("--json", action="store_true", help="print the comparison as JSON and nothing else")
    verb.set_defaults(run=run_compare)


def add_plot(verbs: Verbs) -> None:
    """`fsbench plot KIND PATH...`."""
    verb = verbs.add_parser("plot", help="figures of results, features and training")
    verb.add_argument(
        "kind", help="ways-shots, recipe-head, cross-domain, task-accuracies, features or training"
    )
    verb.add_argument(
        "path", type=Path, nargs="+", help="result files or folders, feature files, run folders"
    )
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png, .svg or .pdf")
    verb.set_defaults(run=run_plot)


def add_diagnose(verbs: Verbs) -> None:
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
    verb.add_argument("--out", type=Path, default=Path("diagnosis"), help="folder (default: diagnosis)")
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_diagnose)


def add_reproduce(verbs: Verbs) -> None:
    """`fsbench reproduce RESULT`."""
    verb = verbs.add_parser("reproduce", help="run again what a result file says, and compare")
    verb.add_argument("result", type=Path)
    verb.add_argument("--checkpoint", type=Path, help="evaluate this one again instead of training")
    verb.add_argument("--out", type=Path, default=Path("reproduced"), help="default: reproduced")
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_reproduce)


def add_validate(verbs: Verbs) -> None:
    """`fsbench validate RESULTS`."""
    verb = verbs.add_parser("validate", help="check files, digests and tables of a results folder")
    verb.add_argument("results", type=Path, nargs="?", default=Path("results"))
    verb.add_argument("--readme", type=Path, help="also check the tables in it")
    verb.set_defaults(run=run_validate)


def add_quickstart(verbs: Verbs) -> None:
    """`fsbench quickstart`."""
    verb = verbs.add_parser("quickstart", help="train, evaluate and rank on embedded synthetic images")
    verb.add_argument("--out", type=Path, default=Path("quickstart"), help="where all of it goes")
    _add_device(verb)
    _add_cache(verb)
    _add_quiet(verb)
    verb.set_defaults(run=run_quickstart)


def run_data_list(chosen: argparse.Namespace) -> None:
    """Print a table of known and prepared data sets."""
    from fsbench.data.overview import overview

    print(overview(chosen.cache))


def run_data_prepare(chosen: argparse.Namespace) -> None:
    """Prepare one data set and say where its store lies."""
    from fsbench.data.overview import describe
    from fsbench.data.prepare import prepare

    path = prepare(
        chosen.name,
        chosen.path,
        cache=chosen.cache,
        image_size=chosen.image_size,
        download=chosen.download,
        force=chosen.force,
        quiet=chosen.quiet,
    )
    print(describe(path))


def run_data_show(chosen: argparse.Namespace) -> None:
    """Print what a prepared data set holds."""
    from fsbench.data.overview import describe
    from fsbench.data.prepare import find_store

    print(describe(find_store(chosen.name, chosen.cache)))


def run_train_backbone(chosen: argparse.Namespace) -> None:
    """Train and say where the best checkpoint lies."""
    from fsbench.engine import choose
    from fsbench.machine import find_device
    from fsbench.recipe import load_recipe, recipe_names, resolve
    from fsbench.train import train_backbone

    everything = chosen.recipe == "all"
    device = find_device(chosen.device)
    engine = choose(device, chosen.precision, chosen.compile, chosen.micro_batch)
    recipes = []
    for name in recipe_names() if everything else [chosen.recipe]:
        recipe = load_recipe(name, chosen.preset)
        patient = any(stage.patience is not None for stage in recipe.stages)
        recipes.append(
            resolve(
                recipe,
                epochs=chosen.epochs,
                batch_size=chosen.batch_size,
                learning_rate=chosen.learning_rate,
                patience=chosen.patience if patient or not everything else None,
                classifier=chosen.classifier,
                dropout=chosen.dropout,
                augment=not chosen.no_augment,
                label_noise=chosen.label_noise,
            )
        )
    for recipe in recipes:
        out = chosen.out
        if everything and out is not None:
            out = out / f"{recipe.name}-{recipe.preset}"
        run = train_backbone(
            recipe,
            chosen.dataset,
            chosen.backbone,
            image_size=chosen.image_size,
            seed=chosen.seed,
            out=out,
            cache=chosen.cache,
            device=device,
            engine=engine,
            force=chosen.force,
            quiet=chosen.quiet,
        )
        print(run.best)


def run_extract(chosen: argparse.Namespace) -> None:
    """Extract and print where the features lie."""
    from fsbench.checkpoint import load_provenance
    from fsbench.extract import extract
    from fsbench.machine import find_device

    path, _ = extract(
        chosen.checkpoint,
        chosen.dataset or load_provenance(chosen.checkpoint).source,
        chosen.split,
        device=find_device(chosen.device),
        out=chosen.out,
        cache=chosen.cache,
        force=chosen.force,
        quiet=chosen.quiet,
    )
    print(path)


def run_evaluate(chosen: argparse.Namespace) -> None:
    """Evaluate and print a line a result, or all of them as JSON."""
    from fsbench.episodes import TaskSpec
    from fsbench.evaluate import Output, evaluate
    from fsbench.machine import find_device
    from fsbench.results import to_json

    ask = partial(
        evaluate,
        specs=[
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
        datasets=chosen.dataset,
        split=chosen.split,
        heads=chosen.head,
        preprocess=chosen.preprocess,
        task_lists=chosen.tasks,
        base=chosen.base,
        cache=chosen.cache,
        device=find_device(chosen.device),
        output=Output(chosen.out, chosen.force, chosen.details, chosen.quiet),
    )
    found = [result for subject in chosen.subject for result in ask(subject)]
    if chosen.plot:
        from fsbench.plots import of_call, save

        save(of_call(found), chosen.plot)
    if chosen.json:
        print(json.dumps([to_json(result) for result in found]))
        return
    for result in found:
        print(result.line())


def run_leaderboard(chosen: argparse.Namespace) -> None:
    """Write the tables, or say which are stale."""
    from fsbench.leaderboard import stale, update

    if not chosen.check:
        for path in update(chosen.results, chosen.readme, memory_rows=chosen.memory_rows):
            print(path)
        return
    for path in stale(chosen.results, chosen.readme, memory_rows=chosen.memory_rows):
        raise FsbenchError(f"{path} is stale; write it again: fsbench leaderboard {chosen.results}")


def run_compare(chosen: argparse.Namespace) -> None:
    """Compare and print the table, or all of it as JSON."""
    from dataclasses import asdict

    from fsbench.compare import compare, table

    found = compare(chosen.results, chosen.against)
    print(json.dumps(asdict(found)) if chosen.json else table(found))


def run_plot(chosen: argparse.Namespace) -> None:
    """Draw one figure and say where it lies."""
    from fsbench.plots import plot, save

    save(plot(chosen.kind, chosen.path), chosen.out)
    print(chosen.out)


def run_diagnose(chosen: argparse.Namespace) -> None:
    """Write a report and say where it lies."""
    from fsbench.diagnose import diagnose
    from fsbench.machine import find_device

    report = diagnose(
        chosen.checkpoints,
        chosen.out,
        dataset=chosen.dataset,
        only=chosen.only,
        cache=chosen.cache,
        device=find_device(chosen.device),
        quiet=chosen.quiet,
    )
    print(report)


def run_reproduce(chosen: argparse.Namespace) -> None:
    """Run a result again and print how the two compare."""
    from fsbench.machine import find_device
    from fsbench.reproduce import reproduce

    found = reproduce(
        chosen.result,
        checkpoint=chosen.checkpoint,
        out=chosen.out,
        cache=chosen.cache,
        device=find_device(chosen.device),
        quiet=chosen.quiet,
    )
    print(found.line())


def run_validate(chosen: argparse.Namespace) -> None:
    """Print each problem; fail when there is one."""
    from fsbench.validate import problems

    found = list(problems(chosen.results, chosen.readme))
    for line in found:
        print(line)
    if found:
        raise FsbenchError(f"results folder {chosen.results}: {len(found)} problems")
    print(f"{chosen.results}: all right")


def run_quickstart(chosen: argparse.Namespace) -> None:
    """Train, evaluate and rank; print the leaderboard and where it lies."""
    from fsbench.machine import find_device
    from fsbench.quickstart import quickstart

    board = quickstart(chosen.out, device=find_device(chosen.device), cache=chosen.cache, quiet=chosen.quiet)
    print(board.read_text(encoding="utf-8"))
    print(f"The leaderboard lies in {board}")


def _number_or_all(text: str) -> int | None:
    """A number of images, or None for all."""
    return None if text == "all" else int(text)


def _add_cache(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--cache", type=Path, help="folder of stores (default: $FSBENCH_CACHE, else your cache folder)"
    )


def _add_device(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")


def _add_quiet(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--quiet", action="store_true", help="no progress on stderr")
