"""From result files to tables: a pure function of what lies in the results folder."""

from fsbench.report.leaderboard.pages import stale, update

__all__ = ["stale", "update"]
