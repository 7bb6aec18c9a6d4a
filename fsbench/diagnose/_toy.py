"""Toy problems: the effect of mixing on decision surfaces and hidden representations in two dimensions.

The networks are `Network`s of small `Backbone`s, and the loss is that of the recipes,
`fsbench.training.losses.manifold_mixup`: alpha 0 is ERM, depth 0 mixes inputs, depth 1 mixes the bottleneck.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fsbench._util.rng import stream, stream_seed
from fsbench.diagnose._plots import hidden_representations, surfaces
from fsbench.diagnose._section import ReportSection, TextTable
from fsbench.diagnose._spectrum import class_spectra
from fsbench.models.backbones import Backbone
from fsbench.models.classifiers import Network
from fsbench.training.losses import manifold_mixup

POINTS, WIDTH = 200, 64
STEPS, LEARNING_RATE = 500, 0.02  # linear decay to 0; a constant rate would need twice the steps
SEEDS = 3
BOX, GRID = 1.5, 101  # the input box is [-BOX, BOX] squared, with GRID points per side
CONFIDENT = 0.95

Points = Callable[[np.random.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Method:
    """A training method: the depth at which values are mixed, with weights from Beta(alpha, alpha)."""

    alpha: float
    depth: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained toy network and its measurements."""

    network: Network
    points: Tensor  # (n, 2)
    labels: Tensor  # (n,)
    accuracy: float  # on the training points, 0..1
    confident: float  # fraction of the box with confidence above CONFIDENT, 0..1
    singular_values: Tensor  # (classes, 2), of the hidden representation of each class; see class_spectra


def rings(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw points (n, 2) on two concentric rings with their labels (n,), class by class."""
    labels = np.arange(POINTS) * 2 // POINTS
    radius = np.where(labels == 0, 0.35, 1.0) + rng.normal(0, 0.05, POINTS)
    return _at(radius, rng.uniform(0, 2 * np.pi, POINTS)), torch.from_numpy(labels)


def spiral(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw points (n, 2) on two arms of a spiral of 1.5 turns with their labels (n,), class by class."""
    labels = np.arange(POINTS) * 2 // POINTS
    radius = np.sqrt(rng.uniform(0.02, 1, POINTS))  # uniform over the disc
    points = _at(radius, np.pi * (3 * radius + labels))
    return points + torch.from_numpy(rng.normal(0, 0.02, points.shape)).float(), torch.from_numpy(labels)


PROBLEMS: dict[str, tuple[Points, dict[str, Method]]] = {
    "rings": (rings, {"erm": Method(0), "mixup": Method(1)}),
    "spiral": (spiral, {"erm": Method(0), "mixup": Method(1), "manifold-mixup": Method(2, depth=1)}),
}


def train(problem: str, method: str, seed: int, steps: int = STEPS) -> Trained:
    """Train a network on all points of a toy problem in every step, and measure it."""
    draw, methods = PROBLEMS[problem]
    alpha, depth = methods[method].alpha, methods[method].depth
    points, labels = draw(stream(seed, "toy", problem))  # the same points for every method
    network = build(stream_seed(seed, "toy", problem, "weights"))
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    rng = stream(seed, "toy", problem, method)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        optimiser.zero_grad()
        loss = manifold_mixup(network, points, labels, rng, alpha, [depth])
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        return Trained(
            network,
            points,
            labels,
            accuracy=(network(points).argmax(dim=1) == labels).double().mean().item(),
            confident=confident_fraction(network(grid())),
            singular_values=class_spectra(hidden(network, points), labels),
        )


def build(seed: int) -> Network:
    """Build two layers, a bottleneck of two numbers, two layers and a linear classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed other devices, too
        below = nn.Sequential(*_layers(2), nn.Linear(WIDTH, 2))
        blocks = nn.Sequential(below, nn.Sequential(*_layers(2)))
        return Network(Backbone("toy", 1, 0.0, blocks, nn.Identity(), WIDTH), 2, "linear", None, {})


def hidden(network: Network, points: Tensor) -> Tensor:
    """Return the values of the bottleneck (n, 2) for points (n, 2)."""
    values: Tensor = network.backbone.blocks[0](points)
    return values


def grid() -> Tensor:
    """Return evenly spread points of the input box, (GRID * GRID, 2)."""
    side = torch.linspace(-BOX, BOX, GRID)
    return torch.cartesian_prod(side, side)


def confident_fraction(scores: Tensor) -> float:
    """Return the fraction of scores (n, classes) whose highest probability is above CONFIDENT, 0..1."""
    return (scores.softmax(dim=1).amax(dim=1) > CONFIDENT).double().mean().item()


def section(seeds: int = SEEDS, steps: int = STEPS) -> ReportSection:
    """Train all toy networks and compare the methods on equal seeds."""
    tables, figures, values = [], {}, {}
    for problem, (_, methods) in PROBLEMS.items():
        with _one_thread():
            trained = {name: [train(problem, name, seed, steps) for seed in range(seeds)] for name in methods}
        tables.append(_table(problem, trained))
        figures[f"{problem}: decision surfaces"] = surfaces(
            {name: (_surface(runs[0]), runs[0].points, runs[0].labels) for name, runs in trained.items()}, BOX
        )
        if problem == "spiral":
            figures["spiral: hidden representations"] = hidden_representations(
                {name: _hidden(runs[0]) for name, runs in trained.items()}
            )
        values[problem] = {name: [_numbers(run) for run in runs] for name, runs in trained.items()}
    return ReportSection(
        "toy",
        "Toy problems",
        f"Two classes of {POINTS // 2} points in the plane. The network has {WIDTH} units per layer and a "
        f"bottleneck of two units in the middle; it is trained by {steps} steps of Adam on all points, with "
        f"linear decay. Numbers are means over {seeds} seeds with their range. Confident: the fraction of "
        f"the box [-{BOX}, {BOX}]² with confidence above {CONFIDENT}. Largest and second: singular values of "
        "the hidden representation of a class about its mean, divided by the norm of the whole "
        "representation about its mean; means over both classes. Inputs are mixed with alpha 1 (mixup), the "
        "bottleneck with alpha 2 (manifold mixup). After mixup (arXiv:1710.09412) figure 1b and Manifold "
        "Mixup (arXiv:1806.05236) figures 1 and 2; the papers do not describe their points and networks.",
        tuple(tables),
        figures,
        values,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: on two, networks as small as these are twice as slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _layers(n_inputs: int) -> list[nn.Module]:
    """Return two hidden layers."""
    return [nn.Linear(n_inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]


def _at(radius: np.ndarray, angle: np.ndarray) -> Tensor:
    """Turn polar coordinates (n,) into points (n, 2)."""
    return torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)).float()


def _table(problem: str, trained: dict[str, list[Trained]]) -> TextTable:
    """Return one row per method, for the spiral with numbers of the hidden representation."""
    columns = ["accuracy, %", "confident, %"]
    rows = [
        [
            method,
            *(
                _spread([100 * value for value in values], 1)
                for values in zip(*((run.accuracy, run.confident) for run in runs), strict=True)
            ),
        ]
        for method, runs in trained.items()
    ]
    if problem == "spiral":
        columns += ["largest", "second", "second / largest", "second below erm's"]
        for row, runs in zip(rows, trained.values(), strict=True):
            values = torch.stack([run.singular_values.mean(dim=0) for run in runs])  # (seeds, 2)
            erm = torch.stack([run.singular_values.mean(dim=0) for run in trained["erm"]])
            row += [_spread(numbers.tolist(), 3) for numbers in values.T]
            row += [_spread((values[:, 1] / values[:, 0]).tolist(), 2)]
            row += [f"{int((values[:, 1] < erm[:, 1]).sum())} of {len(runs)} seeds"]
    return TextTable((problem, *columns), tuple(map(tuple, rows)))


def _spread(values: list[float], digits: int) -> str:
    """Write the mean of values with their range."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _numbers(run: Trained) -> dict[str, object]:
    """Return the measurements for JSON."""
    return {
        "accuracy": run.accuracy,
        "confident": run.confident,
        "singular values": run.singular_values.tolist(),
    }


def _surface(run: Trained) -> Tensor:
    """Return the probability of the second class over the box, (GRID, GRID), rows by x."""
    with torch.no_grad():
        probabilities: Tensor = run.network(grid()).softmax(dim=1)[:, 1]
    return probabilities.view(GRID, GRID)


def _hidden(run: Trained) -> tuple[Tensor, Tensor, Tensor]:
    """Return the hidden values of the points, their labels, and the hidden values of the whole box."""
    with torch.no_grad():
        return hidden(run.network, run.points), run.labels, hidden(run.network, grid()[::7])
