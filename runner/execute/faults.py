"""What can go wrong with a purchase that isn't the wire's fault."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from runner.client.errors import ApiError, CorruptDownloadError, GoneError
from runner.errors import AuthenticationError, ExitCode, QuotaError, RunnerError

_MOST_TOLD = 3


class LostJobError(ApiError):
    """A job that may have been bought is gone from the server; only a person can say what now."""


class UploadServerError(ApiError):
    """The server that one job names for its uploads can't be reached; other jobs have others, as far as is known."""

    exit_code = ExitCode.UNREACHABLE


class ParkedError(QuotaError):
    """Refused for want of credits or capacity; nothing is known to be bought, and the work waits for a later run."""


class OvertakenError(ApiError):
    """Another run was the first to commit to work whose result has the same name at an output target."""


class UnfollowedError(QuotaError):
    """A job runs, and the server won't tell us how it is (402, 429): the next run asks again."""


class UndeliverableError(ApiError):
    """Finished work whose job the server no longer shows as completed."""


class DeliveryError(ApiError):
    """The result was bought and is safe on the server, but could not be put where it belongs."""


class NoRoomError(ApiError):
    """Nothing was bought, for the disk that the result would go to took no more of another job's."""


def undelivered(error: AuthenticationError | ApiError, *, job_id: str, waits: str) -> DeliveryError:
    """What a download ended in, as the trouble of its job alone: no key of ours goes with it.

    waits  that the result is bought, and until when it waits on the server
    """
    if isinstance(error, AuthenticationError):
        hint = f"{waits}; where the job has download_passwords, see that the first one is right, and run again"
    elif isinstance(error, CorruptDownloadError):
        hint = f"{waits}, and GET /jobs/{job_id} says where it lies; the next run fetches it again"
        hint = error.hint or f"{hint}, and each download counts (max_downloads)"
    else:
        asked = f" in {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        hint = f"{waits}; run again{asked} to fetch it: nothing is bought again"
    return DeliveryError(str(error), hint=hint)


def all_of(failed: Sequence[DeliveryError]) -> DeliveryError:
    """Several in one; what is to be done is said for the first of them."""
    if len(failed) == 1:
        return failed[0]
    more = f"; and {len(failed) - _MOST_TOLD} more" if len(failed) > _MOST_TOLD else ""
    return DeliveryError("; ".join(map(str, failed[:_MOST_TOLD])) + more, hint=failed[0].hint)


def is_final(error: GoneError) -> bool:
    """Whether it will never be there again: a 404 for a file, or a job that shows fewer outputs, may pass."""
    return error.status == HTTPStatus.GONE


class MissingOutputsError(GoneError):
    """The server still knows the job, and no longer all of its outputs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=0)


class NotStartedError(RunnerError):
    """The server shows a job as waiting for its start that it said was started."""
