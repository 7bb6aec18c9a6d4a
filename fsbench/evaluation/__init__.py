"""Evaluation: features, tasks and a head give a result, which is one file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
