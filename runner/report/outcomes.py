"""What came of a run, for people: what went wrong and what to do about it first, then one line of summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import click

from runner.errors import counted
from runner.execute.outcome import Report, Status, Trouble
from runner.report.plans import printable

_TONES = {Status.FAILED: "red", Status.LOST: "red", Status.BLOCKED: "yellow", Status.PENDING: "yellow"}
MOST_SHOWN = 20


def troubles_text(report: Report, *, color: bool) -> str:
    """Every address that isn't done, with its reason; empty when all is well.

    One reason for many addresses is said once. What could not even be compiled has no key: the findings have
    named it, at its line.
    """
    by_reason: dict[tuple[Status, Trouble], list[str]] = {}
    for outcome in report.outcomes:
        if outcome.status in _TONES and outcome.key:
            for trouble in outcome.errors:
                by_reason.setdefault((outcome.status, trouble), []).append(outcome.address)
    reasons = list(by_reason.items())
    lines = [
        line for (status, trouble), at in reasons[:MOST_SHOWN] for line in _reason(status, trouble, at, color=color)
    ]
    if len(reasons) > MOST_SHOWN:
        lines.append(f"... and {len(reasons) - MOST_SHOWN} more: runner log {report.run_id}")
    return "".join(f"{line}\n" for line in lines)


def warnings_text(report: Report) -> str:
    """What is blemished; one warning of many addresses is said once."""
    addresses: dict[Trouble, list[str]] = {}
    for outcome in report.outcomes:
        for one in outcome.warnings:
            addresses.setdefault(one, []).append(outcome.address)
    lines: list[str] = []
    for one, at in addresses.items():
        lines.append(f"warning: {printable(at[0])}{_others(at)}: {printable(one.message)}")
        lines += [f"  {printable(one.hint)}"] if one.hint else []
    return "".join(f"{line}\n" for line in lines)


def _reason(status: Status, trouble: Trouble, addresses: Sequence[str], *, color: bool) -> Iterator[str]:
    name = click.style(status.value, fg=_TONES[status]) if color else status.value
    said = re.search(rf"\b{trouble.code}\b", trouble.message)
    code = f" ({trouble.code})" if trouble.code and not said else ""
    yield f"{name}: {printable(addresses[0])}{_others(addresses)}: {printable(trouble.message)}{code}"
    if trouble.hint:
        yield f"  {printable(trouble.hint)}"


def _others(addresses: Sequence[str]) -> str:
    return f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""


def summary_text(report: Report, *, seconds: float) -> str:
    """One sentence: what was done, what wasn't, what it cost."""
    counts = report.summary
    if counts["skipped"] == len(report.outcomes):
        return f"Nothing to do: {_skipped(report)}.\n"
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    spent = sum(outcome.spent for outcome in report.outcomes)
    credits = f", {counted(spent, 'credit')}" if report.endpoint != "local" else ""
    return f"{parts}{credits} in {seconds:.1f} s (run {report.run_id}).\n"


def _skipped(report: Report) -> str:
    taken = sum(outcome.taken for outcome in report.outcomes)
    done = len(report.outcomes) - taken
    parts = [f"{done} done before"] if done or not taken else []
    if taken:
        parts.append(f"{taken} left out, since files lie in place of the results (on_conflict = skip)")
    return ", ".join(parts)


def folders_text(report: Report) -> str:
    """Where results went, a line a folder."""
    folders: dict[str, int] = {}
    for outcome in report.outcomes:
        for file in outcome.outputs:
            folder = file.path.rpartition("/")[0]
            folders[folder] = folders.get(folder, 0) + 1
    return "".join(f"{counted(count, 'result')} in {printable(folder)}\n" for folder, count in sorted(folders.items()))
