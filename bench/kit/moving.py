"""Our side of the transfer benches: `python -m bench.kit.moving PLAN` moves what the file PLAN says, and prints JSON.

PLAN is {"base_url", "api_key", "at_once", "uploads": [{"job", "server", "token", "path", "size"}],
"downloads": [{"uri", "size", "checksum", "path"}]}. Printed are the seconds of all transfers, without the
interpreter's start, the CPU seconds that they took, and how far the memory rose above where it stood before:
{"wall_s", "cpu_s", "risen_mib"}. Every byte is hashed as it passes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import uvloop

from bench.kit.processes import memory_mib
from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.http import open_http
from runner.client.transfer import Transfer
from runner.wire.job import read_job
from runner.wire.values import Json, as_int, as_list, as_object, as_text


async def main(plan: Mapping[str, Json]) -> None:
    endpoint = Endpoint(name="bench", base_url=as_text(plan["base_url"]), api_key=as_text(plan["api_key"]))
    at_once = as_int(plan["at_once"])
    async with open_http(endpoint, connections=at_once) as http:
        transfer = Transfer(api=ConversionApi(endpoint=endpoint, http=http))
        before = memory_mib(os.getpid(), "VmRSS")
        began, cpu_began = time.perf_counter(), time.process_time()
        await _all(at_once, as_list(plan.get("uploads")), lambda row: _upload(transfer, row))
        await _all(at_once, as_list(plan.get("downloads")), lambda row: _download(transfer, row))
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_began}
    sys.stdout.write(json.dumps(took | {"risen_mib": memory_mib(os.getpid(), "VmHWM") - before}) + "\n")


async def _all(at_once: int, rows: Sequence[Json], move: Callable[[Mapping[str, Json]], Awaitable[None]]) -> None:
    queue: Iterable[Json] = iter(rows)

    async def work() -> None:
        for row in queue:
            await move(as_object(row))

    await asyncio.gather(*(work() for _ in range(at_once)))


async def _upload(transfer: Transfer, row: Mapping[str, Json]) -> None:
    path = Path(as_text(row["path"]))
    job = read_job({"id": row["job"], "server": row["server"], "token": row["token"]})
    await transfer.upload(job, path, filename=path.name, size_bytes=as_int(row["size"]))


async def _download(transfer: Transfer, row: Mapping[str, Json]) -> None:
    path = Path(as_text(row["path"]))
    described = {"id": "1", "uri": row["uri"], "size": row["size"], "checksum": row["checksum"], "filename": path.name}
    output = read_job({"output": [described]}).outputs[0]
    with path.open("w+b") as file:  # noqa: ASYNC230 - an open a file is nothing beside its transfer
        await transfer.download(output, file)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as a run does
        runner.run(main(json.loads(Path(sys.argv[1]).read_text())))
