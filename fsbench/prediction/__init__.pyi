from .classify import Session as Session
from .classify import predict as predict
from .outcome import Prediction as Prediction
from .sheet import write_sheet as write_sheet
from .text import summary as summary

__all__ = [
    "Prediction",
    "Session",
    "predict",
    "summary",
    "write_sheet",
]
