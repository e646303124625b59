"""Remote inputs on their way: so many at a time, each stopped when its job is canceled.

Whatever happens on the way, an input ends `ready` or `failed`: one that stayed `downloading` would hold its job for
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from runner.server.answers import ApiError
from runner.server.config import ServerConfig
from runner.server.engine.admission import keep_input
from runner.server.engine.arrivals import arrived, lost
from runner.server.engine.cloud_inputs import LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE, fetch_cloud
from runner.server.engine.fair_places import FairThreads
from runner.server.engine.remote import Fetch, Fetched, InputError, Order, fetch
from runner.server.engine.stop import Stop
from runner.server.jobs.addresses import is_masked
from runner.server.jobs.ids import new_id
from runner.server.jobs.limits import max_input_bytes, too_large
from runner.server.jobs.record import Input, Job
from runner.server.jobs.staging import is_arriving
from runner.server.jobs.vault import Vault
from runner.server.operating.logs import log_failure
from runner.server.storage.protocol import Site
from runner.server.store.blobs import Blobs
from runner.server.web.capture import ENGINES as PAGE_ENGINES
from runner.server.web.capture import capture

_log = logging.getLogger(__name__)

_AGAIN_S = 5.0
_MOST_AGAIN_S = 300.0
_CAPTURES = 2  # at once: a browser takes some hundred megabytes
_OUR_FAULT = "The server failed while it fetched the input; its log says why. Nothing was charged"

Settle = Callable[[str, Input], Awaitable[Input | None]]


@dataclass(frozen=True, slots=True)
class _Flight:
    task: asyncio.Task[None]
    stopped: Stop


class Fetching:
    """`settle(job_id, input)` is awaited with what became of an input; what it answers is fetched then."""

    def __init__(
        self, config: ServerConfig, site: Site, blobs: Blobs, vault: Vault, settle: Settle, fetcher: Fetch = fetch
    ) -> None:
        self._config = config
        self._blobs = blobs
        self._vault = vault
        self._settle = settle
        self._site = site
        self._fetch = fetcher
        self._downloads = FairThreads(config.fetches, "fetch")
        self._captures = FairThreads(_CAPTURES, "capture")
        self._flights: dict[tuple[str, str], _Flight] = {}

    def take_off(self, job: Job) -> None:
        """Begin with every input of `job` that is to be fetched and isn't being fetched."""
        for entry in job.inputs:
            name = (job.id, entry.id)
            if entry.status == "downloading" and not is_arriving(entry) and name not in self._flights:
                stopped = Stop()
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
        await asyncio.gather(self._downloads.close(), self._captures.close())

    def _landed(self, name: tuple[str, str], _: asyncio.Task[None]) -> None:
        self._flights.pop(name, None)

    async def _bring(self, job: Job, entry: Input, stopped: Stop) -> None:
        threads = self._captures if _is_page(entry) else self._downloads
        wanted: Input | None = entry
        while wanted is not None:
            got = await threads.run(job.account, partial(self._bring_now, job, wanted, stopped))
            wanted = await self._settled(job.id, got)

    async def _settled(self, job_id: str, got: Input) -> Input | None:
        """Tried until it is written: the disk may be full for now."""
        wait_s = _AGAIN_S
        while True:
            try:
                return await self._settle(job_id, got)
            except ApiError:  # there is no such job any more
                return None
            except Exception:  # noqa: BLE001  # whatever it was, the job would wait for ever
                log_failure(_log, "an input could not be recorded", job=job_id, input=got.id)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _MOST_AGAIN_S)

    def _bring_now(self, job: Job, entry: Input, stopped: Stop) -> Input:
        """In a thread: the input as it is after the attempt; never raises."""
        try:
            return self._brought(job, entry, stopped)
        except InputError as error:
            return lost(entry, error.code, error.message)
        except OSError as error:
            return lost(entry, 507, f"The server could not store the file: {error.strerror or error}")
        except Exception:  # noqa: BLE001  # a host may answer what nobody thought of
            log_failure(_log, "an input could not be fetched", job=job.id, input=entry.id, account=job.account)
            return lost(entry, 500, _OUR_FAULT)

    def _brought(self, job: Job, entry: Input, stopped: Stop) -> Input:
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
            reserve=partial(self._blobs.reserve, scratch),
        )
        try:
            fetched = self._fetched(job, entry, order)
            size, checksum, name = fetched.size, fetched.checksum, fetched.filename
            taken = arrived(entry, scratch, size=size, checksum=checksum, own_name=name)
            kept = keep_input(self._blobs, job.id, taken, scratch)
            if stopped.is_set():  # after it was kept: the files of its job may have been removed just before that
                self._blobs.remove(kept.blob)
            return kept
        finally:
            with contextlib.suppress(OSError):
                self._blobs.discard(scratch)

    def _fetched(self, job: Job, entry: Input, order: Order) -> Fetched:
        if entry.type == "cloud":
            return fetch_cloud(entry, self._vault.get(job.id, entry.id), self._site, order)
        if is_masked(entry.source):
            raise InputError(LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE)
        if _is_page(entry):
            return capture(order, entry.engine, entry.options)
        return self._fetch(order)


def _is_page(entry: Input) -> bool:
    return entry.type == "remote" and entry.engine in PAGE_ENGINES
