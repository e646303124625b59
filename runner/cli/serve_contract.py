"""What `runner serve` may be told of the accounts' contract."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from runner.cli.serve_options import size_bytes
from runner.server.config import Contract

Command = Callable[..., Any]

_PREPAID = re.compile(r"prepaid:([0-9]{1,12})")
_STANDARD = Contract()


def _kind(ctx: click.Context, param: click.Parameter, value: str) -> Contract:
    if found := _PREPAID.fullmatch(value):
        return Contract(kind="prepaid", credits=int(found[1]))
    match value:
        case "free" | "monthly" | "unlimited":
            return Contract(kind=value)
        case _:
            message = f"'{value}' is no contract; write free, prepaid:CREDITS, monthly or unlimited"
            raise click.BadParameter(message, ctx=ctx, param=param)


def _agreed(
    contract: Contract,
    *,
    concurrency: int,
    credit_seconds: int,
    max_inputs: int,
    max_input_size: str,
    max_process_time: int,
    max_downloads: int,
) -> Contract:
    return replace(
        contract,
        concurrency=concurrency,
        credit_minute_s=credit_seconds,
        max_inputs=max_inputs,
        max_input_bytes=size_bytes(max_input_size, option="--max-input-size") or _STANDARD.max_input_bytes,
        max_process_time_s=max_process_time,
        max_downloads=max_downloads,
    )


_OPTIONS = (
    click.option(
        "--max-downloads",
        default=_STANDARD.max_downloads,
        show_default=True,
        type=click.IntRange(min=1),
        help="How often an output may be downloaded, 410 beyond; a job's own limit may be lower.",
    ),
    click.option(
        "--max-process-time",
        default=_STANDARD.max_process_time_s,
        show_default=True,
        metavar="SECONDS",
        type=click.IntRange(min=1),
        help="What the conversions of one job may take together.",
    ),
    click.option(
        "--max-input-size",
        default="16G",
        show_default=True,
        metavar="SIZE",
        help="What one input may have, 402 beyond.",
    ),
    click.option(
        "--max-inputs",
        default=_STANDARD.max_inputs,
        show_default=True,
        type=click.IntRange(min=1),
        help="How many inputs a job may have, 402 beyond.",
    ),
    click.option(
        "--credit-seconds",
        default=int(_STANDARD.credit_minute_s),
        show_default=True,
        metavar="SECONDS",
        type=click.IntRange(min=1),
        help="What a credit is: so many started seconds of a conversion.",
    ),
    click.option(
        "--concurrency",
        default=0,
        type=click.IntRange(0, 100_000),
        help="Jobs of one account at the same time, 429 beyond; 0: any number.",
    ),
    click.option(
        "--contract",
        callback=_kind,
        default="unlimited",
        show_default=True,
        metavar="KIND",
        help="What each account has: free (30 credits a day), prepaid:CREDITS, monthly (invoiced) or unlimited; "
        "402 when no credits are left.",
    ),
)
_NAMES = ("concurrency", "credit_seconds", "max_inputs", "max_input_size", "max_process_time", "max_downloads")


def contract_options(command: Command) -> Command:
    """Adds the options and gives them to `command` as one value, `contract`."""

    @functools.wraps(command)
    def with_contract(*args: Any, contract: Contract, **given: Any) -> Any:
        own = {name: given.pop(name) for name in _NAMES}
        return command(*args, contract=_agreed(contract, **own), **given)

    wrapped: Command = with_contract
    for option in _OPTIONS:
        wrapped = option(wrapped)
    return wrapped
