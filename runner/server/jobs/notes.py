"""What is wrong with a job that goes on all the same: its warnings, known from the beginning. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runner.server.converters.options import near_word
from runner.server.jobs.lifecycle import ENDED
from runner.server.jobs.limits import KNOWN
from runner.server.jobs.record import Job
from runner.wire.values import JsonObject, as_object

_NO_LIMIT = 400
_MOST_TOLD = 10
_MOST_SHOWN = 60
_PLACES = {**{part: part for part in KNOWN}, **{name: f"{part}.{name}" for part in KNOWN for name in KNOWN[part]}}


def warnings_of(job: Job) -> list[JsonObject]:
    """Once the job has ended what became of its inputs is among its errors or its own warnings."""
    told = limit_warnings(job.limits) if job.limits else []
    if job.phase not in ENDED:
        told += input_errors(job)
    return [*told, *job.warnings]


def input_errors(job: Job) -> list[JsonObject]:
    return [{"source": "input", "id_source": one.id, **one.error} for one in job.inputs if one.error]


def limit_warnings(limits: JsonObject) -> list[JsonObject]:
    """What looks like a limit and is none: nobody should believe to be protected by it."""
    found = list(_unknown(limits))
    told = [_no_limit(part, name) for part, name in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        told.append(_warning(f"{len(found) - _MOST_TOLD} more of limits are none either"))
    return told


def _unknown(limits: JsonObject) -> Iterator[tuple[str, str]]:
    for part, given in limits.items():
        if part not in KNOWN:
            yield "", part
            continue
        for name in as_object(given):
            if name not in KNOWN[part]:
                yield f"{part}.", name


def _no_limit(part: str, name: str) -> JsonObject:
    near = near_word(name, _PLACES)
    known = ", ".join(f"{one}.{limit}" for one, names in KNOWN.items() for limit in names)
    hint = f"did you mean limits.{_PLACES[near]}?" if near else f"there are {known}"
    return _warning(f"limits.{part}{name[:_MOST_SHOWN]} is no limit and does nothing; {hint}")


def _warning(message: str) -> JsonObject:
    return {"code": _NO_LIMIT, "message": message}
