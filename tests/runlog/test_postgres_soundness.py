"""What `runner doctor` sees of a run log on a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from runner.cli.doctor import doctor
from runner.runlog import (
    BudgetGuard,
    Created,
    Intent,
    Owner,
    Refused,
    RememberedDigest,
    RunEnded,
    RunLog,
    RunStarted,
    Starting,
    open_log,
)
from runner.runlog.postgres_schema import PARTS, RIGHTS
from runner.runlog.postgres_soundness import _THERE


def test_a_fresh_log_has_the_parts_that_are_looked_for_and_no_others(postgres_url: str) -> None:
    with open_log(postgres_url) as log, log._db.reading() as tx:
        there = [row[0] for row in tx.rows(_THERE, ("conversion_runner",) * 4)]

    assert sorted(there) == sorted(PARTS)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TABLE money", "table money is missing"),
        ("ALTER TABLE keys DROP COLUMN state", "column keys.state text is missing or was changed"),
        ("ALTER TABLE events ALTER fence TYPE integer", "column events.fence bigint is missing or was changed"),
        ("ALTER TABLE events ALTER seq DROP IDENTITY", "column events.seq bigint not null identity is missing or was"),
        (
            "ALTER TABLE starts ALTER refused DROP DEFAULT",
            "column starts.refused integer not null default 0 is missing",
        ),
        (
            "ALTER TABLE starts DROP CONSTRAINT starts_key_attempt_key",
            "unique index on starts (key, attempt) is missing or was changed",
        ),
        ("DROP INDEX events_of_run", "index on events (run_id, seq) is missing or was changed"),
        (
            "DROP TRIGGER events_are_never_changed ON events",
            "trigger events_are_never_changed on events is missing or switched off",
        ),
        (
            "ALTER TABLE events DISABLE TRIGGER ALL",
            "trigger events_are_never_changed on events is missing or switched off",
        ),
        ("DROP TABLE format", "table format is missing"),
    ],
)
def test_doctor_names_what_is_missing_or_was_changed(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, told: str
) -> None:
    open_log(postgres_url).close()
    with psycopg.connect(postgres_url, options="-c search_path=conversion_runner") as connection:
        connection.execute(damage.encode())

    code, verdict, said = _examined(postgres_url, tmp_path, monkeypatch)

    assert (code, verdict) == (6, "wrong")
    assert told in said


def test_doctor_tells_of_a_whole_log_that_it_is_sound(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _examined(postgres_url, tmp_path, monkeypatch)
    open_log(postgres_url).close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE INDEX of_theirs ON conversion_runner.events (at)")

    assert before[1:] == ("ok", "the database of RUNNER_RUN_LOG, schema conversion_runner: no runs yet")
    assert _examined(postgres_url, tmp_path, monkeypatch)[1] == "ok"


def test_doctor_names_the_rights_that_the_user_lacks(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        theirs = postgres_url.replace("tests@", "reader@")
        before = _examined(theirs, tmp_path, monkeypatch)
        open_log(postgres_url).close()
        hidden = _examined(theirs, tmp_path, monkeypatch)
        connection.execute("GRANT USAGE ON SCHEMA conversion_runner TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA conversion_runner TO reader")
        connection.execute("GRANT INSERT ON conversion_runner.events TO reader")
        partly = _examined(theirs, tmp_path, monkeypatch)
        connection.execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA conversion_runner TO reader")
        wholly = _examined(theirs, tmp_path, monkeypatch)
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")

    assert [one[1] for one in (before, hidden, partly, wholly)] == ["wrong", "wrong", "wrong", "ok"]
    assert "this user may not CREATE a schema" in before[2]
    assert "permission denied for schema" in hidden[2]
    assert "this user may not INSERT on keys; this user may not UPDATE on keys" in partly[2]
    assert "on events" not in partly[2]


def test_a_user_with_the_rights_that_are_looked_for_can_run(postgres_url: str) -> None:
    open_log(postgres_url).close()
    begun = RunStarted(run_id="run", endpoint="hosted", account="a", command="run", recipes=("r",))
    budget = BudgetGuard(recipe="r", run_id="run", run_limit=5, day_limit=None)
    digest = RememberedDigest(path="/x", size=1, mtime_ns=1, inode=1, sha256="s", md5="m", hashed_at_ns=1)

    async def work(log: RunLog) -> None:
        await log.append(begun, run_id="run")
        fence = (await log.claim("k", Owner.this_process()))["k"]
        intent = Intent(key="k", attempt=1, addresses=(), payload={}, cap=1, recipe="r", account="")
        await log.append(intent, run_id="run", fence=fence, budget=budget)
        await log.append(Created(key="k", attempt=1, job_id="j"), run_id="run", fence=fence)
        await log.append(Starting(key="k", attempt=1, job_id="j"), run_id="run", fence=fence, budget=budget)
        await log.append(Refused(key="k", attempt=1, status=402, message="m"), run_id="run", fence=fence)
        await log.remember([digest])
        await log.renew([fence])
        await log.release([fence])
        await log.append(RunEnded(run_id="run", exit_code=0, summary={}), run_id="run")

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE worker LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA conversion_runner TO worker")
        for table, rights in RIGHTS.items():
            connection.execute(f"GRANT {', '.join(rights)} ON conversion_runner.{table} TO worker".encode())
        with open_log(postgres_url.replace("tests@", "worker@")) as log:
            asyncio.run(work(log))

            assert log.check() == ()
        connection.execute("DROP OWNED BY worker")
        connection.execute("DROP ROLE worker")


def _examined(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """The exit code, and what is said of the run log."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RUNNER_RUN_LOG", url)
    shown = CliRunner().invoke(doctor, ["--format", "json"])
    finding = next(one for one in json.loads(shown.stdout) if one["what"] == "run log")
    return shown.exit_code, finding["verdict"], finding["said"]
