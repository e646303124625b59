"""The server on a socket: binds, says when it is ready, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import stat
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from runner.server.assembly import Running, running, state_lock
from runner.server.config import ServerConfig
from runner.server.connection import Connection

_BACKLOG = 1024
_GRACE_S = 10
_GARBAGE = 20_000
_TICKS_OF_SILENCE = 100  # uvicorn ticks ten times a second
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A server that answers. `uds` is empty where it listens on a port."""

    base_url: str
    api_key: str
    pid: int
    uds: str


async def serve(config: ServerConfig, on_ready: Callable[[Ready], None], *, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGINT, SIGTERM or `stop`; returns after what runs was put down safely.

    Raises OSError when the address can't be had, StateLocked and StoreError for the state folder.
    """
    with _claimed(config) as listening:
        async with running(config, base_url=config.base_url or _base_url(config, listening)) as opened:
            await serve_app(opened.app, listening, lambda: on_ready(_ready(opened, config, listening)), stop=stop)


@contextmanager
def _claimed(config: ServerConfig) -> Iterator[socket.socket]:
    """The state folder and the address. No folder is made for an address that can't be had."""
    with ExitStack() as stack:
        if config.uds or config.state_dir.exists():
            stack.enter_context(state_lock(config.state_dir))
            yield stack.enter_context(listening_at(config.host, config.port, uds=config.uds))
        else:
            listening = stack.enter_context(listening_at(config.host, config.port))
            stack.enter_context(state_lock(config.state_dir))
            yield listening


@contextmanager
def listening_at(host: str, port: int, *, uds: Path | None = None) -> Iterator[socket.socket]:
    """A bound socket; raises OSError where the address can't be had."""
    listening = _bind_uds(uds) if uds else _bind(host, port)
    try:
        yield listening
    finally:
        listening.close()
        if uds:
            uds.unlink(missing_ok=True)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run` on uvloop's event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def serve_app(
    app: ASGIApp, listening: socket.socket, on_ready: Callable[[], None], *, stop: asyncio.Event | None = None
) -> None:
    """Serve `app` until SIGINT, SIGTERM or `stop`."""
    server = _Server(_uvicorn_config(app), on_ready)
    watching = asyncio.create_task(_stop_when(stop, server)) if stop else None
    loop = asyncio.get_running_loop()
    for number in _STOPPING:
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve(sockets=[listening])
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
        if watching:
            watching.cancel()


def _base_url(config: ServerConfig, listening: socket.socket) -> str:
    """As others reach it: by the machine's name where it listens on every address."""
    if config.uds:
        return "http://localhost/v2"
    return f"{url_of(listening, host=socket.gethostname() if config.is_everywhere else '')}/v2"


def _ready(opened: Running, config: ServerConfig, listening: socket.socket) -> Ready:
    """As it is reached from here, where nobody said how."""
    here = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
    from_here = config.is_everywhere and not config.base_url
    return Ready(
        base_url=f"{url_of(listening, host=here)}/v2" if from_here else opened.house.base_url,
        api_key=opened.api_key,
        pid=os.getpid(),
        uds=str(config.uds or ""),
    )


class _Server(uvicorn.Server):
    """Says when it is ready: when it really accepts. Signals only ask it to stop. Clients that fall silent are let go.

    (uvicorn would raise the signal again when it is done, and end the process before its state is closed.)
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def stop(self) -> None:
        """Stop in good order; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        # Requests under way aren't garbage, and at every 700th object it would walk through hundreds of them.
        gc.set_threshold(_GARBAGE, 10, 10)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_OF_SILENCE == 0:
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.end_silence()
        return await super().on_tick(counter)


def _uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
        backlog=_BACKLOG,
    )


async def _stop_when(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        return listening
    except BaseException:
        listening.close()
        raise


def _bind_uds(path: Path) -> socket.socket:
    """A socket that only this user may connect to; one that a killed server left is replaced."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        return listening
    except BaseException:
        listening.close()
        raise


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody answers on; raises OSError where somebody does."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))
        path.unlink()


def url_of(listening: socket.socket, *, host: str = "") -> str:
    """Its root, under `host` where one is given."""
    bound, port = listening.getsockname()[:2]
    host = host or bound
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
