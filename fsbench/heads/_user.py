"""Heads in the code of users: a file, a module, or an entry point of an installed package."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from torch import Tensor

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench.heads.head import Head, with_settings


def user_head(name: str, reference: str) -> Head:
    """Load a head from user code: a `Head`, or a function, which gets features without preprocessing."""
    code = user_code.load_reference(reference, "head")
    if isinstance(code.value, Head):
        head = code.value
    elif callable(code.value):
        head = Head(code.value, paper=name, preprocess="none")
    else:
        raise FsbenchError(f"head {name}: must be a function or a Head, but is {type(code.value).__name__}")
    head = replace(head, classify=_checked(name, head.classify), code=code.digest)
    return with_settings(head, head.settings, name)


def _checked(name: str, classify: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a user's function with a check that it returns logits of the right shape, without NaN."""

    @wraps(classify)
    def checked(support: Tensor, query: Tensor, **options: Tensor) -> Tensor:
        with user_code.user_errors(f"head {name}"):
            logits: object = classify(support, query, **options)
        expected = (*query.shape[:2], support.shape[1])
        if not isinstance(logits, Tensor):
            returned = type(logits).__name__
        elif tuple(logits.shape) != expected or logits.isnan().any():
            returned = f"{tuple(logits.shape)}{' with NaN' if logits.isnan().any() else ''}"
        else:
            return logits
        raise FsbenchError(
            f"head {name}: must return logits (tasks, queries, n_way) {expected}, but returned {returned}"
        )

    return checked
