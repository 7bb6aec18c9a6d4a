"""Names for help and completion. Importing their registries would import torch; a test compares the two."""

from typing import TYPE_CHECKING, Literal

from fsbench._util.content import recipe_names

Split = Literal["base", "val", "novel"]

# `str` beside the names means that other values, such as your own files, are allowed.
if TYPE_CHECKING:
    Recipe = str
else:
    Recipe = Literal[(*recipe_names(), "all")] | str  # the files of baselines/
DataSet = (
    Literal["cifar-fs", "mini-imagenet", "tiered-imagenet", "cub", "omniglot", "glyphs", "glyphs-fine"] | str
)
Backbone = Literal["conv4", "resnet10", "resnet12", "resnet18", "wrn28-10"] | str
Head = (
    Literal[
        "nearest-mean", "cosine-sgd", "linear-sgd", "logistic", "ridge", "svm", "distribution-calibration",
        "bd-cspn", "laplacian-shot", "tim", "alpha-tim", "pt-map", "soft-kmeans", "soft-kmeans-prior",
    ]
    | str
)  # fmt: skip
Preprocess = Literal["none", "l2", "cl2n", "tukey", "pt"] | str
Precision = Literal["auto", "float32", "bf16", "fp16"] | str
Plot = (
    Literal[
        "leaderboard", "ways-shots", "recipe-head", "cross-domain", "budget", "task-accuracies", "features",
        "training", "time",
    ]
    | str
)  # fmt: skip
Section = Literal["toy", "noise", "attack", "deform", "calibration", "between", "spectrum", "hardness"] | str
