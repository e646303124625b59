"""A run log for the tests, kept in a file or on a real PostgreSQL server of our own."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from runner.runlog import RunLog, open_log

POOLER_PORT = 6432  # the name of its unix socket ends in it; no port is opened
OTHER_PROCESS = Path(__file__).with_name("other_process.py")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A fresh database on the server."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_database").fetchone()
        assert row is not None
        name = f"log_{row[0]}"
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres_server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The same fresh database by way of a pooler that gives each transaction any of its connections."""
    with running_pgbouncer(postgres_url) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh log is to be kept."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "runs.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def log(where: str) -> Iterator[RunLog]:
    with open_log(where) as opened:
        yield opened


class Other:
    """Another process on the same log."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, OTHER_PROCESS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 30)[0], "the other process says nothing"
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


Others = Callable[..., Other]


@pytest.fixture
def others() -> Iterator[Others]:
    started: list[Other] = []

    def start(*arguments: str) -> Other:
        started.append(Other(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of a fresh server's database, as a superuser."""
    programs = _programs()
    # A short path: the name of a unix socket has 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, _account().pw_uid, _account().pw_gid)
        data, log = folder / "data", folder / "server.log"
        _run(programs / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync", cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c shared_buffers=16MB"
        start = ("-D", data, "-l", log, "-w", "-o", options)
        _run(programs / "pg_ctl", "start", *start, cwd=folder)
        try:
            yield f"postgresql://tests@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "stop", "-D", data, "-m", "immediate", "-w", cwd=folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_pgbouncer(url: str) -> Iterator[str]:
    """The URL of the same database through a pgbouncer in transaction mode, with fewer connections than clients."""
    folder = Path(str(conninfo_to_dict(url)["host"]))
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={folder} user=tests\n[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 2\n"
        f"auth_type = any\nlisten_addr =\nlisten_port = {POOLER_PORT}\nunix_socket_dir = {folder}\n",
        encoding="ascii",
    )
    door = folder / f".s.PGSQL.{POOLER_PORT}"
    program = "/usr/sbin/pgbouncer"
    assert Path(program).exists(), "pgbouncer is missing: install the Debian package (tools/debian-packages does)"
    with subprocess.Popen(_as_nobody_important([program, "-q", str(settings)]), stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(door.exists)
            yield f"{url}&port={POOLER_PORT}"
        finally:
            process.kill()


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """The server takes connections and says nothing, as one whose disk hangs."""
    with psycopg.connect(url) as connection:
        clients = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
        pids = [row[0] for row in clients]
        pids.remove(connection.info.backend_pid)
        data = connection.execute("SHOW data_directory").fetchone()
    assert data is not None
    pids.append(int(Path(data[0], "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]))
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until, "it doesn't happen"
        time.sleep(0.02)


def _programs() -> Path:
    """The folder of the newest PostgreSQL here. Raises LookupError where there is none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    for folder in reversed(installed):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise LookupError("these tests need PostgreSQL: apt-get install postgresql")
    return Path(found).parent


def _as_nobody_important(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    account = _account()
    groups = ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
    return ["setpriv", *groups, *command]


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _run(*command: str | Path, cwd: Path) -> None:
    subprocess.run(
        _as_nobody_important([str(each) for each in command]),
        check=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
