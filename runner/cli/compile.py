"""`runner compile`: what would be sent, and nothing is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from runner.cli.looping import run_async
from runner.cli.options import endpoint_options, format_option, recipe_options


@click.command()
@recipe_options
@endpoint_options
@format_option("json", "text")
def compile(  # noqa: A001 - the command's name
    recipes: tuple[Path, ...],
    profile: str | None,
    overrides: Mapping[str, str],
    endpoint: str | None,
    state: Path | None,
    style: str,
) -> None:
    """Print the jobs that RECIPES compile to: address, key, payload and uploads. Secrets stay references.

    Nothing is sent and no run log is touched; local inputs are read for their digests, buckets are listed.

    Example: runner compile recipes/quickstart.recipe.toml | jq '.[].payload'

    Exits 0, or 5 when a recipe or one of its inputs can't be used.
    """
    from runner.cli.endpoint import choose_endpoint
    from runner.cli.prepare import load, prepare, raise_refusals
    from runner.compile import compiled_json
    from runner.report.plans import printable
    from runner.runlog import memory_log

    loaded = load(recipes, profile=profile, overrides=overrides)
    chosen = choose_endpoint(recipes, endpoint=endpoint, state=state, need_key=False)
    today = datetime.now(UTC).date().isoformat()
    with memory_log() as log:
        prepared = run_async(prepare(loaded.recipes, endpoint=chosen, log=log, run_date=today, secrets_may_lack=True))
    rows = [compiled_json(job) for job in prepared.jobs]
    if style == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for job in prepared.jobs:
            click.echo(f"{printable(job.address)}  {job.key}")
    raise_refusals(prepared)
