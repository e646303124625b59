"""What can go wrong with a purchase that isn't the wire's fault."""

from __future__ import annotations

from runner.client.errors import ApiError, GoneError
from runner.errors import QuotaError


class LostJobError(ApiError):
    """A job that may have been bought is gone from the server; only a person can say what now."""


class ParkedError(QuotaError):
    """The start was refused for want of credits or capacity; nothing was bought."""


class DeliveryError(ApiError):
    """The result was bought and is safe on the server, but could not be put where it belongs."""


class MissingOutputsError(GoneError):
    """The server still knows the job, and no longer all of its outputs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=0)
