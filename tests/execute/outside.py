"""One run in a process of its own that dies where it is told to: the victim of the tests about crashes.

An order is one JSON object; what came of the run is written to the file it names. Nothing of the runner is patched:
the run is given an HTTP session with hooks, a progress that counts, and a run log whose `append` counts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import apsw
import psycopg

from runner.cli.app import run_cli
from runner.cli.endpoint import choose_endpoint
from runner.cli.planning import open_planning
from runner.cli.prepare import load
from runner.cli.running import Wishes, carry_out
from runner.cli.session import Outside
from runner.client.courier.http import open_courier_http
from runner.client.endpoint import Endpoint
from runner.client.http import CALL_TIMEOUT_S, Answer, Content, Http, Response, open_http
from runner.errors import RunnerError
from runner.execute.claims import LEASE_S
from runner.execute.progress import Silent
from runner.plan import Policy, Step
from runner.runlog import BudgetGuard, Clock, Event, Fence, Owner, RunLog
from runner.runlog.database import Database
from runner.runlog.postgres import _TURN, open_database
from runner.runlog.sqlite import SqliteDatabase

FILE_CALLS = frozenset({"os.link", "os.rename", "os.remove", "os.mkdir"})


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run, and where it ends.

    point, ordinal  the end comes when this point is passed for the ordinal-th time ("" never)
    victim          the process that SIGKILL is sent to: 0 is the run itself
    signals         sent to the run itself instead of SIGKILL, one right after the other
    halt            stop at the point instead (SIGSTOP), and make the file RESULT.halted
    sweep           `runner sweep` instead of a run
    run_log         URL of a database that holds the run log, instead of a file in `state`
    result          file for the outcome, written when the run ends by itself
    """

    recipes: list[str]
    endpoint: str
    state: str
    result: str
    jobs: int = 1
    lock_wait_s: float = 0.0
    lease_s: float = 30.0
    retry_failed: bool = False
    retry_lost: bool = False
    point: str = ""
    ordinal: int = 1
    victim: int = 0
    signals: list[int] = field(default_factory=list)
    halt: bool = False
    sweep: bool = False
    run_log: str = ""
    courier: bool = False


def _between_transactions(order: Order) -> None:
    """Wait for the log's writer, which has a thread of its own: stopped within a transaction, it would lock out
    everybody else. That is true of users' runs as well; they end with 75 and say so."""
    if order.run_log:
        with psycopg.connect(order.run_log) as turn:
            turn.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
        return
    database = Path(order.state) / "runs.db"
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(10_000)
    connection.execute("BEGIN IMMEDIATE; ROLLBACK")
    connection.close()


@dataclass(kw_only=True)
class Trap:
    """Counts the points that are passed, and springs at one of them."""

    order: Order
    passed: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    pending: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = list(self.order.signals)

    def pass_by(self, point: str) -> None:
        self.passed.append(point)
        self.counts[point] += 1
        if point == self.order.point and self.counts[point] >= self.order.ordinal:
            self._spring()

    def _spring(self) -> None:
        if self.order.signals:
            while self.pending:
                os.kill(os.getpid(), self.pending.pop(0))
        elif self.counts[self.order.point] != self.order.ordinal:
            pass
        elif self.order.halt:
            Path(self.order.result + ".halted").touch()
            _between_transactions(self.order)
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            with suppress(ProcessLookupError):  # the other run was faster with the same server
                os.kill(self.order.victim or os.getpid(), signal.SIGKILL)

    @asynccontextmanager
    async def open_http(self, endpoint: Endpoint, connections: int) -> AsyncIterator[Http]:
        opened = open_courier_http if self.order.courier else open_http
        async with opened(endpoint, connections=connections) as http:
            yield CountingCourier(http, self) if self.order.courier else CountingHttp(http, self)

    def watch_files(self) -> None:
        """Points before every step that makes, names, renames or removes a file of the results, or syncs its folder."""

        def on_event(event: str, args: tuple[object, ...]) -> None:
            changes = event in FILE_CALLS or (event == "open" and int(str(args[2])) & (os.O_CREAT | os.O_DIRECTORY))
            if changes and any(_is_result(str(one)) for one in args[:2]):
                self.pass_by(f"before {event}")

        sys.addaudithook(on_event)


def _is_result(path: str) -> bool:
    return "/out/" in path or path.endswith("/out")


def _call(method: str, url: str) -> str:
    parts = urlsplit(url).path.split("/")
    if "upload-file" in parts or "download-file" in parts:
        return "upload" if "upload-file" in parts else "download"
    return f"{method} {'/'.join(one if len(one) < 30 else '*' for one in parts)}"


class CountingHttp(Http):
    """Passes a point before every request, and after the head of every answer."""

    def __init__(self, below: Http, trap: Trap) -> None:
        self._below = below
        self._trap = trap
        self._call_timeout_s = CALL_TIMEOUT_S

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Content | None = None,
        raw: bool = False,
        is_small: bool = False,
    ) -> AbstractAsyncContextManager[Response]:
        return self._opened(method, url, headers, content, raw=raw, is_small=is_small)

    @asynccontextmanager
    async def _opened(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Content | None,
        *,
        raw: bool,
        is_small: bool,
    ) -> AsyncIterator[Response]:
        self._trap.pass_by(f"before {_call(method, url)}")
        async with self._below.open(
            method, url, headers=headers, content=content, raw=raw, is_small=is_small
        ) as response:
            self._trap.pass_by(f"after {_call(method, url)}")
            yield response


class CountingCourier(CountingHttp):
    """The same for requests that another process carries, which come back whole."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        self._trap.pass_by(f"before {_call(method, url)}")
        answer = await self._below.request(method, url, headers=headers, content=content)
        self._trap.pass_by(f"after {_call(method, url)}")
        return answer

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        self._trap.pass_by(f"before {_call(method, url)}")
        answer = await self._below.send(method, url, headers=headers, content=content)
        self._trap.pass_by(f"after {_call(method, url)}")
        return answer


class CountingProgress(Silent):
    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    def moved(self, step: Step, size_bytes: int) -> None:
        self._trap.pass_by("amid a transfer")


class CountingLog(RunLog):
    """A run log that passes a point before and after every line, and every taking and giving back of leases."""

    def __init__(self, order: Order, trap: Trap) -> None:
        clock = Clock()
        super().__init__(_database(order, clock), clock=clock)
        self._trap = trap

    async def append(
        self, *events: Event, run_id: str, fence: Fence | None = None, budget: BudgetGuard | None = None
    ) -> None:
        names = "+".join(type(event).__name__ for event in events)
        self._trap.pass_by(f"before {names}")
        await super().append(*events, run_id=run_id, fence=fence, budget=budget)
        self._trap.pass_by(f"after {names}")

    async def claim(self, keys: Iterable[str], owner: Owner, ttl_s: float = LEASE_S) -> dict[str, Fence]:
        self._trap.pass_by("before Claim")
        won = await super().claim(keys, owner, ttl_s)
        self._trap.pass_by("after Claim")
        return won

    async def release(self, fences: Mapping[str, Fence] | Iterable[Fence]) -> None:
        self._trap.pass_by("before Release")
        await super().release(fences)
        self._trap.pass_by("after Release")


def _database(order: Order, clock: Clock) -> Database:
    if order.run_log:
        return open_database(order.run_log, read_only=False, clock=clock)
    return SqliteDatabase(Path(order.state) / "runs.db", clock=clock)


def run(order: Order) -> int:
    """Run it to its end, or to the order's. Answers the exit code."""
    if order.run_log:
        os.environ["RUNNER_RUN_LOG"] = order.run_log
    trap = Trap(order=order)
    trap.watch_files()
    outcome: dict[str, object]
    try:
        outcome = _swept(order) if order.sweep else _carried_out(order, trap)
    except RunnerError as error:
        outcome = {"exit_code": int(error.exit_code), "error": str(error), "report": None}
    outcome["points"] = trap.passed
    fresh = Path(order.result + ".new")
    fresh.write_text(json.dumps(outcome))
    fresh.replace(order.result)
    code = outcome["exit_code"]
    return code if isinstance(code, int) else 1


def _carried_out(order: Order, trap: Trap) -> dict[str, object]:
    state = Path(order.state)
    paths = [Path(one) for one in order.recipes]
    with open_planning(paths, profile=None, overrides={}, endpoint=order.endpoint, state=state) as planning:
        log = CountingLog(order, trap)
        try:
            outside = Outside(open_http=trap.open_http, progress=CountingProgress(trap), lease_s=order.lease_s)
            policy = Policy(retry_failed=order.retry_failed, retry_lost=order.retry_lost)
            wishes = Wishes(jobs=order.jobs, lock_wait_s=order.lock_wait_s, policy=policy)
            done = carry_out(replace(planning, log=log), wishes, outside)
        finally:
            log.close()
    return {"exit_code": int(done.report.exit_code), "error": "", "report": done.report.as_json()}


def _swept(order: Order) -> dict[str, object]:
    code: object = 0
    try:
        run_cli(["sweep", *order.recipes, "--state", order.state, "--endpoint", order.endpoint, "--format", "json"])
    except SystemExit as ended:
        code = ended.code or 0
    return {"exit_code": code, "error": "", "report": None}


def forge() -> None:
    """Forks a run for every order on stdin; answers its process id and then how it ended, one line each."""
    recipes = [Path(__file__).resolve().parents[2] / "recipes"]
    load(recipes, profile=None, overrides={})  # what is read once in a process is warm now, and what is imported late
    choose_endpoint(recipes, endpoint="http://localhost/v2", state=None)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            _be(order)
        print(json.dumps(child), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


def _be(order: Order) -> None:
    """Become the run of `order`."""
    stderr = order.result + ".stderr"
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        code = run(order)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as the forge
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def order_line(order: Order) -> str:
    return json.dumps(asdict(order)) + "\n"


if __name__ == "__main__":
    forge()
