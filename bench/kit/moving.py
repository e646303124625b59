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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvloop

from bench.kit.processes import memory_mib
from runner.cli.session import MANY_JOBS
from runner.client.api import ConversionApi
from runner.client.courier.http import open_courier_http
from runner.client.endpoint import Endpoint
from runner.client.http import open_http
from runner.client.transfer import Transfer
from runner.execute.parts import Part
from runner.wire.job import Job, JobOutput, read_job
from runner.wire.values import Json, as_int, as_list, as_object, as_text

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Upload:
    job: Job
    path: Path
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Download:
    output: JobOutput
    path: Path


async def main(plan: Mapping[str, Json]) -> None:
    endpoint = Endpoint(name="bench", base_url=as_text(plan["base_url"]), api_key=as_text(plan["api_key"]))
    at_once = as_int(plan["at_once"])
    uploads = [_upload(as_object(row)) for row in as_list(plan.get("uploads"))]
    downloads = [_download(as_object(row)) for row in as_list(plan.get("downloads"))]
    opened = open_courier_http if at_once >= MANY_JOBS else open_http  # as a run does
    async with opened(endpoint, connections=at_once) as http:
        await http.request("GET", endpoint.base_url, headers={})  # a courier is up then: it is an interpreter, too
        transfer = Transfer(api=ConversionApi(endpoint=endpoint, http=http))
        before = memory_mib(os.getpid(), "VmRSS")
        began, cpu_began = time.perf_counter(), time.process_time()
        await _all(at_once, uploads, partial(_send, transfer))
        await _all(at_once, downloads, partial(_fetch, transfer))
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_began}
    sys.stdout.write(json.dumps(took | {"risen_mib": memory_mib(os.getpid(), "VmHWM") - before}) + "\n")


async def _all(at_once: int, rows: Sequence[T], move: Callable[[T], Awaitable[None]]) -> None:
    queue: Iterable[T] = iter(rows)

    async def work() -> None:
        for row in queue:
            await move(row)

    await asyncio.gather(*(work() for _ in range(at_once)))


def _upload(row: Mapping[str, Json]) -> _Upload:
    job = read_job({"id": row["job"], "server": row["server"], "token": row["token"]})
    return _Upload(job=job, path=Path(as_text(row["path"])), size_bytes=as_int(row["size"]))


def _download(row: Mapping[str, Json]) -> _Download:
    path = Path(as_text(row["path"]))
    described = {"id": "1", "uri": row["uri"], "size": row["size"], "checksum": row["checksum"], "filename": path.name}
    return _Download(output=read_job({"output": [described]}).outputs[0], path=path)


async def _send(transfer: Transfer, one: _Upload) -> None:
    await transfer.upload(one.job, one.path, filename=one.path.name, size_bytes=one.size_bytes)


async def _fetch(transfer: Transfer, one: _Download) -> None:
    """As a run does: into a file that gets its name when it is whole."""
    part = Part.in_folder(one.path.parent, key="k1:bench", index=0)
    await transfer.download(one.output, part.file)
    part.written()
    part.named(one.path)
    part.discard()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as a run does
        runner.run(main(json.loads(Path(sys.argv[1]).read_text())))
