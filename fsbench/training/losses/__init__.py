"""Losses: the building blocks of training steps, as functions of tensors.

Random numbers come from the generator that a step receives. They are drawn once per batch and outside the
network, so that labels are always mixed together with images.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
