"""Few-shot image classification, measured: train, evaluate on pinned task lists, compare in pairs."""

__version__ = "0.1.0"
