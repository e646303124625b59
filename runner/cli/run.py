"""`runner run`: do what is left to do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from runner.cli.options import FiniteRange, endpoint_options, format_option, recipe_options, voice_options


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    from runner.recipe.duration import seconds

    try:
        return None if value is None else seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


@click.command()
@recipe_options
@endpoint_options
@voice_options
@format_option("text", "json")
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    help="How many jobs the server works on at once; half as many more are prepared or delivered. [default: 8]",
)
@click.option(
    "--lock-wait",
    type=FiniteRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long to wait, in all, for work that another run holds.",
)
@click.option(
    "--deadline", metavar="DURATION", callback=_duration, help='How long the run may take: "90s", "20m", "2h".'
)
@click.option(
    "--retry-failed", is_flag=True, help="Buy another attempt of what failed; ask at once for what the server put off."
)
@click.option("--retry-lost", is_flag=True, help="Buy again what is lost, or gone from the server.")
def run(
    recipes: tuple[Path, ...],
    profile: str | None,
    overrides: Mapping[str, str],
    endpoint: str | None,
    state: Path | None,
    quiet: bool,
    verbose: bool,
    style: str,
    jobs: int | None,
    lock_wait: float,
    deadline: float | None,
    retry_failed: bool,
    retry_lost: bool,
) -> None:
    """Run RECIPES, files or folders: convert what is new or changed, skip what is done.

    Every step is recorded before the next, so that a run that was killed is picked up where it was, and nothing
    is bought twice. Without a terminal it is silent on success.

    \b
    Examples: runner run recipes/quickstart.recipe.toml
              runner run recipes/ --jobs 16 --format json

    Exits 0 when everything is done, 3 for a wrong or missing key, 4 without credits, 5 when a recipe or an input
    can't be used, 6 when a job failed, 7 when the deadline was reached, 8 when the endpoint doesn't answer,
    75 when another run holds work. With --format json, wrong recipes are told as `runner check` tells them.
    """
    from runner.cli.endpoint import say_endpoint
    from runner.cli.findings import findings_for_scripts
    from runner.cli.planning import open_planning
    from runner.cli.running import Wishes, carry_out
    from runner.cli.terminal import talks
    from runner.plan import Policy

    began = time.monotonic()
    aloud = talks(quiet=quiet, verbose=verbose)
    with (
        findings_for_scripts(style),
        open_planning(recipes, profile=profile, overrides=overrides, endpoint=endpoint, state=state) as planning,
    ):
        say_endpoint(planning.endpoint, aloud=aloud)
        wishes = Wishes(
            jobs=jobs or planning.endpoint.jobs,
            lock_wait_s=lock_wait,
            deadline_s=deadline,
            policy=Policy(retry_failed=retry_failed, retry_lost=retry_lost),
            warn=not quiet,
            aloud=aloud,
            bars=aloud and style == "text" and sys.stderr.isatty(),
        )
        done = carry_out(planning, wishes)
    if style == "json":
        click.echo(json.dumps(done.report.as_json(), indent=2, ensure_ascii=False))
    _say(done, aloud=aloud, quiet=quiet, seconds=time.monotonic() - began)
    sys.exit(done.report.exit_code)


def _say(done: object, *, aloud: bool, quiet: bool, seconds: float) -> None:
    from runner.cli.running import Done

    assert isinstance(done, Done)
    if not (aloud or done.problems or done.report.exit_code or any(one.errors for one in done.report.outcomes)):
        return
    from runner.cli.terminal import wants_color
    from runner.report.findings import findings_text
    from runner.report.outcomes import folders_text, summary_text, troubles_text, warnings_text

    color = wants_color(sys.stderr)
    if done.problems:
        sent = "Their items were left out." if any(one.key for one in done.report.outcomes) else "Nothing was sent."
        text = findings_text(done.problems, checked=done.recipes, color=color, sent=sent)
        click.echo(text, err=True, nl=False)
    click.echo(troubles_text(done.report, color=color), err=True, nl=False)
    if aloud or (done.report.exit_code != 0 and not quiet):
        text = findings_text(done.warnings, checked=0, color=color, closing=False)
        click.echo(text, err=True, nl=False)
        click.echo(warnings_text(done.report), err=True, nl=False)
    if aloud:
        click.echo(folders_text(done.report), err=True, nl=False)
        click.echo(summary_text(done.report, seconds=seconds), err=True, nl=False)
