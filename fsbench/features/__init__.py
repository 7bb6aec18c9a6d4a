"""Features: extraction by a backbone, the feature store (HDF5), and importers of other projects' files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
