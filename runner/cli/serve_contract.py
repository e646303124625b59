"""What `runner serve` may be told of the accounts' contract."""

from __future__ import annotations

import re

import click

from runner.server.config import Contract

_PREPAID = re.compile(r"prepaid:([0-9]{1,12})")


def _contract(ctx: click.Context, param: click.Parameter, value: str) -> Contract:
    if found := _PREPAID.fullmatch(value):
        return Contract(kind="prepaid", credits=int(found[1]))
    match value:
        case "free" | "monthly" | "unlimited":
            return Contract(kind=value)
        case _:
            message = f"'{value}' is no contract; write free, prepaid:CREDITS, monthly or unlimited"
            raise click.BadParameter(message, ctx=ctx, param=param)


contract_option = click.option(
    "--contract",
    callback=_contract,
    default="unlimited",
    show_default=True,
    metavar="KIND",
    help="What each account has: free (30 credits a day), prepaid:CREDITS, monthly (invoiced) or unlimited. "
    "A credit is a started minute of a conversion; 402 when none are left.",
)
concurrency_option = click.option(
    "--concurrency",
    default=0,
    type=click.IntRange(0, 100_000),
    help="Jobs of one account at the same time, 429 beyond; 0: any number.",
)
