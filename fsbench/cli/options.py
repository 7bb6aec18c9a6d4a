"""Flags that several verbs share, and the one way in which verbs answer."""

import argparse
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Verbs = Any  # argparse keeps the type of its subparsers to itself


def add_cache(verb: argparse.ArgumentParser) -> None:
    """`--cache FOLDER`."""
    verb.add_argument(
        "--cache", type=Path, help="folder of stores (default: $FSBENCH_CACHE, else your cache folder)"
    )


def add_backbone(verb: argparse.ArgumentParser) -> None:
    """`--backbone ARCHITECTURE` and `--image-size PIXELS`, for weights of another origin."""
    verb.add_argument(
        "--backbone",
        metavar="ARCHITECTURE",
        help="of a file of weights alone: conv4 resnet10 resnet12 resnet18 wrn28-10, timm:NAME, "
        "torchvision:NAME or ./mine.py:function",
    )
    verb.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="that conv4 ... wrn28-10, or your own function, is to be given; others have their own",
    )


def add_device(verb: argparse.ArgumentParser) -> None:
    """`--device NAME`."""
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")


def add_quiet(verb: argparse.ArgumentParser) -> None:
    """`--quiet`."""
    verb.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_over(verb: argparse.ArgumentParser) -> None:
    """`--over {classes,tasks}`."""
    verb.add_argument(
        "--over",
        choices=("classes", "tasks"),
        default="classes",
        help="what p-values are about: new classes, or only other tasks from these images (default: classes)",
    )


def add_config(verb: argparse.ArgumentParser) -> None:
    """`--config FILE`."""
    verb.add_argument(
        "--config", type=Path, metavar="FILE", help="flags in TOML, a table [VERB]; those typed here win"
    )


def add_json(verb: argparse.ArgumentParser) -> None:
    """`--json`."""
    verb.add_argument("--json", action="store_true", help="print JSON and nothing else")


def add_computing(verb: argparse.ArgumentParser) -> None:
    """What every verb takes that runs networks or heads: device, cache, config, quiet, json."""
    for add in (add_device, add_cache, add_config, add_quiet, add_json):
        add(verb)


def device_of(chosen: argparse.Namespace) -> "torch.device":
    """The device of `--device`. For a CPU the memory of the process is tuned, which is the command's alone.

    Raises:
        FsbenchError: no such device.
    """
    from fsbench._util.machine import find_device
    from fsbench.training.precision import keep_memory

    device = find_device(chosen.device)
    if device.type == "cpu":
        keep_memory()
    return device


def answer(chosen: argparse.Namespace, value: object, text: str) -> None:
    """Print what came out: the value where JSON is asked for, else the text."""
    if chosen.json:
        print_json(value)
    else:
        print(text)


def print_json(value: object) -> None:
    """Print a value on one line: dataclasses as objects, NaN as null, whatever else there is as text."""
    import orjson

    def plain(other: object) -> object:
        return asdict(other) if is_dataclass(other) and not isinstance(other, type) else str(other)

    # orjson by itself would also print what a dataclass has cached
    how = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS
    print(orjson.dumps(value, default=plain, option=how).decode())
