"""From an error to an outcome: what it means for the address, the run's exit code and the jobs still to come."""

from __future__ import annotations

from dataclasses import replace

from runner.client.errors import ApiUnreachableError, GoneError, OutcomeUnknownError, RefusedError, UsedUpError
from runner.errors import AuthenticationError, DeadlineReached, ExitCode, LockedError, QuotaError, RunnerError, counted
from runner.execute.faults import (
    LostJobError,
    NoRoomError,
    OvertakenError,
    ParkedError,
    UndeliverableError,
    UnfollowedError,
    UploadServerError,
    is_final,
)
from runner.execute.outcome import Outcome, Report, Status, Trouble
from runner.plan import Action, Plan, Step, files_here
from runner.runlog import LogUnreachable, LogUnusable
from runner.state import KeyState
from runner.wire.values import as_int

_STATUS: tuple[tuple[type[RunnerError], Status], ...] = (
    (LostJobError, Status.LOST),
    (UndeliverableError, Status.BLOCKED),
    (OvertakenError, Status.BLOCKED),
    (UnfollowedError, Status.PENDING),
    (NoRoomError, Status.PENDING),
    (QuotaError, Status.BLOCKED),
    (AuthenticationError, Status.PENDING),
    (UploadServerError, Status.PENDING),
    (ApiUnreachableError, Status.PENDING),
    (OutcomeUnknownError, Status.PENDING),
    (LockedError, Status.PENDING),
    (DeadlineReached, Status.PENDING),
)
# Without a log nothing may be bought.
_NOTHING_GOES_ON = (AuthenticationError, ApiUnreachableError, ParkedError, LogUnusable, LogUnreachable)

_UNTOUCHED = {Action.SKIP: Status.SKIPPED, Action.BLOCKED: Status.BLOCKED, Action.LOST: Status.LOST}


def is_hopeless(error: RunnerError) -> bool:
    """Whether every further job would meet the same end."""
    return isinstance(error, _NOTHING_GOES_ON)


def as_outcome(
    step: Step, error: RunnerError, *, state: KeyState | None, job_id: str = "", spent: int = 0, waits: str = ""
) -> Outcome:
    """What `error` means for `step`; `waits` says that the work is bought, where only its delivery went wrong."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), Status.FAILED)
    hint, gone = error.hint or waits, False
    if isinstance(error, GoneError) and (waits or step.action is Action.REDELIVER):
        status, gone = Status.BLOCKED, is_final(error)
        cost = counted(spent or (state.spent if state else 0), "credit")
        hint = f"the server {_has_not(error)}; --retry-lost or a new epoch buys it again (it cost {cost})"
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=status,
        job_id=job_id or (state.job_id if state else ""),
        spent=spent,
        errors=(Trouble(message=str(error), code=_code_of(error), hint=hint),),
        exit_code=error.exit_code,
        gone=gone,
    )


def _has_not(error: GoneError) -> str:
    if isinstance(error, UsedUpError):
        return "has it, and hands it out no more"
    return "no longer has it" if is_final(error) else "didn't have it just now, and the next run asks again"


def _code_of(error: BaseException | None) -> int:
    """The HTTP status of the refusal behind `error`, 0 where there is none."""
    if error is None:
        return 0
    return error.status if isinstance(error, RefusedError) else _code_of(error.__cause__)


def untouched(step: Step) -> Outcome:
    """The outcome of a step that the plan already decided to leave alone."""
    status = _UNTOUCHED[step.action]
    delivery = step.state.deliveries.get(step.address) if step.state and status is Status.SKIPPED else None
    files = files_here(step.job, delivery) if step.job and delivery else ()
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=status,
        job_id=step.state.job_id if step.state else "",
        outputs=tuple(file for file in files if file.sha256),
        errors=() if status is Status.SKIPPED else (Trouble(message=step.reason, code=_code_of_state(step.state)),),
        exit_code=ExitCode.OK if status is Status.SKIPPED else step.exit_code,
        taken=status is Status.SKIPPED and delivery is None,
    )


def _code_of_state(state: KeyState | None) -> int:
    """The API's code for why work failed, 0 where there is none."""
    return as_int(state.errors[0].get("code")) if state and state.errors else 0


def cut_off(outcome: Outcome, lost: ApiUnreachableError | None) -> Outcome:
    """`outcome`; where the deadline came while there was no connection, that is what it waited for."""
    if lost is None or outcome.exit_code is not ExitCode.DEADLINE:
        return outcome
    hint = "see that the endpoint answers; nothing is lost, and the next run goes on where this one was"
    troubles = (replace(one, message=f"{one.message}; {lost}", hint=hint) for one in outcome.errors)
    return replace(outcome, errors=tuple(troubles))


def must_wait(step: Step, recipes: list[str]) -> Outcome:
    """The outcome of a step whose recipe comes after others that aren't done."""
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=Status.BLOCKED,
        job_id=step.state.job_id if step.state else "",
        errors=(Trouble(message=f"it comes after {', '.join(recipes)}, which isn't done", hint="mend that first"),),
        exit_code=ExitCode.FAILED,
    )


def not_begun(step: Step, why: RunnerError | None, *, held_elsewhere: bool) -> Outcome:
    """The outcome of a step that this run didn't come to."""
    if isinstance(why, DeadlineReached):
        trouble = Trouble(message="the deadline was reached before its turn came", hint="the next run goes on")
        status, code = Status.PENDING, why.exit_code
    elif why is not None:
        trouble = Trouble(message=f"not begun, since another job met this: {why}", hint=why.hint)
        status = Status.BLOCKED if isinstance(why, QuotaError) else Status.PENDING
        code = why.exit_code
    elif held_elsewhere:
        trouble = Trouble(message="another run is working on it", hint="wait for it, or give --lock-wait")
        status, code = Status.PENDING, ExitCode.LOCKED
    else:
        trouble = Trouble(message="the run ended before its turn came, or before its job did")
        status, code = Status.PENDING, ExitCode.OK
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=status,
        job_id=step.state.job_id if step.state else "",
        errors=(trouble,),
        exit_code=code,
    )


def settled_report(plan: Plan, *, run_id: str, endpoint: str) -> Report:
    """The report of a plan that leaves nothing to do."""
    outcomes = tuple(untouched(step) for step in plan.steps if step.action is not Action.ORPHAN)
    return Report(run_id=run_id, endpoint=endpoint, outcomes=outcomes)
