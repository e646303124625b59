"""`runner doctor`: what is here, what is missing, and whether the API keeps to what we rely on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from runner.cli.looping import run_async
from runner.cli.options import endpoint_options, format_option, variation_options

if TYPE_CHECKING:
    from runner.cli.endpoint import ChosenEndpoint
    from runner.cli.live import Finding

Verdict = Literal["ok", "missing", "wrong", "unknown"]
_MARKS = {"ok": ("ok", "green"), "missing": ("--", "yellow"), "wrong": ("!!", "red"), "unknown": ("??", None)}
_DAMAGE_MOST = 5


@click.command()
@click.argument("recipes", nargs=-1, type=click.Path(path_type=Path))
@variation_options
@endpoint_options
@format_option("text", "json")
@click.option("--live", is_flag=True, help="Ask the endpoint, with one staged job that is never started (free).")
@click.option(
    "--rebuild-log", is_flag=True, help="Make a damaged run log anew from what can be read; keep the old file."
)
@click.option("--policy", is_flag=True, help="Print the least rights that RECIPES need at cloud providers, as JSON.")
def doctor(
    recipes: tuple[Path, ...],
    profile: str | None,
    overrides: Mapping[str, str],
    endpoint: str | None,
    state: Path | None,
    style: str,
    live: bool,
    rebuild_log: bool,
    policy: bool,
) -> None:
    """Say what works on this machine, what is missing, and how to get it.

    RECIPES only tell where settings and run log lie; without any, the current folder does. --policy reads them, and
    --profile and --set are for it.

    \b
    Examples: runner doctor
              runner doctor --live --endpoint hosted
              runner doctor --rebuild-log
              runner doctor --policy recipes/ --set bucket=live | jq .amazons3

    Exits 0, 6 when something that is there is wrong, or 5 when nothing of a damaged log can be read.
    """
    if policy:
        _print_policy(recipes, profile=profile, overrides=overrides)
        return
    from runner.cli.endpoint import choose_endpoint
    from runner.cli.live import Finding, ask_endpoint
    from runner.cli.terminal import wants_color

    chosen = choose_endpoint(recipes or (Path.cwd(),), endpoint=endpoint, state=state, need_key=live)
    if rebuild_log:
        _rebuild_log(chosen)
        return
    findings = [Finding(*row) for row in _here(chosen)]
    if live:
        findings += run_async(ask_endpoint(chosen))
    if style == "json":
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(_line(finding, color=wants_color(sys.stdout)))
    sys.exit(6 if any(finding.verdict == "wrong" for finding in findings) else 0)


def _rebuild_log(chosen: ChosenEndpoint) -> None:
    from datetime import UTC, datetime

    from runner.errors import InvalidError, counted
    from runner.runlog.salvage import salvage

    place = chosen.log_place
    if not isinstance(place, Path):
        raise InvalidError("the run log is in a database", hint="restore that from its backup")
    told = salvage(place, now=datetime.now(UTC))
    lost = "how many are lost, nobody can tell" if told.lost is None else f"{told.lost:,} {_is(told.lost)} lost"
    known = f"{counted(told.keys, 'key')} {_is(told.keys)} known"
    click.echo(
        f"{place}: {counted(told.lines, 'line')} could be read, {lost}; {known}.\n"
        f"The old file is kept as {told.backup}.",
        err=True,
    )
    if told.lost != 0:
        click.echo(
            "What the log doesn't know any more is new to the next run: see `runner plan` before it, and `runner sweep "
            "--dry-run` for what the account holds.",
            err=True,
        )
    for key in told.guessed:
        click.echo(f"Lines are missing of {key}: it counts as what the last one left says.", err=True)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _print_policy(recipes: tuple[Path, ...], *, profile: str | None, overrides: Mapping[str, str]) -> None:
    from runner.cli.prepare import load
    from runner.report.policy import notes_of, policy_json, rights_of

    if not recipes:
        raise click.UsageError("--policy needs recipes to read")
    rights = rights_of(load(recipes, profile=profile, overrides=overrides).recipes)
    click.echo(json.dumps(policy_json(rights), indent=2, ensure_ascii=False))
    for note in notes_of(rights):
        click.echo(note, err=True)


def _line(finding: Finding, *, color: bool) -> str:
    mark, tone = _MARKS[finding.verdict]
    shown = click.style(mark, fg=tone) if color and tone else mark
    return f"{shown}  {finding.what:<30}{finding.said}"


def _here(chosen: ChosenEndpoint) -> Iterator[tuple[str, Verdict, str]]:
    from runner import __version__

    yield "runner", "ok", f"{__version__} on Python {sys.version.split()[0]}"
    key = "" if chosen.embedded else f", key {'set' if chosen.api_key else 'missing (API2CONVERT_API_KEY)'}"
    yield "endpoint", "ok" if chosen.embedded or chosen.api_key else "missing", f"{chosen.name}{key}"
    yield from _log(chosen)
    yield from _extras()
    yield from _isolation()
    yield from _browser()
    yield from _converters()
    yield from _fonts()
    yield from _storage()


def _log(chosen: ChosenEndpoint) -> Iterator[tuple[str, Verdict, str]]:
    from runner.errors import RunnerError

    try:
        with chosen.open_log(read_only=True) as log:
            damage = log.check()
            runs = log.runs(limit=1) if not damage else []
    except RunnerError as error:
        yield "run log", "wrong", f"{error} ({error.hint})" if error.hint else str(error)
        return
    where = chosen.log_said
    if damage:
        more = f" (and {len(damage) - _DAMAGE_MOST} more)" if len(damage) > _DAMAGE_MOST else ""
        yield "run log", "wrong", f"{where}: {'; '.join(damage[:_DAMAGE_MOST])}{more}"
    else:
        yield "run log", "ok", f"{where}: {'sound' if runs else 'no runs yet'}"


def _extras() -> Iterator[tuple[str, Verdict, str]]:
    from importlib.util import find_spec

    for extra, module, what in (
        ("keyring", "keyring", "secrets from the desktop's store"),
        ("postgres", "psycopg", "a run log in PostgreSQL"),
        ("cloud", "boto3", "the local server's clients for Amazon S3, Google Cloud Storage, Azure Blob Storage"),
    ):
        if find_spec(module) is not None:
            yield f"extra {extra}", "ok", what
        else:
            yield f"extra {extra}", "missing", f"{what}: pip install 'conversion-runner[{extra}]'"


def _isolation() -> Iterator[tuple[str, Verdict, str]]:
    from runner.server.workers.landlock import abi

    version = abi()
    if version:
        yield "isolation", "ok", f"a process per conversion, limits, Landlock (ABI {version}): no files, no network"
    else:
        yield (
            "isolation",
            "missing",
            "a process per conversion, limits; this kernel has no Landlock (Linux 5.13 or newer)",
        )


def _browser() -> Iterator[tuple[str, Verdict, str]]:
    from runner.server.web.capture import ENGINES, HOW_TO_GET_IT, chromium

    engines = ", ".join(f"{engine} ({kind})" for engine, kind in sorted(ENGINES.items()))
    if chromium():
        yield "pages of the web", "ok", f"engines {engines} by {chromium()}"
    else:
        yield "pages of the web", "missing", f"engines {engines} need {HOW_TO_GET_IT}"


def _converters() -> Iterator[tuple[str, Verdict, str]]:
    from runner.server.converters.catalog import conversions, find

    by_category: dict[str, list[str]] = {}
    for row in conversions():
        target = find(row.category, row.target)
        only = next(iter(target.sources)) if target and len(target.sources) == 1 else ""
        by_category.setdefault(row.category, []).append(f"{row.target} (from {only})" if only else row.target)
    for category, targets in sorted(by_category.items()):
        yield f"converts to {category}", "ok", ", ".join(sorted(targets))


def _fonts() -> Iterator[tuple[str, Verdict, str]]:
    from runner.server.converters.fonts import installed_families

    here = installed_families()
    if here is None:
        yield (
            "fonts",
            "missing",
            "text in svg isn't shown without any: install some, like the package fonts-dejavu-core",
        )
    else:
        told = dict.fromkeys((here.sans_serif, here.serif, here.monospace))
        yield "fonts", "ok", f"of svg whose own ones aren't installed: {', '.join(told)}"


def _storage() -> Iterator[tuple[str, Verdict, str]]:
    from runner.server.storage.table import EXTRA, SERVED
    from runner.wire.providers import PROVIDERS

    for name, entry in SERVED.items():
        title = PROVIDERS[name].title
        if entry.is_here:
            yield f"stores in {name}", "ok", f"{title}: inputs and output targets of the local server"
        else:
            yield f"stores in {name}", "missing", f"{title}: {entry.needs} is missing: {EXTRA}"
