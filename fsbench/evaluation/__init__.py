"""Evaluation: measure a head on tasks of features, and write one result file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
