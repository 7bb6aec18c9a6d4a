from .pages import stale as stale
from .pages import update as update

__all__ = ["stale", "update"]
