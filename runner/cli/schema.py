"""`runner schema`: the JSON Schemas that ship with the runner."""

from __future__ import annotations

import json
from difflib import get_close_matches

import click

from runner import resources
from runner.cli.options import format_option
from runner.errors import InvalidError


@click.command(epilog="Example: runner schema recipe > recipe.schema.json")
@click.argument("name", required=False)
@format_option("text", "json")
def schema(name: str | None, style: str) -> None:
    """Print the JSON Schema NAME, or without NAME what schemas there are.

    Editors want `recipe`. What commands print with --format json is described by `findings` (check), `plan` and
    `run-report`; lines of the run log by `event`, the file of known targets by `catalog`.

    Exits 0, and 5 when there is no such schema.
    """
    if name is not None:
        click.echo(_text(name), nl=False)
    elif style == "json":
        click.echo(json.dumps([{"name": one, "title": _title(one)} for one in resources.schema_names()], indent=2))
    else:
        for one in resources.schema_names():
            click.echo(f"{one:<16} {_title(one)}")


def _text(name: str) -> str:
    try:
        return resources.schema_text(name)
    except LookupError as error:
        near = get_close_matches(name, resources.schema_names(), n=1)
        raise InvalidError(str(error), hint=f"did you mean '{near[0]}'?" if near else "") from error


def _title(name: str) -> str:
    return str(resources.schema(name).get("title", ""))
