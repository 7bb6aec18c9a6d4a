"""Tasks: their specification, the sampler that draws them from labels, and pinned task lists.

A `TaskSpec` and the labels of the images determine a task list. `sample` draws any part of it, `digest`
proves that two lists are the same, and a `TaskList` pins such a digest in a file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
