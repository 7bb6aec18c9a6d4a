from . import data as data
from . import heads as heads
from . import stats as stats
from . import tasks as tasks
from ._util.errors import FsbenchError as FsbenchError
from .api import compare as compare
from .api import evaluate as evaluate
from .api import load_backbone as load_backbone
from .api import load_results as load_results
from .api import predict as predict
from .api import train as train
from .heads import Head as Head
from .tasks import TaskSpec as TaskSpec
from .training import Recipe as Recipe
from .training import Stage as Stage
from .training import losses as losses

__version__: str
__all__ = [
    "Head",
    "Recipe",
    "Stage",
    "TaskSpec",
    "compare",
    "data",
    "evaluate",
    "heads",
    "load_backbone",
    "load_results",
    "losses",
    "predict",
    "stats",
    "tasks",
    "train",
]
