"""What the server says was spent, held against what this log knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from runner.cli.endpoint import ChosenEndpoint
from runner.cli.looping import run_async
from runner.cli.reach import open_api
from runner.errors import counted
from runner.wire.values import Json, as_int, as_list, as_object

MORE = "more: jobs of another log or program, or jobs still running"
LESS = "less: its books lag behind, or are another server's, or were begun anew since"


def booked_by_server(chosen: ChosenEndpoint, today: date, *, known: int) -> Mapping[str, Any]:
    """Credits that `/stats` shows for this key today, and what `/contracts` says is left.

    today  in UTC; known  what this log knows of it, at this endpoint and for this key
    """
    stats, contracts = run_async(_ask(chosen, today))
    booked = sum(as_int(as_object(row).get("conversion_minutes")) for row in as_list(stats))
    remaining = _remaining(contracts)
    return {
        "day": today.isoformat(),
        "booked": booked,
        "known": known,
        "remaining": remaining,
        "lines": _lines(booked, known, remaining),
    }


async def _ask(chosen: ChosenEndpoint, today: date) -> tuple[Json, Json]:
    async with open_api(chosen) as api:
        return await api.stats_of_day(today.isoformat()), await api.contracts()


def _remaining(contracts: Json) -> int | None:
    """Credits left, None for a contract without an end. The API's pages show an object, its schema an array."""
    if isinstance(contracts, Mapping) and "credits_remaining" in contracts:
        return as_int(contracts["credits_remaining"])
    rows = contracts.get("contracts") if isinstance(contracts, Mapping) else contracts
    left = [as_object(row)["credits_remaining"] for row in as_list(rows) if "credits_remaining" in as_object(row)]
    return sum(map(as_int, left)) if left else None


def _lines(booked: int, known: int, remaining: int | None) -> list[str]:
    lines = [f"the server booked {counted(booked, 'credit')} for this key today (UTC), this log knows of {known}"]
    if booked != known:
        lines.append(f"  {booked - known} {MORE}" if booked > known else f"  {known - booked} {LESS}")
    if remaining is not None:
        lines.append(f"{counted(remaining, 'credit')} {'is' if remaining == 1 else 'are'} left")
    return lines
