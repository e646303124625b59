"""Creating and reading jobs: at least half the requests a second of an empty Starlette route on the same stack.

200 connections, each creating a job (durable before the answer) and reading it, by turns with the same requests to a
route that does nothing, served by the same uvicorn, loop and parser: as many, by the same methods, with the same
headers and bodies, so that what the stack has to parse is the same as well. Then the same reads with 10,000 jobs
queued and every worker busy: the median of a GET, and the server's memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import orjson

from bench.kit.figures import Figure, compared
from bench.kit.local_server import LocalServer, local_server
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, memory_mib, serving
from bench.kit.raw_http import Turn, request, seconds_for
from bench.kit.rounds import rounds

LEAST = 0.5
MOST_MEDIAN_MS = 50.0
MOST_MEMORY_MIB = 256.0
_CLIENTS = 200
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def measure(setup: Setup) -> Iterator[Figure]:
    each = setup.count(40, 10)
    empty = [PYTHON, "-m", "bench.kit.empty_route"]
    folder = setup.subfolder("requests")
    with local_server(folder) as server, serving(empty, folder=folder) as (_, line):
        pairs = rounds(
            setup.count(5, 3),
            lambda: seconds_for(server.base_url, [_create_and_get(server, each) for _ in range(_CLIENTS)]),
            lambda: seconds_for(line.strip(), [_to_nothing(server, each) for _ in range(_CLIENTS)]),
        )
    requests = _CLIENTS * each * 2
    yield compared(
        f"{requests} requests, create and get", pairs, least=LEAST, speed=True, note="times as fast as an empty route"
    )
    yield from _queued(setup)


def _queued(setup: Setup) -> Iterator[Figure]:
    count = setup.count(10_000, 1_000)
    folder = setup.subfolder("queued")
    with local_server(folder) as server:
        body = orjson.dumps({"input": [{"type": "base64", "source": _PNG, "filename": "a.png"}], "conversion": _SLOW})
        create = request("POST", "/v2/jobs", key=server.api_key, body=body)
        seconds_for(server.base_url, [_repeated(create, count // 200) for _ in range(200)])
        took = _gets(server, setup.count(2_000, 300))
        memory = memory_mib(server.pid, "VmHWM")
    yield Figure(
        what=f"GET of a job while {count} others are queued and workers are busy",
        ours=f"{median(took) * 1000:.1f} ms",
        peer="-",
        value=median(took) * 1000,
        unit=" ms",
        most=MOST_MEDIAN_MS,
        spread=(min(took) * 1000, max(took) * 1000),
    )
    yield Figure(
        what=f"memory of the server with {count} jobs from 200 clients at once",
        ours=f"{memory:.0f} MiB",
        peer="-",
        value=memory,
        unit=" MiB",
        most=MOST_MEMORY_MIB,
    )


_SLOW = [{"target": "avif", "category": "image"}]


_PATH = "/v2/jobs"
_BODY = b'{"process":false,"conversion":[{"target":"jpg"}]}'


def _create_and_get(server: LocalServer, count: int) -> Turn:
    create = request("POST", _PATH, key=server.api_key, body=_BODY)
    left = count * 2

    def turn(answer: bytes) -> bytes | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        if left % 2:
            return create
        return request("GET", f"{_PATH}/{orjson.loads(answer)['id']}", key=server.api_key)

    return turn


def _to_nothing(server: LocalServer, count: int) -> Turn:
    """What `_create_and_get` sends, to the empty route."""
    create, get = request("POST", "/", key=server.api_key, body=_BODY), request("GET", "/", key=server.api_key)
    left = count * 2

    def turn(_: bytes) -> bytes | None:
        nonlocal left
        left -= 1
        return (create if left % 2 else get) if left >= 0 else None

    return turn


def _repeated(content: bytes, count: int) -> Turn:
    left = count

    def turn(_: bytes) -> bytes | None:
        nonlocal left
        left -= 1
        return content if left >= 0 else None

    return turn


def _gets(server: LocalServer, count: int) -> list[float]:
    """Seconds of each of so many reads, one after another."""
    job = server.new_job()
    took: list[float] = []
    began = 0.0

    def turn(_: bytes) -> bytes | None:
        nonlocal began
        now = time.perf_counter()
        if began:
            took.append(now - began)
        began = now
        return request("GET", f"/v2/jobs/{job['id']}", key=server.api_key) if len(took) < count else None

    seconds_for(server.base_url, [turn])
    return took
