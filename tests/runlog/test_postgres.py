"""What only a log on a server can meet."""

from __future__ import annotations

import asyncio

import pytest

from runner.errors import ExitCode, RunnerError
from runner.runlog import LogNewer, LogUnreachable, LogUnusable, RunEnded, RunLog, open_log


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


def test_a_database_user_without_rights_is_told_what_to_grant(postgres_url: str) -> None:
    with open_log(postgres_url) as log, log._db.writing() as tx:
        tx.run("DROP ROLE IF EXISTS limited")
        tx.run("CREATE ROLE limited LOGIN")
    theirs = postgres_url.replace("tests@", "limited@")

    with pytest.raises(LogUnusable, match="refuses to write the run log") as caught:
        open_log(theirs)

    assert "grant the user" in caught.value.hint


def append_one(log: RunLog) -> None:
    asyncio.run(log.append(RunEnded(run_id="r", exit_code=0, summary={}), run_id="r"))
