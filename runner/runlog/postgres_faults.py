"""What PostgreSQL and its driver say when something is wrong, as errors of ours."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Literal

import psycopg
from psycopg import errors

from runner.runlog.faults import UNSENT, LineUnstorable, LogBusy, LogCorrupt, LogUnreachable, LogUnusable

LOCK_TIMEOUT_S = 30

# What a server that answered, or the driver before it asks one, doesn't take: nothing but a setting mends it.
_SETTINGS = (
    (
        r"no such user|role .+ (does not exist|is not permitted to log in)|no password supplied|authentication failed",
        "doesn't take this user, or not with this password",
        "check USER and PASSWORD in postgresql://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        r"no such database|database .+ (does not exist|is not currently accepting connections)",
        "has no such database",
        "check DATABASE in postgresql://HOST/DATABASE, or make it: createdb -E UTF8 -T template0 DATABASE",
    ),
    (
        r"permission denied for database",
        "doesn't let this user into the database",
        "grant the user CONNECT on the database",
    ),
    (
        r"no pg_hba\.conf entry .*(no encryption|SSL off)|SSL required",
        "takes no connection of this user from here without SSL",
        "add ?sslmode=require to the address, or let the user in by pg_hba.conf on the server",
    ),
    (
        r"pg_hba\.conf",
        "doesn't let this user in from here",
        "let the user in by pg_hba.conf on the server",
    ),
    (
        r"does not support SSL|certificate|sslmode",
        "is not asked for SSL as it needs to be",
        "check sslmode, sslrootcert, sslcert and sslkey in the address",
    ),
    (
        r"(unrecognized|unsupported|invalid) .*parameter",
        "doesn't know a parameter that the address sends",
        "check what follows the ? in the address",
    ),
)

# The driver warns where an error of ours says it already; without any handler that would go to stderr.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class ServerSilent(psycopg.OperationalError):
    """It is there, or was, and doesn't answer."""


@contextlib.contextmanager
def explained(schema: str, *, sending: bool, right: Literal["read", "write"] = "write") -> Iterator[None]:
    """Foreign errors become ours, here and nowhere else. psycopg's messages never hold the password.

    right  what is wanted of the log in `schema`
    """
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
        raise _no_right(_first_line(error), schema, right, unsent) from error
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise damaged(_first_line(error), unsent) from error
    except (errors.DataError, errors.ProgramLimitExceeded) as error:
        raise LineUnstorable(
            f"PostgreSQL doesn't take a value that the run log is given ({_first_line(error)}). {unsent}",
            hint="`runner doctor` looks whether its tables are whole",
        ) from error
    except (errors.NotSupportedError, errors.ProgrammingError) as error:
        raise LogUnusable(
            f"PostgreSQL can't do what the run log asks of it ({_first_line(error)}). {unsent}",
            hint="`runner doctor` looks whether its tables are whole; a server before PostgreSQL 11 is too old",
        ) from error
    except psycopg.OperationalError as error:
        raise _not_connected(error, unsent) from error


def _no_right(why: str, schema: str, right: Literal["read", "write"], unsent: str) -> LogUnusable:
    if right == "read":
        return LogUnusable(
            f"PostgreSQL doesn't let this user read the run log ({why}). {unsent}",
            hint=f"grant the user USAGE on the schema {schema} and SELECT on its tables",
        )
    return LogUnusable(
        f"PostgreSQL refuses to write the run log ({why}). {unsent}",
        hint=f"grant the user USAGE on the schema {schema} and SELECT, INSERT, UPDATE and DELETE on its tables; or, "
        "where it isn't there yet, CREATE on the database",
    )


def damaged(why: str, unsent: str) -> LogCorrupt:
    return LogCorrupt(
        f"the run log on PostgreSQL is damaged ({why}). {unsent}", hint="restore the database from its backup"
    )


def _not_connected(error: psycopg.OperationalError, unsent: str) -> LogUnusable | LogUnreachable:
    """A refused connection has no code of its own: what it is, only its words tell. Those of other languages, and
    those that pass by themselves (too many connections, a server that starts), are shown as they are."""
    if isinstance(error, ServerSilent):
        return LogUnreachable(
            f"PostgreSQL doesn't answer ({error}). {unsent}",
            hint="see what the server hangs on; run again when it answers",
        )
    said = str(error)
    refusal = re.search(r"FATAL: +(.+)", said)
    words = refusal[1] if refusal else _first_line(error)
    for pattern, what, hint in _SETTINGS:
        if error.sqlstate is None and re.search(pattern, said):
            return LogUnusable(f"PostgreSQL {what} ({words}). {unsent}", hint=hint)
    if refusal:
        return LogUnreachable(
            f"PostgreSQL refuses the connection ({words}). {unsent}",
            hint="run again when it takes connections; its own log may say more",
        )
    return LogUnreachable(
        f"PostgreSQL doesn't answer ({words}). {unsent}",
        hint="check the address of the run log, and that the server is up",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
