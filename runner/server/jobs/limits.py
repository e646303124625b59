"""`limits` of a job beside the contract: whichever is tighter counts."""

from __future__ import annotations

from http import HTTPStatus

from runner.server.answers import ApiError, invalid
from runner.server.config import Contract
from runner.server.jobs.record import Job, dump_record
from runner.wire.values import JsonObject, as_object

# What each part of `limits` knows; all of them are whole numbers from 0. Sizes are in bytes.
KNOWN = {
    "job": ("max_credit", "max_inputs", "max_process_time"),
    "input": ("max_file_size",),
    "output": ("max_downloads",),
}

# What no job needs more of; the API has a limit for neither.
MOST_CONVERSIONS = 1000
MOST_PASSWORDS = 100
MOST_OUTPUT_TARGETS = 100


def max_credit(job: Job) -> int | None:
    return _own(job.limits, "job", "max_credit")


def max_inputs(limits: JsonObject, contract: Contract) -> int:
    return _tighter(_own(limits, "job", "max_inputs"), contract.max_inputs)


def max_process_time_s(job: Job, contract: Contract) -> int:
    return _tighter(_own(job.limits, "job", "max_process_time"), contract.max_process_time_s)


def max_input_bytes(limits: JsonObject, contract: Contract) -> int:
    return _tighter(_own(limits, "input", "max_file_size"), contract.max_input_bytes)


def max_downloads(job: Job, contract: Contract) -> int:
    return _tighter(_own(job.limits, "output", "max_downloads"), contract.max_downloads)


def check_input_count(count: int, limits: JsonObject, contract: Contract) -> None:
    """Raises 402 when a job would have more inputs than it may."""
    most = max_inputs(limits, contract)
    if count > most:
        message = f"The job may have at most {most} inputs (limits.job.max_inputs); this would make {count}"
        raise ApiError(HTTPStatus.PAYMENT_REQUIRED, message)


def check_patch_count(count: int, contract: Contract) -> None:
    """Raises 400 when more changes are asked for at once than a job can have inputs."""
    if count > contract.max_inputs:
        raise invalid({"body": f"must have at most {contract.max_inputs} entries"})


def check_growth(old: Job, new: Job, most_bytes: int) -> None:
    """Raises 413 when `new` is larger than `most_bytes` and than `old`: all of a job is read for every look at it."""
    size = len(dump_record(new))
    if size > most_bytes and size > len(dump_record(old)):
        message = f"The job would be larger than {most_bytes} bytes with that"
        raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


def check_at_start(job: Job, contract: Contract) -> None:
    """Raises 402 when what `job` has is more than its limits allow now: they may be younger than its inputs."""
    check_input_count(len(job.inputs), job.limits, contract)
    most = max_input_bytes(job.limits, contract)
    for entry in job.inputs:
        if entry.size > most:
            message = (
                f"The input {entry.filename!r} is larger than the {most} bytes allowed (limits.input.max_file_size); "
                "the job was not started"
            )
            raise ApiError(HTTPStatus.PAYMENT_REQUIRED, message)


def check_conversion_count(count: int) -> None:
    """Raises 400 when a job would have more conversions than anybody needs."""
    if count > MOST_CONVERSIONS:
        raise invalid({"conversion": f"must have at most {MOST_CONVERSIONS} entries; this would make {count}"})


def too_large(most: int) -> str:
    return f"The file is larger than the {most} bytes allowed (limits.input.max_file_size); it was discarded"


def _own(limits: JsonObject, part: str, name: str) -> int | None:
    value = as_object(limits.get(part)).get(name)
    return value if isinstance(value, int) else None


def _tighter(own: int | None, contract: int) -> int:
    return contract if own is None else min(own, contract)
