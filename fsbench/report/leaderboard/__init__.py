"""The leaderboard: tables as a pure function of the result files in a folder."""

from fsbench.report.leaderboard.pages import stale, update

__all__ = ["stale", "update"]
