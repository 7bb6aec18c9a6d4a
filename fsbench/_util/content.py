"""Location of the content shipped with fsbench: `baselines/` (recipes) and `episodes/` (task lists)."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def content_folder(kind: str) -> Path:
    """Return the folder "baselines" or "episodes".

    In the wheel it is below `fsbench/content/`; in a checkout it is beside the package.
    """
    installed = _PACKAGE / "content" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def recipe_names() -> list[str]:
    """List the shipped recipes.

    Returns:
        Names in alphabetical order, hyphenated.
    """
    return sorted(path.stem.replace("_", "-") for path in content_folder("baselines").glob("[!_]*.py"))
