"""The functions of `import fsbench`: train, evaluate, predict and compare with plain arguments."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from inspect import signature
from itertools import chain, product
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

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
from fsbench.report.compare.pairs import Against
from fsbench.stats.all_pairs import Over
from fsbench.tasks import pinned
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import Overrides, resolve
from fsbench.training.precision import choose_compute
from fsbench.training.recipe import Recipe, load_recipe
from fsbench.training.run import Run, TrainingSpec

__all__ = ["compare", "evaluate", "load_backbone", "load_results", "predict", "to_frame", "train"]

_LAST_COLUMNS = ["n_way", "n_shot", "accuracy_percent", "half_width_percent"]
T = TypeVar("T", bound=str | int | TaskSpec)
StrPath = str | Path


class ComputeOptions(TypedDict, total=False):
    """Options of every computation: cache folder, device, and whether progress is off."""

    cache: StrPath | None
    device: str | None
    quiet: bool


class EvaluateOptions(ComputeOptions, total=False):
    """Further options of `evaluate`: tasks, images of a module, output, cache and device."""

    n_way: int | Sequence[int]
    n_shot: int | Sequence[int]
    n_query: int | None
    n_tasks: int
    seed: int
    images: Array | None
    image_size: int | None
    transform: Callable[[Tensor], Tensor] | None
    base: StrPath | tuple[Array, Array] | None
    name: str | None
    out: StrPath | None


def evaluate(
    subject: StrPath | nn.Module | Array,
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
        subject: Features, (n, d), with `labels`; a torch module from images (b, 3, s, s) to features
            (b, d), with a prepared `dataset` or with `images` and `labels`; or any subject of the command
            `fsbench evaluate`: a checkpoint, a feature file, "timm:resnet50", "./mine.py:network".
        labels: Labels of features or images, integers or names, (n,).
        dataset: Names of prepared data sets, or the name of the data set of features or images.
        split: `base`, `val` or `novel`.
        tasks: Names of pinned task lists, or specifications; they replace `n_way` to `seed`.
        head: Names of few-shot classifiers, or `./mine.py:head`, with their settings if these are not the
            defaults, such as "cosine-sgd:epochs=100".
        preprocess: Names of preprocessing steps. Default: that of each head.
        options: For tasks: `n_way` (default 5), `n_shot` (default 1 and 5), `n_query` per class (default 15;
            None: all other images), `n_tasks` (default 10,000) and `seed` (default 0).

            For modules: `images`, either float (n, 3, s, s), which are not transformed, or uint8
            (n, h, w, 3), to which `transform` is applied, or the transform of the backbones of fsbench for
            `image_size` pixels. A module runs on its device, or as a copy on another `device`. It is not
            changed.

            For all subjects: `base`, features of the base classes for heads that need them, as a file or as
            features and labels; `out`, a results folder to write to, under the run name `name`; `cache`, the
            cache folder; `device`, such as "cuda"; `quiet`, to show no progress.

    Returns:
        One row per result. The columns are those of the leaderboard's CSV file and `task_accuracies_percent`,
        an array (n_tasks,). The last ones are ways, shots, accuracy and its 95 % half width in percent.

    Raises:
        FsbenchError: An argument is unknown or does not fit the others.

    Example:
        >>> import numpy as np, fsbench
        >>> features = np.random.default_rng(0).normal(size=(100, 16))
        >>> frame = fsbench.evaluate(features, np.arange(100) // 20, n_tasks=100, n_shot=1, quiet=True)
        >>> frame[["n_way", "n_shot", "head"]].values.tolist()
        [[5, 1, 'nearest-mean']]
    """
    _check(evaluate, options, EvaluateOptions)
    base, images = options.get("base"), options.get("images")
    heads, datasets = _as_tuple("head", head), _as_tuple("dataset", dataset)
    require_values(head=heads)
    session = _session(options, next((str(tensor.device) for tensor in _tensors(subject)), "auto"))
    run = partial(
        results_of,
        tasks=_tasks(_as_tuple("tasks", tasks)) or _specs(options),
        heads=heads,
        preprocess=_as_tuple("preprocess", preprocess),
        session=session,
        output=Output(_path(options.get("out"))),
    )
    if isinstance(subject, str | Path):
        if labels is not None or images is not None or isinstance(base, tuple):
            raise FsbenchError(f"{subject}: takes images, labels and base from files, but an array is given")
        named = subject_of(str(subject), image_size=options.get("image_size"))
        return to_frame(run(named, images=Images(datasets, split, _path(base))))
    if isinstance(subject, nn.Module):
        module = subject if options.get("device") is None else _on_device(subject, session.device)
        features = _features_of_module(module, labels, datasets, split, options, session)
    else:
        features = [features_of_arrays(subject, labels, datasets, split)]
    if isinstance(base, tuple):
        base_features: Features | None = features_of_arrays(*base, (), "base")
    else:
        base_features = None if base is None else store.read(Path(base))
    name = options.get("name") or (type(subject).__name__ if isinstance(subject, nn.Module) else "features")
    subjects = [Subject(values, Model(run=name), base_features) for values in features]
    return to_frame([result for loaded in subjects for result in run(loaded, images=Images(split=split))])


class TrainOptions(Overrides, ComputeOptions, total=False):
    """Further options of `train`: overrides of the recipe, network, folder and computation."""

    preset: str | None
    image_size: int | None
    per_class: int | None
    seed: int
    out: StrPath | None
    force: bool
    precision: str


def train(
    recipe: StrPath | Recipe,
    dataset: str,
    backbone: str = "conv4",
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a backbone on the base classes of a data set.

    A finished run is left unchanged, and an interrupted one is continued.

    Args:
        recipe: Name of a recipe, a file such as `./mine.py`, or a `Recipe`.
        dataset: Name of a prepared data set.
        backbone: Architecture, a key of `fsbench.models.BACKBONES`.
        options: For the recipe: `preset` (default: the first one), and to replace its settings `epochs` (in
            total, or one number per stage), `batch_size`, `learning_rate`, `patience`, `classifier`,
            `dropout`, `augment` and `label_noise`.

            For the network and its images: `image_size` in pixels, `per_class` images of each base class
            (default: all), and `seed` (default 0).

            For the run: `out`, its folder (default: below `runs/`); `force`, to start from the beginning;
            `precision`, such as "bf16"; `cache`, the cache folder; `device`, such as "cuda"; `quiet`, to show
            no progress.

    Returns:
        The run; `run.best` is the path of its best checkpoint, `run.folder` contains its log.

    Raises:
        FsbenchError: The arguments do not fit together, the folder holds another run, or the training failed.

    Example:
        >>> run = fsbench.train("manifold-mixup", "cifar-fs", epochs=[40], seed=1)
        >>> frame = fsbench.evaluate(run.best)
    """
    _check(train, options, TrainOptions)
    session = _session(options)
    numbers: Overrides = {key: options[key] for key in Overrides.__annotations__ if key in options}  # type: ignore[literal-required, assignment]
    preset = options.get("preset")
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe), preset, dataset)
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
    backbone: StrPath | FeatureExtractor,
    support: StrPath,
    query: StrPath,
    *,
    head: str = "nearest-mean",
    preprocess: str | None = None,
    n_shot: int | None = None,
    reject: bool = False,
    seed: int = 0,
    **options: Unpack[ComputeOptions],
) -> Prediction:
    """Classify unlabelled images from a few labelled ones.

    Args:
        backbone: A checkpoint, "timm:NAME", "torchvision:NAME" or "./mine.py:function"; or the return value
            of `load_backbone`.
        support: Folder with one folder of labelled images per class.
        query: Folder of images to classify.
        head: Name of a few-shot classifier, or `./mine.py:head`, with its settings if these are not the
            defaults, such as "cosine-sgd:epochs=100".
        preprocess: Name of a preprocessing step. Default: that of the head.
        n_shot: Support images per class. Default: all.
        reject: Answer "none of these" for images that resemble no class.
        seed: Seed of the random numbers that some heads draw.
        options: `cache`, the cache folder; `device`, such as "cuda"; `quiet`, to show no progress.

    Returns:
        The prediction; `prediction.table()` is a data frame with one row per image, and `prediction.expected`
        is the accuracy to expect.

    Raises:
        FsbenchError: A folder has the wrong content, or the backbone or head cannot be used.

    Example:
        >>> prediction = fsbench.predict("timm:resnet50.a1_in1k", "labelled", "unlabelled")
        >>> prediction.table().to_csv("prediction.csv")
    """
    _check(predict, options, ComputeOptions)
    network = backbone if isinstance(backbone, FeatureExtractor) else find(backbone)
    return classify(
        network,
        Path(support),
        Path(query),
        head=head,
        preprocess=preprocess,
        n_shot=n_shot,
        reject=reject,
        seed=seed,
        session=_session(options),
    )


def load_results(folder: StrPath) -> list[Result]:
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

    Data set, run and head are the first columns, ways, shots, accuracy and half width the last ones, because
    pandas shows the first and the last columns of a wide frame.

    Args:
        results: Results, as from `load_results`.

    Returns:
        One row per result; the additional column `task_accuracies_percent` holds arrays (n_tasks,).
    """
    frame = pd.DataFrame(
        {**as_row(result), "task_accuracies_percent": 100 * result.accuracies} for result in results
    )
    return frame[[*(name for name in frame if name not in _LAST_COLUMNS), *_LAST_COLUMNS]]


def compare(
    paths: StrPath | Sequence[StrPath],
    against: Against = "all",
    over: Over = "classes",
    *,
    each_seed: bool = False,
) -> Comparison:
    """Compare result files, or all results below folders, in pairs.

    If two or more recipes have three or more training seeds, means over seeds are compared.

    Args:
        paths: Result files and results folders, or one folder.
        against: Which pairs are shown: "all", or those of the "first" or the "best" result.
        over: Adjust the p-values for new "classes", or for other "tasks" from the same images.
        each_seed: Compare single checkpoints in any case.

    Returns:
        The compared results and their pairs.

    Raises:
        FsbenchError: A file is not a result, or it cannot be compared with any other.
    """
    several = [paths] if isinstance(paths, str | Path) else paths
    return compare_files([Path(path) for path in several], against, over, each_seed=each_seed)


def load_backbone(
    name: StrPath, architecture: str | None = None, image_size: int | None = None
) -> FeatureExtractor:
    """Load a backbone to extract features.

    Args:
        name: A checkpoint of fsbench, "timm:NAME", "torchvision:NAME", "./mine.py:function", or a file of
            weights.
        architecture: Architecture of a weights file.
        image_size: Side of its images in pixels, if the architecture accepts images of any size.

    Returns:
        The network without a classifier, its transform and its identity.

    Raises:
        FsbenchError: The backbone cannot be loaded.
    """
    return find(name, architecture, image_size)


def _check(function: Callable[..., Any], options: Mapping[str, Any], kind: type) -> None:
    """Refuse options that a function does not have."""
    parameters = signature(function).parameters.values()
    names = [part.name for part in parameters if part.kind is not part.VAR_KEYWORD]
    for name in options.keys() - kind.__annotations__.keys():
        raise unknown("option", name, [*names, *kind.__annotations__], f"{function.__name__}()")


def _session(options: ComputeOptions, default: str = "auto") -> Session:
    """Combine cache, device and progress; `default` is the device if the options contain none."""
    device = find_device(options.get("device") or default)
    return Session(_path(options.get("cache")), device, options.get("quiet", False))


def _tasks(tasks: Sequence[str | TaskSpec]) -> list[TaskSpec | pinned.TaskList]:
    """Read pinned lists by name; specifications are kept."""
    if len({isinstance(task, TaskSpec) for task in tasks}) > 1:
        raise FsbenchError("tasks must be all names of pinned lists or all TaskSpecs, but are both")
    return [task if isinstance(task, TaskSpec) else pinned.read_task_list(task) for task in tasks]


def _specs(options: EvaluateOptions) -> list[TaskSpec]:
    """Return the specifications of all combinations of ways and shots."""
    default = TaskSpec()
    ways = _as_tuple("n_way", options.get("n_way", 5))
    shots = _as_tuple("n_shot", options.get("n_shot", (1, 5)))
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


def _features_of_module(
    module: nn.Module,
    labels: Array | None,
    datasets: Sequence[str],
    split: str,
    options: EvaluateOptions,
    session: Session,
) -> list[Features]:
    """Compute features of images in memory, or of prepared data sets."""
    images, image_size = options.get("images"), options.get("image_size")
    network = partial(embed_images, module, image_size, options.get("transform"), session)
    if images is not None:
        return [features_of_arrays(network(images), labels, datasets, split)]
    if not datasets:
        raise FsbenchError("images are missing: a module needs them and labels, or the name of a dataset")
    fits = type(module).__name__, image_size, resized(image_size or 0), session.cache
    return [features_of_split(load_for(dataset, split, *fits), network) for dataset in datasets]


def _on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module if it is on the device, otherwise a copy on that device."""
    if all(tensor.device == device for tensor in _tensors(module)):
        return module
    try:
        return deepcopy(module).to(device)
    except RuntimeError as error:
        raise FsbenchError(
            f"device must be that of the module, which cannot be copied to {str(device)!r} ({reason(error)})"
        ) from error


def _tensors(subject: object) -> Iterator[Tensor]:
    """Yield parameters and buffers of a module; nothing for other subjects."""
    return chain(subject.parameters(), subject.buffers()) if isinstance(subject, nn.Module) else iter(())


def _as_tuple(name: str, values: T | Sequence[T]) -> tuple[T, ...]:
    """Return one or several values as a tuple without repetitions."""
    if isinstance(values, str | int | TaskSpec):
        return (values,)
    if not isinstance(values, Iterable):
        raise FsbenchError(f"{name} must be one value or a list of values, but is {values!r}")
    return tuple(dict.fromkeys(values))


def _path(path: Any) -> Path | None:
    """Return a path of an option."""
    if not (path is None or isinstance(path, str | Path)):
        raise FsbenchError(f"a path must be text or a Path, but is {path!r} of type {type(path).__name__}")
    return None if path is None else Path(path)
