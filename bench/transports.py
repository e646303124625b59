"""Why we talk to aiohttp itself: 64 requests in flight, on three clients, against one small server.

Informs, without a goal: our session against httpx as it comes, and aiohttp as it comes, the bound of what less of ours
around it could gain. (httpx on aiohttp takes twice our time.)
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
            pairs = rounds(setup.count(5, 3), partial(seconds, "ours"), partial(seconds, client), warm_up=False)
            yield compared(f"a request, against {client}", _per_request(pairs, count), scale=1000, unit="ms")


def _per_request(pairs: list[Pair], count: int) -> list[Pair]:
    return [Pair(ours=pair.ours / count, peer=pair.peer / count) for pair in pairs]
