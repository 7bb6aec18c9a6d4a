"""Classify unlabelled images from a few labelled ones.

A prediction is a single task whose queries have no known answer: a pretrained backbone turns the images of
two folders into features, and a few-shot head assigns a class to each query image.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
