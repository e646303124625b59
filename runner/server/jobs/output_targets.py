"""The statuses of output targets in a job's record: waiting, uploading, completed, failed. Pure."""

from __future__ import annotations

from dataclasses import replace

from runner.server.jobs.record import Conversion, Job
from runner.wire.values import JsonObject

_OPEN = ("waiting", "uploading")


def with_status(job: Job, conversion_id: str, index: int, status: str) -> Job:
    """`job` with another status of one output target."""
    conversions = tuple(_changed(one, index, status) if one.id == conversion_id else one for one in job.conversions)
    return replace(job, conversions=conversions)


def closed_targets(conversions: tuple[Conversion, ...]) -> tuple[Conversion, ...]:
    """The conversions of a job that has ended: whatever wasn't uploaded by now has failed."""
    return tuple(_closed(one) if one.output_target else one for one in conversions)


def _changed(conversion: Conversion, index: int, status: str) -> Conversion:
    targets = tuple(
        {**one, "status": status} if number == index else one for number, one in enumerate(conversion.output_target)
    )
    return replace(conversion, output_target=targets)


def _closed(conversion: Conversion) -> Conversion:
    def ended(target: JsonObject) -> JsonObject:
        return {**target, "status": "failed"} if target.get("status") in _OPEN else target

    return replace(conversion, output_target=tuple(ended(one) for one in conversion.output_target))
