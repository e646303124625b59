"""What can go wrong with a run log, as errors that say whether anything was bought.

LeaseLost, AlreadyStarting, JobTaken, BudgetExceeded and OutOfOrder are raised before anything of the call is written.
"""

from __future__ import annotations

from typing import Literal

from runner.errors import InvalidError, LockedError, QuotaError, UnreachableError, counted

UPDATE = "update this runner with `pip install --upgrade conversion-runner`"
UNSENT = "The line was not written, so nothing that depends on it was sent."


class OutOfOrder(Exception):
    """A line that can't follow what the log says: a bug of ours, caught before it is written."""


class LeaseLost(LockedError):
    """Another run took this work over while we were away; it carries on with the same job."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"another run has taken over this work. {UNSENT}",
            hint="this happens when a run was suspended; the other run finishes the work",
        )
        self.key = key


class AlreadyStarting(LockedError):
    """Another job was already committed to for this attempt; this one must not be started."""

    def __init__(self, key: str, attempt: int, job_id: str) -> None:
        super().__init__(f"attempt {attempt} of {key} is already committed to job {job_id}. {UNSENT}")
        self.key = key
        self.attempt = attempt
        self.job_id = job_id


class JobTaken(UnreachableError):
    """A creation was answered with a job that this log knows already: it holds other work, and isn't ours to use."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"the server answered the creation of a job with {job_id}, which was made before. {UNSENT}",
            hint="a cache or a proxy between here and the API may give old answers to POST",
        )
        self.job_id = job_id


class BudgetExceeded(QuotaError):
    """A job that doesn't fit into what is left of a budget; nothing was reserved."""

    def __init__(
        self, *, recipe: str, which: Literal["run", "day"], limit: int, spent: int, reserved: int, asked: int
    ) -> None:
        super().__init__(
            f"the budget of '{recipe}' for a {which} is {counted(limit, 'credit')}: {spent} spent, "
            f"{reserved} reserved, {asked} more don't fit. Nothing was sent for it.",
            hint=f"raise budget.{which}" + (", or run again tomorrow (UTC)" if which == "day" else ""),
        )
        self.recipe = recipe
        self.which = which
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.asked = asked


class LogUnusable(InvalidError):
    """The run log can't be opened, read or written."""


class LineUnstorable(LogUnusable):
    """The database doesn't take a value of some line; what others write has nothing to do with that."""


class LogNewer(LogUnusable):
    """The run log was written by a newer runner."""


class LogCorrupt(LogUnusable):
    """The run log is damaged."""


class LogBusy(LockedError):
    """Another process has been writing for too long."""


class LogUnreachable(UnreachableError):
    """The database of the run log doesn't answer."""
