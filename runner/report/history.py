"""Earlier runs for people and for scripts: a table of them, one in detail, and the lines about a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runner.errors import counted
from runner.report.findings import one_line
from runner.state import DeliveredFile
from runner.wire.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """One run. `ended_at` and `exit_code` are None while it works, and for ever if it was killed."""

    run_id: str
    started_at: float
    ended_at: float | None
    endpoint: str
    command: str
    exit_code: int | None
    spent: int
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRow:
    """One line of the log: what it says beyond its kind is in `text`."""

    seq: int
    at: float
    run_id: str
    kind: str
    key: str
    attempt: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """What one run did about one address; `status` is the kind of its last line."""

    address: str
    key: str
    attempt: int
    job_id: str
    status: str
    spent: int
    outputs: tuple[DeliveredFile, ...]
    errors: tuple[Mapping[str, Json], ...]
    lines: tuple[LineRow, ...] = field(default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftRow:
    """Addresses about which a run did nothing that has lines, for one reason; `more` are not named."""

    status: str
    errors: tuple[Mapping[str, Json], ...]
    addresses: tuple[str, ...]
    more: int


def runs_text(rows: Sequence[RunRow]) -> str:
    """A table, in the order given."""
    head = ("RUN", "COMMAND", "STARTED (UTC)", "TOOK", "EXIT", "ENDPOINT", "CREDITS", "JOBS")
    table = [head, *(_run_cells(row) for row in rows)]
    return "".join(f"{line}\n" for line in _aligned(table))


def run_text(row: RunRow, jobs: Sequence[JobRow], left: Sequence[LeftRow], summary: Mapping[str, int]) -> str:
    """One run and what it did about every address; `summary` counts addresses by what came of them."""
    counted = ", ".join(f"{count} {name}" for name, count in summary.items() if count)
    lines = [
        f"run      {row.run_id}",
        f"command  {one_line(row.command)}",
        f"endpoint {one_line(row.endpoint)}",
        f"started  {_moment(row.started_at)}",
        f"ended    {_end(row)}",
        f"credits  {row.spent}",
        *([f"result   {counted}"] if counted else []),
        "",
        *(line for job in jobs for line in _job_lines(job)),
        *(line for one in left for line in _left_lines(one)),
    ]
    if not jobs and not left:
        lines.append("Nothing could be done." if row.exit_code else "Nothing was left to do.")
    return "\n".join(lines) + "\n"


def lines_text(rows: Sequence[LineRow]) -> str:
    """Lines of the log in their order, as a table."""
    head = ("TIME (UTC)", "RUN", "KEY", "ATTEMPT", "WHAT", "")
    cells = [
        (_moment(row.at), row.run_id, row.key[:15], str(row.attempt), _words(row.kind), one_line(row.text))
        for row in rows
    ]
    return "".join(f"{line}\n" for line in _aligned([head, *cells]))


def runs_json(rows: Sequence[RunRow]) -> Mapping[str, Json]:
    return {"runs": [_run_json(row) for row in rows]}


def run_json(
    row: RunRow, jobs: Sequence[JobRow], left: Sequence[LeftRow], summary: Mapping[str, int]
) -> Mapping[str, Json]:
    rows = [*jobs, *(job for one in left for job in _left_jobs(one))]
    run = {**_run_json(row), "summary": dict(summary)}
    return {"run": run, "jobs": [_job_json(job) for job in rows], "unnamed": sum(one.more for one in left)}


def lines_json(rows: Sequence[LineRow]) -> Mapping[str, Json]:
    return {"events": [_line_json(row) for row in rows]}


def _run_cells(row: RunRow) -> tuple[str, ...]:
    took = "" if row.ended_at is None else _took(row.ended_at - row.started_at)
    code = "" if row.exit_code is None else str(row.exit_code)
    jobs = ", ".join(f"{row.counts[kind]} {_words(kind)}" for kind in _COUNTED if row.counts.get(kind))
    began, command, endpoint = _moment(row.started_at), one_line(row.command), one_line(row.endpoint)
    return (row.run_id, command, began, took, code, endpoint, str(row.spent), jobs)


# What a run is asked for first; the other kinds are steps on the way.
_COUNTED = ("started", "finished", "delivered", "failed", "lost", "refused", "abandoned", "delivery_failed")


def _job_lines(job: JobRow) -> Iterator[str]:
    attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
    number = f", job {job.job_id}" if job.job_id else ""
    yield f"{one_line(job.address)}: {_words(job.status)}, {counted(job.spent, 'credit')}{attempt}{number}"
    if job.lines:
        first = job.lines[0].at
        yield "    " + ", ".join(f"{_words(line.kind)} +{line.at - first:.1f}s" for line in job.lines)
    yield from (f"    {one_line(file.path)}" for file in job.outputs)
    yield from (f"    error: {one_line(str(error.get('message', '')))}" for error in job.errors)


def _left_lines(left: LeftRow) -> Iterator[str]:
    """The reason once, and below it whom it holds up."""
    said = "; ".join(one_line(str(error.get("message", ""))) for error in left.errors)
    if len(left.addresses) == 1 and not left.more:
        yield f"{one_line(left.addresses[0])}: {left.status}: {said}"
    else:
        yield f"{left.status}, {len(left.addresses) + left.more} of them: {said}"
        yield from (f"    {one_line(address)}" for address in left.addresses)
    if left.addresses and left.more:
        yield f"    and {left.more} more"
    yield from (f"  {one_line(hint)}" for error in left.errors if (hint := str(error.get("hint", ""))))


def _left_jobs(left: LeftRow) -> Iterator[JobRow]:
    for address in left.addresses:
        yield JobRow(
            address=address, key="", attempt=0, job_id="", status=left.status, spent=0, outputs=(), errors=left.errors
        )


def _end(row: RunRow) -> str:
    if row.ended_at is None:
        return "not yet, or it was killed"
    return f"{_moment(row.ended_at)}, exit {row.exit_code}, after {_took(row.ended_at - row.started_at)}"


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _words(kind: str) -> str:
    return _WORDS.get(kind, kind.replace("_", " "))


_WORDS = {
    "intent": "intended",
    "starting": "start asked for",
    "abandoned": "deleted unstarted",
    "delivery_failed": "not delivered",
}


def _took(seconds: float) -> str:
    # A clock that was set back meanwhile is no reason for a negative time.
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _run_json(row: RunRow) -> Mapping[str, Json]:
    return {
        "run_id": row.run_id,
        "started_at": _iso(row.started_at),
        "ended_at": _iso(row.ended_at),
        "endpoint": row.endpoint,
        "command": row.command,
        "exit_code": row.exit_code,
        "spent": row.spent,
        "counts": dict(row.counts),
    }


def _job_json(job: JobRow) -> Mapping[str, Json]:
    return {
        "address": job.address,
        "key": job.key,
        "attempt": job.attempt,
        "job_id": job.job_id,
        "status": job.status,
        "spent": job.spent,
        "outputs": [{"path": file.path, "size": file.size_bytes, "sha256": file.sha256} for file in job.outputs],
        "errors": [dict(error) for error in job.errors],
        "events": [_line_json(line) for line in job.lines],
    }


def _line_json(row: LineRow) -> Mapping[str, Json]:
    return {
        "seq": row.seq,
        "at": _iso(row.at),
        "run_id": row.run_id,
        "kind": row.kind,
        "key": row.key,
        "attempt": row.attempt,
        "text": row.text,
    }
