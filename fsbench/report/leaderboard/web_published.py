"""Published rows as the data of the page."""

from typing import Any

from fsbench.report.leaderboard.configurations import identifiers
from fsbench.report.leaderboard.published import SOURCES, Published, Quotation

ALL_SOURCES = list(SOURCES.values())  # a row holds the place of its source


def source_list() -> list[tuple[str, str]]:
    """Return name and address of every source."""
    return [(source.name, source.url) for source in ALL_SOURCES]


def quotation_data(quotation: Quotation) -> dict[str, Any]:
    """Return one table of published results."""
    labels = [_published_label(row, quotation) for row in quotation.rows]
    return {
        "heading": quotation.heading,
        "published": True,
        "dataset": quotation.pair[1],
        "columns": quotation.columns,
        "rows": [
            _quoted(row, quotation, identifier)
            for row, identifier in zip(quotation.rows, identifiers(labels), strict=True)
        ],
    }


def _published_label(row: Published, quotation: Quotation) -> dict[str, str]:
    """Return the texts that identify a published row."""
    return {
        "method": row.method,
        "backbone": row.backbone,
        "venue": row.venue,
        "size": row.image_size,
        "source": row.source.name,
        "by": row.reported_by,
        "table": quotation.heading,
    }


def _quoted(row: Published, quotation: Quotation, identifier: str) -> dict[str, Any]:
    """Return one row of published results; accuracies are texts as the source prints them."""
    return {
        "id": identifier,
        "name": row.method,
        "paper": row.paper,
        "venue": row.venue,
        "recipe": row.recipe,
        "backbone": row.backbone or "-",
        "setting": row.setting or "not stated",
        "size": row.image_size,
        "source": ALL_SOURCES.index(row.source),
        "reportedBy": row.reported_by,
        "memory": row.source.from_memory,
        "cells": [_printed(row.accuracies.get(column)) for column in quotation.columns],
    }


def _printed(text: str | None) -> dict[str, Any] | None:
    """Return a printed accuracy with its numbers; many sources print no interval."""
    if text is None:
        return None
    mean, _, half_width = text.partition(" ± ")
    return {"text": text, "mean": float(mean), "half": float(half_width) if half_width else None}
