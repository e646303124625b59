"""Reaching the chosen endpoint for a few calls, outside of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from runner.cli.embedded import embedded_server
from runner.cli.endpoint import ChosenEndpoint
from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.http import open_http
from runner.client.pacing import Backoff

# Somebody sits before a command that looks: it rather says that there is no answer.
A_LOOK = Backoff(tries=2, most_asked_s=5.0)
LOOK_TIMEOUT_S = 10.0


def reached(chosen: ChosenEndpoint, stack: ExitStack) -> Endpoint:
    """The endpoint, with the embedded server started where it is the one chosen."""
    if not chosen.embedded:
        return Endpoint(name=chosen.name, base_url=chosen.base_url, api_key=chosen.api_key)
    return stack.enter_context(embedded_server(chosen.state / "server", settings=chosen.local))


@asynccontextmanager
async def open_api(chosen: ChosenEndpoint) -> AsyncIterator[ConversionApi]:
    with ExitStack() as stack:
        endpoint = reached(chosen, stack)
        async with open_http(endpoint, read_timeout_s=LOOK_TIMEOUT_S, call_timeout_s=LOOK_TIMEOUT_S) as http:
            yield ConversionApi(endpoint=endpoint, http=http, backoff=A_LOOK)
