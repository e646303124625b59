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
    Intent,
    LogNewer,
    LogUnreachable,
    LogUnusable,
    Owner,
    RunEnded,
    RunLog,
    RunStarted,
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


def append_one(log: RunLog) -> None:
    asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
