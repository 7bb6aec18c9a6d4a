"""`fsbench train-backbone`: a recipe and a data set to a checkpoint."""

import argparse
from dataclasses import asdict
from pathlib import Path

from fsbench.cli.options import Verbs, add_computing, device_of, print_json


def add(verbs: Verbs) -> None:
    """`fsbench train-backbone RECIPE`."""
    verb = verbs.add_parser("train-backbone", help="train a backbone with a recipe")
    verb.add_argument(
        "recipe", help="a shipped one (erm ...), all of them, or the path of your own, ./mine.py"
    )
    verb.add_argument("--preset", help="which variant of the recipe: fast, paper, ... (default: its first)")
    verb.add_argument(
        "--dataset", default="glyphs", help="data set whose base classes it learns (default: glyphs)"
    )
    verb.add_argument(
        "--backbone", default="conv4", help="conv4 resnet10 resnet12 resnet18 wrn28-10 (default: conv4)"
    )
    verb.add_argument(
        "--per-class", type=int, metavar="N", help="train on N images of each base class (default: all)"
    )
    verb.add_argument("--image-size", type=int, metavar="PIXELS", help="default: the data set's, at most 84")
    verb.add_argument(
        "--epochs", type=int, nargs="+", help="in all, or a number for each stage (default: the recipe's)"
    )
    verb.add_argument(
        "--patience",
        type=int,
        help="epochs without a better val accuracy that end a stage which stops early (s2m2, preset paper)",
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
    verb.add_argument(
        "--tensorboard", action="store_true", help="write the log as TensorBoard events, too, beside log.csv"
    )
    verb.add_argument("--force", action="store_true", help="train anew, in place of what is there")
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Train and say where the best checkpoint lies."""
    from fsbench._util.session import Session
    from fsbench.models.checkpoint import load_provenance
    from fsbench.training.loop import train_backbone
    from fsbench.training.overrides import resolve
    from fsbench.training.precision import choose_compute
    from fsbench.training.recipe import load_recipe, recipe_names
    from fsbench.training.run import TrainingSpec

    everything = chosen.recipe == "all"
    device = device_of(chosen)
    compute = choose_compute(device, chosen.precision, chosen.compile, chosen.micro_batch)
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
    made: list[Path] = []
    for recipe in recipes:
        out = chosen.out
        if everything and out is not None:
            out = out / f"{recipe.name}-{recipe.preset}"
        run = train_backbone(
            recipe,
            TrainingSpec(
                chosen.dataset,
                chosen.backbone,
                image_size=chosen.image_size,
                per_class=chosen.per_class,
                seed=chosen.seed,
            ),
            out=out,
            tensorboard=chosen.tensorboard,
            force=chosen.force,
            compute=compute,
            session=Session(chosen.cache, device, quiet=chosen.quiet),
        )
        made.append(run.best)
        if not chosen.json:
            print(run.best)  # at once, since the next one may take hours
    if chosen.json:
        print_json([{"checkpoint": path, **asdict(load_provenance(path))} for path in made])
