"""`runner log`: earlier runs, one of them, or all that is known of a key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.options import format_option
from runner.errors import InvalidError, counted

if TYPE_CHECKING:
    from runner.report.history import JobRow, LeftRow, LineRow, RunRow
    from runner.runlog import KeyEvent, RunEnded, RunLog, RunSummary, StoredEvent
    from runner.state import KeyState

ELSEWHERE = "without runner.toml and git, the log of a run lies in .runner beside its recipe: go there, or give --state"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """How the run log is called, and where else to look when it is empty, which may be a surprise."""

    said: str
    advice: str


@click.command()
@click.argument("run_id", required=False)
@click.option("--key", metavar="KEY|ADDRESS", help="Show all lines about a key (its beginning will do) or an address.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to list.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run log. [default: .runner in the project]",
)
@format_option("text", "json")
def log(run_id: str | None, key: str | None, limit: int, state: Path | None, style: str) -> None:
    """List earlier runs, newest first, or show RUN_ID: what it did about every address that wasn't done, and what
    it spent.

    RUN_ID may be the beginning of an id, or 'last'. Nothing is changed, and nothing is asked of the endpoint.
    Of very many blocked or pending addresses not all are named; 'unnamed' in the JSON counts the others.

    Example: runner log last --format json | jq '.jobs[].status'

    Exits 0, or 5 when there is no such run or the run log can't be read.
    """
    from runner.cli.endpoint import choose_endpoint

    chosen = choose_endpoint((Path.cwd(),), endpoint=None, state=state, need_key=False)
    place = _Place(
        said=chosen.log_said if chosen.run_log else str(chosen.state),
        advice="" if chosen.run_log or state else ELSEWHERE,
    )
    with chosen.open_log(read_only=True) as opened:
        if key is not None:
            _show_lines(opened, key, run_id, place, style)
        elif run_id is not None:
            _show_run(opened, _find_run(opened, run_id, place), style)
        else:
            _list_runs(opened, limit, place, style)


def _list_runs(opened: RunLog, limit: int, place: _Place, style: str) -> None:
    from runner.report.history import runs_json, runs_text

    rows = [_run_row(run) for run in opened.runs(limit=limit)]
    if style == "json":
        _echo_json(runs_json(rows))
    elif rows:
        click.echo(runs_text(rows), nl=False)
    else:
        click.echo(f"There are no runs yet in {place.said}.", err=True)
        if place.advice:
            click.echo(f"  {place.advice}", err=True)


def _show_run(opened: RunLog, run: RunSummary, style: str) -> None:
    from runner.report.history import run_json, run_text

    ended = _end_of(opened, run.run_id)
    summary = ended.summary if ended else {}
    jobs, left = _with_reasons(list(_job_rows(opened, run.run_id)), ended)
    if style == "json":
        _echo_json(run_json(_run_row(run), jobs, left, summary))
    else:
        click.echo(run_text(_run_row(run), jobs, left, summary), nl=False)


def _end_of(opened: RunLog, run_id: str) -> RunEnded | None:
    """What the run itself said of its end; None while it works."""
    from runner.runlog import RunEnded

    ends = [line.event for line in opened.events(run_id=run_id, kinds={"run_ended"})]
    return next((end for end in reversed(ends) if isinstance(end, RunEnded)), None)


def _with_reasons(jobs: list[JobRow], ended: RunEnded | None) -> tuple[list[JobRow], list[LeftRow]]:
    """`jobs`, those without an error of their own with the reason that the end gives; and whom no line is about."""
    from runner.report.history import LeftRow

    at = {job.address: number for number, job in enumerate(jobs)}
    left = []
    for group in ended.not_done if ended else ():
        for address in group.addresses:
            if address in at and not jobs[at[address]].errors:
                jobs[at[address]] = replace(jobs[at[address]], errors=group.errors)
        addresses = tuple(address for address in group.addresses if address not in at)
        more = group.count - len(group.addresses)
        if addresses or more:
            left.append(LeftRow(status=group.status, errors=group.errors, addresses=addresses, more=more))
    return jobs, left


def _show_lines(opened: RunLog, wanted: str, run_id: str | None, place: _Place, style: str) -> None:
    from runner.report.history import lines_json, lines_text

    run = None if run_id is None else _find_run(opened, run_id, place).run_id
    keys = [key for key, state in opened.states().items() if key.startswith(wanted) or wanted in state.addresses]
    if not keys:
        raise InvalidError(
            f"the run log knows no key that begins with '{wanted}' and no such address",
            hint="`runner log last` shows addresses, `runner log last --format json` keys as well",
        )
    rows = [_line_row(line) for key in keys for line in opened.events(run_id=run, key=key)]
    rows.sort(key=lambda row: row.seq)
    if style == "json":
        _echo_json(lines_json(rows))
    else:
        click.echo(lines_text(rows), nl=False)


def _find_run(opened: RunLog, wanted: str, place: _Place) -> RunSummary:
    found = opened.runs(limit=1) if wanted == "last" else opened.find_runs(wanted)
    exact = [run for run in found if run.run_id == wanted] or found
    if len(exact) == 1:
        return exact[0]
    if exact:
        ids = ", ".join(run.run_id for run in exact[:5])
        raise InvalidError(f"{len(exact)} runs begin with '{wanted}': {ids}", hint="give more of the id")
    hint = "`runner log` lists them" if any(True for _ in opened.runs(limit=1)) else place.advice
    raise InvalidError(f"there is no run '{wanted}' in {place.said}", hint=hint)


def _run_row(run: RunSummary) -> RunRow:
    from runner.report.history import RunRow

    return RunRow(
        run_id=run.run_id,
        started_at=run.started_at,
        ended_at=run.ended_at,
        endpoint=run.endpoint,
        command=run.command,
        exit_code=run.exit_code,
        spent=run.spent,
        counts=run.counts,
    )


def _job_rows(opened: RunLog, run_id: str) -> Iterable[JobRow]:
    from runner.runlog import KeyEvent

    by_key: dict[str, list[StoredEvent]] = {}
    for line in opened.events(run_id=run_id):
        if isinstance(line.event, KeyEvent):
            by_key.setdefault(line.event.key, []).append(line)
    states = opened.states(by_key)
    rows = [
        _job_row(address, lines, pays=index == 0)
        for key, lines in by_key.items()
        for index, address in enumerate(_addresses(lines, states.get(key)))
    ]
    return sorted(rows, key=lambda row: row.address)


def _addresses(lines: list[StoredEvent], state: KeyState | None) -> list[str]:
    """Whom this run worked for: those its lines name, else all that ever wanted the key."""
    from runner.runlog import Delivered, DeliveryFailed, Intent

    named: set[str] = set()
    for line in lines:
        match line.event:
            case Intent(addresses=addresses):
                named.update(addresses)
            case Delivered(address=address) | DeliveryFailed(address=address):
                named.add(address)
    known = named or (set() if state is None else state.addresses)
    return sorted(known) or [""]


def _job_row(address: str, lines: list[StoredEvent], *, pays: bool) -> JobRow:
    """What was bought once for several addresses counts at the first of them, as in the report of the run."""
    from runner.report.history import JobRow
    from runner.runlog import Delivered, DeliveryFailed, Failed, Finished

    own = [line for line in lines if getattr(line.event, "address", address) == address]
    events = [line.event for line in own]
    last = own[-1]
    delivered = [event for event in events if isinstance(event, Delivered)]
    event = _key_event(last)
    files = delivered[-1].files if delivered and not isinstance(event, DeliveryFailed) else ()
    return JobRow(
        address=address,
        key=event.key,
        attempt=event.attempt,
        job_id=next((job for line in reversed(own) if (job := getattr(line.event, "job_id", ""))), ""),
        status=_line_row(last).kind,
        spent=sum(each.spent for each in events if isinstance(each, Finished | Failed)) if pays else 0,
        outputs=tuple(file for file in files if file.sha256),
        errors=_errors(event),
        lines=tuple(_line_row(line) for line in own),
    )


def _errors(event: KeyEvent) -> tuple[Mapping[str, object], ...]:
    from runner.runlog import DeliveryFailed, Failed, Lost, Refused

    match event:
        case Failed(errors=errors):
            return tuple(errors)
        case Lost(reason=message) | DeliveryFailed(message=message):
            return ({"code": 0, "message": message},)
        case Refused(status=status, message=message):
            return ({"code": status, "message": message},)
    return ()


def _line_row(line: StoredEvent) -> LineRow:
    from runner.report.history import LineRow
    from runner.runlog import kind_of

    event = _key_event(line)
    return LineRow(
        seq=line.seq,
        at=line.at,
        run_id=line.run_id,
        kind=kind_of(type(line.event)),
        key=event.key,
        attempt=event.attempt,
        text=_text(event),
    )


def _text(event: KeyEvent) -> str:
    """What a line says beyond its kind. Payloads are left out: they are long, and `runner compile` shows them."""
    from runner.runlog import Delivered, DeliveryFailed, Failed, Finished, Intent

    said = [str(error.get("message", "")) for error in _errors(event)]
    match event:
        case Intent(addresses=addresses, cap=cap):
            said += [", ".join(addresses), *([] if cap is None else [f"at most {counted(cap, 'credit')}"])]
        case Finished(spent=spent, outputs=outputs):
            said += [counted(spent, "credit"), counted(len(outputs), "output")]
        case Failed(spent=spent):
            said += [counted(spent, "credit")]
        case Delivered(address=address, files=files):
            said += [address, *(file.path for file in files)]
        case DeliveryFailed(address=address):
            said.insert(0, address)
    job_id = getattr(event, "job_id", "")
    return "; ".join(part for part in [f"job {job_id}" if job_id else "", *said] if part)


def _key_event(line: StoredEvent) -> KeyEvent:
    from runner.runlog import KeyEvent

    assert isinstance(line.event, KeyEvent)
    return line.event


def _echo_json(document: Mapping[str, object]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
