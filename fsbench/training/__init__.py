"""Training: the loop, recipes and their losses, optimisation, precision, and exact resume."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
