"""Models: backbones, the classifiers trained on top of them, checkpoints and pretrained networks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
