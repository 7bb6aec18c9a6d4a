"""What `import fsbench` offers beside its rooms: train, evaluate, predict and compare as plain calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import pandas as pd
import torch
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench._util.machine import find_device
from fsbench._util.session import Session
from fsbench.data.augment import resized
from fsbench.data.loading import load_for
from fsbench.evaluation.arrays import Array, embed_images, features_of_arrays, features_of_split
from fsbench.evaluation.flat import as_row
from fsbench.evaluation.result import Result
from fsbench.evaluation.result_files import read_all
from fsbench.evaluation.run import Output, require_values
from fsbench.evaluation.run import evaluate as results_of
from fsbench.evaluation.subjects import Images, Subject, subject_of
from fsbench.features import store
from fsbench.features.store import Features
from fsbench.models.identity import Model
from fsbench.models.pretrained import find
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.prediction.classify import predict as classify
from fsbench.prediction.outcome import Prediction
from fsbench.report.compare import Comparison
from fsbench.report.compare import compare as compare_files
from fsbench.tasks import pinned
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import Overrides, resolve
from fsbench.training.precision import choose_compute
from fsbench.training.recipe import Recipe, load_recipe
from fsbench.training.run import Run, TrainingSpec

__all__ = ["compare", "evaluate", "load_backbone", "load_results", "predict", "to_frame", "train"]

T = TypeVar("T", bound=str | int | TaskSpec)
Where = str | Path


class ComputeOptions(TypedDict, total=False):
    """Where to compute: cache folder, device, and whether progress is off."""

    cache: Where | None
    device: str | None
    quiet: bool


class EvaluateOptions(ComputeOptions, total=False):
    """Further options of `evaluate`: tasks, images of a module, output, and where to compute."""

    n_way: int | Sequence[int]
    n_shot: int | Sequence[int]
    n_query: int | None
    n_tasks: int
    seed: int
    images: Array | None
    image_size: int | None
    transform: Callable[[Tensor], Tensor] | None
    base: Where | tuple[Array, Array] | None
    name: str | None
    out: Where | None


def evaluate(
    subject: Where | nn.Module | Array,
    labels: Array | None = None,
    *,
    dataset: str | Sequence[str] = (),
    split: str = "novel",
    tasks: str | TaskSpec | Sequence[str | TaskSpec] = (),
    head: str | Sequence[str] = "nearest-mean",
    preprocess: str | Sequence[str] = (),
    **options: Unpack[EvaluateOptions],
) -> pd.DataFrame:
    """Evaluate on few-shot tasks.

    Several data sets, ways, shots, heads and preprocessing steps are combined; repeated values count once.

    Args:
        subject: What is evaluated: features, shape (n, d), with `labels`; a torch module from images
            (b, 3, s, s) to features (b, d), with a prepared `dataset` or with `images` and `labels`; or
            anything that the command evaluates: a checkpoint, a feature file, "timm:resnet50",
            "./mine.py:network".
        labels: Labels of features or images, integers or names, shape (n,).
        dataset: Names of prepared data sets, or the name of the data set of features or images.
        split: `base`, `val` or `novel`.
        tasks: Names of pinned task lists, or specifications; they replace `n_way` to `seed`.
        head: Names of few-shot classifiers, or `./mine.py:head`.
        preprocess: Names of preprocessing steps. Default: each head's own.
        options: Of the tasks: `n_way` (default 5), `n_shot` (default 1 and 5), `n_query` per class (default
            15; None: all other images), `n_tasks` (default 10,000) and `seed` (default 0).

            Of a module: `images`, either float (n, 3, s, s), passed as they are, or uint8 (n, h, w, 3),
            passed through `transform` or through the transform of fsbench's backbones for `image_size`
            pixels. A module runs on its device, or as a copy on another `device`; it is left unchanged.

            Of all: `base`, features of the base classes for heads that need them: a file, or features and
            labels; `out`, a results folder to write to, under the run name `name`; `cache`, the cache
            folder; `device`, such as "cuda"; `quiet`, to show no progress.

    Returns:
        One row per result. Columns are those of the leaderboard's CSV file, accuracy and 95 % half widths in
        percent among them, and last `task_accuracies_percent`, an array (n_tasks,).

    Raises:
        FsbenchError: An argument for which no result can be made.

    Example:
        >>> import numpy as np, fsbench
        >>> features = np.random.default_rng(0).normal(size=(100, 16))
        >>> frame = fsbench.evaluate(features, np.arange(100) // 20, n_tasks=100, n_shot=1, quiet=True)
        >>> frame[["n_way", "n_shot", "head"]].values.tolist()
        [[5, 1, 'nearest-mean']]
    """
    _check("evaluate", options, EvaluateOptions)
    base, images = options.get("base"), options.get("images")
    require_values(head=_several(head))
    session = _session(options, next((str(tensor.device) for tensor in _tensors(subject)), "auto"))
    datasets = _several(dataset)
    run = partial(
        results_of,
        tasks=_tasks(_several(tasks)) or _specs(options),
        heads=_several(head),
        preprocess=_several(preprocess),
        session=session,
        output=Output(_path(options.get("out"))),
    )
    if isinstance(subject, str | Path):
        if labels is not None or images is not None or isinstance(base, tuple):
            raise FsbenchError(f"{subject}: takes images, labels and base from files, but an array is given")
        named = subject_of(str(subject), image_size=options.get("image_size"))
        return to_frame(run(named, images=Images(datasets, split, _path(base))))
    if isinstance(subject, nn.Module):
        module = subject if options.get("device") is None else _on(subject, session.device)
        features = _of_module(module, labels, datasets, split, options, session)
    else:
        features = [features_of_arrays(subject, labels, datasets, split)]
    if isinstance(base, tuple):
        base_features: Features | None = features_of_arrays(*base, (), "base")
    else:
        base_features = None if base is None else store.read(Path(base))
    name = options.get("name") or (type(subject).__name__ if isinstance(subject, nn.Module) else "features")
    subjects = (Subject(one, Model(run=name), base_features) for one in features)
    return to_frame([result for one in subjects for result in run(one, images=Images(split=split))])


class TrainOptions(Overrides, ComputeOptions, total=False):
    """Further options of `train`: overrides of the recipe, the network, the folder, and how to compute."""

    preset: str | None
    image_size: int | None
    per_class: int | None
    seed: int
    out: Where | None
    force: bool
    precision: str


def train(
    recipe: Where | Recipe = "erm",
    dataset: str = "glyphs",
    backbone: str = "conv4",
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a backbone on the base classes of a data set.

    A finished run is left unchanged, and an interrupted one is continued.

    Args:
        recipe: Name of a recipe, the file of one, `./mine.py`, or a `Recipe`.
        dataset: Name of a prepared data set.
        backbone: Architecture, a key of `fsbench.models.BACKBONES`.
        options: Of the recipe: `preset` (default: its first), and in place of its own numbers `epochs` (in
            total, or one number per stage), `batch_size`, `learning_rate`, `patience`, `classifier`,
            `dropout`, `augment` and `label_noise`.

            Of the network and its images: `image_size` in pixels, `per_class` images of each base class
            (default: all), and `seed` (default 0).

            Of the run: `out`, its folder (default: below `runs/`); `force`, to start from the beginning;
            `precision`, such as "bf16"; `cache`, the cache folder; `device`, such as "cuda"; `quiet`, to show
            no progress.

    Returns:
        The run; `run.best` is the path of its best checkpoint, `run.folder` that of its log.

    Raises:
        FsbenchError: The arguments do not fit together, the folder holds another run, or the training failed.

    Example:
        >>> run = fsbench.train("manifold-mixup", "cifar-fs", epochs=[40], seed=1)
        >>> frame = fsbench.evaluate(run.best)
    """
    _check("train", options, TrainOptions)
    session = _session(options)
    numbers: Overrides = {key: options[key] for key in Overrides.__annotations__ if key in options}  # type: ignore[literal-required, assignment]
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe), options.get("preset"))
    spec = TrainingSpec(
        dataset,
        backbone,
        image_size=options.get("image_size"),
        per_class=options.get("per_class"),
        seed=options.get("seed", 0),
    )
    return train_backbone(
        resolve(loaded, **numbers),
        spec,
        session=session,
        compute=choose_compute(session.device, options.get("precision", "auto")),
        out=_path(options.get("out")),
        force=options.get("force", False),
    )


def predict(
    backbone: Where | FeatureExtractor,
    support: Where,
    query: Where,
    *,
    head: str = "nearest-mean",
    preprocess: str | None = None,
    n_shot: int | None = None,
    seed: int = 0,
    **options: Unpack[ComputeOptions],
) -> Prediction:
    """Classify unlabelled images from a few labelled ones.

    Args:
        backbone: A checkpoint, "timm:NAME", "torchvision:NAME" or "./mine.py:function"; or what
            `load_backbone` returns.
        support: Folder with one folder of labelled images per class.
        query: Folder of images to classify.
        head: Name of a few-shot classifier, or `./mine.py:head`.
        preprocess: Name of a preprocessing step. Default: the head's own.
        n_shot: Support images per class. Default: all.
        seed: Seed of the random numbers that some heads draw.
        options: `cache`, the cache folder; `device`, such as "cuda"; `quiet`, to show no progress.

    Returns:
        The prediction; `prediction.table()` is a data frame with one row per image.

    Raises:
        FsbenchError: A folder has the wrong content, or the backbone or head cannot be used.

    Example:
        >>> prediction = fsbench.predict("timm:resnet50.a1_in1k", "labelled", "unlabelled")
        >>> prediction.table().to_csv("prediction.csv")
    """
    _check("predict", options, ComputeOptions)
    network = backbone if isinstance(backbone, FeatureExtractor) else find(backbone)
    return classify(
        network,
        Path(support),
        Path(query),
        head=head,
        preprocess=preprocess,
        n_shot=n_shot,
        seed=seed,
        session=_session(options),
    )


def load_results(folder: Where) -> list[Result]:
    """Read every result file below a results folder.

    Args:
        folder: The results folder.

    Returns:
        The results, in the order of their paths.

    Raises:
        FsbenchError: The folder does not exist, or a `.json` file in it is not a result.
    """
    return list(read_all(Path(folder)))


def to_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Arrange results as a data frame with the columns of the leaderboard's CSV file.

    Args:
        results: Results, as from `load_results`.

    Returns:
        One row per result; the last column, `task_accuracies_percent`, holds arrays (n_tasks,).
    """
    return pd.DataFrame(
        {**as_row(result), "task_accuracies_percent": 100 * result.accuracies} for result in results
    )


def compare(
    paths: Where | Sequence[Where],
    against: Literal["all", "first", "best"] = "all",
    over: Literal["classes", "tasks"] = "classes",
) -> Comparison:
    """Compare result files, or all results below folders, in pairs.

    Args:
        paths: Result files and results folders, or one folder.
        against: Which pairs are shown: all, or those of the first or the best result.
        over: What the adjusted p-values are about: new classes, or other tasks from the same images.

    Returns:
        The compared results and their pairs.

    Raises:
        FsbenchError: A file that is not a result, or one that may not be compared with any other.
    """
    places = [paths] if isinstance(paths, str | Path) else paths
    return compare_files([Path(path) for path in places], against, over)


def load_backbone(
    name: Where, architecture: str | None = None, image_size: int | None = None
) -> FeatureExtractor:
    """Load a backbone to extract features with.

    Args:
        name: A checkpoint of fsbench, "timm:NAME", "torchvision:NAME", "./mine.py:function", or a file of
            weights.
        architecture: Architecture of a file of weights.
        image_size: Side of its images in pixels, where the architecture takes images of any size.

    Returns:
        The network without a classifier, its transform, and what is known of its training.

    Raises:
        FsbenchError: The backbone cannot be loaded.
    """
    return find(name, architecture, image_size)


def _check(function: str, options: Mapping[str, Any], kind: type) -> None:
    """Refuse options that a function does not have."""
    for name in options.keys() - kind.__annotations__.keys():
        raise unknown("option", name, kind.__annotations__, f"{function}()")


def _session(options: ComputeOptions, default: str = "auto") -> Session:
    """Cache, device and progress as one value; `default` is the device where none is named."""
    device = find_device(options.get("device") or default)
    return Session(_path(options.get("cache")), device, options.get("quiet", False))


def _tasks(tasks: Sequence[str | TaskSpec]) -> list[TaskSpec | pinned.TaskList]:
    """Specifications and pinned lists."""
    if len({isinstance(task, TaskSpec) for task in tasks}) > 1:
        raise FsbenchError("tasks must be all names of pinned lists or all TaskSpecs, but are both")
    return [task if isinstance(task, TaskSpec) else pinned.read_task_list(task) for task in tasks]


def _specs(options: EvaluateOptions) -> list[TaskSpec]:
    """The specifications of all combinations of ways and shots."""
    default = TaskSpec()
    ways, shots = _several(options.get("n_way", 5)), _several(options.get("n_shot", (1, 5)))
    require_values(n_way=ways, n_shot=shots)
    return [
        TaskSpec(
            n_way=n_way,
            n_shot=n_shot,
            n_query=options.get("n_query", default.n_query),
            n_tasks=options.get("n_tasks", default.n_tasks),
            seed=options.get("seed", default.seed),
        )
        for n_way, n_shot in product(ways, shots)
    ]


def _of_module(
    module: nn.Module,
    labels: Array | None,
    datasets: Sequence[str],
    split: str,
    options: EvaluateOptions,
    session: Session,
) -> list[Features]:
    """Features of images in memory, or of prepared data sets."""
    images, image_size = options.get("images"), options.get("image_size")
    network = partial(embed_images, module, image_size, options.get("transform"), session)
    if images is not None:
        return [features_of_arrays(network(images), labels, datasets, split)]
    if not datasets:
        raise FsbenchError("images are missing: a module needs them and labels, or the name of a dataset")
    fits = type(module).__name__, image_size, resized(image_size or 0), session.cache
    return [features_of_split(load_for(dataset, split, *fits), network) for dataset in datasets]


def _on(module: nn.Module, device: torch.device) -> nn.Module:
    """The module itself where it is on the device, else a copy of it there."""
    if all(tensor.device == device for tensor in _tensors(module)):
        return module
    try:
        return deepcopy(module).to(device)
    except RuntimeError as error:
        raise FsbenchError(
            f"device must be that of the module, which cannot be copied to {str(device)!r} ({reason(error)})"
        ) from error


def _tensors(subject: object) -> Iterator[Tensor]:
    """Parameters and buffers of a module; nothing of other subjects."""
    return chain(subject.parameters(), subject.buffers()) if isinstance(subject, nn.Module) else iter(())


def _several(values: T | Sequence[T]) -> tuple[T, ...]:
    """One or several values as a tuple without repetitions."""
    return (values,) if isinstance(values, str | int | TaskSpec) else tuple(dict.fromkeys(values))


def _path(path: Any) -> Path | None:
    return None if path is None else Path(path)
