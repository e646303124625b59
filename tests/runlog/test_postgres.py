"""What only a log on a server can meet."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from runner.cli.log import log as log_command
from runner.errors import ExitCode, InvalidError, RunnerError
from runner.runlog import (
    BudgetGuard,
    Created,
    Intent,
    LogNewer,
    LogUnreachable,
    LogUnusable,
    Owner,
    RunEnded,
    RunLog,
    RunStarted,
    Starting,
    open_log,
)


def test_a_newer_log_on_postgresql_is_refused_with_advice(postgres_url: str) -> None:
    with open_log(postgres_url) as log, log._db.writing() as tx:
        tx.rows("UPDATE format SET version = 99")

    with pytest.raises(LogNewer, match=r"format 99"):
        open_log(postgres_url)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(LogUnreachable, match="PostgreSQL doesn't answer") as caught:
        open_log("postgresql://someone:hunter2@127.0.0.1:1/nowhere")

    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_a_bracket_in_a_password_is_no_address_of_its_own() -> None:
    with pytest.raises(LogUnreachable):
        open_log("postgresql://someone:[hunter2@127.0.0.1:1/nowhere")


@pytest.mark.parametrize("password", ["hun@ter2", "%zzhunter2", "hun/ter2", "hun:ter/2@"])
def test_a_password_that_was_not_escaped_is_not_shown_in_parts(password: str) -> None:
    with pytest.raises(InvalidError, match="can't be read") as caught:
        open_log(f"postgresql://someone:{password}@127.0.0.1:1/nowhere")

    assert not any(part in f"{caught.value}{caught.value.hint}" for part in ("hun", "ter2"))


def test_a_setting_that_postgresql_does_not_know_is_no_bug_of_ours() -> None:
    with pytest.raises(InvalidError, match="can't be read"):
        open_log("postgresql://127.0.0.1:1/nowhere?bogus=1")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(RunnerError, match="mysql:// address"):
        open_log("mysql://x/y")


def test_a_connection_that_broke_between_two_lines_is_made_again(postgres_url: str) -> None:
    with open_log(postgres_url) as log:
        append_one(log)
        with log._db.reading() as tx:
            tx.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )

        append_one(log)

        assert len(list(log.events())) == 2


def test_runs_are_listed_from_where_they_were_kept(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = RunStarted(run_id="20261130T100000-aaaaaa", endpoint="local", account="a", command="run", recipes=("r",))
    with open_log(postgres_url) as log:
        asyncio.run(log.append(begun, run_id=begun.run_id))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNNER_RUN_LOG", postgres_url)

    shown = CliRunner().invoke(log_command, ["--format", "json"])

    assert [run["run_id"] for run in json.loads(shown.stdout)["runs"]] == [begun.run_id]


def test_a_database_user_without_rights_is_told_what_to_grant(postgres_url: str) -> None:
    with open_log(postgres_url) as log, log._db.writing() as tx:
        tx.run("DROP ROLE IF EXISTS limited")
        tx.run("CREATE ROLE limited LOGIN")
    theirs = postgres_url.replace("tests@", "limited@")

    with pytest.raises(LogUnusable, match="refuses to write the run log") as caught:
        open_log(theirs)

    assert "grant the user" in caught.value.hint


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_name_is_refused_before_anything_is_made(
    postgres_url: str, encoding: str
) -> None:
    theirs = another_database(postgres_url, f"ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    for read_only in (False, True):
        with pytest.raises(LogUnusable, match=rf"encoded in {encoding}.*Nothing was sent") as caught:
            open_log(theirs, read_only=read_only)

        assert "createdb -E UTF8 -T template0" in caught.value.hint
    with psycopg.connect(theirs) as connection:
        assert connection.execute("SELECT to_regnamespace('conversion_runner')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DROP TABLE money", 'relation "money" does not exist'),
        ("ALTER TABLE runs ALTER endpoint TYPE varchar(1)", "value too long"),
        ("ALTER TABLE starts DROP CONSTRAINT starts_key_attempt_key", "no unique or exclusion constraint"),
        ("DROP TABLE format", 'relation "events" already exists'),
    ],
)
def test_what_the_server_can_not_do_with_its_tables_is_told_in_its_words(
    postgres_url: str, damage: str, said: str
) -> None:
    open_log(postgres_url).close()
    with psycopg.connect(postgres_url, options="-c search_path=conversion_runner") as connection:
        connection.execute(damage.encode())

    async def work(log: RunLog) -> None:
        begun = RunStarted(run_id="run", endpoint="hosted", account="a", command="run", recipes=("r",))
        await log.append(begun, run_id="run")
        fences = await log.claim("k", Owner.this_process())
        await log.append(_intent("k"), run_id="run", fence=fences["k"])
        await log.append(Created(key="k", attempt=1, job_id="j"), run_id="run", fence=fences["k"])
        await log.append(Starting(key="k", attempt=1, job_id="j"), run_id="run", fence=fences["k"], budget=_BUDGET)

    with pytest.raises(LogUnusable, match=said), open_log(postgres_url) as log:
        asyncio.run(work(log))


def test_budgets_hold_whatever_isolation_the_database_defaults_to(postgres_url: str) -> None:
    with open_log(postgres_url), psycopg.connect(postgres_url, autocommit=True) as connection:
        for name, value in (("isolation", "repeatable read"), ("read_only", "on")):
            alter = f"ALTER DATABASE {connection.info.dbname} SET default_transaction_{name} TO '{value}'"
            connection.execute(alter.encode())

    async def both(first: RunLog, second: RunLog) -> list[BaseException | None]:
        owners = [Owner.this_process(), Owner.this_process()]
        mine, theirs = await first.claim("abcdefgh", owners[0]), await second.claim("ijklmnop", owners[1])
        calls = [
            log.append(_intent(key), run_id="run", fence=fence, budget=_BUDGET)
            for pair in zip(mine.items(), theirs.items(), strict=True)
            for log, (key, fence) in zip((first, second), pair, strict=True)
        ]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    with open_log(postgres_url) as first, open_log(postgres_url) as second:
        answers = asyncio.run(both(first, second))

        assert answers.count(None) == 5
        assert first.reserved("r") == 5


def test_runs_share_a_log_behind_a_pooler_that_gives_each_transaction_another_connection(pooled_url: str) -> None:
    async def work(log: RunLog, name: str) -> None:
        for number in range(8):
            fences = await log.claim([f"{name}-{number}"], Owner.this_process())
            await log.append(_intent(f"{name}-{number}"), run_id=name, fence=fences[f"{name}-{number}"])
            log.states()

    async def both(first: RunLog, second: RunLog) -> None:
        await asyncio.gather(work(first, "first"), work(second, "second"))

    with open_log(pooled_url) as first, open_log(pooled_url) as second:
        asyncio.run(both(first, second))

        assert len(first.states()) == len(second.states()) == 16


_BUDGET = BudgetGuard(recipe="r", run_id="run", run_limit=5, day_limit=None)


def _intent(key: str) -> Intent:
    return Intent(key=key, attempt=1, addresses=(), payload={}, cap=1, recipe="r", account="")


def another_database(url: str, how: str) -> str:
    """The URL of a fresh database that was made as `how` says."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = f"{connection.info.dbname}_other"
        connection.execute(f"CREATE DATABASE {name} {how}".encode())
        return url.replace(f"/{connection.info.dbname}?", f"/{name}?")


def append_one(log: RunLog) -> None:
    asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
