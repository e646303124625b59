"""Opening a run log, by path or by URL."""

from __future__ import annotations

import importlib
from pathlib import Path

from runner.errors import InvalidError
from runner.runlog.database import Clock, Database
from runner.runlog.log import RunLog
from runner.runlog.postgres_schema import DEFAULT_SCHEMA
from runner.runlog.sqlite import SqliteDatabase

# Servers, by the scheme of their URL; their modules are only imported when asked for, for their drivers are extras.
_SERVERS = {"postgresql": "runner.runlog.postgres", "postgres": "runner.runlog.postgres"}
_CLOCK = Clock()


def open_log(
    where: Path | str, *, schema: str = DEFAULT_SCHEMA, read_only: bool = False, clock: Clock = _CLOCK
) -> RunLog:
    """The run log at a path (the database file, made if missing) or a `postgresql://` URL.

    schema      in which it lies on a server; a file has none
    read_only   change nothing; a log that isn't there reads as an empty one

    Raises LogUnusable and its kind: damaged, newer than this runner, no rights, no space, not reachable.
    """
    if isinstance(where, str) and "://" in where:
        return RunLog(_server(where, schema=schema, read_only=read_only, clock=clock), clock=clock)
    return RunLog(SqliteDatabase(Path(where), clock=clock, read_only=read_only), clock=clock)


def memory_log(*, clock: Clock = _CLOCK) -> RunLog:
    """A run log that is gone with the process: for benchmarks, and for looking where there is none."""
    return RunLog(SqliteDatabase(None, clock=clock), clock=clock)


def _server(url: str, *, schema: str, read_only: bool, clock: Clock) -> Database:
    scheme = url.partition("://")[0].lower()
    if scheme not in _SERVERS:
        raise InvalidError(
            f"a run log can't be kept at a {scheme}:// address", hint="use a folder or a postgresql:// URL"
        )
    try:
        module = importlib.import_module(_SERVERS[scheme])
    except ModuleNotFoundError as error:
        raise InvalidError(
            f"a run log on PostgreSQL needs {error.name}, which isn't installed",
            hint="pip install 'conversion-runner[postgres]'",
        ) from error
    database: Database = module.open_database(url, schema=schema, read_only=read_only, clock=clock)
    return database
