"""`runner listen`: receives callbacks."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

import click

from runner.cli.context import keep_out_of_git
from runner.cli.endpoint import ChosenEndpoint, choose_endpoint
from runner.cli.options import endpoint_options, format_option
from runner.cli.serve_options import environment_only, read_secret
from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.errors import GoneError
from runner.client.http import open_http
from runner.client.pacing import Backoff
from runner.errors import InvalidError, RunnerError
from runner.execute.wake import WAKE_FILE, say_ended
from runner.server.jobs.receivers import RefusedReceiver, checked_receiver
from runner.server.operating.logs import Level, logging_json
from runner.server.receiver.app import Confirm, Reception, UnconfirmedError, make_receiver
from runner.server.receiver.mailbox import Mailbox
from runner.server.serve import listening_at, run_loop, serve_app, url_of

if TYPE_CHECKING:
    from runner.wire.values import JsonObject


def _receiver(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """What can never be posted to is told now: the first callback may come days later."""
    try:
        if value is not None:
            checked_receiver(value, called="the URL")
    except RefusedReceiver as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None
    return value


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 picks one.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("callbacks"),
    show_default=True,
    help="Where bodies are stored, as ID_STATUS.json.",
)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only take what is signed (X-Oc-Signature) with the secret in this file, or in RUNNER_LISTEN_SECRET.",
)
@click.option("--secret", envvar="RUNNER_LISTEN_SECRET", hidden=True, callback=environment_only)
@click.option(
    "--forward", metavar="URL", callback=_receiver, help="POST what was stored to this URL (http, https) too."
)
@click.option("--no-confirm", is_flag=True, help="Don't ask the endpoint whether it is true, although there is a key.")
@click.option(
    "--log-level",
    type=click.Choice(["error", "warning", "info"]),
    default="info",
    show_default=True,
    help="What is logged on stderr, as JSON lines.",
)
@endpoint_options
@format_option("text", "json")
def listen(
    host: str,
    port: int,
    folder: Path,
    secret_file: Path | None,
    secret: str | None,
    forward: str | None,
    no_confirm: bool,
    log_level: Level,
    endpoint: str | None,
    state: Path | None,
    style: str,
) -> None:
    """Receive callbacks: check them, store each body, and wake the runs that wait for their jobs.

    Point `callback` of a recipe at any path of it. A body without the id of a job is rejected and logged, a doubled
    one is dropped. With an API key the endpoint is asked about the job before anything is believed: what contradicts
    it is rejected (4xx) or put off (503), and what is stored is its answer. Runs on the same --state are woken.

    \b
    Examples: runner listen --port 8090 --secret-file secret.txt
              runner listen --endpoint http://127.0.0.1:8080/v2 --forward http://127.0.0.1:3000/hook

    With --format json it prints one line when it is ready: {"url": "http://127.0.0.1:8090/", "pid": 4711}

    Exits 2 when --forward is no URL to post to, 5 when the address can't be used. Stops at SIGINT and SIGTERM.
    """
    chosen = choose_endpoint((Path.cwd(),), endpoint=endpoint, state=state, need_key=False)
    key = read_secret(secret_file) if secret_file else secret or ""
    confirms = bool(chosen.base_url and chosen.api_key) and not no_confirm
    try:
        with logging_json(log_level), listening_at(host, port) as listening:
            ready = partial(_say_ready, url_of(listening), style, checks=bool(key) or confirms)
            run_loop(_serve(listening, ready, chosen, folder, key, forward or "", confirms=confirms))
    except OSError as error:
        raise InvalidError(f"can't listen: {error.strerror or error}", hint=f"{host}:{port}") from error


async def _serve(
    listening: socket,
    ready: Callable[[], None],
    chosen: ChosenEndpoint,
    folder: Path,
    secret: str,
    forward: str,
    *,
    confirms: bool,
) -> None:
    async with _confirming(chosen) if confirms else nullcontext() as confirm:
        reception = Reception(
            mailbox=Mailbox(folder),
            secret=secret,
            confirm=confirm,
            ended=partial(_wake, chosen.state),
            forward_to=forward,
        )
        await serve_app(make_receiver(reception), listening, ready)


def _wake(state: Path, job_id: str) -> None:
    keep_out_of_git(state)
    say_ended(state / WAKE_FILE, job_id)


@asynccontextmanager
async def _confirming(chosen: ChosenEndpoint) -> AsyncIterator[Confirm]:
    endpoint = Endpoint(name=chosen.name, base_url=chosen.base_url, api_key=chosen.api_key)
    async with open_http(endpoint) as http:
        # The sender waits three seconds: no retries of ours, it comes again.
        api = ConversionApi(endpoint=endpoint, http=http, backoff=Backoff(tries=0))

        async def confirm(job_id: str) -> JsonObject | None:
            try:
                return (await api.job(job_id)).document
            except GoneError:
                return None
            except RunnerError as error:
                raise UnconfirmedError(str(error)) from error

        yield confirm


def _say_ready(url: str, style: str, *, checks: bool) -> None:
    if style == "json":
        click.echo(json.dumps({"url": f"{url}/", "pid": os.getpid()}))
        return
    click.echo(f"Listening at {url}/")
    if not checks:
        click.echo("Without --secret-file and without an API key, whatever is sent is believed.", err=True)
