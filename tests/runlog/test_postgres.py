"""What only a log on a server can meet."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from runner.cli.log import log as log_command
from runner.errors import ExitCode, InvalidError, RunnerError
from runner.runlog import (
    BudgetGuard,
    Clock,
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
from runner.runlog.faults import LineUnstorable


def test_a_newer_log_on_postgresql_is_refused_with_advice(postgres_url: str) -> None:
    with open_log(postgres_url) as log, log._db.writing() as tx:
        tx.rows("UPDATE format SET version = 99")

    with pytest.raises(LogNewer, match=r"format 99"):
        open_log(postgres_url)


def test_today_is_the_day_of_the_server(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()

    with open_log(postgres_url, clock=Clock(now=lambda: 0.0)) as log:
        today = log.today()

    assert row is not None
    assert today == row[0]


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(LogUnreachable, match="PostgreSQL doesn't answer") as caught:
        open_log("postgresql://someone:hunter2@127.0.0.1:1/nowhere")

    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_a_bracket_in_a_password_is_no_address_of_its_own() -> None:
    with pytest.raises(LogUnreachable):
        open_log("postgresql://someone:[hunter2@127.0.0.1:1/nowhere")


@pytest.mark.parametrize(
    "password",
    [
        *("hun@ter2", "%zzhunter2", "hun/ter2", "hun:ter/2@", "hun@ter2/x", "hun@[ter2]/x", "hun@ter2:12/x", "12/ter2"),
        *("hun@ter2?sslmode=x", "hun@ter2/x?application_name=y", "hun?x@ter2/y", "hun@@ter2/1", "/ter2", "hun@ter2#/x"),
    ],
)
def test_a_password_that_was_not_escaped_is_not_shown_in_parts(password: str) -> None:
    with pytest.raises(InvalidError, match="can't be read") as caught:
        open_log(f"postgresql://someone:{password}@127.0.0.1:1/nowhere")

    assert not any(part in f"{caught.value}{caught.value.hint}" for part in ("hun", "ter2"))


@pytest.mark.parametrize(
    "url", ["someone@/nowhere?host=@void", "/nowhere?host=%40void", "127.0.0.1:1/nowhere?user=a@b"]
)
def test_an_at_that_is_no_part_of_a_password_is_taken(url: str) -> None:
    with pytest.raises(LogUnreachable):
        open_log(f"postgresql://{url}")


def test_a_parameter_that_no_connection_has_is_named() -> None:
    with pytest.raises(InvalidError, match="'statement_timeout', which is no parameter") as caught:
        open_log("postgresql://someone:hunter2@127.0.0.1:1/nowhere?sslmode=prefer&statement_timeout=1")

    assert "hunter2" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("password", ["hun?ter2=1", "hun?ter2", "hun:x?ter2", "hun/x?ter2=1"])
def test_a_question_mark_in_a_password_makes_no_parameter_of_it(password: str) -> None:
    for rest in ("@127.0.0.1:1/nowhere", "@127.0.0.1:1/nowhere?bogus=1", "/nowhere"):
        with pytest.raises(RunnerError) as caught:
            open_log(f"postgresql://someone:{password}{rest}")

        assert "ter2" not in str(caught.value) + caught.value.hint


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(RunnerError, match="mysql:// address"):
        open_log("mysql://x/y")


@pytest.mark.parametrize(
    ("who", "rest", "said", "hint"),
    [
        ("guarded:hunter2", "postgres", "doesn't take this user, or not with this password", "check USER and PASSWORD"),
        ("guarded", "postgres", "doesn't take this user, or not with this password", "check USER and PASSWORD"),
        ("nobody_here", "postgres", "doesn't take this user", "check USER and PASSWORD"),
        ("tests", "nowhere", "has no such database", "createdb -E UTF8 -T template0"),
        ("tests", "shut", "has no such database", "check DATABASE"),
        ("encrypted", "postgres", "takes no connection of this user from here without SSL", "sslmode=require"),
        ("rejected", "postgres", "doesn't let this user in from here", "pg_hba.conf"),
        ("kept_out", "barred", "doesn't let this user into the database", "grant the user CONNECT"),
        ("tests", "postgres?options=-c%20bogus%3D1", "doesn't know a parameter", "what follows the ?"),
        ("tests", "postgres?sslmode=bogus", "is not asked for SSL as it needs to be", "check sslmode"),
    ],
)
def test_a_server_that_refuses_the_connection_is_not_called_silent(
    guarded_server: str, who: str, rest: str, said: str, hint: str
) -> None:
    with pytest.raises(LogUnusable, match=f"PostgreSQL {said}.*Nothing was sent") as caught:
        open_log(f"postgresql://{who}@/{rest}{'&' if '?' in rest else '?'}host={guarded_server}")

    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.INVALID
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_server_without_ssl_is_a_setting_where_ssl_is_required() -> None:
    """It answers the question for SSL by N."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def refuse() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(b"N")

        answering = threading.Thread(target=refuse)
        answering.start()
        with pytest.raises(LogUnusable, match=r"is not asked for SSL as it needs to be .*does not support SSL"):
            open_log(f"postgresql://someone:hunter2@127.0.0.1:{port}/nowhere?sslmode=require")
        answering.join()


def test_a_server_that_has_no_connection_left_is_unreachable_in_its_words(guarded_server: str) -> None:
    with pytest.raises(LogUnreachable, match=r"refuses the connection \(too many connections for role"):
        open_log(f"postgresql://crowded@/postgres?host={guarded_server}")


@pytest.fixture(scope="module")
def guarded_server(postgres_server: str) -> Iterator[str]:
    """The folder of a server's socket that doesn't let everybody in."""
    folder = Path(str(conninfo_to_dict(postgres_server)["host"]))
    rules = folder / "data" / "pg_hba.conf"
    before = rules.read_text(encoding="ascii")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in ("guarded", "encrypted", "rejected", "kept_out", "crowded"):
            connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute("ALTER ROLE crowded CONNECTION LIMIT 0")
        connection.execute("CREATE DATABASE shut ALLOW_CONNECTIONS false")
        connection.execute("CREATE DATABASE barred")
        connection.execute("REVOKE CONNECT ON DATABASE barred FROM public")
        rules.write_text(
            "local all guarded scram-sha-256\nlocal all rejected reject\n"
            "local all tests,kept_out,crowded,nobody_here,limited,tenant trust\n",
            encoding="ascii",
        )
        connection.execute("SELECT pg_reload_conf()")
        yield str(folder)
        rules.write_text(before, encoding="ascii")
        connection.execute("SELECT pg_reload_conf()")


def test_a_limit_on_statements_does_not_end_the_wait_for_a_turn(postgres_url: str) -> None:
    with open_log(postgres_url), psycopg.connect(postgres_url, autocommit=True) as connection:
        alter = f"ALTER DATABASE {connection.info.dbname} SET statement_timeout TO '100ms'"
        connection.execute(alter.encode())

    with open_log(postgres_url) as log, open_log(postgres_url) as other:
        with other._db.writing() as tx:
            tx.rows("SELECT 1")
            waiting = threading.Thread(target=append_one, args=(log,))
            waiting.start()
            waiting.join(0.5)
        waiting.join()

        assert len(list(log.events())) == 1


CUT_IN_MID_WRITE = """
import sys
import psycopg
from runner.errors import RunnerError
from runner.runlog import open_log
with open_log(sys.argv[1]) as log:
    try:
        with log._db.writing() as tx, psycopg.connect(sys.argv[1]) as connection:
            pid = tx.rows("SELECT pg_backend_pid()")[0][0]
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            tx.run("SELECT 1")
            tx.rows("SELECT 1")
    except RunnerError as error:
        print(error)
"""


def test_a_connection_that_is_cut_in_mid_write_is_told_once(postgres_url: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", CUT_IN_MID_WRITE, postgres_url], check=True, capture_output=True, text=True, timeout=60
    )

    assert "PostgreSQL doesn't answer" in told.stdout
    assert told.stderr == ""


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


def test_a_database_user_who_only_looks_is_told_what_reading_takes(postgres_url: str) -> None:
    theirs = postgres_url.replace("tests@", "tenant@")
    said = []

    def look() -> None:
        with pytest.raises(LogUnusable, match=r"doesn't let this user read the run log .*Nothing was sent") as caught:
            open_log(theirs, schema="shop", read_only=True)
        said.append((str(caught.value), caught.value.hint))

    open_log(postgres_url, schema="shop").close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS tenant")
        connection.execute("CREATE ROLE tenant LOGIN")
        look()
        connection.execute("GRANT USAGE ON SCHEMA shop TO tenant")
        look()
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA shop TO tenant")
        with open_log(theirs, schema="shop", read_only=True) as log:
            assert log.states() == {}
        connection.execute("DROP OWNED BY tenant")
        connection.execute("DROP ROLE tenant")

    assert "(permission denied for schema shop)" in said[0][0]
    assert "(permission denied for table format)" in said[1][0]
    assert {hint for _, hint in said} == {"grant the user USAGE on the schema shop and SELECT on its tables"}


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
        ("DROP TABLE format", "damaged .table format is missing"),
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


def test_a_value_that_the_server_does_not_take_harms_no_other_line_of_the_transaction(postgres_url: str) -> None:
    async def write(log: RunLog) -> list[BaseException | None]:
        fences = await log.claim("abc", Owner.this_process())
        jobs = {"a": "j-a", "b": "j\0b", "c": "j-c"}
        calls = [
            log.append(_intent(key), Created(key=key, attempt=1, job_id=job), run_id="r", fence=fences[key])
            for key, job in jobs.items()
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    with open_log(postgres_url) as log:
        answers = asyncio.run(write(log))

        assert [type(answer) for answer in answers] == [type(None), LineUnstorable, type(None)]
        assert "doesn't take a value" in str(answers[1])
        assert set(log.states()) == {"a", "c"}


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


def test_projects_in_schemas_of_one_database_know_nothing_of_each_other(postgres_url: str) -> None:
    """Names that need their quotes: with a capital, and a word of SQL's."""
    names = ["conversion_runner", "Shop_2", "order"]

    async def work(log: RunLog) -> None:
        fences = await log.claim("abcde", Owner.this_process())
        for key, fence in fences.items():
            await log.append(_intent(key), run_id="run", fence=fence, budget=_BUDGET)

    with ExitStack() as stack:
        logs = [stack.enter_context(open_log(postgres_url, schema=name)) for name in names]
        for log in logs:
            asyncio.run(work(log))

        assert [log.reserved("r") for log in logs] == [5, 5, 5]
        assert [len(list(log.events())) for log in logs] == [5, 5, 5]
        assert [log.check() for log in logs] == [(), (), ()]


def test_projects_in_schemas_of_one_database_write_without_waiting_for_each_other(postgres_url: str) -> None:
    with open_log(postgres_url, schema="shop") as log, open_log(postgres_url, schema="mail") as other:
        with other._db.writing() as tx:
            tx.rows("SELECT 1")
            writing = threading.Thread(target=append_one, args=(log,))
            writing.start()
            writing.join(20)

            assert not writing.is_alive()
        assert len(list(log.events())) == 1


def test_a_schema_that_is_renamed_takes_its_log_along(postgres_url: str) -> None:
    with open_log(postgres_url) as log:
        append_one(log)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER SCHEMA conversion_runner RENAME TO shop")

    with open_log(postgres_url, schema="shop") as log:
        append_one(log)

        assert (len(list(log.events())), log.check()) == (2, ())
        with pytest.raises(LogUnusable, match="append-only"), log._db.writing() as tx:
            tx.rows("DELETE FROM events")


def test_a_schema_that_was_made_for_a_user_is_enough_to_begin(postgres_url: str) -> None:
    theirs = postgres_url.replace("tests@", "tenant@")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS tenant")
        connection.execute("CREATE ROLE tenant LOGIN")
        connection.execute("CREATE SCHEMA shop")
        connection.execute("GRANT USAGE ON SCHEMA shop TO tenant")
        with open_log(theirs, schema="shop", read_only=True) as log:
            lacking = log.check()
        connection.execute("GRANT CREATE ON SCHEMA shop TO tenant")
        with open_log(theirs, schema="shop", read_only=True) as log:
            allowed = log.check()
        with open_log(theirs, schema="shop") as log:
            append_one(log)
        connection.execute("DROP OWNED BY tenant CASCADE")
        connection.execute("DROP ROLE tenant")

    assert lacking == ("this user may not CREATE tables in the schema shop",)
    assert allowed == ()


def test_a_project_names_its_schema_in_its_settings(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = RunStarted(run_id="20261130T100000-aaaaaa", endpoint="local", account="a", command="run", recipes=("r",))
    with open_log(postgres_url, schema="shop") as log:
        asyncio.run(log.append(begun, run_id=begun.run_id))
    monkeypatch.setenv("RUNNER_RUN_LOG", postgres_url)

    shown = {}
    for name in ("shop", "mail"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "runner.toml").write_text(f"run_log_schema = '{name}'\n", encoding="ascii")
        monkeypatch.chdir(tmp_path / name)
        listed = CliRunner().invoke(log_command, ["--format", "json"])
        shown[name] = [run["run_id"] for run in json.loads(listed.stdout)["runs"]]

    assert shown == {"shop": [begun.run_id], "mail": []}


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
