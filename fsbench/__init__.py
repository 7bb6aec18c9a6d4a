"""Few-shot image classification, measured.

Functions: `evaluate`, `train`, `predict`, `compare`, `load_results`, `load_backbone`. Values: `TaskSpec`,
`Recipe`, `Stage`, `Head`. Subpackages: `tasks`, `heads`, `stats`, `losses`, `data`. Wrong arguments and files
raise `fsbench.FsbenchError`. These names are stable; the documentation describes what that means.
"""

import lazy_loader

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.remove("FsbenchError")  # importable, but not listed by dir()
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return __all__
