"""What disks, other programs and the passing of time do to a log."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from runner.errors import ExitCode
from runner.runlog import (
    Created,
    Intent,
    LogCorrupt,
    LogNewer,
    LogUnusable,
    OutOfOrder,
    Owner,
    RunEnded,
    RunLog,
    fold,
    open_log,
)
from runner.runlog.sqlite import SqliteDatabase

OTHER_PROCESS = Path(__file__).with_name("other_process.py")


def fill(log: RunLog, count: int, *, payload: str = "") -> None:
    keys = [f"k{number}" for number in range(count)]

    async def append_all() -> None:
        fences = await log.claim(keys, Owner.this_process())
        await asyncio.gather(*(log.append(intent(key, payload), run_id="run-1", fence=fences[key]) for key in keys))

    asyncio.run(append_all())


def intent(key: str, payload: str = "") -> Intent:
    return Intent(key=key, attempt=1, addresses=(key,), payload={"x": payload}, cap=1, recipe="r", account="")


def append_one(log: RunLog) -> None:
    asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))


def test_the_folder_and_the_file_are_for_the_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "a" / "state" / "runs.db"
    with open_log(place) as log:
        fill(log, 1)

        modes = {each.name: oct(each.stat().st_mode & 0o777) for each in place.parent.iterdir()}

    assert modes == {
        "runs.db": "0o600",
        "runs.db-wal": "0o600",
        "runs.db-shm": "0o600",
        "runs.db-lock": "0o600",
        "owners": "0o700",
    }
    assert place.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["a b", "ü\n", "-x", "%20?#&", "日本"])
def test_awkward_folder_names_are_no_trouble(tmp_path: Path, name: str) -> None:
    place = tmp_path / name / "runs.db"
    with open_log(place) as log:
        fill(log, 1)

    with open_log(place, read_only=True) as log:
        assert set(log.states()) == {"k0"}
    assert place.is_file()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"\xff" * 100 + data[100:], id="header"),
        pytest.param(lambda data: data[: len(data) // 2], id="torn"),
        pytest.param(lambda data: data[:4096] + os.urandom(4096) + data[8192:], id="page"),
        pytest.param(lambda data: data[:8192] + b"\0" * (len(data) - 8192), id="zeroes"),
        pytest.param(lambda _: b"not a database, but long enough to be taken for one" * 100, id="other"),
    ],
)
def test_a_damaged_log_says_so_before_anything_is_sent(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    place = tmp_path / "runs.db"
    with open_log(place) as log:
        fill(log, 200, payload="x" * 200)
    place.write_bytes(damage(place.read_bytes()))

    with pytest.raises(LogCorrupt, match=r"runs\.db: the run log is damaged .*Nothing was sent") as caught:
        open_log(place)

    assert "restore it from a backup" in caught.value.hint
    assert caught.value.exit_code is ExitCode.INVALID


def test_a_log_too_big_to_look_at_each_time_is_looked_at_when_asked(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    with open_log(place) as log:
        fill(log, 600, payload="x" * 8000)
        assert log.check() == ()
    data = bytearray(place.read_bytes())
    assert len(data) > 4 * 1024 * 1024
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xaa" * 4096
    place.write_bytes(data)

    with open_log(place) as log:
        try:
            found = log.check()
        except LogCorrupt as error:
            found = (str(error),)

    assert found != ()


def test_a_write_ahead_log_torn_at_its_end_loses_only_what_was_never_acknowledged(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    with open_log(place) as log:
        fill(log, 5)
        wal = place.with_name("runs.db-wal")
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "runs.db").write_bytes(place.read_bytes())
        (copy / "runs.db-wal").write_bytes(wal.read_bytes() + os.urandom(3000))

    with open_log(copy / "runs.db") as log:
        assert len(log.states()) == 5


def test_a_log_from_a_newer_runner_is_refused_with_advice_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    open_log(place).close()
    raw = apsw.Connection(str(place))
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = place.read_bytes()

    with pytest.raises(LogNewer, match=r"newer runner \(format 99") as caught:
        open_log(place)

    assert "update this runner" in caught.value.hint
    assert "with another --state all would be bought again" in caught.value.hint
    assert place.read_bytes() == before


def test_the_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    raw = apsw.Connection(str(place))
    raw.execute("CREATE TABLE photos (name TEXT)")
    raw.close()
    before = place.read_bytes()

    with pytest.raises(LogUnusable, match="another program"):
        open_log(place)

    assert place.read_bytes() == before


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.touch()

    with open_log(place, read_only=True) as log:
        assert log.states() == {}
    with open_log(place) as log:
        fill(log, 1)
        assert set(log.states()) == {"k0"}


@pytest.mark.parametrize("kind", ["folder in the way", "file in the way", "dangling link"])
def test_what_is_in_the_way_is_named(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "state" / "runs.db"
    if kind == "folder in the way":
        place.mkdir(parents=True)
    elif kind == "file in the way":
        place.parent.write_text("", encoding="utf-8")
    else:
        place.parent.symlink_to("/nowhere/at/all")

    with pytest.raises(LogUnusable, match="state"):
        open_log(place)


def in_another_process(script: str, *arguments: str, cwd: Path | str = "/") -> str:
    out = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, check=True, capture_output=True, text=True, timeout=60
    )
    return out.stdout.strip()


DISK_FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
from runner.errors import RunnerError
from runner.runlog import RunEnded, open_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = open_log(Path(sys.argv[1]))
event = RunEnded(run_id="x" * 3000, exit_code=0, summary={})
asyncio.run(log.append(event, run_id="r"))
size = Path(sys.argv[1] + "-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9000, resource.RLIM_INFINITY))
kept = 1
try:
    while True:
        asyncio.run(log.append(event, run_id="r"))
        kept += 1
except RunnerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
asyncio.run(log.append(event, run_id="r"))
print(len(list(log.events())) == kept + 1)
log.close()
"""


def test_a_full_disk_says_that_nothing_was_sent_and_heals_when_there_is_room(tmp_path: Path) -> None:
    message, healed = in_another_process(DISK_FULL, str(tmp_path / "runs.db")).splitlines()

    assert "nothing that depends on it was sent" in message
    assert "no space" in message or "can't be read or written" in message
    assert healed == "True"


def test_a_disk_without_any_room_left_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    with open_log(tmp_path / "runs.db") as log:
        fill(log, 3)
        # SQLite reports a file that reached its greatest size as it reports a full disk.
        with log._db.reading() as tx:
            pages = tx.rows("PRAGMA page_count")[0][0]
        assert isinstance(log._db, SqliteDatabase)
        log._db._writer.execute(f"PRAGMA max_page_count = {pages + 2}")

        with pytest.raises(LogUnusable, match=r"no space left on the disk\. The line was not"):
            fill(log, 3000)

        assert set(log.states()) == {"k0", "k1", "k2"}


@pytest.mark.parametrize(
    ("room", "words"), [(0, "no space left on the disk"), (1, "the disk can't be read or written")]
)
def test_an_io_error_for_want_of_room_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, words: str
) -> None:
    """SQLite calls it so where the file that readers and writers share finds no page: even a reader meets it."""
    with open_log(tmp_path / "runs.db") as log:
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=room))

        with pytest.raises(LogUnusable, match=words), log._db.reading():
            raise apsw.IOError("disk I/O error")


def test_a_log_whose_making_was_cut_off_reads_as_an_empty_one_and_is_made_by_the_next(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    connection = apsw.Connection(str(place))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()

    with open_log(place, read_only=True) as log:
        assert (list(log.runs()), log.states(), log.endpoints()) == ([], {}, frozenset())
    with open_log(place) as log:
        fill(log, 1)
        assert set(log.states()) == {"k0"}


def test_what_could_not_be_written_is_not_believed_afterwards(tmp_path: Path) -> None:
    with open_log(tmp_path / "runs.db") as log:
        assert isinstance(log._db, SqliteDatabase)
        fence = asyncio.run(log.claim(["k"], Owner.this_process()))["k"]
        log._db._writer.execute("PRAGMA max_page_count = 1")  # never less than there is: full from now on
        with pytest.raises(LogUnusable, match="no space left"):
            asyncio.run(log.append(intent("k", "x" * 100_000), run_id="r", fence=fence))
        log._db._writer.execute("PRAGMA max_page_count = 100000")

        with pytest.raises(OutOfOrder):
            asyncio.run(log.append(Created(key="k", attempt=1, job_id="j"), run_id="r", fence=fence))
        asyncio.run(log.append(intent("k"), run_id="r", fence=fence))

        assert log.states()["k"] == fold(log.events(key="k"))


WITHOUT_RIGHTS = """
import asyncio, os, sys, tempfile, urllib.parse
from pathlib import Path
from types import SimpleNamespace
from runner.errors import RunnerError
from runner.runlog import RunEnded, open_log
if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
with tempfile.TemporaryDirectory() as name:
    state = Path(name, "state")
    with open_log(state / "runs.db") as log:
        asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
    if sys.argv[1] == "file":
        (state / "runs.db").chmod(0o400)
    state.chmod(0o500)
    try:
        with open_log(state / "runs.db", read_only=True) as log:
            print("read", len(list(log.events())))
        with open_log((state / "deeper" if sys.argv[1] == "folder" else state) / "runs.db") as log:
            asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
    except RunnerError as error:
        print(error.exit_code.name, "sent" in str(error), "rights" in error.hint)
    finally:
        state.chmod(0o700)
"""


@pytest.mark.parametrize("what", ["file", "folder", "nothing new in the folder"])
def test_a_log_that_may_not_be_written_can_be_read_and_says_why_not_written(what: str) -> None:
    assert in_another_process(WITHOUT_RIGHTS, what).splitlines() == ["read 1", "INVALID True True"]


WITHOUT_A_LOOK = """
import os, sys, tempfile, urllib.parse
from pathlib import Path
from types import SimpleNamespace
from runner.errors import RunnerError
from runner.runlog import open_log
if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
with tempfile.TemporaryDirectory() as name:
    state = Path(name, "state")
    open_log(state / "runs.db").close()
    closed = state if sys.argv[1] == "folder" else state / "runs.db"
    closed.chmod(0)
    for read_only in (True, False):
        try:
            open_log(state / "runs.db", read_only=read_only)
        except RunnerError as error:
            print(str(error).partition("/runs.db: ")[2].partition(" the run log")[0], "rights" in error.hint)
    closed.chmod(0o700)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_log_that_may_not_be_looked_at_says_which_right_is_missing(what: str) -> None:
    assert in_another_process(WITHOUT_A_LOOK, what).splitlines() == ["no right to read True", "no right to write True"]


def test_eight_processes_make_one_log_at_once(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom runner.runlog import RunEnded, open_log\n"
        "sys.stdin.readline()\n"
        "with open_log(Path(sys.argv[1])) as log:\n"
        "    asyncio.run(log.append(RunEnded(run_id='r', exit_code=0, summary={}), run_id='r'))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "new" / "runs.db")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(8)]
    for each in started:
        each.communicate("go\n", timeout=60)

    assert [each.returncode for each in started] == [0] * 8
    with open_log(tmp_path / "new" / "runs.db") as log:
        assert len(list(log.events())) == 8


def test_what_was_acknowledged_survives_kill_9(where: str) -> None:
    open_log(where).close()
    for number in range(3):
        command = [sys.executable, str(OTHER_PROCESS), "append-forever", where, f"p{number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = [process.stdout.readline().strip() for _ in range(50 * (number + 1))]
            process.send_signal(signal.SIGKILL)
            # The last line may be cut short by the kill.
            acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]

        with open_log(where) as log:
            assert set(acknowledged) <= set(log.states())
            assert all(fold(log.events(key=key)) == state for key, state in log.states(acknowledged).items())


def test_a_closed_log_takes_no_more_lines(where: str) -> None:
    log = open_log(where)
    log.close()

    with pytest.raises(LogUnusable, match="closed"):
        append_one(log)


def test_a_caller_that_gives_up_harms_nobody(where: str) -> None:
    async def give_up(log: RunLog) -> None:
        waiting = asyncio.create_task(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await log.append(RunEnded(run_id="r", exit_code=1, summary={}), run_id="r")

    with open_log(where) as log:
        asyncio.run(give_up(log))

        assert [each.event for each in log.events()][-1:] == [RunEnded(run_id="r", exit_code=1, summary={})]


def test_a_log_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()

    with open_log(tmp_path / "runs.db") as log:
        append_one(log)

    assert threading.active_count() == before


BAD_DISK = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
import apsw
from runner.errors import RunnerError
from runner.runlog import RunEnded, open_log

class File(apsw.VFSFile):
    left = 1 << 60
    def _count(self, what):
        if what == sys.argv[2]:
            File.left -= 1
            if File.left < 0:
                raise apsw.IOError("I/O error (EIO)")
    def xRead(self, amount, offset):
        self._count("read")
        return super().xRead(amount, offset)
    def xWrite(self, data, offset):
        self._count("write")
        super().xWrite(data, offset)
    def xSync(self, flags):
        self._count("sync")
        super().xSync(flags)

class Disk(apsw.VFS):
    def xOpen(self, name, flags):
        return File("unix", name, flags)

disk = Disk("bad", "unix", makedefault=True)
place = Path(sys.argv[1])
kept = failed = 0
for good in range(40):
    File.left = 1 << 60
    log = open_log(place)
    File.left = good
    try:
        for _ in range(3):
            asyncio.run(log.append(RunEnded(run_id=str(kept), exit_code=0, summary={}), run_id="r"))
            kept += 1
        list(log.events())
    except RunnerError as error:
        failed += 1
        assert "disk can't be read or written" in str(error), error
        assert "sent" in str(error), error
    File.left = 1 << 60
    log.close()
    with open_log(place) as log:
        names = [each.event.run_id for each in log.events()]
        assert log.check() == ()
    # What was not acknowledged may be there or not, once for each time that it was asked for.
    assert set(map(str, range(kept))) <= set(names) <= set(map(str, range(kept + 1)))
print(kept > 0, failed > 0)
"""


@pytest.mark.parametrize("what", ["read", "write", "sync"])
def test_a_disk_that_fails_now_and_then_is_named_and_costs_no_acknowledged_line(tmp_path: Path, what: str) -> None:
    assert in_another_process(BAD_DISK, str(tmp_path / "runs.db"), what).strip() == "True True"
