from .accuracy import Accuracy as Accuracy
from .classify import Session as Session
from .classify import predict as predict
from .outcome import Prediction as Prediction
from .output import sort_into as sort_into
from .output import write_table as write_table
from .sheet import write_sheet as write_sheet
from .text import summary as summary

__all__ = [
    "Accuracy",
    "Prediction",
    "Session",
    "predict",
    "sort_into",
    "summary",
    "write_sheet",
    "write_table",
]
