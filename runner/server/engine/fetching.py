"""Remote inputs on their way: so many at a time, each stopped when its job is canceled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from runner.server.config import ServerConfig
from runner.server.engine.admission import keep_input
from runner.server.engine.arrivals import arrived, lost
from runner.server.engine.cloud_inputs import LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE, fetch_cloud
from runner.server.engine.remote import Fetch, Fetched, InputError, Order, fetch
from runner.server.jobs.addresses import is_masked
from runner.server.jobs.ids import new_id
from runner.server.jobs.limits import max_input_bytes, too_large
from runner.server.jobs.record import Input, Job
from runner.server.jobs.vault import Vault
from runner.server.storage.protocol import Site
from runner.server.store.blobs import Blobs
from runner.server.web.capture import ENGINES as PAGE_ENGINES
from runner.server.web.capture import capture

Settle = Callable[[str, Input], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Flight:
    task: asyncio.Task[None]
    stopped: threading.Event


class Fetching:
    """`settle(job_id, input)` is awaited with what became of an input."""

    def __init__(
        self, config: ServerConfig, site: Site, blobs: Blobs, vault: Vault, settle: Settle, fetcher: Fetch = fetch
    ) -> None:
        self._config = config
        self._blobs = blobs
        self._vault = vault
        self._settle = settle
        self._site = site
        self._fetch = fetcher
        self._pool = ThreadPoolExecutor(config.fetches, thread_name_prefix="fetch")
        self._flights: dict[tuple[str, str], _Flight] = {}

    def take_off(self, job: Job) -> None:
        """Begin with every input of `job` that is to be fetched and isn't being fetched."""
        for entry in job.inputs:
            name = (job.id, entry.id)
            if entry.status == "downloading" and name not in self._flights:
                stopped = threading.Event()
                task = asyncio.create_task(self._bring(job, entry, stopped))
                self._flights[name] = _Flight(task, stopped)
                task.add_done_callback(partial(self._landed, name))

    def stop_job(self, job_id: str) -> None:
        for (owner, _), flight in list(self._flights.items()):
            if owner == job_id:
                flight.stopped.set()
                flight.task.cancel()

    async def close(self) -> None:
        """Stop everything; what was on its way is fetched again by the next server."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.stopped.set()
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _landed(self, name: tuple[str, str], _: asyncio.Task[None]) -> None:
        self._flights.pop(name, None)

    async def _bring(self, job: Job, entry: Input, stopped: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        got = await loop.run_in_executor(self._pool, self._bring_now, job, entry, stopped)
        await self._settle(job.id, got)

    def _bring_now(self, job: Job, entry: Input, stopped: threading.Event) -> Input:
        """In a thread: the input as it is after the attempt."""
        scratch = self._blobs.scratch(new_id())
        most = max_input_bytes(job.limits, self._config.contract)
        order = Order(
            url=entry.source,
            path=scratch,
            most_bytes=most,
            too_large=too_large(most),
            allowed=self._config.allow_private,
            stopped=stopped,
            digest=self._blobs.digest(),
        )
        try:
            fetched = self._fetched(job, entry, order)
            size, checksum, name = fetched.size, fetched.checksum, fetched.filename
            taken = arrived(entry, scratch, size=size, checksum=checksum, own_name=name)
            return keep_input(self._blobs, job.id, taken, scratch)
        except InputError as error:
            return lost(entry, error.code, error.message)
        except OSError as error:
            return lost(entry, 507, f"The server could not store the file: {error.strerror or error}")
        finally:
            scratch.unlink(missing_ok=True)

    def _fetched(self, job: Job, entry: Input, order: Order) -> Fetched:
        if entry.type == "cloud":
            return fetch_cloud(entry, self._vault.get(job.id, entry.id), self._site, order)
        if is_masked(entry.source):
            raise InputError(LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE)
        if entry.engine in PAGE_ENGINES:
            return capture(order, entry.engine, entry.options)
        return self._fetch(order)
