"""`runner serve`: the API v2 on this machine."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import click

from runner.cli.context import keep_out_of_git, state_above
from runner.cli.embedded import note_served
from runner.cli.options import format_option
from runner.cli.serve_contract import contract_options
from runner.cli.serve_keys import keys as keys_command
from runner.cli.serve_options import Operating, operating_options
from runner.cli.serve_storage import Endpoints, storage_options
from runner.errors import InvalidError, LockedError
from runner.server.assembly import StateLocked
from runner.server.book import DATABASE
from runner.server.config import Contract, Network, ServerConfig
from runner.server.operating.logs import logging_json
from runner.server.serve import Ready, run_loop
from runner.server.serve import serve as serve_forever
from runner.server.store.database import StoreError
from runner.server.store.keys import list_keys


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 picks one.")
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="How clients reach this server, such as https://convert.example.com: what links in jobs begin with.",
)
@click.option("--uds", type=click.Path(path_type=Path), help="Listen on this UNIX socket instead.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".runner/server"),
    show_default=True,
    help="Folder for jobs and files; one server at a time.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    envvar="RUNNER_SERVE_KEY",
    show_envvar=True,
    help="API key that is good; without one a key is made, until the next start. Command lines are public: prefer "
    "the variable.",
)
@click.option("--workers", default=0, type=click.IntRange(0, 256), help="Conversions at once; 0: one a processor.")
@click.option(
    "--allow-private",
    "private",
    multiple=True,
    metavar="NET",
    help="Private network that inputs, FTP and callbacks may reach.",
)
@contract_options
@format_option("text", "json")
@operating_options
@storage_options
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    base_url: str,
    uds: Path | None,
    state: Path,
    keys: tuple[str, ...],
    workers: int,
    private: tuple[str, ...],
    contract: Contract,
    style: str,
    operating: Operating,
    endpoints: Endpoints,
) -> None:
    """Serve the API v2 on this machine: jobs, uploads, conversions, downloads, without an account.

    It keeps its jobs in --state and goes on with them after a restart. Without --key it makes an API key, shows it
    once, and revokes the one that the start before made; `runner serve keys` makes, lists and revokes keys that
    stay, for several accounts. Any other address than loopback needs a key. Files of finished jobs are kept for a day.

    Links in jobs begin with --base-url; without it with the address it listens on, and at --host 0.0.0.0 with the
    host that the request names. Behind a proxy set it.

    \b
    Example:
      RUNNER_SERVE_KEY=$(openssl rand -hex 16) runner serve --port 8080
      curl -H "X-Api2convert-Api-Key: KEY" http://127.0.0.1:8080/v2/jobs

    With --format json it prints one line when it is ready, for scripts:
    {"base_url": "http://127.0.0.1:8080/v2", "api_key": "...", "pid": 4711}

    Inputs are not fetched from private networks unless --allow-private says so; for a web server on this
    machine: --allow-private 127.0.0.0/8. Stops at SIGINT and SIGTERM; exits 5 when the address or the state
    folder can't be used, and 75 when another server uses the folder.

    \b
    Operating it: GET /health (200, or 503 when the disk is full) and GET /metrics (Prometheus) need no key.
    A queue that is fair between accounts; callbacks that survive a restart (2xx accepts, 4xx is final, else up to
    10 more tries); SIGTERM finishes requests and leaves running jobs to the next start; a second one doesn't wait.

    \b
    Rehearsals: --faults 'create drop-after #1; download truncate 10%; seed=7' breaks what it says, repeatably.
    WHERE is any, create, start, read, list, delete, input, upload, download or METHOD:/path/*; FAULT is
    error-before, error-after, drop-before, drop-after, delay, quota (402), busy, busy-date (429), truncate,
    corrupt, expired, slow; WHEN is a probability (0.1, 10%) or the request's number (#3, #3-5, #3+).
    """
    ctx.obj = state
    if ctx.invoked_subcommand is not None:
        return
    config = ServerConfig(
        state_dir=state,
        host=host,
        port=port,
        base_url=_base_url(base_url),
        uds=uds,
        api_keys=_good_keys(keys, host, uds, state),
        workers=workers,
        allow_private=tuple(_network(one) for one in private),
        contract=contract,
    )
    config = endpoints.applied(operating.applied(config))
    mask = os.umask(0o077)  # what a server writes is for its owner alone, whatever the mode of its folder
    try:
        with logging_json(operating.log_level):
            run_loop(serve_forever(config, lambda ready: _begun(ready, style, config)))
    except StateLocked as error:
        raise LockedError(str(error), hint="stop that server, or give this one another --state") from error
    except StoreError as error:
        raise InvalidError(str(error)) from error
    except OSError as error:
        raise InvalidError(f"can't serve: {error.strerror or error}", hint=_place(error, config)) from error
    finally:
        os.umask(mask)


serve.add_command(keys_command)


def _good_keys(keys: tuple[str, ...], host: str, uds: Path | None, state: Path) -> tuple[str, ...]:
    if any(not key.isascii() or not key.isprintable() or len(key) < 8 or " " in key for key in keys):
        raise InvalidError("an API key must have at least 8 printable ASCII characters and no blank")
    if not keys and uds is None and not _is_loopback(host) and not _has_keys(state):
        hint = "or make one that is kept: runner serve keys add"
        raise InvalidError(f"{host} can be reached from other machines; set a key with --key", hint=hint)
    return keys


def _has_keys(state: Path) -> bool:
    try:
        return (state / DATABASE).exists() and any(row.revoked is None for row in list_keys(state))
    except StoreError as error:
        raise InvalidError(str(error)) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        hint = "write it like 127.0.0.0/8 or 10.1.2.3"
        raise InvalidError(f"--allow-private '{text}' is not a network", hint=hint) from error


def _base_url(text: str) -> str:
    """`text` with the version where it names a host alone; a proxy may show another path to the world."""
    if not text:
        return ""
    parts = _parts(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise InvalidError(
            "--base-url is no URL that links could begin with", hint="write it like https://convert.example.com"
        )
    if parts.query or parts.fragment:
        raise InvalidError("--base-url has more than a host and a path; links are made by adding to it")
    path = parts.path.rstrip("/") or "/v2"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _parts(text: str) -> SplitResult | None:
    """None for what is no URL: a blank, or a port that is none."""
    try:
        parts = urlsplit(text)
        return parts if text.isascii() and text.isprintable() and " " not in text and parts.port != 0 else None
    except ValueError:
        return None


def _place(error: OSError, config: ServerConfig) -> str:
    return str(error.filename or config.uds or f"{config.host}:{config.port}")


def _begun(ready: Ready, style: str, config: ServerConfig) -> None:
    keep_out_of_git(state_above(config.state_dir))
    note_served(config.state_dir, ready.base_url)
    _say_ready(ready, style, given=config.api_keys)


def _say_ready(ready: Ready, style: str, *, given: Collection[str]) -> None:
    where = f"unix:{ready.uds} " if ready.uds else ""
    if style == "json":
        shown = {"base_url": ready.base_url, "api_key": ready.api_key, "pid": ready.pid}
        click.echo(json.dumps({**shown, "uds": ready.uds} if ready.uds else shown))
        return
    click.echo(f"Serving at {where}{ready.base_url}")
    click.echo(f"API key: {'as given' if ready.api_key in given else ready.api_key}")
    click.echo(f"Stop with Ctrl-C or kill {os.getpid()}")
