"""Where the shipped content lies: `baselines/` and `episodes/`, in a checkout and in the wheel alike."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def content_folder(kind: str) -> Path:
    """The folder of one kind of content, "baselines" or "episodes".

    The wheel carries both as `fsbench/content/`; a checkout has them beside the package.
    """
    installed = _PACKAGE / "content" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind
