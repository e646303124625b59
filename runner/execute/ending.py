"""The last line of a run: what the lines about keys don't say, as bounded as the log of a cron job must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.execute.outcome import Outcome, Report, Status, Trouble
from runner.runlog import NotDone, RunEnded

MOST_REASONS = 200
MOST_ADDRESSES = 1000
AT_LEAST = 5  # of each reason, whatever the others want
MOST_CHARACTERS = 500
_DONE = frozenset({Status.SUCCEEDED, Status.SKIPPED})


def run_ended(report: Report) -> RunEnded:
    return RunEnded(
        run_id=report.run_id,
        exit_code=int(report.exit_code),
        summary=dict(report.summary),
        not_done=tuple(not_done(report.outcomes)),
    )


def not_done(outcomes: Sequence[Outcome]) -> Iterator[NotDone]:
    """What wasn't done, gathered where the reason is the same. Reasons beyond the bound are counted together."""
    groups: dict[tuple[Status, tuple[Trouble, ...]], list[str]] = {}
    for outcome in outcomes:
        if outcome.status not in _DONE:
            groups.setdefault((outcome.status, outcome.errors), []).append(outcome.address)
    ranked = sorted(groups.items(), key=lambda group: group[0][0] is Status.FAILED)  # those have lines that say why
    kept, others = ranked[:MOST_REASONS], ranked[MOST_REASONS:]
    room = MOST_ADDRESSES - sum(min(len(addresses), AT_LEAST) for _, addresses in kept)
    for (status, troubles), addresses in kept:
        more = min(max(0, len(addresses) - AT_LEAST), room)
        room -= more
        yield NotDone(
            status=status.value,
            count=len(addresses),
            addresses=tuple(map(_bounded, addresses[: AT_LEAST + more])),
            errors=tuple(
                {"code": one.code, "message": _bounded(one.message), "hint": _bounded(one.hint)} for one in troubles[:5]
            ),
        )
    if others:
        said = {
            "code": 0,
            "message": f"{len(others)} more reasons",
            "hint": "runner plan says what is still in the way",
        }
        count = sum(len(addresses) for _, addresses in others)
        yield NotDone(status="not done", count=count, addresses=(), errors=(said,))


def _bounded(text: str) -> str:
    """Text that JSON carries: names on disk need not be UTF-8."""
    cut = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
    return cut.encode(errors="backslashreplace").decode()
