"""`runner serve keys`: who may use the local server. Keys are shown once, and kept as digests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from runner.cli.context import keep_out_of_git, state_above
from runner.cli.options import format_option
from runner.errors import InvalidError
from runner.server.api.access import ACCOUNT
from runner.server.store.database import StoreError
from runner.server.store.keys import KeyRow, add_key, list_keys, revoke_key

_NAME = re.compile(r"[\w.\-]{1,64}", re.ASCII)


@click.group()
def keys() -> None:
    """Make, list and revoke keys of the server whose state is in --state, running or not.

    Every key belongs to an account. Accounts don't see each other's jobs, and each has its own credits; several
    keys of one account are one account.

    \b
    Example:
      runner serve --state /var/lib/runner keys add --account billing --label "nightly job"
      runner serve --state /var/lib/runner keys revoke 5f2a90c1d3e4
    """


def _state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        callback=lambda ctx, _, given: given or ctx.find_object(Path),
        help="Folder of the server's state. [default: that of `runner serve`]",
    )
    return option(command)


@keys.command()
@_state_option
@click.option("--account", default=ACCOUNT, show_default=True, help="Whose key it is; made with its first key.")
@click.option("--label", default="", help="What it is for; shown in the list.")
@format_option("text", "json")
def add(state: Path, account: str, label: str, style: str) -> None:
    """Make a key and print it, this one time."""
    if not _NAME.fullmatch(account):
        raise InvalidError(f"'{account}' can't be an account", hint="use up to 64 of A-Z a-z 0-9 . _ -")
    if not label.isprintable():
        raise InvalidError("a label must be one line of printable text")
    with _readable():
        key = add_key(state, account=account, label=label)
        keep_out_of_git(state_above(state))
    click.echo(json.dumps({"api_key": key, "account": account, "label": label}) if style == "json" else key)


@keys.command("list")
@_state_option
@format_option("text", "json")
def list_(state: Path, style: str) -> None:
    """List all keys: id, account, when made, whether revoked, label."""
    with _readable():
        rows = list_keys(state)
    if style == "json":
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    for row in rows:
        click.echo(_line(row))


@keys.command()
@_state_option
@click.argument("key_id", metavar="ID")
def revoke(state: Path, key_id: str) -> None:
    """Revoke the key with this id (see `keys list`), at once, also where the server is running.

    Its jobs stay with its account, and go on.
    """
    with _readable():
        row = revoke_key(state, key_id)
    if row is None:
        raise InvalidError(f"there is no key '{key_id}'", hint="runner serve keys list shows the ids")
    click.echo(_line(row))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise InvalidError(str(error)) from error
    except OSError as error:
        raise InvalidError(
            f"can't use the state folder: {error.strerror or error}", hint=str(error.filename)
        ) from error


def _line(row: KeyRow) -> str:
    state = f"revoked {_day(row.revoked)}" if row.revoked is not None else "good"
    return f"{row.id}  {row.account}  made {_day(row.created)}  {state}  {row.label}".rstrip()


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")
