"""A job that was made once is never noted as made again: an old answer to a new creation is other work's."""

from __future__ import annotations

import asyncio

import apsw
import psycopg
import pytest

from runner.runlog import Created, Event, Fence, Intent, JobTaken, Owner, RunLog, RunStarted, Starting, open_log
from runner.runlog.postgres_schema import DEFAULT_SCHEMA
from runner.runlog.sqlite_schema import MIGRATIONS
from runner.state import Stage


def intent(key: str) -> Intent:
    return Intent(key=key, attempt=1, addresses=(key,), payload={}, cap=1, recipe="r", account="a")


def append(log: RunLog, *events: Event, fence: Fence | None = None, run_id: str = "run-1") -> None:
    asyncio.run(log.append(*events, run_id=run_id, fence=fence))


def begin(log: RunLog, run_id: str, endpoint: str = "hosted") -> None:
    append(log, RunStarted(run_id=run_id, endpoint=endpoint, account="a", command="run", recipes=()), run_id=run_id)


def claim(log: RunLog, *keys: str) -> dict[str, Fence]:
    return asyncio.run(log.claim(keys, Owner.this_process()))


def made(key: str, job_id: str = "j") -> Created:
    return Created(key=key, attempt=1, job_id=job_id)


def test_a_job_under_another_key_is_refused_and_nothing_is_written(log: RunLog) -> None:
    begin(log, "run-1")
    fences = claim(log, "a", "b")
    append(log, intent("a"), made("a"), fence=fences["a"])
    append(log, intent("b"), fence=fences["b"])

    with pytest.raises(JobTaken, match="made before"):
        append(log, made("b"), Starting(key="b", attempt=1, job_id="j"), fence=fences["b"])

    assert [state.stage for _, state in sorted(log.states().items())] == [Stage.CREATED, Stage.INTENT]
    append(log, made("b", "k"), fence=fences["b"])


def test_a_job_that_the_same_work_had_before_is_refused_too(log: RunLog) -> None:
    fence = claim(log, "a")["a"]
    append(log, intent("a"), made("a"), fence=fence)

    with pytest.raises(JobTaken):
        append(log, intent("a"), made("a"), fence=fence)


def test_of_two_keys_that_note_one_job_at_once_one_is_refused(log: RunLog) -> None:
    begin(log, "run-1")
    fences = claim(log, "a", "b")

    async def both() -> list[BaseException | None]:
        noting = (log.append(intent(key), made(key), run_id="run-1", fence=fences[key]) for key in fences)
        return await asyncio.gather(*noting, return_exceptions=True)

    ended = asyncio.run(both())

    assert sorted(type(one).__name__ for one in ended) == ["JobTaken", "NoneType"]
    assert len(log.states()) == 1


def test_the_same_id_at_another_endpoint_is_another_job(log: RunLog) -> None:
    begin(log, "run-1")
    begin(log, "run-2", "local")
    fences = claim(log, "a", "b")
    append(log, intent("a"), made("a"), fence=fences["a"], run_id="run-1")

    append(log, intent("b"), made("b"), fence=fences["b"], run_id="run-2")

    assert log.knows_job("j", run_id="run-1")
    assert not log.knows_job("other", run_id="run-1")


def test_an_older_log_knows_the_jobs_that_it_made(where: str) -> None:
    with open_log(where) as log:
        begin(log, "run-1")
        append(log, intent("a"), made("a"), fence=claim(log, "a")["a"])
    if where.startswith("postgresql:"):
        with psycopg.connect(where) as older:
            older.execute(f"DROP TABLE {DEFAULT_SCHEMA}.jobs".encode())
            older.execute(f"UPDATE {DEFAULT_SCHEMA}.format SET version = {len(MIGRATIONS) - 1}".encode())
    else:
        connection = apsw.Connection(where)
        connection.execute(f"DROP TABLE jobs; PRAGMA user_version = {len(MIGRATIONS) - 1}")
        connection.close()

    with open_log(where, read_only=True) as reader:
        assert set(reader.states()) == {"a"}
    with open_log(where) as log:
        assert log.knows_job("j", run_id="run-1")
