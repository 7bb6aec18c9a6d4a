"""Diagnosis: why one backbone is better than another.

Robustness, calibration and representation of checkpoints are measured as in the mixup papers, and toy
problems show the same effects in two dimensions. Each private module measures one section of the report.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
