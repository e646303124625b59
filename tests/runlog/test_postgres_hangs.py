"""A server that hangs, and locks that others hold: a run can always be ended."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from runner.errors import ExitCode
from runner.runlog import Clock, LogBusy, LogUnreachable, Owner, RunEnded, RunLog, open_log
from runner.runlog.postgres import PostgresDatabase
from tests.runlog.conftest import stopped, wait_until

ENDED = RunEnded(run_id="r", exit_code=0, summary={})


@pytest.fixture
def impatient(postgres_url: str) -> Iterator[RunLog]:
    open_log(postgres_url).close()
    with RunLog(PostgresDatabase(postgres_url, read_only=False, silent_most_s=0.5), clock=Clock()) as log:
        append_one(log)
        log.states()
        yield log


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda log: log.states(), id="a read"),
        pytest.param(lambda log: asyncio.run(log.append(ENDED, run_id="r")), id="a line"),
        pytest.param(lambda log: asyncio.run(log.claim("k", Owner.this_process())), id="a lease"),
    ],
)
def test_a_server_that_hangs_is_left_and_not_asked_again_for_each_thing(
    impatient: RunLog, postgres_url: str, ask: Callable[[RunLog], object]
) -> None:
    with stopped(postgres_url):
        with at_most(10.0), pytest.raises(LogUnreachable, match=r"said nothing for 0\.5 s.*sent") as caught:
            ask(impatient)
        with at_most(0.2):
            with pytest.raises(LogUnreachable, match="said nothing a moment ago"):
                impatient.states()
            with pytest.raises(LogUnreachable, match="said nothing a moment ago"):
                append_one(impatient)
            impatient.close()

    assert caught.value.exit_code is ExitCode.UNREACHABLE
    with open_log(postgres_url) as log:
        assert len(list(log.events())) == 1


def test_a_line_whose_commit_is_not_answered_may_be_there_and_says_so(impatient: RunLog, postgres_url: str) -> None:
    db = impatient._db
    assert isinstance(db, PostgresDatabase)
    connection = db._writer.begin("BEGIN")

    with stopped(postgres_url):
        with at_most(10.0), pytest.raises(LogUnreachable, match="whether it was is not known"):
            db._commit(connection)
        with at_most(0.2), pytest.raises(LogUnreachable, match="said nothing a moment ago"):
            append_one(impatient)


def test_a_server_that_speaks_again_is_asked_again(impatient: RunLog, postgres_url: str) -> None:
    assert isinstance(impatient._db, PostgresDatabase)
    impatient._db._writer._silence.shunned_s = 0.0
    with stopped(postgres_url), pytest.raises(LogUnreachable):
        append_one(impatient)

    append_one(impatient)

    assert len(list(impatient.events())) == 2


def test_a_server_that_hangs_while_a_log_is_closed_keeps_nobody(postgres_url: str) -> None:
    open_log(postgres_url).close()
    log = RunLog(PostgresDatabase(postgres_url, read_only=False, silent_most_s=0.5), clock=Clock())
    asyncio.run(log.claim("k", Owner.this_process()))

    with stopped(postgres_url), at_most(10.0):
        log.close()


def test_an_answer_that_takes_long_is_waited_for_while_it_comes(postgres_url: str) -> None:
    open_log(postgres_url).close()
    db = PostgresDatabase(postgres_url, read_only=True, silent_most_s=0.5)

    with db.reading() as tx:
        rows = tx.rows("SELECT pg_sleep(0.1), repeat('x', 20000) FROM generate_series(1, 12)")

    assert len(rows) == 12
    db.close()


def test_the_kernel_notices_machines_that_are_gone_unless_the_address_says_how(postgres_url: str) -> None:
    with open_log(f"{postgres_url}&tcp_user_timeout=1234&keepalives_idle=7") as log, log._db.reading():
        assert isinstance(log._db, PostgresDatabase)
        connection = log._db._reader._connection
        assert connection is not None
        said = connection.info.get_parameters()

    assert {name: said[name] for name in ("tcp_user_timeout", "keepalives_idle", "keepalives_count")} == {
        "tcp_user_timeout": "1234",
        "keepalives_idle": "7",
        "keepalives_count": "3",
    }


def test_a_machine_that_takes_connections_and_says_nothing_is_asked_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"postgresql://127.0.0.1:{listening.getsockname()[1]}/x?connect_timeout=2"
        db = PostgresDatabase(url, read_only=True)
        with at_most(8.0), pytest.raises(LogUnreachable, match="PostgreSQL doesn't answer"):
            db.version()
        with at_most(0.2), pytest.raises(LogUnreachable, match="said nothing a moment ago"):
            db.version()


def test_a_turn_that_does_not_come_is_waited_for_once_and_then_only_looked_for(postgres_url: str) -> None:
    open_log(postgres_url).close()
    db = PostgresDatabase(postgres_url, read_only=False, turn_most_s=4.0)
    with RunLog(db, clock=Clock()) as log, open_log(postgres_url) as other:
        with other._db.writing() as tx:
            tx.rows("SELECT 1")
            with pytest.raises(LogBusy, match="another run has been writing"):
                append_one(log)
            with at_most(3.5), pytest.raises(LogBusy, match="another run has been writing"):
                append_one(log)
        append_one(log)

        assert len(list(log.events())) == 1


READS_WHAT_IS_LOCKED = """
import sys
import uvloop
from runner.cli.looping import run_async
from runner.cli.session import _stoppable
from runner.runlog import open_log

async def read():
    with _stoppable() as stop:
        print("reading", flush=True)
        log.states()

with open_log(sys.argv[1]) as log:
    run_async(read(), loop_factory=uvloop.new_event_loop if sys.argv[2] == "uvloop" else None)
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_a_run_that_waits_for_its_log(
    postgres_url: str, number: signal.Signals, loop: str
) -> None:
    open_log(postgres_url).close()
    with psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE conversion_runner.keys IN ACCESS EXCLUSIVE MODE")
        command = [sys.executable, "-c", READS_WHAT_IS_LOCKED, postgres_url, loop]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            assert run.stdout.readline() == "reading\n"
            wait_until(lambda: _waits_for_a_lock(holder))
            try:
                run.send_signal(number)
                with pytest.raises(subprocess.TimeoutExpired):
                    run.wait(0.5)
                run.send_signal(number)
                with at_most(5.0):
                    run.wait(20)
            finally:
                run.kill()

            assert run.returncode == -signal.SIGINT
            assert run.stderr.read() == ""


PLANS_WHAT_IS_LOCKED = """
import signal, sys
from runner.cli.looping import run_async
from runner.runlog import open_log

async def read():
    log.states()

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell in the background has it ignored
try:
    with open_log(sys.argv[1]) as log:
        run_async(read())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_command_that_reads_a_log_is_interrupted_without_asking_the_server_for_leave(postgres_url: str) -> None:
    open_log(postgres_url).close()
    with psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE conversion_runner.keys IN ACCESS EXCLUSIVE MODE")
        command = [sys.executable, "-c", PLANS_WHAT_IS_LOCKED, postgres_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reading:
            wait_until(lambda: _waits_for_a_lock(holder))
            try:
                with stopped(postgres_url), at_most(4.0):
                    for _ in range(2):
                        reading.send_signal(signal.SIGINT)
                        time.sleep(0.5)
                    said = reading.communicate(timeout=20)
            finally:
                reading.kill()

    assert said == ("interrupted\n", "")


def _waits_for_a_lock(connection: psycopg.Connection) -> bool:
    here = "SELECT oid FROM pg_database WHERE datname = current_database()"  # others have tests of their own
    row = connection.execute(f"SELECT count(*) FROM pg_locks WHERE NOT granted AND database = ({here})").fetchone()
    return row is not None and row[0] > 0


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def append_one(log: RunLog) -> None:
    asyncio.run(log.append(ENDED, run_id="r"))
