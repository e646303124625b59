"""What PostgreSQL and its driver say when something is wrong, as errors of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import errors

from runner.runlog.faults import UNSENT, LogBusy, LogUnreachable, LogUnusable
from runner.runlog.postgres_schema import SCHEMA

LOCK_TIMEOUT_S = 30


@contextlib.contextmanager
def explained(*, sending: bool) -> Iterator[None]:
    """Foreign errors become ours, here and nowhere else. psycopg's messages never hold the password."""
    unsent = UNSENT if sending else "Nothing was sent."
    try:
        yield
    except (errors.LockNotAvailable, errors.IdleInTransactionSessionTimeout) as error:
        raise LogBusy(
            f"PostgreSQL: another run has been writing for {LOCK_TIMEOUT_S} s, or we were suspended. {unsent}",
            hint="`runner status` shows who works on this log",
        ) from error
    except errors.DiskFull as error:
        raise LogUnusable(f"PostgreSQL has no space left. {unsent}", hint="make room, and run again") from error
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
        raise LogUnusable(
            f"PostgreSQL refuses to write the run log ({_first_line(error)}). {unsent}",
            hint=f"grant the user CREATE on the database, or rights on the schema {SCHEMA}",
        ) from error
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise LogUnusable(
            f"PostgreSQL says that the run log is damaged ({_first_line(error)}). {unsent}",
            hint="restore the database from its backup",
        ) from error
    except (errors.DataError, errors.NotSupportedError, errors.ProgrammingError) as error:
        raise LogUnusable(
            f"PostgreSQL can't do what the run log asks of it ({_first_line(error)}). {unsent}",
            hint="`runner doctor` looks whether its tables are whole; a server before PostgreSQL 12 is too old",
        ) from error
    except psycopg.OperationalError as error:
        raise LogUnreachable(
            f"PostgreSQL doesn't answer ({_first_line(error)}). {unsent}",
            hint="check the address of the run log, and that the server is up",
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
