"""Novel features in two dimensions."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream
from fsbench.features.store import Features
from fsbench.report.plots.labels import data_set
from fsbench.report.plots.page import (
    MARKERS,
    Section,
    at_most,
    grid,
    legend_below,
    legend_height,
    n_rows,
    page,
)

N_CLASSES, N_ITEMS = 10, 100
MOST = 6  # panels
SIDE = 6.5  # inches: height of a panel that stands alone
# Petroff 2021, arXiv:2107.02270, made for scatter plots; pink and black instead of a second blue and grey.
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#f2a5c6",
    "#717581", "#e76300", "#a96b59", "#b9ac70", "#000000",
)  # fmt: skip
Method = Literal["tsne", "umap"]
NEEDS = {"tsne": ("t-SNE", "scikit-learn"), "umap": ("UMAP", "umap-learn")}


def novel_features(files: Sequence[Features], *, seed: int = 0, method: Method = "tsne") -> Figure:
    """Plot 10 classes of at most 100 images of each feature file by t-SNE or UMAP, one panel per file.

    Features (n, d) are scaled to unit length first, since heads compare directions. `seed` determines the
    embedding and the drawn classes and images, which are the same for files of one split.

    Raises:
        FsbenchError: scikit-learn or umap-learn is not installed, there are too few images, or there are no
            files or more than 6.
    """
    if not files:
        raise FsbenchError("features: there are no feature files")
    at_most("features", "files", len(files), MOST, "fewer paths")
    samples = [_sample(file, seed) for file in files]
    class_names = list(dict.fromkeys(name for _, names in samples for name in names))
    images = [_images(file, names) for file, (_, names) in zip(files, samples, strict=True)]
    synthetic = ", synthetic images" if any(file.origin.synthetic for file in files) else ""
    name = NEEDS[method][0]
    caption = (
        f"{name} of unit-length features. Classes were drawn at random with seed {seed}, and at most "
        f"{N_ITEMS} images of each. Images that are close here have similar features. The axes, the "
        "distances between groups and the sizes of groups have no meaning."
    )
    n_columns = min(len(files), 2)
    same = len(set(images)) == 1
    title = f"{name} of features{f', {images[0]}' if same else ''}{synthetic}"
    height = SIDE / n_columns * n_rows(len(files), n_columns) + 0.3 + legend_height(class_names)
    figure, (part,) = page([Section(title, caption, height)])
    panels = zip(grid(part, len(files), n_columns), files, samples, images, strict=True)
    for axes, file, (values, names), text in panels:
        _scatter(axes, _embed(values, seed, method), names, class_names)
        axes.set_title("\n".join(filter(None, [file.origin.run, "" if same else text])), fontsize="small")
    handles = [Line2D([], [], linestyle="", **_style(number)) for number in range(len(class_names))]
    legend_below(part, class_names, handles)
    return figure


def _images(features: Features, drawn: Sequence[str]) -> str:
    """Name the data set and how many of its classes are drawn; `drawn` has the class of each image."""
    origin, n_classes = features.origin, len(np.unique(features.labels))
    name = f"{data_set(origin.dataset or 'unknown')} ({origin.split})"
    return f"{name}, {len(set(drawn))} of {n_classes} classes"


def _style(number: int) -> dict[str, Any]:
    """Return colour and marker of a class; the first 40 differ."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def _sample(features: Features, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Draw images and return their unit-length features and the names of their classes."""
    rng = stream(seed, "plot", str(features.origin.dataset), str(features.origin.split))
    classes = np.unique(features.labels)
    drawn = rng.choice(classes, min(N_CLASSES, len(classes)), replace=False)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(features.labels == label))[:N_ITEMS] for label in sorted(drawn)]
    )
    values = features.values[rows]
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    class_names = [features.class_names[label] for label in features.labels[rows]]
    return values / np.where(norms > 0, norms, 1), class_names


def _embed(values: NDArray[np.float32], seed: int, method: Method) -> NDArray[np.float32]:
    """Embed values (n, d) in two dimensions, (n, 2)."""
    # 30 is the perplexity of van der Maaten and Hinton's examples; it must be below n / 3.
    perplexity = min(30, (len(values) - 1) // 3)
    if perplexity < 2:
        raise FsbenchError(f"features: needs at least 7 images, but the file has {len(values)}")
    name, package = NEEDS[method]
    try:
        if method == "umap":
            from umap import UMAP

            embedding = UMAP(n_neighbors=min(15, perplexity), random_state=seed, n_jobs=1).fit_transform(
                values
            )
        else:
            from sklearn.manifold import TSNE

            embedding = TSNE(perplexity=perplexity, random_state=seed, n_jobs=1).fit_transform(values)
    except ModuleNotFoundError as error:
        raise FsbenchError(f"features: {name} needs {package}; pip install {package}") from error
    return np.asarray(embedding, dtype=np.float32)


def _scatter(
    axes: Axes, points: NDArray[np.float32], names: Sequence[str], class_names: Sequence[str]
) -> None:
    """Draw points (n, 2) with the colour and marker of their class."""
    for number, name in enumerate(class_names):
        x, y = points[np.array(names) == name].T
        if len(x):
            axes.scatter(x, y, s=16, alpha=0.8, linewidths=0, **_style(number))
    axes.set(xticks=[], yticks=[])
