"""A conventional training loop: a DataLoader over image files, torchvision's transforms on PIL images.

    usual_loop.py FOLDER EPOCHS THREADS WORKERS

ERM with Conv4 on the classes in FOLDER at 32 px; prints images a second of each epoch but the first.
"""

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)

from fsbench.models.classifiers import CosineClassifier

SIZE, BATCH_SIZE = 32, 64
TRANSFORM = Compose(
    [
        RandomResizedCrop(SIZE),
        ColorJitter(0.4, 0.4, 0.4),
        RandomHorizontalFlip(),
        ToTensor(),
        Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def block(channels_in: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]


def main(folder: str, epochs: int, threads: int, workers: int) -> None:
    torch.set_num_threads(threads)
    data = ImageFolder(folder, TRANSFORM)
    loader = DataLoader(data, BATCH_SIZE, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    body = [*block(3), *block(64), *block(64), *block(64), nn.Flatten()]
    network = nn.Sequential(*body, CosineClassifier(256, len(data.classes)))
    optimiser = torch.optim.Adam(network.parameters())
    for epoch in range(epochs + 1):
        began = time.perf_counter()
        for images, labels in loader:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimiser.step()
        if epoch > 0:  # the first epoch includes the start of the workers
            sys.stdout.write(f"{len(data) / (time.perf_counter() - began)}\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
