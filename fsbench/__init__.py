"""Few-shot image classification, measured: train, evaluate on pinned task lists, compare in pairs.

    fsbench.evaluate      few-shot accuracy of features, a module, a checkpoint ... as a data frame
    fsbench.TaskSpec      what is asked: ways, shots, queries, tasks, seed
    fsbench.tasks         drawing tasks
    fsbench.heads         HEADS: functions (support, query) -> logits, all tasks in one batch
    fsbench.stats         intervals and paired comparisons
    fsbench.FsbenchError  what is raised for a wrong argument or file

What has no name here is not promised to stay as it is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsbench import heads, stats, tasks
    from fsbench._util.errors import FsbenchError
    from fsbench.api import evaluate
    from fsbench.tasks.spec import TaskSpec

__all__ = ["FsbenchError", "TaskSpec", "__version__", "evaluate", "heads", "stats", "tasks"]
__version__ = "0.1.0"

_HOMES = {"FsbenchError": "_util.errors", "TaskSpec": "tasks.spec", "evaluate": "api"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that `import fsbench` and the command's help take no time."""
    if name in _HOMES:
        return getattr(import_module(f"fsbench.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"fsbench.{name}")
    raise AttributeError(f"module 'fsbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
