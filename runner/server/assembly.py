"""Everything of one server put together, opened and closed in order; `serve` adds the socket."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from runner.server.api.access import Door, Keys
from runner.server.api.hashing import Hashing
from runner.server.api.house import House
from runner.server.app import ROUTES, make_app
from runner.server.book import DATABASE
from runner.server.callbacks.sender import Callbacks
from runner.server.config import ServerConfig
from runner.server.engine.engine import Engine
from runner.server.engine.purse import Purse
from runner.server.engine.retention import keep_retention
from runner.server.engine.stepping import Convert
from runner.server.faults import FaultyApp, read_faults
from runner.server.jobs.seal import seal_of
from runner.server.jobs.vault import Vault
from runner.server.operating.gauges import Gauges
from runner.server.operating.logs import log_job
from runner.server.operating.observed import ObservedApp
from runner.server.standing import Standing
from runner.server.store.blobs import Blobs
from runner.server.store.callbacks import CallbackQueue
from runner.server.store.database import Database
from runner.server.store.deliveries import DeliveryLog
from runner.server.store.jobs import JobStore
from runner.server.store.presets import PresetStore
from runner.server.workers.outcome import Limits
from runner.server.workers.pool import Workers


class StateLocked(Exception):
    """Another server has the state folder; the message names both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    app: ASGIApp
    house: House
    api_key: str


@asynccontextmanager
async def running(config: ServerConfig, *, base_url: str, convert: Convert | None = None) -> AsyncIterator[Running]:
    """A server without a socket, for who holds the `state_lock`.

    convert  replaces the worker processes, for tests of the rest

    Raises StoreError for a state that can't be used, OSError for a folder that can't be written.
    """
    state = config.state_dir.resolve()
    async with (
        _conversions(config, convert) as converting,
        _opened(config, state, base_url, converting) as opened,
    ):
        yield opened


@contextmanager
def state_lock(state_dir: Path) -> Iterator[None]:
    """One server per state folder; the kernel frees the lock when the process is gone, however it went.

    Raises StateLocked, OSError for a folder that can't be written.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, state_dir)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise StateLocked(f"another server (process {owner}) uses the state folder {state_dir}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


@asynccontextmanager
async def _conversions(config: ServerConfig, convert: Convert | None) -> AsyncIterator[Convert]:
    if convert is not None:
        yield convert
        return
    async with Workers(Limits(), _processes(config)) as workers:
        yield workers.convert


@asynccontextmanager
async def _opened(config: ServerConfig, state: Path, base_url: str, convert: Convert) -> AsyncIterator[Running]:
    blobs = Blobs(state / "files", checksum=config.assumptions.checksum, most_bytes=config.max_disk_bytes)
    database = Database(state / DATABASE)
    vault = Vault(seal_of(config.seal_key))
    jobs = JobStore(database, retention_s=config.contract.retention_s, vault=vault, assumptions=config.assumptions)
    standing = Standing()
    keys = Keys(database, config.api_keys)
    purse = Purse(database, jobs, config.contract)
    engine = Engine(
        config,
        jobs=jobs,
        deliveries=DeliveryLog(database),
        blobs=blobs,
        vault=vault,
        purse=purse,
        convert=convert,
        parallel=_processes(config),
        workdir=_empty_folder(state / "work"),
        standing=standing,
    )
    hashing = Hashing()
    house = House(
        config=config,
        base_url=base_url,
        door=Door(keys, jobs),
        database=database,
        jobs=jobs,
        blobs=blobs,
        vault=vault,
        purse=purse,
        presets=PresetStore(database),
        hashing=hashing,
    )
    queue = CallbackQueue(database, vault)
    callbacks = Callbacks(queue, config.callbacks, base_url=base_url, allowed=config.allow_private, standing=standing)
    gauges = Gauges(
        jobs=jobs, engine=engine, queue=queue, callbacks=callbacks, blobs=blobs, state=state, standing=standing
    )
    jobs.listeners += [callbacks.watch, log_job]
    try:
        await engine.start()
        callbacks.start()
        standing.start("retention", partial(keep_retention, jobs, blobs, retention_s=config.contract.retention_s))
        key = await keys.at_start()
        yield Running(app=_layered(make_app(house), config, gauges), house=house, api_key=key)
    finally:
        await standing.close()
        await callbacks.close()
        await engine.close()
        await jobs.close()
        hashing.close()
        database.close()


def _layered(app: ASGIApp, config: ServerConfig, gauges: Gauges) -> ASGIApp:
    """`app` with what can go wrong on purpose, and around both what watches."""
    if config.faults:
        app = FaultyApp(app, read_faults(config.faults))
    words = frozenset(part for entry in ROUTES for part in entry.path.split("/") if part and not part.startswith("{"))
    return ObservedApp(app, words=words, gauges=gauges.samples, trouble=gauges.trouble)


def _processes(config: ServerConfig) -> int:
    return config.workers or len(os.sched_getaffinity(0))


def _empty_folder(path: Path) -> Path:
    """What an earlier process left half-done is of no use to anyone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
