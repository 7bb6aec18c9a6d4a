"""`fsbench train-backbone`: train a backbone with a recipe."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from fsbench.cli import _names
from fsbench.cli._options import DATA, DATA_SET, MODEL, OUTPUT, TRAINING, Computing, Force
from fsbench.cli._output import print_json

if TYPE_CHECKING:
    from fsbench.training.recipe import Recipe

app = App(
    name="train-backbone",
    help_epilogue="Examples: fsbench train-backbone s2m2-r --dataset cifar-fs --out runs/s2m2-r\n"
    "          fsbench train-backbone erm --dataset glyphs --per-class 50 --epochs 20",
    usage="Usage: fsbench train-backbone [OPTIONS] --dataset NAME RECIPE",
)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class DataFlags:
    """What is learnt, and from which images.

    Attributes:
        dataset: Data set whose base classes are learnt. glyphs needs no download, but is synthetic.
        per_class: Number of images of each base class. Default: all.
        label_noise: Fraction of base labels that are replaced by random ones. Default: the recipe's.
        augment: Augment images. Without augmentation, accuracy is several points lower.
    """

    dataset: Annotated[_names.DataSet, DATA_SET]
    per_class: Annotated[int | None, Parameter(metavar="IMAGES")] = None
    label_noise: Annotated[float | None, Parameter(metavar="FRACTION")] = None
    augment: bool = True


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True)
class ModelFlags:
    """The network.

    Attributes:
        backbone: Architecture.
        image_size: Input size in pixels. Default: that of the data set, at most 84.
        classifier: Classifier on top of the backbone. Default: the recipe's.
        dropout: Dropout of the backbone. Default: the recipe's, else the backbone's.
    """

    backbone: Annotated[_names.Backbone, Parameter(metavar="NAME")] = "conv4"
    image_size: Annotated[int | None, Parameter(metavar="PIXELS")] = None
    classifier: Literal["cosine", "linear"] | None = None
    dropout: float | None = None


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class TrainingFlags:
    """Settings of the training; those of the recipe apply where none is given.

    Attributes:
        preset: Variant of the recipe. Default: its first, which is fast for shipped recipes. The settings of
            official-code depend on the data set.
        epochs: Epochs in total, or one number per stage. Default: the recipe's.
        patience: End a stage after this many epochs without a higher val accuracy: that of nearest-mean on
            1,000 5-way 1-shot tasks from 100 images per val class. Only for stages with early stopping
            (s2m2-r and s2m2-e, presets paper and unit-length). Default: the recipe's.
        batch_size: Images per step. Default: the recipe's.
        learning_rate: Highest learning rate of a stage. Default: the recipe's.
        seed: Random seed.
        precision: Number format of the computation; auto: chosen by the device.
        compile: Use torch.compile; auto: chosen by the device.
        micro_batch: Largest number of images per forward pass; a smaller number saves memory. Default: the
            batch size.
    """

    preset: Annotated[str | None, Parameter(metavar="NAME")] = None
    epochs: tuple[int, ...] | None = None
    patience: Annotated[int | None, Parameter(metavar="EPOCHS")] = None
    batch_size: Annotated[int | None, Parameter(metavar="IMAGES")] = None
    learning_rate: float | None = None
    seed: int = 0
    precision: Annotated[_names.Precision, Parameter(metavar="NAME")] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    micro_batch: Annotated[int | None, Parameter(metavar="IMAGES")] = None


@app.default
def train_backbone(
    recipe: _names.Recipe,
    /,
    *,
    images: DataFlags,
    model: ModelFlags = ModelFlags(),
    training: TrainingFlags = TrainingFlags(),
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    tensorboard: Annotated[bool, Parameter(group=OUTPUT)] = False,
    force: Force = False,
    common: Computing = Computing(),
) -> None:
    """Train a backbone with a recipe and print the path of its best checkpoint.

    A run that was stopped continues when the same command is called again. A finished run is left unchanged.

    Args:
        recipe: Shipped recipe, or the path of your own, ./mine.py; all: one run per shipped recipe.
        out: Folder of the run; with recipe all, the folder of all runs. Default: runs/ and a name made
            of the settings.
        tensorboard: Also write the log as TensorBoard events.
    """
    from fsbench.models.checkpoint import load_provenance
    from fsbench.training.loop import train_backbone
    from fsbench.training.precision import choose_compute
    from fsbench.training.recipe import recipe_names
    from fsbench.training.run import TrainingSpec

    session = common.session
    compute = choose_compute(session.device, training.precision, training.compile, training.micro_batch)
    all_recipes = recipe == "all"
    recipes = [
        resolved(name, images, model, training, lenient=all_recipes)
        for name in (recipe_names() if all_recipes else [recipe])
    ]
    spec = TrainingSpec(
        images.dataset,
        model.backbone,
        image_size=model.image_size,
        per_class=images.per_class,
        seed=training.seed,
    )
    checkpoints: list[Path] = []
    for loaded in recipes:
        run = train_backbone(
            loaded,
            spec,
            out=out / f"{loaded.name}-{loaded.preset}" if all_recipes and out else out,
            session=session,
            compute=compute,
            tensorboard=tensorboard,
            force=force,
        )
        checkpoints.append(run.best)
        if not common.json:
            print(run.best, flush=True)  # at once, since the next training may take hours
    if common.json:
        print_json([{"checkpoint": path, **asdict(load_provenance(path))} for path in checkpoints])


def resolved(
    name: str, images: DataFlags, model: ModelFlags, training: TrainingFlags, *, lenient: bool = False
) -> "Recipe":
    """Load a recipe with the settings of the command line; `lenient` drops a patience without effect."""
    from fsbench.training.overrides import resolve
    from fsbench.training.recipe import load_recipe

    recipe = load_recipe(name, training.preset, images.dataset)
    stops_early = any(stage.patience is not None for stage in recipe.stages)
    return resolve(
        recipe,
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        patience=training.patience if stops_early or not lenient else None,
        classifier=model.classifier,
        dropout=model.dropout,
        augment=images.augment,
        label_noise=images.label_noise,
    )
