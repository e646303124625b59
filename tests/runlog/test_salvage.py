"""A damaged log is made anew from what can be read, and what was started stays started."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from random import Random

import apsw
import pytest

from runner.runlog import (
    Abandoned,
    Created,
    Event,
    Failed,
    Finished,
    Intent,
    LogBusy,
    LogCorrupt,
    LogNewer,
    LogUnusable,
    Owner,
    Refused,
    RunStarted,
    Staged,
    Started,
    Starting,
    open_log,
)
from runner.runlog.file_lock import alone
from runner.runlog.salvage import salvage
from runner.state import Stage
from tests.runlog.conftest import Others

PAGE = 4096
NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEYS = [f"k{number:02}" for number in range(40)]
BOUGHT = frozenset({Stage.STARTING, Stage.STARTED, Stage.FINISHED})


def life(key: str) -> list[Event]:
    """A third is started, a third finished, a third parked before the start."""
    third = int(key[1:]) % 3
    begun: list[Event] = [
        Intent(key=key, attempt=1, addresses=(key,), payload={"x": "y" * 300}, cap=1, recipe="r", account="a"),
        Created(key=key, attempt=1, job_id=f"job-of-{key}"),
        Staged(key=key, attempt=1, uploads=()),
    ]
    started: list[Event] = [
        Starting(key=key, attempt=1, job_id=f"job-of-{key}"),
        Started(key=key, attempt=1, job_id=f"job-of-{key}"),
    ]
    end: list[Event] = [Finished(key=key, attempt=1, spent=1, outputs=())]
    return begun + (started if third else []) + (end if third == 2 else [])


def was_bought(key: str) -> bool:
    return int(key[1:]) % 3 > 0


LINES = 1 + sum(len(life(key)) for key in KEYS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("whole") / "runs.db"

    async def write() -> None:
        started = RunStarted(run_id="run", endpoint="hosted", account="a", command="run", recipes=("r",))
        await log.append(started, run_id="run")
        fences = await log.claim(KEYS, Owner.this_process())
        for key in KEYS:
            await log.append(*life(key), run_id="run", fence=fences[key])

    with open_log(place) as log:
        asyncio.run(write())
    return place.read_bytes()


def spoil(whole: bytes, page: int) -> bytes:
    return whole[: page * PAGE] + b"\xaa" * PAGE + whole[(page + 1) * PAGE :]


def test_whatever_page_is_damaged_nothing_that_was_started_can_be_bought_again(whole: bytes, tmp_path: Path) -> None:
    rebuilt = 0
    for page in range(1, len(whole) // PAGE):
        place = tmp_path / str(page) / "runs.db"
        place.parent.mkdir()
        place.write_bytes(spoil(whole, page))
        try:
            open_log(place).close()
            continue  # a page that nothing is kept on
        except LogCorrupt:
            rebuilt += 1

        told = salvage(place, now=NOW)

        with open_log(place) as log:
            states = log.states()
            assert log.check() == ()
            assert set(states) == set(KEYS), page
            assert [key for key in KEYS if was_bought(key) and states[key].stage not in BOUGHT] == [], page
            assert {states[key].job_id for key in KEYS} == {f"job-of-{key}" for key in KEYS}
            assert log.credits().spent == sum(int(key[1:]) % 3 == 2 for key in KEYS), page
            assert told.lines == len(list(log.events()))
            fences = asyncio.run(log.claim(KEYS, Owner.this_process()))
            asyncio.run(log.append(run_id="next", fence=fences["k01"]))
        assert told.backup.read_bytes() == spoil(whole, page)
    assert rebuilt > 10


def test_two_damaged_pages_make_nothing_that_was_started_look_unstarted(whole: bytes, tmp_path: Path) -> None:
    pages = range(1, len(whole) // PAGE)
    guessed = 0
    for number, (one, other) in enumerate(Random(1).sample(list(combinations(pages, 2)), 60)):
        place = tmp_path / str(number) / "runs.db"
        place.parent.mkdir()
        place.write_bytes(spoil(spoil(whole, one), other))

        told = salvage(place, now=NOW)

        guessed += len(told.guessed)
        with open_log(place) as log:
            states = log.states()
        known = {key for key in KEYS if key in states}
        assert {key for key in KEYS if was_bought(key)} <= known, (one, other)
        assert [key for key in known if was_bought(key) and states[key].stage not in BOUGHT] == [], (one, other)
    assert guessed > 0


def test_a_sound_log_comes_out_as_it_was(whole: bytes, tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(whole)
    with open_log(place) as log:
        before = log.states(), list(log.events()), log.spent_by_day(), log.runs()

    told = salvage(place, now=NOW)

    with open_log(place) as log:
        assert (log.states(), list(log.events()), log.spent_by_day(), log.runs()) == before
    assert (told.lost, told.guessed) == (0, ())


@pytest.mark.parametrize("share", [0.5, 0.6, 0.8])
def test_lines_at_the_end_that_were_cut_off_are_counted_once(whole: bytes, tmp_path: Path, share: float) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(whole[: int(len(whole) * share) // PAGE * PAGE])

    told = salvage(place, now=NOW)
    again = salvage(place, now=NOW + timedelta(seconds=1))

    assert told.lost == LINES - told.lines > 0
    assert (again.lines, again.lost, again.keys) == (told.lines, 0, told.keys)


def test_how_many_lines_are_lost_nobody_can_tell_without_their_counter(whole: bytes, tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(whole)
    with contextlib.closing(apsw.Connection(str(place))) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchall()
    assert isinstance(page, int)
    place.write_bytes(spoil(whole, page - 1))

    assert salvage(place, now=NOW).lost is None


def test_a_refusal_that_is_lost_between_two_jobs_of_an_attempt_leaves_the_last_one(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    write(
        place,
        *begun(1, "first"),
        Refused(key="k", attempt=1, status=402, message="no credits"),
        Intent(key="k", attempt=1, addresses=("k",), payload={}, cap=1, recipe="r", account="a"),
        Abandoned(key="k", attempt=1, job_id="first"),
        *begun(1, "second")[1:],
        Started(key="k", attempt=1, job_id="second"),
    )
    lose(place, "DELETE FROM events WHERE kind = 'refused'", "UPDATE keys SET state = NULL")

    told = salvage(place, now=NOW)

    with open_log(place) as log:
        state = log.states()["k"]
        assert (state.stage, state.job_id) == (Stage.STARTED, "second")
        assert log.credits().reserved == 1
    assert told.guessed == ("k",)


def test_a_later_attempt_of_which_only_the_start_is_left_is_under_way(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    write(place, *begun(1, "first"), Failed(key="k", attempt=1, spent=3, errors=()), *begun(2, "second"))
    lose(place, "DELETE FROM events WHERE body LIKE '%\"attempt\":2%'", "UPDATE keys SET state = NULL")

    told = salvage(place, now=NOW)

    with open_log(place) as log:
        state = log.states()["k"]
        assert (state.stage, state.attempt, state.job_id) == (Stage.STARTING, 2, "second")
        assert (state.recipe, state.addresses, state.spent) == ("r", frozenset({"k"}), 3)
        assert (state.errors, state.finished_at) == ((), None)
        fence = asyncio.run(log.claim(["k"], Owner.this_process()))["k"]
        asyncio.run(log.append(Started(key="k", attempt=2, job_id="second"), run_id="next", fence=fence))
    assert told.guessed == ("k",)


def begun(attempt: int, job_id: str) -> list[Event]:
    return [
        Intent(key="k", attempt=attempt, addresses=("k",), payload={}, cap=1, recipe="r", account="a"),
        Created(key="k", attempt=attempt, job_id=job_id),
        Staged(key="k", attempt=attempt, uploads=()),
        Starting(key="k", attempt=attempt, job_id=job_id),
    ]


def write(place: Path, *events: Event) -> None:
    async def write() -> None:
        fences = await log.claim(["k"], Owner.this_process())
        for event in events:
            await log.append(event, run_id="run", fence=fences["k"])

    with open_log(place) as log:
        asyncio.run(write())


def lose(place: Path, *statements: str) -> None:
    """Take from the file what a damaged page would."""
    with contextlib.closing(apsw.Connection(str(place))) as connection:
        for sql in ("DROP TRIGGER events_are_never_deleted", *statements):
            connection.execute(sql)
        assert connection.total_changes() > 0


def test_a_log_behind_a_link_is_rebuilt_where_it_lies_with_its_write_ahead_log(tmp_path: Path, others: Others) -> None:
    link, real = linked(tmp_path)
    run = others("hold", str(link), "k00", "30")
    run.hear()
    run.tell()
    run.hear()
    run.send(signal.SIGKILL)  # what it wrote is in the write-ahead log alone
    run.process.wait(30)

    told = salvage(link, now=NOW)

    assert (told.lines, told.keys, told.backup.parent) == (1, 1, real.parent)
    assert link.is_symlink()
    for place in (link, real):
        with open_log(place) as log:
            assert set(log.states()) == {"k00"}


def test_a_log_that_is_open_under_its_other_name_is_left_alone(tmp_path: Path) -> None:
    link, real = linked(tmp_path)

    for one, other in ((link, real), (real, link)):
        with open_log(one), pytest.raises(BlockingIOError), alone(other.resolve()):
            pass
        with open_log(one), pytest.raises(LogBusy):
            salvage(other, now=NOW)


def test_owners_under_two_names_of_one_log_know_each_other(tmp_path: Path, others: Others) -> None:
    link, real = linked(tmp_path)
    run = others("hold", str(link), "k00", "30")
    run.hear()

    with open_log(real) as log:
        locks = real.parent / "owners"
        assert [each.name for each in locks.iterdir()] == [lease.owner.token for lease in log.leases()]
    assert sorted(each.name for each in link.parent.iterdir()) == ["runs.db"]


def test_a_link_to_a_folder_that_is_missing_makes_none_there(tmp_path: Path) -> None:
    link = tmp_path / "runs.db"
    link.symlink_to(tmp_path / "disk" / "real.db")

    with pytest.raises(LogUnusable, match="No such file"):
        open_log(link)

    assert not (tmp_path / "disk").exists()


def linked(folder: Path) -> tuple[Path, Path]:
    """A log's two names: the link to it, and where it lies."""
    link, real = folder / "link" / "runs.db", folder / "store" / "real.db"
    for place in (link, real):
        place.parent.mkdir()
    link.symlink_to(real)
    open_log(link).close()
    return link, real


def test_a_log_in_use_is_left_alone(whole: bytes, tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(whole)
    with open_log(place) as log:
        asyncio.run(log.claim(["k00"], Owner.this_process()))

        with pytest.raises(LogBusy, match="a run is using this log"):
            salvage(place, now=NOW)


def test_a_log_that_a_run_has_opened_and_not_yet_used_is_left_alone(
    whole: bytes, tmp_path: Path, others: Others
) -> None:
    """A run that plans: what it bought later would be noted in a file that was moved away."""
    place = tmp_path / "runs.db"
    place.write_bytes(whole)
    run = others("claim-all", str(place), "1")
    assert run.hear() == "ready"

    with pytest.raises(LogBusy, match="a run is using this log"):
        salvage(place, now=NOW)

    run.end()
    assert salvage(place, now=NOW).keys == len(KEYS)


def test_a_log_of_a_newer_runner_is_not_made_into_an_older_one(whole: bytes, tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(whole)
    with contextlib.closing(apsw.Connection(str(place))) as connection:
        connection.execute("PRAGMA user_version = 99")
    newer = place.read_bytes()

    with pytest.raises(LogNewer, match="which alone can rebuild it"):
        salvage(place, now=NOW)

    assert place.read_bytes() == newer
    assert {each.name for each in tmp_path.iterdir()} == {"runs.db", "runs.db-lock"}


def test_a_file_of_which_nothing_can_be_read_stays_where_it_is(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(b"\xaa" * 9 * PAGE)

    with pytest.raises(LogUnusable, match="nothing of this log can be read"):
        salvage(place, now=NOW)

    assert place.read_bytes() == b"\xaa" * 9 * PAGE
    assert {each.name for each in tmp_path.iterdir()} == {"runs.db", "runs.db-lock"}
