from . import importers as importers
from .extract import Session as Session
from .extract import embed as embed
from .extract import extract_features as extract_features
from .store import Features as Features
from .store import Origin as Origin
from .store import is_store as is_store
from .store import read as read
from .store import write as write

__all__ = [
    "Features",
    "Origin",
    "Session",
    "embed",
    "extract_features",
    "importers",
    "is_store",
    "read",
    "write",
]
