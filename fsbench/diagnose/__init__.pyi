from .run import SECTIONS as SECTIONS
from .run import Session as Session
from .run import diagnose as diagnose
from .study import Study as Study
from .study import TrainedNetwork as TrainedNetwork
from .study import load_study as load_study

__all__ = [
    "SECTIONS",
    "Session",
    "Study",
    "TrainedNetwork",
    "diagnose",
    "load_study",
]
