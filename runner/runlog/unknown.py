"""What this runner doesn't know of a line or a state: a newer one wrote it, and nobody else may go on with it.

A log's format says so when it is opened (`MIGRATIONS`); this is for what comes while it is open, and for a format that
somebody forgot to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, TypeVar

from runner.runlog.faults import UPDATE, LogNewer
from runner.wire.values import JsonObject

T = TypeVar("T")


def newer(what: str) -> LogNewer:
    """The error for `what`, which a line or a state holds."""
    return LogNewer(
        f"the run log was written by a newer runner ({what} is unknown to this one). Nothing was sent for it.",
        hint=UPDATE,
    )


def made(kind: Callable[..., T], row: JsonObject) -> T:
    """`row` as a `kind`. Raises LogNewer for a field that has none, TypeError for one that is missing."""
    try:
        return kind(**row)
    except TypeError as error:
        for name in unknown_fields(kind, row):
            raise newer(f"field {name} of {kind.__name__}") from error
        raise


def unknown_fields(kind: Any, row: JsonObject) -> Iterator[str]:
    return iter(sorted(row.keys() - {one.name for one in fields(kind)}))
