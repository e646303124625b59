"""Writing lines, in a file and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from runner.runlog import (
    Abandoned,
    AlreadyStarting,
    Created,
    Delivered,
    DeliveryFailed,
    Event,
    Failed,
    Fence,
    Finished,
    Intent,
    LeaseLost,
    Lost,
    OutOfOrder,
    Owner,
    Refused,
    RunEnded,
    RunLog,
    RunStarted,
    Staged,
    StagedUpload,
    Started,
    Starting,
    fold,
    open_log,
)
from runner.state import DeliveredFile, OutputRecord, Stage

KEY = "k1:" + "a" * 64
OUTPUT = OutputRecord(id="o1", filename="ä\n.webp", uri="http://x/y", size_bytes=3, checksum="", conversion_index=0)
FILE = DeliveredFile(path="/out/ä\n.webp", size_bytes=3, sha256="0" * 64, mtime_ns=2**62, inode=2**50)
UPLOAD = StagedUpload(path="-ä b.tif", size=2**40, sha256="1" * 64, md5="2" * 32)


def intent(key: str = KEY, *, attempt: int = 1, cap: int | None = 5) -> Intent:
    payload = {"input": [{"type": "upload", "source": "ä"}], "callback": {"env": "HOOK"}}
    return Intent(key=key, attempt=attempt, addresses=("r[ä]",), payload=payload, cap=cap, recipe="r", account="acct")


def life(key: str = KEY, *, job_id: str = "j1") -> list[Event]:
    """All lines of a job that went well."""
    return [
        intent(key),
        Created(key=key, attempt=1, job_id=job_id),
        Staged(key=key, attempt=1, uploads=(UPLOAD,)),
        Starting(key=key, attempt=1, job_id=job_id),
        Started(key=key, attempt=1, job_id=job_id),
        Finished(key=key, attempt=1, spent=2, outputs=(OUTPUT,)),
        Delivered(key=key, attempt=1, address="r[ä]", save="out/{x}", files=(FILE,)),
    ]


def claim(log: RunLog, key: str = KEY) -> Fence:
    return asyncio.run(log.claim([key], Owner.this_process()))[key]


def append(log: RunLog, *events: Event, fence: Fence | None = None) -> None:
    asyncio.run(log.append(*events, run_id="run-1", fence=fence))


def test_what_was_appended_is_read_back_the_same_in_its_order(log: RunLog) -> None:
    started = RunStarted(run_id="run-1", endpoint="local", account="acct", command="run", recipes=("a", "b"))
    ended = RunEnded(run_id="run-1", exit_code=0, summary={"succeeded": 1})
    fence = claim(log)

    append(log, started)
    for event in life():
        append(log, event, fence=fence)
    append(log, ended)

    stored = list(log.events())
    assert [each.event for each in stored] == [started, *life(), ended]
    assert [each.fence for each in stored] == [None, *[fence.number] * 7, None]
    assert sorted(each.seq for each in stored) == [each.seq for each in stored]


def test_the_state_that_is_kept_is_the_fold_of_the_lines(log: RunLog) -> None:
    fence = claim(log)

    for event in life():
        append(log, event, fence=fence)
        assert log.states([KEY]) == {KEY: fold(log.events(key=KEY))}

    assert log.states()[KEY].stage is Stage.FINISHED
    assert log.states()[KEY].deliveries["r[ä]"].files == (FILE,)


def test_a_log_that_was_closed_is_there_when_it_is_opened_again(where: str) -> None:
    with open_log(where) as first:
        append(first, *life(), fence=claim(first))
        before = first.states()

    with open_log(where) as second:
        assert second.states() == before
        assert [each.event for each in second.events(key=KEY)] == life()


def test_one_call_is_written_as_a_whole_or_not_at_all(log: RunLog) -> None:
    fence = claim(log)

    with pytest.raises(OutOfOrder, match="Finished may not follow"):
        append(log, intent(), Finished(key=KEY, attempt=1, spent=0, outputs=()), fence=fence)

    assert list(log.events()) == []
    assert log.states() == {}


def test_one_refused_call_harms_no_other_in_the_same_transaction(log: RunLog) -> None:
    keys = [f"key-{number}" for number in range(20)]
    fences = asyncio.run(log.claim(keys, Owner.this_process()))
    stale = Fence(key="key-7", number=fences["key-7"].number - 1, token=fences["key-7"].token)
    fences["key-7"] = stale

    async def all_at_once() -> list[BaseException | None]:
        calls = (log.append(intent(key), run_id="run-1", fence=fences[key]) for key in keys)
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(all_at_once())

    assert [type(each) for each in answers] == [type(None)] * 7 + [LeaseLost] + [type(None)] * 12
    assert set(log.states()) == set(keys) - {"key-7"}


def test_callers_at_once_share_transactions_and_callers_in_turn_do_not(log: RunLog) -> None:
    keys = [f"key-{number}" for number in range(200)]
    fences = asyncio.run(log.claim(keys, Owner.this_process()))

    async def at_once() -> None:
        await asyncio.gather(*(log.append(intent(key), run_id="at once", fence=fences[key]) for key in keys))

    async def in_turn() -> None:
        for key in keys:
            await log.append(Created(key=key, attempt=1, job_id=f"j-{key}"), run_id="in turn", fence=fences[key])

    asyncio.run(at_once())
    asyncio.run(in_turn())

    # All lines of one transaction have one time.
    assert len({each.at for each in log.events(run_id="at once")}) <= 20
    assert len({each.at for each in log.events(run_id="in turn")}) == 200


def test_a_line_about_a_key_needs_its_own_fence(log: RunLog) -> None:
    fence = claim(log, "another")

    with pytest.raises(ValueError, match="needs the fence of that key"):
        append(log, intent())
    with pytest.raises(ValueError, match="needs the fence of that key"):
        append(log, intent(), fence=fence)

    assert list(log.events()) == []


def test_a_payload_that_is_not_json_is_refused_before_anything_is_written(log: RunLog) -> None:
    event = Intent(key=KEY, attempt=1, addresses=(), payload={"x": {1, 2}}, cap=None, recipe="r", account="")

    with pytest.raises(TypeError):
        append(log, event, fence=claim(log))

    assert list(log.events()) == []


def test_a_second_job_is_never_committed_to_for_one_attempt(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:4], fence=fence)

    # The fold refuses as well, but two writers with wrong states must still be caught by the table of starts.
    with log._db.writing() as tx:
        tx.rows("UPDATE keys SET state = NULL WHERE key = ?", (KEY,))
    log._ledger.forget()
    with pytest.raises(AlreadyStarting, match="already committed to job j1") as caught:
        append(log, *life(job_id="j2")[:4], fence=fence)

    assert caught.value.job_id == "j1"
    assert [each.event for each in log.events(kinds=["starting"])] == [life()[3]]


def test_whoever_takes_a_key_over_knows_what_its_attempt_is_committed_to(log: RunLog) -> None:
    before = claim(log)
    append(log, *life()[:4], fence=before)
    asyncio.run(log.release([before]))
    with log._db.writing() as tx:  # a wrong state: only the starts tell
        tx.rows("UPDATE keys SET state = NULL WHERE key = ?", (KEY,))

    with pytest.raises(AlreadyStarting, match="already committed to job j1"):
        append(log, *life(job_id="j2")[:4], fence=claim(log))


def test_whoever_takes_a_key_over_goes_on_from_its_state(log: RunLog) -> None:
    before = claim(log)
    append(log, *life()[:4], fence=before)
    asyncio.run(log.release([before]))
    after = claim(log)

    append(log, *life()[4:5], fence=after)

    assert log.states()[KEY].stage is Stage.STARTED
    with pytest.raises(LeaseLost):
        append(log, *life()[4:5], fence=before)


def test_the_same_job_may_be_started_again_in_recovery(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:4], fence=fence)

    append(log, Starting(key=KEY, attempt=1, job_id="j1"), fence=fence)

    assert log.states()[KEY].stage is Stage.STARTING


def test_a_refused_start_is_parked_and_frees_the_attempt_for_another_job(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:4], fence=fence)

    append(log, Refused(key=KEY, attempt=1, status=402, message="no credits", until=123.0), fence=fence)
    parked = log.states()[KEY]
    append(log, Abandoned(key=KEY, attempt=1, job_id="j1"), fence=fence)
    append(log, *life(job_id="j2")[1:4], fence=fence)

    assert (parked.stage, parked.parked_until, parked.refusal) == (Stage.STAGED, 123.0, "no credits")
    again = log.states()[KEY]
    assert (again.stage, again.job_id, again.parked_until) == (Stage.STARTING, "j2", None)


def test_the_next_attempt_begins_afresh_and_remembers_what_was_spent(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:5], fence=fence)
    append(log, Failed(key=KEY, attempt=1, spent=3, errors=({"code": 7, "message": "no"},)), fence=fence)

    append(log, intent(attempt=2), fence=fence)

    state = log.states()[KEY]
    assert (state.attempt, state.stage, state.spent, state.job_id, state.errors) == (2, Stage.INTENT, 3, "", ())


def test_a_lost_job_says_why_and_can_be_found_again(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:5], Lost(key=KEY, attempt=1, reason="404"), fence=fence)
    lost = log.states()[KEY]

    append(log, Started(key=KEY, attempt=1, job_id="j1"), fence=fence)

    assert (lost.stage, lost.errors) == (Stage.LOST, ({"code": 0, "message": "404"},))
    assert log.states()[KEY].stage is Stage.STARTED


def test_a_failed_delivery_is_remembered_until_it_succeeds(log: RunLog) -> None:
    fence = claim(log)
    append(log, *life()[:6], fence=fence)

    append(log, DeliveryFailed(key=KEY, attempt=1, address="r[ä]", message="disk full"), fence=fence)
    failed = log.states()[KEY]
    append(log, life()[6], fence=fence)

    assert failed.delivery_errors == {"r[ä]": "disk full"}
    assert log.states()[KEY].delivery_errors == {}


def test_what_a_failed_delivery_put_all_the_same_is_ours_and_no_delivery(log: RunLog) -> None:
    fence = claim(log)
    put = DeliveredFile(path="/out/1.webp", size_bytes=1, sha256="c" * 64, mtime_ns=2, inode=3)
    append(log, *life(), fence=fence)
    delivered = log.states()[KEY].deliveries["r[ä]"]

    append(log, DeliveryFailed(key=KEY, attempt=1, address="r[ä]", message="402", files=(put,)), fence=fence)

    (delivery,) = log.states()[KEY].deliveries.values()
    assert (delivery.save, delivery.files, delivery.earlier) == ("", delivered.files, (put,))
    assert fold(log.events()) == log.states()[KEY]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE events SET body = '{}'", "DELETE FROM events"],
)
def test_no_line_is_ever_changed_or_deleted(log: RunLog, statement: str) -> None:
    append(log, *life(), fence=claim(log))

    with pytest.raises(Exception, match="append-only"), log._db.writing() as tx:
        tx.rows(statement)

    assert len(list(log.events())) == 7


def test_what_follows_from_the_lines_can_be_made_again_from_them(log: RunLog) -> None:
    other = "k1:" + "b" * 64
    append(log, RunStarted(run_id="run-1", endpoint="local", account="a", command="run", recipes=()))
    append(log, *life(), fence=claim(log))
    append(log, *life(other, job_id="j2")[:4], fence=claim(log, other))
    before = snapshot(log)

    asyncio.run(log.rebuild())

    assert snapshot(log) == before
    assert log.states() == {key: fold(log.events(key=key)) for key in (KEY, other)}


def snapshot(log: RunLog) -> dict[str, list[tuple[object, ...]]]:
    with log._db.reading() as tx:
        tables = ("keys", "jobs", "starts", "money", "runs")
        return {table: sorted(tx.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}


def test_closing_writes_what_was_asked_for_and_gives_the_leases_back(where: str) -> None:
    with open_log(where) as first:
        fence = claim(first)
        append(first, intent(), fence=fence)
    first.close()

    with open_log(where) as second:
        assert second.leases() == []
        assert claim(second).number > fence.number


def test_a_log_opened_to_be_read_is_not_made_and_takes_nothing(where: str, log_maker: Callable[[], None]) -> None:
    with open_log(where, read_only=True) as nothing:
        assert nothing.states() == {}
        assert nothing.runs() == []
    log_maker()

    with open_log(where, read_only=True) as reader:
        assert set(reader.states()) == {KEY}
        with pytest.raises(Exception, match="opened to be read"):
            append(reader, RunEnded(run_id="x", exit_code=0, summary={}))


@pytest.fixture
def log_maker(where: str) -> Callable[[], None]:
    def make() -> None:
        with open_log(where) as log:
            append(log, intent(), fence=claim(log))

    return make
