"""Reading a log back."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone

from runner.runlog import (
    Abandoned,
    Created,
    Delivered,
    Event,
    Failed,
    Fence,
    Finished,
    Intent,
    Owner,
    Refused,
    RememberedDigest,
    RunEnded,
    RunLog,
    RunStarted,
    Started,
    Starting,
    new_run_id,
)


def append(log: RunLog, *events: Event, run_id: str, fence: Fence | None = None) -> None:
    asyncio.run(log.append(*events, run_id=run_id, fence=fence))


def start(log: RunLog, run_id: str, *, endpoint: str = "local") -> None:
    line = RunStarted(run_id=run_id, endpoint=endpoint, account="acct", command="runner run x", recipes=("x",))
    append(log, line, run_id=run_id)


def claim(log: RunLog, key: str) -> Fence:
    return asyncio.run(log.claim([key], Owner.this_process()))[key]


def intent(key: str) -> Intent:
    return Intent(key=key, attempt=1, addresses=(key,), payload={}, cap=5, recipe="x", account="")


def test_ids_of_runs_sort_by_time_and_differ_within_a_second() -> None:
    now = datetime(2026, 11, 23, 15, 26, tzinfo=UTC)

    assert re.fullmatch(r"20261123T152600-[0-9a-f]{6}", new_run_id(now))
    assert new_run_id(now) != new_run_id(now)
    assert new_run_id(now.astimezone(timezone(timedelta(hours=9)))) < new_run_id(now + timedelta(seconds=1))
    assert new_run_id(now) < new_run_id(now + timedelta(milliseconds=1))


def test_commit_points_are_found_from_a_line_on_with_their_runs(log: RunLog) -> None:
    for number in (1, 2):
        fence = claim(log, f"k{number}")
        made = Created(key=f"k{number}", attempt=1, job_id=f"j{number}")
        append(log, intent(f"k{number}"), made, run_id=f"run-{number}", fence=fence)
        append(log, Starting(key=f"k{number}", attempt=1, job_id=f"j{number}"), run_id=f"run-{number}", fence=fence)

    first, second = log.starts_after(0)

    assert [(one.run_id, one.key) for one in (first, second)] == [("run-1", "k1"), ("run-2", "k2")]
    assert log.starts_after(first.seq) == [second]
    assert log.last_seq() == second.seq


def test_runs_come_newest_first_page_by_page_with_what_they_did(log: RunLog) -> None:
    for number in range(5):
        start(log, f"2026-{number}")
    fence = claim(log, "k")
    append(log, intent("k"), Created(key="k", attempt=1, job_id="j"), run_id="2026-3", fence=fence)
    append(log, Starting(key="k", attempt=1, job_id="j"), run_id="2026-3", fence=fence)
    append(log, Finished(key="k", attempt=1, spent=3, outputs=()), run_id="2026-4", fence=fence)
    append(log, Delivered(key="k", attempt=1, address="k", save="", files=()), run_id="2026-4", fence=fence)
    append(log, RunEnded(run_id="2026-4", exit_code=6, summary={}), run_id="2026-4")

    first, second = log.runs(limit=2)
    rest = log.runs(limit=10, before=second.run_id)

    assert (first.run_id, first.exit_code, first.spent) == ("2026-4", 6, 3)
    assert first.counts == {"finished": 1, "delivered": 1}
    assert first.ended_at is not None
    assert first.ended_at >= first.started_at
    assert (second.run_id, second.exit_code, second.ended_at, second.spent) == ("2026-3", None, None, 0)
    assert second.counts == {"intent": 1, "created": 1, "starting": 1}
    assert [run.run_id for run in rest] == ["2026-2", "2026-1", "2026-0"]


def test_runs_are_found_by_the_beginning_of_their_id(log: RunLog) -> None:
    for run_id in ("20261123T1-a", "20261123T2-b", "20261124T1-c", "%_"):
        start(log, run_id)

    assert [run.run_id for run in log.find_runs("20261123")] == ["20261123T2-b", "20261123T1-a"]
    assert [run.run_id for run in log.find_runs("%")] == ["%_"]
    assert log.find_runs("2027") == []


def test_endpoints_are_those_that_made_a_job_for_a_run(log: RunLog) -> None:
    for run_id, endpoint in (("a", "local"), ("b", "hosted"), ("c", "local"), ("d", "never answered")):
        start(log, run_id, endpoint=endpoint)
    fences = {run_id: claim(log, f"k1:{run_id}") for run_id in "abcd"}
    for run_id, fence in fences.items():
        append(log, intent(f"k1:{run_id}"), run_id=run_id, fence=fence)
    assert log.endpoints() == frozenset()

    for run_id in "abc":
        made = Created(key=f"k1:{run_id}", attempt=1, job_id=f"job-{run_id}")
        append(log, made, run_id=run_id, fence=fences[run_id])

    assert log.endpoints() == {"local", "hosted"}


def test_lines_are_found_by_run_key_kind_and_place_also_when_they_are_many(log: RunLog) -> None:
    keys = [f"k{number}" for number in range(1500)]

    async def fill() -> None:
        fences = await log.claim(keys, Owner.this_process())
        await asyncio.gather(*(log.append(intent(key), run_id="a", fence=fences[key]) for key in keys))

    asyncio.run(fill())
    start(log, "b")

    everything = list(log.events())
    assert len(everything) == 1501
    assert [each.event for each in log.events(key="k7")] == [intent("k7")]
    assert len(list(log.events(run_id="a"))) == 1500
    assert [each.run_id for each in log.events(kinds=["run_started"])] == ["b"]
    assert list(log.events(after_seq=everything[-2].seq)) == everything[-1:]


def test_jobs_made_and_never_started_are_known_with_their_endpoint(log: RunLog) -> None:
    start(log, "a", endpoint="hosted")
    lives: dict[str, list[Event]] = {
        "left": [],
        "deleted": [Abandoned(key="deleted", attempt=1, job_id="j-deleted")],
        "started": [Starting(key="started", attempt=1, job_id="j-started")],
        "refused": [
            Starting(key="refused", attempt=1, job_id="j-refused"),
            Refused(key="refused", attempt=1, status=429, message=""),
        ],
        "replaced": [Created(key="replaced", attempt=1, job_id="j-again")],
        "recovered": [
            Starting(key="recovered", attempt=1, job_id="j-recovered"),
            Starting(key="recovered", attempt=1, job_id="j-recovered"),
            Started(key="recovered", attempt=1, job_id="j-recovered"),
            Failed(key="recovered", attempt=1, spent=0, errors=()),
        ],
    }
    for key, rest in lives.items():
        made = Created(key=key, attempt=1, job_id=f"j-{key}")
        append(log, intent(key), made, *rest, run_id="a", fence=claim(log, key))

    left = log.unstarted()

    assert {each.job_id for each in left} == {"j-left", "j-refused", "j-replaced", "j-again"}
    assert {(each.endpoint, each.account, each.attempt) for each in left} == {("hosted", "acct", 1)}


def test_digests_are_remembered_by_path_and_replaced(log: RunLog) -> None:
    rows = [
        RememberedDigest(
            path=f"/a/ü\n{number}", size=2**40, mtime_ns=2**62, inode=2**60, sha256="s", md5="m", hashed_at_ns=7
        )
        for number in range(3)
    ]
    asyncio.run(log.remember(rows))
    changed = RememberedDigest(path=rows[1].path, size=1, mtime_ns=1, inode=1, sha256="new", md5="new", hashed_at_ns=8)
    asyncio.run(log.remember([changed]))

    found = log.recall([rows[0].path, rows[1].path, "/unknown"])

    assert found == {rows[0].path: rows[0], rows[1].path: changed}
    assert log.recall([]) == {}
