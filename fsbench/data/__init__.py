"""Images: known data sets and your own, the store of prepared images, augmentation and label noise.

`prepare` turns images on a disk into an image store, once, and `load` reads a split of it into memory. The
known data sets are entries of `registry.SOURCES`; `glyphs` are synthetic images drawn by code.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
