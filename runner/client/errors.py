"""What can go wrong on the wire, sorted by what it means for a purchase.

ApiError
  RefusedError          the server said no (4xx): nothing happened, unless an earlier try of the call was heard
    GoneError           404 or 410: there is no such thing (any more)
      UsedUpError       410: there is, and it was downloaded as often as it may be
  OutcomeUnknownError   it may have happened or not: a timeout, a dropped answer, a 5xx
    OversizeAnswerError the answer has no end, or none that we wait for; the next one would be as long
  ApiUnreachableError   it was never sent: no connection could be made
  CorruptDownloadError  the bytes that came are not the bytes that were announced
  ChangedFileError      a local file changed while it was uploaded
"""

from __future__ import annotations

from runner.errors import ExitCode, RunnerError


class ApiError(RunnerError):
    """`retry_after_s` is how long the server asked us to wait, if it did."""

    exit_code = ExitCode.FAILED
    retry_after_s: float | None = None


class RefusedError(ApiError):
    """
    status         the HTTP status
    certain        False where an earlier try of the same call got no answer: that one may have been heard, and this
                   may be the answer to what it did
    """

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s
        self.certain = True


class GoneError(RefusedError):
    pass


class UsedUpError(GoneError):
    pass


class OutcomeUnknownError(ApiError):
    exit_code = ExitCode.UNREACHABLE

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class OversizeAnswerError(OutcomeUnknownError):
    pass


class ApiUnreachableError(ApiError):
    exit_code = ExitCode.UNREACHABLE


class CorruptDownloadError(ApiError):
    pass


class ChangedFileError(ApiError):
    pass
