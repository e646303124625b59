"""Statuses of a job and the words the API says with them."""

from __future__ import annotations

from enum import StrEnum


class StatusCode(StrEnum):
    __hash__ = str.__hash__  # an enum's own is written in Python, and statuses are looked up all the time

    CREATED = "created"
    INCOMPLETE = "incomplete"
    READY = "ready"
    PENDING = "pending"
    DOWNLOADING = "downloading"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL = frozenset({StatusCode.COMPLETED, StatusCode.FAILED, StatusCode.CANCELED})
UNSTARTED = frozenset({StatusCode.CREATED, StatusCode.INCOMPLETE, StatusCode.READY})
# While inputs are fetched, a job that waits for its start and one that was started look alike, but for `process`.
FETCHING = frozenset({StatusCode.PENDING, StatusCode.DOWNLOADING})

INFO = {
    StatusCode.CREATED: "The job has been created.",
    StatusCode.INCOMPLETE: "Missing information to run the job.",
    StatusCode.READY: "The job is ready to be processed.",
    StatusCode.PENDING: "The file is waiting to be downloaded.",
    StatusCode.DOWNLOADING: "The file is currently downloading from the source URL.",
    StatusCode.QUEUED: "The job is waiting to be processed.",
    StatusCode.PROCESSING: "The file is currently being processed.",
    StatusCode.COMPLETED: "The file has been successfully converted.",
    StatusCode.FAILED: "The file has not been converted due to errors.",
    StatusCode.CANCELED: "The job has been canceled.",
}


_KNOWN = frozenset(StatusCode)


def is_known(code: str) -> bool:
    return code in _KNOWN


def is_terminal(code: str) -> bool:
    """Whether a job with this status has ended; a status nobody knows has not."""
    return code in TERMINAL
