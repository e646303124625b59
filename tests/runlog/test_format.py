"""The log's format: what it stands for, and what becomes of a log that is older or newer than the runner."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from runner.compile.key import SCHEME
from runner.runlog import (
    Created,
    Intent,
    LogNewer,
    LogUnusable,
    NotDone,
    Owner,
    RunLog,
    open_log,
    postgres_schema,
    sqlite_schema,
)
from runner.runlog.events import EVENT_KINDS
from runner.runlog.fold import FOLLOWS
from runner.runlog.salvage import salvage
from runner.state import DeliveredFile, Delivery, KeyState, OutputRecord, Stage, StagedUpload
from tests.compile.conftest import content, job_of, recipe
from tests.runlog.test_salvage import NOW

FORMAT = len(sqlite_schema.MIGRATIONS)
AZURE = {
    "type": "azure",
    "parameters": {"container": "c", "file": "f"},
    "credentials": {"accountname": "us", "accountkey": {"env": "AZURE"}},
}
FTP = {
    "type": "ftp",
    "parameters": {"host": "h", "file": "f"},
    "credentials": {"username": "us", "password": {"env": "FTP"}},
}
WORK: dict[str, dict[str, Any]] = {
    "upload": {
        "input": [{"type": "upload", "source": "a.jpg"}],
        "conversion": [{"target": "webp", "options": {"quality": 82}}],
    },
    "remote": {
        "input": [{"source": "https://example.com/a.jpg", "options": {"password": {"env": "SITE"}}}],
        "conversion": [{"category": "image", "target": "jpg", "metadata": {"title": "A"}}],
    },
    "accounts": {
        "input": [{**AZURE, "type": "cloud", "source": "azure"}],
        "conversion": [{"target": "pdf", "output_target": [AZURE, FTP]}],
    },
}
FILES = {"upload": [[content("a.jpg")]]}


def holds() -> dict[str, Any]:
    """What a log of today holds beside its tables, as far as it can be listed."""
    values = (KeyState, Delivery, DeliveredFile, OutputRecord, StagedUpload, NotDone)
    leads = {
        stage: {line.__name__: to for (at, line), to in FOLLOWS.items() if at is stage} for stage in (None, *Stage)
    }
    keys = {name: job_of(recipe(work), files=FILES.get(name, ())).key for name, work in WORK.items()}
    return {
        "states": {kind.__name__: _names(kind) for kind in values},
        "lines": {name: _names(kind) for name, kind in sorted(EVENT_KINDS.items())},
        "stages": {
            stage or "nothing": ", ".join(f"{line} -> {to}" for line, to in sorted(lines.items()))
            for stage, lines in leads.items()
        },
        "keys": {"scheme": SCHEME, **keys},
    }


def _names(kind: Any) -> str:
    return " ".join(one.name for one in fields(kind))


def test_a_change_of_what_the_log_holds_is_a_change_of_its_format() -> None:
    told = Path(__file__).with_name(f"format-{FORMAT}.json")
    known = json.loads(told.read_text(encoding="utf-8")) if told.exists() else None

    assert holds() == known, (
        f"a log doesn't hold what format {FORMAT} says any more, and older runners would stumble over it: add a step "
        f"to MIGRATIONS of both stores, an empty one where the tables stay, and rename {told.name} to say\n"
        + json.dumps(holds(), indent=1)
    )


def test_both_stores_have_one_format() -> None:
    assert len(postgres_schema.MIGRATIONS) == FORMAT


def fill(log: RunLog) -> None:
    async def work() -> None:
        fences = await log.claim(["k"], Owner.this_process())
        intent = Intent(key="k", attempt=1, addresses=("r[a]",), payload={}, cap=1, recipe="r", account="a")
        await log.append(intent, Created(key="k", attempt=1, job_id="j"), run_id="run", fence=fences["k"])

    asyncio.run(work())


def set_format(where: str, version: int) -> None:
    if where.startswith("postgresql:"):
        with psycopg.connect(where) as connection:
            connection.execute("UPDATE conversion_runner.format SET version = %s", (version,))
        return
    with contextlib.closing(apsw.Connection(where)) as file:
        file.execute(f"PRAGMA user_version = {version}")


def format_of(where: str) -> int:
    if where.startswith("postgresql:"):
        with psycopg.connect(where) as connection:
            found = connection.execute("SELECT version FROM conversion_runner.format").fetchone()
        assert found is not None
        return int(found[0])
    return int.from_bytes(Path(where).read_bytes()[60:64])


def test_an_older_log_is_read_as_it_is_and_gets_its_format_when_it_is_written(where: str) -> None:
    with open_log(where) as log:
        fill(log)
    set_format(where, 1)

    with open_log(where, read_only=True) as log:
        read = log.states()
        assert log.check() == ()
    before = format_of(where)
    with open_log(where) as log:
        assert log.states() == read

    assert set(read) == {"k"}
    assert (before, format_of(where)) == (1, FORMAT)


def test_a_user_who_may_not_change_the_format_of_a_log_is_told_who_may(postgres_url: str) -> None:
    open_log(postgres_url).close()
    set_format(postgres_url, 1)
    theirs = postgres_url.replace("tests@", "clerk@")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA conversion_runner TO clerk")
        for table, rights in postgres_schema.RIGHTS.items():
            connection.execute(f"GRANT {', '.join(rights)} ON conversion_runner.{table} TO clerk".encode())
        with open_log(theirs, read_only=True) as log:
            found, states = log.check(), log.states()
        with pytest.raises(LogUnusable, match=f"has format 1, and this user may not give it .* {FORMAT} ") as caught:
            open_log(theirs)
        open_log(postgres_url).close()
        with open_log(theirs) as log:
            assert log.check() == ()
        connection.execute("DROP OWNED BY clerk")
        connection.execute("DROP ROLE clerk")

    assert "run once as the user who owns the tables" in caught.value.hint
    assert (states, [one.partition(":")[0] for one in found]) == (
        {},
        [f"it has format 1, and this user may not give it that of this runner, {FORMAT}"],
    )


def _with_field(*path: str) -> Callable[[RunLog], None]:
    """Give the state of the key a field at `path` that nobody knows yet."""

    def write(log: RunLog) -> None:
        with log._db.writing() as tx:
            document = json.loads(tx.rows("SELECT state FROM keys")[0][0])
            at = document
            for step in path:
                at = at[step]
            at["of_tomorrow"] = 7
            tx.run("UPDATE keys SET state = ?", (json.dumps(document),))

    return write


def _with_stage(log: RunLog) -> None:
    with log._db.writing() as tx:
        (text,) = tx.rows("SELECT state FROM keys")[0]
        tx.run("UPDATE keys SET state = ?", (text.replace('"created"', '"of_tomorrow"'),))


def _with_line(kind: str, body: str) -> Callable[[RunLog], None]:
    def write(log: RunLog) -> None:
        with log._db.writing() as tx:
            sql = "INSERT INTO events (at, run_id, kind, key, body) VALUES (1.0, 'run', ?, 'k', ?)"
            tx.run(sql, (kind, body))

    return write


STATES = {"a field": _with_field(), "a stage": _with_stage}
_FILE = '{"path": "/a", "size_bytes": 1, "sha256": "s", "mtime_ns": 1, "inode": 1, "of_tomorrow": 7}'
LINES = {
    "a kind": _with_line("of_tomorrow", "{}"),
    "a field": _with_line("created", '{"key": "k", "attempt": 1, "job_id": "j", "of_tomorrow": 7}'),
    "a field of a file": _with_line(
        "delivered", f'{{"key": "k", "attempt": 1, "address": "a", "save": "", "files": [{_FILE}]}}'
    ),
}


@pytest.mark.parametrize("what", STATES)
def test_a_state_that_a_newer_runner_wrote_is_called_that(where: str, what: str) -> None:
    with open_log(where) as log:
        fill(log)
        STATES[what](log)

    with open_log(where) as log:
        for read in (log.states, log.check, lambda: asyncio.run(log.claim(["k"], Owner.this_process()))):
            with pytest.raises(
                LogNewer, match=r"by a newer runner \(.*of_tomorrow.* is unknown to this one\)"
            ) as caught:
                read()

            assert "update this runner" in caught.value.hint


@pytest.mark.parametrize("what", LINES)
def test_a_line_that_a_newer_runner_wrote_is_called_that(where: str, what: str) -> None:
    with open_log(where) as log:
        fill(log)
        LINES[what](log)

        for read in (lambda: list(log.events()), log.check, lambda: asyncio.run(log.rebuild())):
            with pytest.raises(
                LogNewer, match=r"by a newer runner \(.*of_tomorrow.* is unknown to this one\)"
            ) as caught:
                read()

            assert "update this runner" in caught.value.hint


@pytest.mark.parametrize("change", [*STATES.values(), *LINES.values()])
def test_what_a_newer_runner_wrote_is_not_left_out_when_a_sound_log_is_rebuilt(
    tmp_path: Path, change: Callable[[RunLog], None]
) -> None:
    place = tmp_path / "runs.db"
    with open_log(place) as log:
        fill(log)
        change(log)
    before = place.read_bytes()

    with pytest.raises(LogNewer, match="of_tomorrow"):
        salvage(place, now=NOW)

    assert place.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} - {"owners", "runs.db-lock"} == {"runs.db"}
