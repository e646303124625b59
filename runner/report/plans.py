"""A plan for people: what will happen to every address, why, and the credits at stake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import click

from runner.plan import BUYING, Action, Credits, Plan, Step
from runner.state import Stage

_MARKS = {
    Action.RUN: ("+", "green"),
    Action.RESUME: (">", "green"),
    Action.REDELIVER: ("v", "cyan"),
    Action.SKIP: ("=", None),
    Action.RETRY: ("!", "yellow"),
    Action.BLOCKED: ("x", "red"),
    Action.LOST: ("?", "red"),
    Action.ORPHAN: ("-", None),
}
QUIET = frozenset({Action.SKIP, Action.ORPHAN})


def plan_text(plan: Plan, *, color: bool, verbose: bool) -> str:
    """One line a job and a summary; what is skipped is listed only with `verbose`."""
    shown = [step for step in (*plan.steps, *plan.begun) if verbose or step.action not in QUIET]
    lines = [line for step in shown for line in _step(step, color=color)]
    notes = [f"Note: {printable(note)}." for note in plan.notes]
    return "\n".join([*lines, plan_summary(plan), *notes, *_preflight(plan, color=color)]) + "\n"


def plan_summary(plan: Plan) -> str:
    counted = [f"{count} to {name}" for name, count in plan.summary.items() if count and name in _VERBS]
    stated = [f"{count} {name}" for name, count in plan.summary.items() if count and name not in _VERBS]
    if not plan.has_changes and not stated:
        return f"Nothing to do: {plan.summary['skip']} done."
    text = ", ".join(counted + stated) or "nothing"
    return f"Plan: {text}.{_credits(plan)}"


_VERBS = {action.value for action in (Action.RUN, Action.RESUME, Action.REDELIVER, Action.SKIP, Action.RETRY)}


def _preflight(plan: Plan, *, color: bool) -> Iterator[str]:
    """What a look showed: one line for all that is well, one for each thing that isn't."""
    if not plan.preflight:
        return
    counts = Counter(sight.verdict for sight in plan.preflight)
    told = [f"{counts[verdict]} {word}" for verdict, word in _VERDICTS.items() if counts[verdict]]
    yield f"Preflight: {', '.join(told)}."
    for sight in plan.preflight:
        if sight.verdict != "ok":
            mark = click.style("?", fg="yellow") if color else "?"
            mark = mark if sight.verdict == "unknown" else click.style("x", fg="red") if color else "x"
            yield f"{mark} {printable(sight.address)}  {printable(sight.said)}"


_VERDICTS: dict[Literal["ok", "wrong", "unknown"], str] = {
    "ok": "fine",
    "wrong": "wrong",
    "unknown": "can't be seen from here",
}


def _credits(plan: Plan) -> str:
    buying = [step for step in (*plan.steps, *plan.begun) if step.action in BUYING]
    if not buying:
        return ""
    if any(step.credits.cap is None for step in buying):
        return " Credits: no cap (limits.job.max_credit is not set for every job)."
    once = sum(step.credits.cap or 0 for step in buying)
    more = sum(_further_credits(step) for step in {step.key: step for step in reversed(buying)}.values())
    again = f", or {once + more} if all fail as often as retry allows" if more else ""
    return f" Credits: at most {once}{again}."


def _further_credits(step: Step) -> int:
    """What may be bought after the next attempt, or the one under way, where that fails and `retry` allows more."""
    if step.job is None:
        return 0
    made = 0 if step.state is None else step.state.attempt - (step.state.stage not in _ENDED)
    return max(0, step.job.retry - made) * (step.job.cap or 0)


_ENDED = frozenset({Stage.FINISHED, Stage.FAILED, Stage.LOST})


def _step(step: Step, *, color: bool) -> Iterator[str]:
    mark, tone = _MARKS[step.action]
    head = f"{mark} {step.action.value:<9} {printable(step.address)}"
    yield f"{click.style(head, fg=tone) if color and tone else head}  {printable(step.reason)}{_at_stake(step)}"
    for change in step.changes[1:]:
        yield f"              {printable(str(change))}"


def _at_stake(step: Step) -> str:
    """Of what is bought, the most it may cost; of what only a person can have bought, as far as that is known."""
    credits = step.credits
    if credits == Credits(cap=0, estimate=0):
        return ""
    uncapped = [] if step.action in (Action.BLOCKED, Action.LOST) else ["no cap"]
    cap = uncapped if credits.cap is None else [f"at most {credits.cap}"]
    said = [*cap, *([] if credits.estimate is None else [f"{credits.estimate} last time"])]
    return f"  [credits: {', '.join(said)}]" if said else ""


def printable(text: str) -> str:
    """`text` without characters that would steer a terminal or break a line; names may hold any."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
