"""What came of each address, and the shape of `runner run --format json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runner.errors import ExitCode
from runner.plan import Action
from runner.state import DeliveredFile
from runner.wire.values import Json


class Status(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    PENDING = "pending"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why an address isn't simply done. `code` is the API's or an HTTP status, 0 where there is none."""

    message: str
    code: int = 0
    hint: str = ""

    def as_json(self) -> Mapping[str, Json]:
        return {"code": self.code, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one address.

    spent      credits that this run's purchase cost, counted at the first address of its key
    warnings   the server's, about a job that succeeded with a blemish
    exit_code  what this outcome alone would make the run exit with
    gone       whether the server was seen to have the results no more
    wanted     False for work that was begun before the recipe changed, which no longer asks for it
    taken      whether it is left out since files lie in place of its results, which `on_conflict = "skip"` leaves
    """

    address: str
    key: str
    action: Action
    status: Status
    job_id: str = ""
    spent: int = 0
    outputs: tuple[DeliveredFile, ...] = ()
    errors: tuple[Trouble, ...] = ()
    warnings: tuple[Trouble, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    gone: bool = False
    wanted: bool = True
    taken: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole run. `interrupted` is the exit code of what ended it early, if anything did."""

    run_id: str
    endpoint: str
    outcomes: tuple[Outcome, ...]
    interrupted: ExitCode | None = None

    @property
    def summary(self) -> Mapping[str, int]:
        counts = Counter(outcome.status for outcome in self.outcomes)
        return {status.value: counts[status] for status in Status}

    @property
    def exit_code(self) -> ExitCode:
        if self.interrupted is not None:
            return self.interrupted
        codes = {outcome.exit_code for outcome in self.outcomes}
        return next((code for code in _GRAVEST_FIRST if code in codes), ExitCode.OK)

    def as_json(self) -> Mapping[str, Json]:
        return {
            "run_id": self.run_id,
            "endpoint": self.endpoint,
            "summary": self.summary,
            "jobs": [_outcome_json(outcome) for outcome in self.outcomes],
        }


_GRAVEST_FIRST = (
    ExitCode.AUTHENTICATION,
    ExitCode.UNREACHABLE,
    ExitCode.INVALID,
    ExitCode.QUOTA,
    ExitCode.FAILED,
    ExitCode.LOCKED,
    ExitCode.DEADLINE,
)


def _outcome_json(outcome: Outcome) -> Mapping[str, Json]:
    return {
        "address": outcome.address,
        "key": outcome.key,
        "action": outcome.action.value,
        "job_id": outcome.job_id,
        "status": outcome.status.value,
        "spent": outcome.spent,
        "outputs": [{"path": file.path, "size": file.size_bytes, "sha256": file.sha256} for file in outcome.outputs],
        "errors": [trouble.as_json() for trouble in outcome.errors],
        "warnings": [trouble.as_json() for trouble in outcome.warnings],
    }
