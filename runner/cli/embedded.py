"""The local server as a guest of a run: started when there is work, reached by a private socket, gone afterwards.

Two runs of one state folder share one server. Each run is a guest: it holds a shared lock on `guests.lock`
while it needs the server, and the kernel lets go of the lock with the process. The server stays until it gets
the lock for itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import click

from runner.cli.seal_key import default_seal_key
from runner.client.endpoint import Endpoint
from runner.compile import LOCAL
from runner.errors import LockedError, UnreachableError
from runner.runlog.owner import process_started

LEAVE_S = 5.0
READY_S = 30.0
ASK_AGAIN_S = 0.05
QUIET_S = 1.0  # a wait that is no longer isn't worth a word
GUESTS = "guests.lock"
ADDRESS = "address.json"
SERVED = "served.json"
EMBEDDED = "runner.server.embedded"


@contextmanager
def embedded_server(state: Path, *, settings: Mapping[str, object]) -> Iterator[Endpoint]:
    """An endpoint on this machine that keeps its state in `state`.

    Raises UnreachableError when it can't start, LockedError where a server that no run started uses the folder.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / GUESTS).open("a") as guests, ExitStack() as stack:
        fcntl.flock(guests, fcntl.LOCK_SH)
        try:
            yield _start_or_join(state, settings, stack)
        finally:
            fcntl.flock(guests, fcntl.LOCK_UN)


def _start_or_join(state: Path, settings: Mapping[str, object], stack: ExitStack) -> Endpoint:
    give_up = time.monotonic() + READY_S
    while True:
        answer = _start(state, settings, stack)
        if "base_url" in answer:
            return _remembered(state, answer)
        if answer.get("error") != "locked":
            raise UnreachableError(f"the local server did not start: {answer.get('message') or answer.get('error')}")
        joined = _join_when_ready(state, give_up)
        if joined is not None:
            return joined


def _join_when_ready(state: Path, give_up: float) -> Endpoint | None:
    """The server of another run as soon as it answers; None where it has gone meanwhile. Raises LockedError."""
    tell = time.monotonic() + QUIET_S
    while True:
        joined, holder = _join(state), _holder(state)
        if joined is not None or process_started(holder) is None:
            time.sleep(0 if joined else ASK_AGAIN_S)
            return joined
        if not _is_embedded(holder) or time.monotonic() > give_up:
            raise _held(state, holder)
        if time.monotonic() > tell:
            click.echo(f"waiting for the local server that another run starts (process {holder})", err=True)
            tell = give_up
        time.sleep(ASK_AGAIN_S)


def _holder(state: Path) -> str:
    """The process that the server's lock names, "0" where it doesn't."""
    try:
        return str(int((state / "lock").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return "0"


def _is_embedded(pid: str) -> bool:
    """Whether that is a server which a run has started; so it seems where that can't be seen."""
    try:
        return EMBEDDED in Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return True


def _held(state: Path, holder: str) -> LockedError:
    told = served(state)
    url = told.get("base_url", "") if told.get("pid") == holder else ""
    return LockedError(
        f"another server (process {holder}{f', {url}' if url else ''}) keeps its state in {state}, and no run "
        "started it; nothing was done",
        hint=f"use it (--endpoint {url or 'with its base URL'}, its key in API2CONVERT_API_KEY), stop it, or give one "
        "of the two another --state",
    )


def note_served(state: Path, base_url: str) -> None:
    """For `served`: how a server that no run started is reached, without its key."""
    with suppress(OSError):
        (state / SERVED).write_text(json.dumps({"base_url": base_url, "pid": str(os.getpid())}), encoding="utf-8")


def served(state: Path) -> Mapping[str, str]:
    try:
        told: dict[str, str] = json.loads((state / SERVED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told


def _start(state: Path, settings: Mapping[str, object], stack: ExitStack) -> Mapping[str, str]:
    """Start a server; its first line says where it is, or why it isn't. It ends when we do, and not by our Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="runner-"))  # short: the path of a socket has room for 107 bytes
    config: dict[str, object] = {"state_dir": str(state), "uds": str(folder / "api.sock")}
    config |= {"guests_lock": str(state / GUESTS), "seal_key": str(default_seal_key() or ""), **settings}
    number = os.open(state / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    log = stack.enter_context(os.fdopen(number, "ab"))
    server = subprocess.Popen(
        # -P: what lies in the current folder, perhaps a folder called `runner`, is not for the server to import.
        [sys.executable, "-P", "-m", EMBEDDED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
        text=True,
    )
    stack.callback(_stop, server, state)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(config) + "\n")
    server.stdin.flush()
    return _first_line(server, server.stdout, state) | {"uds": str(folder / "api.sock")}


def _first_line(server: subprocess.Popen[str], stdout: IO[str], state: Path) -> dict[str, str]:
    ready, _, _ = select.select([stdout], [], [], READY_S)
    line = stdout.readline() if ready else ""
    try:
        answer: dict[str, str] = json.loads(line)
    except ValueError:
        code = server.poll()
        said = "it says nothing" if code is None else f"it ended with {code}"
        return {"error": f"{said}; {state / 'server.log'} has its last words"}
    return answer


def _stop(server: subprocess.Popen[str], state: Path) -> None:
    """Closing its input asks it to go; it stays while other runs are its guests, and then we don't wait for it."""
    for stream in (server.stdin, server.stdout):
        if stream is not None:
            stream.close()
    with suppress(subprocess.TimeoutExpired):
        server.wait(timeout=LEAVE_S if _is_deserted(state) else 0)


def _is_deserted(state: Path) -> bool:
    """Whether no other run is a guest: guests share the lock, and only a server that leaves has it for itself."""
    try:
        with (state / GUESTS).open("a") as guests:
            fcntl.flock(guests, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _is_leaving(state)
    except OSError:  # somebody has removed the folder meanwhile, and all guests with it
        return True
    return True


def _is_leaving(state: Path) -> bool:
    with (state / GUESTS).open("a") as guests:
        try:
            fcntl.flock(guests, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remembered(state: Path, answer: Mapping[str, str]) -> Endpoint:
    """Write down where the server is, for runs that come while it is there; only its owner may read it."""
    address = {"socket": answer["uds"], "base_url": answer["base_url"], "api_key": answer["api_key"]}
    fresh = state / f"{ADDRESS}.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(address, file)
    fresh.replace(state / ADDRESS)
    return _endpoint(address)


def _join(state: Path) -> Endpoint | None:
    try:
        address: dict[str, str] = json.loads((state / ADDRESS).read_text())
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address["socket"])
        return _endpoint(address)
    except (OSError, ValueError, KeyError):
        return None


def _endpoint(address: Mapping[str, str]) -> Endpoint:
    return Endpoint(name=LOCAL, base_url=address["base_url"], api_key=address["api_key"], socket=address["socket"])
