"""Toy problems: what mixing does to decision surfaces and hidden representations, in two dimensions.

The networks are `Network`s of small `Backbone`s and the loss is `fsbench.training.losses.manifold_mixup`, the
code that recipes train with: alpha 0 is ERM, depth 0 mixup of inputs, depth 1 mixing in the bottleneck.
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
STEPS, LEARNING_RATE = 500, 0.02  # falling to 0 in a line, which saves as many steps again
SEEDS = 3
BOX, GRID = 1.5, 101  # the input box is [-BOX, BOX] squared; points a side of the grid over it
SURE = 0.95

Points = Callable[[np.random.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Way:
    """A way to train: where hidden values are mixed, with weights from Beta(alpha, alpha)."""

    alpha: float
    depth: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """A toy network, and what was measured of it."""

    network: Network
    points: Tensor  # (n, 2)
    labels: Tensor  # (n,)
    accuracy: float  # on the points it learned, 0..1
    sure: float  # share of the box where the confidence is above SURE, 0..1
    singular_values: Tensor  # (classes, 2), of the hidden representation of each class; see class_spectra


def rings(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) on a ring and on another around it, with their labels (n,), class by class."""
    labels = np.arange(POINTS) * 2 // POINTS
    radius = np.where(labels == 0, 0.35, 1.0) + rng.normal(0, 0.05, POINTS)
    return _at(radius, rng.uniform(0, 2 * np.pi, POINTS)), torch.from_numpy(labels)


def spiral(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) on two arms of a spiral of 1.5 turns, with their labels (n,), class by class."""
    labels = np.arange(POINTS) * 2 // POINTS
    radius = np.sqrt(rng.uniform(0.02, 1, POINTS))  # as many points for each area of the disc
    points = _at(radius, np.pi * (3 * radius + labels))
    return points + torch.from_numpy(rng.normal(0, 0.02, points.shape)).float(), torch.from_numpy(labels)


PROBLEMS: dict[str, tuple[Points, dict[str, Way]]] = {
    "rings": (rings, {"erm": Way(0), "mixup": Way(1)}),
    "spiral": (spiral, {"erm": Way(0), "mixup": Way(1), "manifold-mixup": Way(2, depth=1)}),
}


def train(problem: str, way: str, seed: int, steps: int = STEPS) -> Trained:
    """Train the toy network on a toy problem, all points in every step, and measure it."""
    draw, ways = PROBLEMS[problem]
    points, labels = draw(stream(seed, "toy", problem))  # the same points for every way
    network = build(stream_seed(seed, "toy", problem, "weights"))
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    rng = stream(seed, "toy", problem, way)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        optimiser.zero_grad()
        loss = manifold_mixup(network, points, labels, rng, ways[way].alpha, [ways[way].depth])
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        return Trained(
            network,
            points,
            labels,
            accuracy=(network(points).argmax(dim=1) == labels).double().mean().item(),
            sure=share_of_sure(network(grid())),
            singular_values=class_spectra(hidden(network, points), labels),
        )


def build(seed: int) -> Network:
    """Two layers, a bottleneck of two numbers, two layers and a linear classifier, its weights by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed other devices, too
        below = nn.Sequential(*_layers(2), nn.Linear(WIDTH, 2))
        blocks = nn.Sequential(below, nn.Sequential(*_layers(2)))
        return Network(Backbone("toy", 1, 0.0, blocks, nn.Identity(), WIDTH), 2, "linear", None, {})


def hidden(network: Network, points: Tensor) -> Tensor:
    """The bottleneck's values (n, 2) for points (n, 2)."""
    values: Tensor = network.backbone.blocks[0](points)
    return values


def grid() -> Tensor:
    """Evenly spread points of the input box, (GRID * GRID, 2)."""
    side = torch.linspace(-BOX, BOX, GRID)
    return torch.cartesian_prod(side, side)


def share_of_sure(scores: Tensor) -> float:
    """The share of scores (n, classes) whose largest probability is above SURE, 0..1."""
    return (scores.softmax(dim=1).amax(dim=1) > SURE).double().mean().item()


def section(seeds: int = SEEDS, steps: int = STEPS) -> ReportSection:
    """Train all toy networks and compare the ways to train, seed by seed."""
    tables, figures, values = [], {}, {}
    for problem, (_, ways) in PROBLEMS.items():
        with _one_thread():
            trained = {way: [train(problem, way, seed, steps) for seed in range(seeds)] for way in ways}
        tables.append(_table(problem, trained))
        figures[f"{problem}: decision surfaces"] = surfaces(
            {way: (_surface(runs[0]), runs[0].points, runs[0].labels) for way, runs in trained.items()}, BOX
        )
        if problem == "spiral":
            figures["spiral: hidden representations"] = hidden_representations(
                {way: _hidden(runs[0]) for way, runs in trained.items()}
            )
        values[problem] = {way: [_numbers(run) for run in runs] for way, runs in trained.items()}
    return ReportSection(
        "toy",
        "Toy problems",
        f"Two classes of {POINTS // 2} points in the plane; a network of {WIDTH} units a layer with a "
        f"bottleneck of two units in its middle, {steps} steps of Adam on all points, its rate falling to "
        f"0; means over {seeds} seeds with their range. Sure: the share of the box [-{BOX}, {BOX}]² with "
        f"confidence above {SURE}. Largest and second: singular values of each class's hidden "
        "representation about its mean, as shares of the norm of all of it, means of both classes. Inputs "
        "are mixed with alpha 1 (mixup), values in the bottleneck with alpha 2 (manifold mixup). After "
        "mixup (arXiv:1710.09412) figure 1b and Manifold Mixup (arXiv:1806.05236) figures 1 and 2; the "
        "papers do not state their points and networks.",
        tuple(tables),
        figures,
        values,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are twice as slow on two threads as on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _layers(n_inputs: int) -> list[nn.Module]:
    return [nn.Linear(n_inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]


def _at(radius: np.ndarray, angle: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)).float()


def _table(problem: str, trained: dict[str, list[Trained]]) -> TextTable:
    """Sureness of every way to train; for the spiral also what becomes of its hidden representation."""
    heads = ["accuracy, %", "sure, %"]
    rows = [
        [way, _spread([100 * run.accuracy for run in runs], 1), _spread([100 * run.sure for run in runs], 1)]
        for way, runs in trained.items()
    ]
    if problem == "spiral":
        heads += ["largest", "second", "second / largest", "second below erm's"]
        for row, runs in zip(rows, trained.values(), strict=True):
            values = torch.stack([run.singular_values.mean(dim=0) for run in runs])  # (seeds, 2)
            erm = torch.stack([run.singular_values.mean(dim=0) for run in trained["erm"]])
            row += [_spread(column.tolist(), 3) for column in values.T]
            row += [_spread((values[:, 1] / values[:, 0]).tolist(), 2)]
            row += [f"{int((values[:, 1] < erm[:, 1]).sum())} of {len(runs)} seeds"]
    return TextTable((problem, *heads), tuple(map(tuple, rows)))


def _spread(values: list[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _numbers(run: Trained) -> dict[str, object]:
    return {
        "accuracy": run.accuracy,
        "sure": run.sure,
        "singular values": run.singular_values.tolist(),
    }


def _surface(run: Trained) -> Tensor:
    """Probability of the second class over the box, (GRID, GRID), rows by x."""
    with torch.no_grad():
        probabilities: Tensor = run.network(grid()).softmax(dim=1)[:, 1]
    return probabilities.view(GRID, GRID)


def _hidden(run: Trained) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values of the points, their labels, and hidden values of the whole box."""
    with torch.no_grad():
        return hidden(run.network, run.points), run.labels, hidden(run.network, grid()[::7])
