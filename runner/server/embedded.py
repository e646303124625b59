"""A server for one parent: `python -m runner.server.embedded`, told by one line of JSON on stdin.

    {"state_dir": "/x/.runner/server", "uds": "/x/s.sock", "api_keys": ["..."], "workers": 0,
     "allow_private": ["127.0.0.0/8"], "s3_endpoint": "http://127.0.0.1:9000", "gcs_endpoint": "", "azure_endpoint": "",
     "guests_lock": "/x/guests.lock", "seal_key": "/y/seal.key"}

Only `state_dir` and `uds` are needed. Without keys the state folder keeps one, the same every time, that
only its owner may read; the socket is as private.

Answers one line on stdout when ready, `{"base_url", "api_key", "pid", "uds"}`, or why it can't:
`{"error": "locked" | "state" | "address" | "config", "message": ...}` (exit 75 for a lock, else 1).

Stops when stdin ends, so that it never outlives its parent, however that went; with a `guests_lock` only when
nobody holds that lock any more, so that others may use the server for as long as they need it.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import ipaddress
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from runner.server.assembly import StateLocked
from runner.server.config import ServerConfig
from runner.server.jobs.ids import new_key
from runner.server.private_file import kept_in
from runner.server.serve import Ready, run_loop, serve
from runner.server.store.database import StoreError
from runner.wire.values import as_int, as_list, as_object, as_text

EXIT_LOCKED = 75
EXIT_FAILED = 1

_KEY_FILE = "key"
_LOOK_AGAIN_S = 0.1


def main() -> int:
    gc.set_threshold(100_000, 10, 10)  # requests make little garbage in circles
    os.umask(0o077)  # what a server writes is for its owner alone, whatever the mode of its folder
    line = sys.stdin.buffer.readline()
    try:
        config = read_config(line)
        guests = _guests_lock(line)
    except (ValueError, TypeError, KeyError) as error:
        return _refuse("config", f"the configuration on stdin can't be read: {error}")
    try:
        run_loop(_serve_until_left(_with_key(config), guests))
    except StateLocked as error:
        return _refuse("locked", str(error), EXIT_LOCKED)
    except StoreError as error:
        return _refuse("state", str(error))
    except OSError as error:
        return _refuse("address", f"{error.strerror or error}: {error.filename or config.uds or config.host}")
    finally:
        # The folder of the socket was made for us alone; a parent that was killed can't remove it.
        if config.uds is not None:
            with suppress(OSError):
                config.uds.parent.rmdir()
    return 0


def read_config(line: bytes) -> ServerConfig:
    """The configuration in one line of JSON; raises ValueError, TypeError or KeyError for what is none."""
    given = as_object(orjson.loads(line))
    return ServerConfig(
        state_dir=Path(given["state_dir"]),
        uds=Path(given["uds"]) if given.get("uds") else None,
        api_keys=tuple(str(key) for key in as_list(given.get("api_keys"))),
        workers=as_int(given.get("workers")),
        allow_private=tuple(ipaddress.ip_network(one, strict=False) for one in as_list(given.get("allow_private"))),
        seal_key=Path(given["seal_key"]) if given.get("seal_key") else None,
        s3_endpoint=as_text(given.get("s3_endpoint")),
        gcs_endpoint=as_text(given.get("gcs_endpoint")),
        azure_endpoint=as_text(given.get("azure_endpoint")),
    )


def _guests_lock(line: bytes) -> Path | None:
    given = as_object(orjson.loads(line)).get("guests_lock")
    return Path(given) if given else None


def _with_key(config: ServerConfig) -> ServerConfig:
    """`config` with the key of its state folder where it has none. Raises OSError."""
    if config.api_keys:
        return config
    key = kept_in(config.state_dir / _KEY_FILE, lambda: new_key().encode())
    return replace(config, api_keys=(key.decode(),))


async def _serve_until_left(config: ServerConfig, guests: Path | None) -> None:
    stop = asyncio.Event()
    watching = asyncio.create_task(_until_left(guests, stop))
    try:
        await serve(config, _say_ready, stop=stop)
    finally:
        watching.cancel()


async def _until_left(guests: Path | None, stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while await reader.read(4096):
        pass
    if guests is not None:
        await _until_alone(guests)
    stop.set()


async def _until_alone(guests: Path) -> None:
    """Until nobody holds the lock; then it is ours until this process ends, and newcomers wait for that."""
    descriptor = os.open(guests, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


def _say_ready(ready: Ready) -> None:
    _say(asdict(ready))


def _refuse(error: str, message: str, code: int = EXIT_FAILED) -> int:
    _say({"error": error, "message": message})
    return code


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
