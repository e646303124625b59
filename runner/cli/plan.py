"""`runner plan`: what a run would do, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.looping import run_async
from runner.cli.options import endpoint_options, format_option, recipe_options, voice_options
from runner.errors import ExitCode

if TYPE_CHECKING:
    from runner.cli.planning import Planned, Planning
    from runner.plan import Policy


@click.command()
@recipe_options
@endpoint_options
@voice_options
@format_option("text", "json")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 when there is something to do.")
@click.option(
    "--preflight",
    is_flag=True,
    help="Also look whether sources are there, and targets reachable and their names free; nothing is bought.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Plan to buy another attempt of what failed, and to ask at once for what the server put off.",
)
@click.option("--retry-lost", is_flag=True, help="Plan to buy again what is lost, or gone from the server.")
def plan(
    recipes: tuple[Path, ...],
    profile: str | None,
    overrides: Mapping[str, str],
    endpoint: str | None,
    state: Path | None,
    quiet: bool,
    verbose: bool,
    style: str,
    detailed_exitcode: bool,
    preflight: bool,
    retry_failed: bool,
    retry_lost: bool,
) -> None:
    """Say what `runner run RECIPES` would do: every job with its reason and the credits at stake.

    Reads recipes, inputs and the run log, and lists the buckets of foreach.bucket; asks nothing of the endpoint and
    starts no server.

    Example: runner plan recipes/ --format json | jq .summary

    With --preflight the web servers and cloud providers that recipes name are asked from this machine, with the
    recipes' credentials; what can't be seen from here is said. It reads, and never creates an object.

    Exits 0, 10 with --detailed-exitcode when there are changes, or 5 when a recipe or an input can't be used,
    or the preflight found something wrong. With --format json, wrong recipes are told as `runner check` tells them.
    """
    from runner.cli.findings import findings_for_scripts
    from runner.cli.planning import open_planning
    from runner.cli.terminal import wants_color
    from runner.plan import Policy
    from runner.report.findings import findings_text
    from runner.report.plans import plan_summary, plan_text

    policy = Policy(retry_failed=retry_failed, retry_lost=retry_lost)
    with (
        findings_for_scripts(style),
        open_planning(
            recipes, profile=profile, overrides=overrides, endpoint=endpoint, state=state, read_only=True
        ) as planning,
    ):
        planned = run_async(_planned(planning, policy, preflight=preflight))
    if style == "json":
        click.echo(json.dumps(planned.plan.as_json(), indent=2, ensure_ascii=False))
    elif quiet:
        click.echo(plan_summary(planned.plan))
    else:
        click.echo(plan_text(planned.plan, color=wants_color(sys.stdout), verbose=verbose), nl=False)
    if planned.warnings and not quiet:
        text = findings_text(planned.warnings, checked=0, color=wants_color(sys.stderr), closing=False)
        click.echo(text, err=True, nl=False)
    if planned.problems:
        color = wants_color(sys.stderr)
        text = findings_text(planned.problems, checked=len(planned.recipes), color=color)
        click.echo(text, err=True, nl=False)
        sys.exit(ExitCode.INVALID)
    if detailed_exitcode and planned.plan.has_changes:
        sys.exit(ExitCode.CHANGES)


async def _planned(planning: Planning, policy: Policy, *, preflight: bool) -> Planned:
    planned = planning.foresee(await planning.plan(policy))
    return await planning.preflight(planned) if preflight else planned
