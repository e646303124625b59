"""`/stats/...`: what was used on a day (by hour), in a month (by day) or in a year (by month); all in UTC.

All values are strings, as the API has them. Only times in which something happened are listed.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import invalid, json_answer
from runner.server.api.contracts import stamp
from runner.server.api.house import House
from runner.server.store.usage import HOUR_S, Usage, usage_of
from runner.wire.values import JsonObject

_FILTERS = ("single", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """It begins with the hour `first` and ends with the hour `last`; `bucket` is the row that a moment belongs to."""

    first: datetime
    last: datetime
    bucket: Callable[[datetime], datetime]


async def day_stats(house: House, request: Request) -> Response:
    return _answer(house, request, "day", r"(\d{4})-(\d\d)-(\d\d)", _day)


async def month_stats(house: House, request: Request) -> Response:
    return _answer(house, request, "month", r"(\d{4})-(\d\d)", _month)


async def year_stats(house: House, request: Request) -> Response:
    return _answer(house, request, "year", r"(\d{4})", _year)


def _answer(house: House, request: Request, part: str, pattern: str, span_of: Callable[..., _Span]) -> Response:
    caller = house.door.account_caller(request)
    span = _span(request.path_params[part], part, pattern, span_of)
    wanted = request.path_params["filter"]
    if wanted not in _FILTERS:
        raise invalid({"filter": f"must be one of {', '.join(_FILTERS)}"})
    key_id = caller.key_id if wanted == "single" else None
    used = usage_of(house.database, caller.account, key_id, _hour(span.first), _hour(span.last) + 1)
    buckets = groupby(used, lambda one: span.bucket(datetime.fromtimestamp(one.hour * HOUR_S, UTC)))
    return json_answer([_row(begin, hours) for begin, hours in buckets])


def _span(text: str, part: str, pattern: str, span_of: Callable[..., _Span]) -> _Span:
    found = re.fullmatch(pattern, text, re.ASCII)
    try:
        if found is None:
            raise ValueError
        return span_of(*map(int, found.groups()))
    except ValueError:
        example = {"day": "2026-11-23", "month": "2026-11", "year": "2026"}[part]
        raise invalid({part: f"must be a {part} like {example}"}) from None


def _day(year: int, month: int, day: int) -> _Span:
    first = datetime(year, month, day, tzinfo=UTC)
    return _Span(first=first, last=first.replace(hour=23), bucket=lambda moment: moment)


def _month(year: int, month: int) -> _Span:
    first = datetime(year, month, 1, tzinfo=UTC)
    last = first.replace(day=monthrange(year, month)[1], hour=23)
    return _Span(first=first, last=last, bucket=lambda moment: moment.replace(hour=0))


def _year(year: int) -> _Span:
    first = datetime(year, 1, 1, tzinfo=UTC)
    last = first.replace(month=12, day=31, hour=23)
    return _Span(first=first, last=last, bucket=lambda moment: moment.replace(day=1, hour=0))


def _hour(moment: datetime) -> int:
    return int(moment.timestamp()) // HOUR_S


def _row(begin: datetime, hours: Iterable[Usage]) -> JsonObject:
    used = list(hours)
    return {
        "created_at": stamp(begin.timestamp()),
        "input_traffic": str(sum(one.input_bytes for one in used)),
        "output_traffic": str(sum(one.output_bytes for one in used)),
        "job_counter": str(sum(one.started for one in used)),
        "conversion_minutes": str(sum(one.credits for one in used)),
        "completed_jobs": str(sum(one.completed for one in used)),
        "failed_jobs": str(sum(one.failed for one in used)),
    }
