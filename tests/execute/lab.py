"""Where crashes are rehearsed: a real server, a web server for remote inputs, forges of runs, and the judge."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apsw
from PIL import Image

from runner.runlog import Created, Credits, open_log
from runner.server.book import DATABASE, BookEntry, read_book
from runner.state import Stage
from runner.wire.status import TERMINAL
from tests.execute.outside import Order, order_line

ROOT = Path(__file__).resolve().parents[2]
KEY = "key-of-the-lab-0123456789"
READY_S = 30.0


def picture(seed: int, *, size: tuple[int, int] = (24, 16)) -> bytes:
    """A small PNG that no other seed gives."""
    noise = random.Random(seed).randbytes(size[0] * size[1] * 3)
    written = io.BytesIO()
    Image.frombytes("RGB", size, noise).save(written, "PNG")
    return written.getvalue()


class Web:
    """Serves `/NUMBER.png`, the picture of that seed; anything else is 404."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/").partition(".")[0]
                body = picture(int(name)) if name.isdigit() else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Server:
    """A real `runner serve`, started again at once, on the same port, whenever somebody kills it.

    faults  what goes wrong on purpose; a change counts from the next death on
    """

    def __init__(self, state: Path, *, faults: str = "") -> None:
        self.state = state
        self.faults = faults
        self.deaths = 0
        self.pid = 0
        self.base_url = ""
        self._port = 0
        self._closing = False
        self._up = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        state.parent.mkdir(parents=True, exist_ok=True)
        self._log = state.with_name(state.name + ".log").open("ab")
        self._watch = threading.Thread(target=self._keep_up)
        self._watch.start()
        self.wait_up()

    def wait_up(self) -> int:
        """Wait until it answers; its process id."""
        if not self._up.wait(READY_S):
            raise AssertionError(f"the server doesn't start; see {self._log.name}")
        return self.pid

    def kill(self) -> None:
        pid = self.wait_up()
        self._up.clear()
        os.kill(pid, signal.SIGKILL)

    def rehearse(self, faults: str) -> None:
        """Let these faults happen from now on."""
        self.faults = faults
        deaths = self.deaths
        self.kill()
        until = time.monotonic() + READY_S
        while self.deaths == deaths and time.monotonic() < until:
            time.sleep(0.01)
        self.wait_up()

    def close(self) -> None:
        self._closing = True
        while self._watch.is_alive():  # it may just be starting another one
            if self._process is not None:
                self._process.kill()
            self._watch.join(timeout=0.1)
        self._log.close()

    def _keep_up(self) -> None:
        while not self._closing:
            self._process = process = self._start()
            assert process.stdout is not None
            ready = process.stdout.readline()
            if ready:
                said = json.loads(ready)
                self.base_url, self.pid = said["base_url"], process.pid
                self._port = int(self.base_url.rsplit(":", 1)[1].partition("/")[0])
                self._up.set()
            process.wait()
            self._up.clear()
            self.deaths += 1
            process.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runner", "serve", "--format", "json", "--port", str(self._port)]
        command += ["--state", str(self.state), "--key", KEY, "--workers", "2", "--allow-private", "127.0.0.0/8"]
        command += ["--faults", self.faults] if self.faults else []
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, text=True)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended: `code` is negative for a signal; `outcome` is None where it could not say any more."""

    code: int
    outcome: Mapping[str, Any] | None
    stderr: str

    @property
    def jobs(self) -> list[Mapping[str, Any]]:
        assert self.outcome is not None, self.stderr
        report = self.outcome["report"]
        assert report is not None, self.outcome["error"]
        jobs: list[Mapping[str, Any]] = report["jobs"]
        return jobs

    @property
    def points(self) -> list[str]:
        """What it passed; only that it could do nothing, which it notes in one line, is no point."""
        assert self.outcome is not None, self.stderr
        points: list[str] = self.outcome["points"]
        return [point for point in points if not point.endswith("RunStarted+RunEnded")]


class Forge:
    """Starts runs in milliseconds: a process that has imported everything forks for each. One run at a time."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.execute.outside"],
            cwd=ROOT,
            env=environment | {"API2CONVERT_API_KEY": KEY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._order: Order | None = None

    def begin(self, order: Order) -> int:
        """The process id of the run."""
        assert self._process.stdin is not None
        for old in (order.result, order.result + ".halted"):
            Path(old).unlink(missing_ok=True)
        self._order = order
        self._process.stdin.write(order_line(order))
        self._process.stdin.flush()
        return int(self._line())

    def end(self) -> Ended:
        """Wait for the run that was begun."""
        assert self._order is not None
        code = int(self._line())
        result = Path(self._order.result)
        outcome = json.loads(result.read_text()) if result.exists() else None
        stderr = Path(self._order.result + ".stderr")
        return Ended(code=code, outcome=outcome, stderr=stderr.read_text() if stderr.exists() else "")

    def run(self, order: Order) -> Ended:
        self.begin(order)
        return self.end()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forge died"
        return line


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job in the server's book, with the key and the attempt that it was created for."""

    key: str
    attempt: int
    book: BookEntry


def entries(server_state: Path, keys: set[str] | None = None) -> list[Entry]:
    """The server's jobs by what they were created for: the key and attempt that its idempotency table holds."""
    book = read_book(server_state)
    connection = apsw.Connection(str(server_state / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(10_000)
    try:
        rows = connection.execute("select key, job_id from idempotency").fetchall()
    finally:
        connection.close()
    found = []
    for text, job_id in rows:
        key, attempt, *_ = str(text).removeprefix("k1:").split(":")
        if keys is None or f"k1:{key}" in keys:
            found.append(Entry(key=f"k1:{key}", attempt=int(attempt), book=book[str(job_id)]))
    return found


@dataclass(kw_only=True)
class Verdict:
    """What the judge found. `wrong` is empty when every promise was kept; `unknown` counts leftovers without an id."""

    wrong: list[str] = field(default_factory=list)
    unknown: int = 0
    starts: int = 0
    credits: int = 0


def judge(server_state: Path, state: Path, *results: Path, crashes: int, run_log: str = "") -> Verdict:
    """Hold the server's book against the run log in `state`, or at `run_log`, after everything was run to its end.

    results  the folders where the last runs delivered
    """
    verdict = Verdict()
    with open_log(run_log or state / "runs.db") as log:
        states = log.states()
        logged = {stored.event.job_id for stored in log.events() if isinstance(stored.event, Created)}
        credits = log.credits()
        unstarted = {left.job_id for left in log.unstarted()}
        damage = log.check()
    own = entries(server_state, set(states))
    # Past the commit point a job belongs to the next run that wants it, whether it was started or not.
    committed = {state.job_id for state in states.values() if state.stage in (Stage.STARTING, Stage.STARTED)}
    _check_starts(own, verdict)
    _check_credits(own, credits, committed, verdict)
    idle = [entry.book.job_id for entry in own if not entry.book.starts and entry.book.status not in TERMINAL]
    left = [job_id for job_id in idle if job_id not in committed]
    verdict.unknown = sum(job_id not in logged for job_id in left)
    if verdict.unknown > crashes:
        verdict.wrong.append(f"{verdict.unknown} unstarted jobs with unknown ids after {crashes} crashes")
    verdict.wrong += [f"unstarted job {job_id} is in the log and was left" for job_id in left if job_id in logged]
    verdict.wrong += [f"the log still calls {job_id} unstarted" for job_id in unstarted - set(left)]
    verdict.wrong += [f"the log is damaged: {one}" for one in damage]
    parts = [path for folder in results for path in folder.glob(".*.part")]
    verdict.wrong += [f"half a file was left: {path}" for path in parts]
    return verdict


def _check_starts(own: Sequence[Entry], verdict: Verdict) -> None:
    starts: Counter[tuple[str, int]] = Counter()
    for entry in own:
        starts[entry.key, entry.attempt] += entry.book.starts
    verdict.starts = starts.total()
    verdict.wrong += [f"{key} attempt {attempt} was started {n} times" for (key, attempt), n in starts.items() if n > 1]


def _check_credits(own: Sequence[Entry], credits: Credits, committed: set[str], verdict: Verdict) -> None:
    """What was charged is in the log."""
    verdict.credits = sum(entry.book.credits for entry in own)
    if verdict.credits != credits.spent:
        verdict.wrong.append(f"the server charged {verdict.credits}, the log says {credits.spent}")
    if credits.reserved and not committed:
        verdict.wrong.append(f"{credits.reserved} credits are reserved although nothing runs")


@contextmanager
def running_web() -> Iterator[Web]:
    web = Web()
    try:
        yield web
    finally:
        web.close()


@contextmanager
def running_server(state: Path, *, faults: str = "") -> Iterator[Server]:
    server = Server(state, faults=faults)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def forges(count: int) -> Iterator[list[Forge]]:
    with ExitStack() as stack:
        made = [Forge() for _ in range(count)]
        for forge in made:
            stack.callback(forge.close)
        yield made


def wait_for(path: Path, *, most_s: float = 20.0) -> None:
    """Until another process has made `path`."""
    until = time.monotonic() + most_s
    while not path.exists():
        assert time.monotonic() < until, f"{path} doesn't come"
        time.sleep(0.01)


def wait_until_stopped(pid: int, *, most_s: float = 20.0) -> None:
    """Until the process is suspended."""
    until = time.monotonic() + most_s
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < until, f"process {pid} goes on"
        time.sleep(0.01)


def gone(pid: int, *, most_s: float = 10.0) -> bool:
    """Whether the process ends within `most_s`."""
    until = time.monotonic() + most_s
    with suppress(ProcessLookupError, FileNotFoundError):
        while time.monotonic() < until:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
            time.sleep(0.02)
        return False
    return True
