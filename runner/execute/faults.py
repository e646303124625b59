"""What can go wrong with a purchase that isn't the wire's fault."""

from __future__ import annotations

from http import HTTPStatus

from runner.client.errors import ApiError, CorruptDownloadError, GoneError
from runner.errors import AuthenticationError, QuotaError, RunnerError


class LostJobError(ApiError):
    """A job that may have been bought is gone from the server; only a person can say what now."""


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


def undelivered(error: AuthenticationError | CorruptDownloadError, *, job_id: str) -> DeliveryError:
    """What a download ended in, as the trouble of its job alone: no key of ours goes with it."""
    if isinstance(error, AuthenticationError):
        hint = "where the job has download_passwords, see that the first one is right, and run again"
        return DeliveryError(str(error), hint=f"the result is bought and waits on the server; {hint}")
    hint = f"the result is bought, and GET /jobs/{job_id} says where it lies; the next run fetches it again"
    return DeliveryError(str(error), hint=error.hint or f"{hint}, and each download counts (max_downloads)")


def is_final(error: GoneError) -> bool:
    """Whether it will never be there again: a 404 for a file, or a job that shows fewer outputs, may pass."""
    return error.status == HTTPStatus.GONE


class MissingOutputsError(GoneError):
    """The server still knows the job, and no longer all of its outputs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=0)


class NotStartedError(RunnerError):
    """The server shows a job as waiting for its start that it said was started."""
