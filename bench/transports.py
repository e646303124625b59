"""Why httpx runs on aiohttp's transport: 64 requests in flight, on three clients, against one small server.

Informs, without a goal: httpx on its own transport, httpx on httpx-aiohttp (what we use), and aiohttp alone, the
bound of what a change of interface could still gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.api import fake_api
from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, output
from bench.kit.rounds import Pair, rounds

AT_ONCE = 64


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(4_000, 1_000)
    with fake_api(setup.folder) as api:

        def seconds(client: str) -> float:
            command = [PYTHON, "-m", "bench.kit.asking", client, api.base_url, str(count), str(AT_ONCE)]
            return float(output(command, folder=setup.folder))

        for client in ("httpx", "aiohttp"):
            pairs = rounds(setup.count(5, 3), partial(seconds, "httpx-aiohttp"), partial(seconds, client), warm_up=False)
            per_request = _per_request(pairs, count)
            yield compared(f"httpx-aiohttp against {client}, a request", per_request, scale=1000, unit="ms")


def _per_request(pairs: list[Pair], count: int) -> list[Pair]:
    return [Pair(ours=pair.ours / count, peer=pair.peer / count) for pair in pairs]
