"""Few-shot image classification, measured.

Functions: `evaluate`, `train`, `predict`, `compare`, `load_results`, `load_backbone`. Values: `TaskSpec`,
`Recipe`, `Stage`, `Head`. Rooms: `tasks`, `heads`, `stats`, `losses`, `data`. Wrong arguments and files raise
`fsbench.FsbenchError`. These names are promised to stay; the documentation's page on stability says how.
"""

import lazy_loader

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.remove("FsbenchError")  # importable, but not among the names that one works with
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return __all__
