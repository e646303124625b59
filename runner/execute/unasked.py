"""Work that was started before its recipe changed, and that nobody asks for any more.

It was bought, so it is seen to its end: what it cost goes into the log. Nothing is bought here, and nothing delivered
but to the job's own output targets, where the server puts it; what turns out never to have been started is deleted.
"""

from __future__ import annotations

from contextlib import suppress

from runner.client.errors import GoneError, RefusedError
from runner.errors import ExitCode
from runner.execute.claims import Claim
from runner.execute.faults import LostJobError, NotStartedError
from runner.execute.following import end_line
from runner.execute.outcome import Outcome, Status, Trouble
from runner.execute.presence import find_job, is_void
from runner.execute.shown import cost_of, reasons, unknown_cost
from runner.execute.site import Site
from runner.execute.work import hide_queries
from runner.plan import Step, results_left
from runner.runlog import Abandoned, Event, Lost, Refused, Started
from runner.state import UNDER_WAY, KeyState, Stage
from runner.wire.job import Job


async def see_to_its_end(site: Site, step: Step, claim: Claim) -> Outcome:
    """What came of it. Raises LostJobError, LeaseLost and what the client raises."""
    state = claim.state
    if state is None or state.stage not in UNDER_WAY:
        return _outcome(step, Status.SKIPPED, said="another run has seen to it")
    hide_queries(state.payload, hidden=site.api.hidden)
    job = await find_job(site.api, state.job_id, sleep=site.sleep)
    if job is not None and state.stage is Stage.STARTING:
        job = await _started(site, step, job, state, claim)
        if job is None:
            return _outcome(step, Status.SKIPPED, said="it had not been started and was deleted")
        if job.is_unstarted:
            return _outcome(step, Status.SKIPPED, said="it was not started so far, and the server keeps it")
    try:
        while job is not None and not job.ended:
            job = await _waited_for(site, state)
    except NotStartedError as error:  # the server answers with it, so it isn't lost, and may run yet
        return _outcome(step, Status.SKIPPED, said=f"{error}; the next run looks again")
    if job is None:
        reason = f"job {state.job_id} was started, and the server no longer knows it"
        await _log(site, claim, Lost(key=state.key, attempt=state.attempt, reason=reason))
        raise LostJobError(f"{reason}; {step.cause}")
    await _log(site, claim, end_line(job, key=state.key, attempt=state.attempt, payload=state.payload))
    return _ended(step, state, job)


async def _started(site: Site, step: Step, job: Job, state: KeyState, claim: Claim) -> Job | None:
    """The job, if it was bought. What wasn't is deleted before the log says so: a start on its way meets nothing.

    Where the server doesn't delete it, it stays the one job that this work has: it may be started yet.
    """
    shown: Job | None = job
    if job.is_unstarted:
        with suppress(RefusedError):  # the server may keep unstarted jobs; they are free
            await site.api.delete_job(state.job_id)
        shown = await find_job(site.api, state.job_id, sleep=site.sleep)
    if shown is not None and shown.is_unstarted:
        return shown
    if shown is None or is_void(shown):
        refused = Refused(key=state.key, attempt=state.attempt, status=0, message=step.cause)
        await _log(site, claim, refused, Abandoned(key=state.key, attempt=state.attempt, job_id=state.job_id))
        return None
    await _log(site, claim, Started(key=state.key, attempt=state.attempt, job_id=state.job_id))
    return shown


async def _waited_for(site: Site, state: KeyState) -> Job | None:
    """The job as it ended, None where it is gone. Raises NotStartedError."""
    try:
        return await site.poller.wait(state.job_id)
    except GoneError:
        return await find_job(site.api, state.job_id, sleep=site.sleep)


def _ended(step: Step, state: KeyState, job: Job) -> Outcome:
    spent, guessed = cost_of(job, state.payload), unknown_cost(job, state.payload)
    if job.status == "completed":
        left = results_left(state, gone=True)
        return _outcome(step, Status.SUCCEEDED, said=left, spent=spent, guessed=guessed)
    troubles = tuple(Trouble(code=code, message=message) for code, message in reasons(job))
    said = f"it ended as '{job.status}'"
    return _outcome(step, Status.FAILED, said=said, spent=spent, guessed=guessed, errors=troubles)


def _outcome(
    step: Step, status: Status, *, said: str, spent: int = 0, guessed: str = "", errors: tuple[Trouble, ...] = ()
) -> Outcome:
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=status,
        job_id=step.state.job_id if step.state else "",
        spent=spent,
        errors=errors or ((Trouble(message=said),) if status is Status.FAILED else ()),
        warnings=(Trouble(message=f"{step.cause}: {said}"), *([Trouble(message=guessed)] if guessed else [])),
        exit_code=ExitCode.FAILED if status is Status.FAILED else ExitCode.OK,
        wanted=False,
    )


async def _log(site: Site, claim: Claim, *events: Event) -> None:
    await site.log.append(*events, run_id=site.run_id, fence=claim.fence)
