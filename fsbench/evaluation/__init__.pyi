from .breakdown import Breakdown as Breakdown
from .flat import as_row as as_row
from .flat import flatten as flatten
from .inference import accuracies as accuracies
from .inference import predictions as predictions
from .result import Data as Data
from .result import HeadSettings as HeadSettings
from .result import Outcome as Outcome
from .result import Question as Question
from .result import Result as Result
from .result import Task as Task
from .result_files import read as read
from .result_files import read_all as read_all
from .result_files import write as write
from .run import Output as Output
from .run import Session as Session
from .run import evaluate as evaluate
from .subjects import Images as Images
from .subjects import Subject as Subject
from .subjects import load_subjects as load_subjects

__all__ = [
    "Breakdown",
    "Data",
    "HeadSettings",
    "Images",
    "Outcome",
    "Output",
    "Question",
    "Result",
    "Session",
    "Subject",
    "Task",
    "accuracies",
    "as_row",
    "evaluate",
    "flatten",
    "load_subjects",
    "predictions",
    "read",
    "read_all",
    "write",
]
