"""How long the next step may take, by what the job may still spend; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.server.config import Contract
from runner.server.jobs.credits import LEAST, charged, seconds_for
from runner.server.jobs.limits import max_credit, max_process_time_s
from runner.server.jobs.record import Job, Step
from runner.wire.values import JsonObject

# Codes are HTTP-like where the API has none of its own.
CREDIT_CODE = 402
TIME_CODE = 408


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """Seconds for the next step, and the error that says which limit it met when they are over."""

    seconds: float
    error: JsonObject


def allowance(
    job: Job, done: Sequence[Step], *, left: int, contract: Contract, credits_left: int | None
) -> Allowance | JsonObject:
    """What the next of `left` steps may take, or the error why it must not begin.

    credits_left  what the contract has for this job, all of its steps together; None where it has no end

    A job that fails as a whole when one conversion does must be able to pay for all that are left; the
    other kind goes on for as long as there is a credit.
    """
    return min(
        (
            _by_time(job, done, contract),
            _by_credit(job, done, left, contract, max_credit(job), "{} credits (limits.job.max_credit)"),
            _by_credit(job, done, left, contract, credits_left, "the {} credits that the contract has left"),
        ),
        key=lambda one: one.seconds if isinstance(one, Allowance) else -1.0,
    )


def needed(job: Job, left: int) -> int:
    """Credits without which the next of `left` steps doesn't begin."""
    return left * LEAST if job.fail_on_conversion_error else LEAST


def _by_time(job: Job, done: Sequence[Step], contract: Contract) -> Allowance | JsonObject:
    most = max_process_time_s(job, contract)
    error = {
        "code": TIME_CODE,
        "message": f"The job's conversions took longer than {most} s (limits.job.max_process_time)",
    }
    seconds = most - sum(step.wall_s for step in done)
    return Allowance(seconds=seconds, error=error) if seconds > 0 else error


def _by_credit(
    job: Job, done: Sequence[Step], left: int, contract: Contract, most: int | None, words: str
) -> Allowance | JsonObject:
    if most is None:
        return Allowance(seconds=float("inf"), error={})
    spent, others = charged(done), needed(job, left) - LEAST
    error = {
        "code": CREDIT_CODE,
        "message": f"The job may spend {words.format(most)}; at least {spent + others + LEAST} would be needed",
    }
    if most - spent - others < LEAST:
        return error
    return Allowance(seconds=seconds_for(most - spent - others, contract.credit_minute_s), error=error)
