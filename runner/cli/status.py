"""`runner status`: what was spent, per recipe and day, and what is under way."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import endpoint_options, format_option
from runner.errors import RunnerError, counted
from runner.report.findings import one_line

if TYPE_CHECKING:
    from runner.runlog import Leftover, RunLog
    from runner.state import KeyState

SHORT_KEY = 15
ALONE = "what is shown is what the run log knows; --offline asks nothing else"


@click.command()
@click.argument("recipes", nargs=-1, type=click.Path(path_type=Path))
@endpoint_options
@format_option("text", "json")
@click.option("--offline", is_flag=True, help="Don't ask the endpoint what it has booked.")
def status(recipes: tuple[Path, ...], endpoint: str | None, state: Path | None, style: str, offline: bool) -> None:
    """Say what was spent, per recipe, day (UTC) and endpoint, what is under way, and whether the server's books agree.

    RECIPES only tell where the run log lies; without any, the current folder does.

    Example: runner status recipes/ --format json | jq .spent

    Exits 0; 3 for a wrong or missing key; 8 when the endpoint doesn't answer: what the run log knows is shown before it
    is asked, and --offline asks nothing else.
    """
    from runner.cli.endpoint import choose_endpoint
    from runner.state import UNDER_WAY

    chosen = choose_endpoint(recipes or (Path.cwd(),), endpoint=endpoint, state=state, need_key=not offline)
    with chosen.open_log(read_only=True) as log:
        states = log.states()
        document = _document(log, states, endpoint=chosen.name)
        today = log.today()
        under_way = {state.job_id for state in states.values() if state.stage in UNDER_WAY}
        known = log.credits(day_utc=today, endpoint=chosen.name, account=chosen.account).spent
    if style == "text":  # before anybody waits for the endpoint
        click.echo(_text(document), nl=False)
    unanswered = None
    if not offline and not chosen.embedded:
        from runner.cli.booked import booked_by_server

        try:
            document["server"] = booked_by_server(chosen, today, known=known, under_way=under_way)
        except RunnerError as error:
            unanswered = error
            document["server_error"] = str(error)
    if style == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif document["server"]:
        click.echo("\n".join(("", *document["server"]["lines"])))
    if unanswered is not None:
        unanswered.hint = f"{unanswered.hint}; {ALONE}" if unanswered.hint else ALONE
        raise unanswered


def _document(log: RunLog, known: Mapping[str, KeyState], *, endpoint: str) -> dict[str, Any]:
    from collections import Counter

    now = time.time()
    states, leases = known.values(), log.leases()
    held = {lease.key for lease in leases if lease.holds}
    return {
        "endpoint": endpoint,
        "spent": [
            {
                "recipe": row.recipe,
                "day": row.day.isoformat(),
                "endpoint": row.endpoint,
                "credits": row.spent,
                "reserved": row.reserved,
            }
            for row in log.spent_by_day()
        ],
        "stages": dict(sorted(Counter(str(state.stage) for state in states).items())),
        "leases": [
            {
                "key": lease.key,
                "addresses": _addresses(known.get(lease.key)),
                "host": lease.owner.host,
                "pid": lease.owner.pid,
                "expires_in_s": lease.expires_in_s,
                "holds": lease.holds,
            }
            for lease in leases
        ],
        "parked": [
            {
                "key": state.key,
                "addresses": _addresses(state),
                "due_in_s": round(state.parked_s(now), 1),
                "refusal": state.refusal,
            }
            for state in states
            if state.parked_s(now)
        ],
        "unstarted": [
            {"key": left.key, "job_id": left.job_id}
            for left in log.unstarted()
            if left.key not in held and not _is_parked(left, known.get(left.key), now)
        ],
        "server": None,
        "server_error": None,
    }


def _is_parked(left: Leftover, state: KeyState | None, now: float) -> bool:
    """Whether the job waits for the time from which the server may start it."""
    return state is not None and state.job_id == left.job_id and state.parked_s(now) > 0


def _text(document: Mapping[str, Any]) -> str:
    lines = [f"endpoint  {document['endpoint']}"]
    lines += [f"{stage:<9} {count}" for stage, count in document["stages"].items()]
    if document["spent"]:
        width = max(len("ENDPOINT"), *(len(row["endpoint"]) for row in document["spent"]))
        lines += ["", f"{'DAY (UTC)':<12}{'CREDITS':>8}{'RESERVED':>10}  {'ENDPOINT':<{width}}  RECIPE"]
        lines += [
            f"{row['day']:<12}{row['credits']:>8}{row['reserved']:>10}  {row['endpoint']:<{width}}  {row['recipe']}"
            for row in document["spent"]
        ]
    for title, holds in (("held by a run now", True), ("left by a run that is gone: the next one goes on", False)):
        rows = [row for row in document["leases"] if row["holds"] is holds]
        lines += _section(title, [f"{_named(row)} (pid {row['pid']} on {row['host']})" for row in rows])
    lines += _section(
        "parked by the server",
        [f"{_named(row)} due in {row['due_in_s']:.0f} s: {row['refusal']}" for row in document["parked"]],
    )
    if document["unstarted"]:
        lines += [
            "",
            f"left behind, free: {counted(len(document['unstarted']), 'unstarted job')}; runner sweep deletes them",
        ]
    return "".join(f"{line}\n" for line in lines)


def _addresses(state: KeyState | None) -> list[str]:
    return [] if state is None else sorted(state.addresses)


def _named(row: Mapping[str, Any]) -> str:
    """The first address and how many more, and the beginning of the key, by which `runner log --key` finds it."""
    addresses, key = row["addresses"], row["key"][:SHORT_KEY]
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return f"{one_line(addresses[0])}{more}  {key}" if addresses else key


def _section(title: str, rows: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {row}" for row in rows)] if rows else []
