"""Why is one backbone better than another?

Robustness, calibration and representation of trained checkpoints are measured side by side, as the mixup
papers measured them, and toy problems show the same effects in two dimensions. Each private module measures
one section of the report.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
