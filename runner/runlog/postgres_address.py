"""The address of a run log on PostgreSQL: what is wrong with it, said without a part of its password."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from runner.errors import InvalidError


def require_an_address(url: str) -> None:
    """The driver's own complaints quote what they couldn't read: of a password that wasn't escaped, a part of it."""
    if not _is_readable(url):
        unknown = _unknown_parameter(url)
        if unknown is not None:
            raise InvalidError(
                f"the address of the run log on PostgreSQL has '{unknown}', which is no parameter of a connection. "
                "Nothing was sent.",
                hint="leave it out; https://www.postgresql.org/docs/current/libpq-connect.html lists those there are",
            )
        raise InvalidError(
            "the address of the run log on PostgreSQL can't be read. Nothing was sent.",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and in the password %40 for @, %2F for /, "
            "%3A for :, %3F for ?, %25 for %; %40 for any other @, too",
        )


def _is_readable(url: str) -> bool:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    host, port = str(parts.get("host", "")), str(parts.get("port", "0"))
    # An abstract unix socket's name begins with an @.
    return _only_the_user_ends_in_an_at(url) and "@" not in host[1:] and port.replace(",", "0").isdecimal()


def _only_the_user_ends_in_an_at(url: str) -> bool:
    """Any other @ may be a password's, which then goes on in what the driver takes for host, database or parameter.

    Source: libpq, conninfo_uri_parse_options: an @ before the first / ends the user and the password.
    """
    address = url.partition("://")[2]
    user, _, behind = address.partition("@")
    if "/" in user:  # so there is no user, and a parameter may well have one: user=me@server
        return "@" not in address.partition("?")[0]
    return "@" not in behind.replace("host=@", "host=")


def _unknown_parameter(url: str) -> str | None:
    """The name of one; None where what follows the ? may be a password's: then an @ and the host come after it."""
    address, _, query = url.partition("?")
    if "@" in query or not _is_readable(address):
        return None
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()} | {"ssl"}
    names = [part.partition("=")[0] for part in query.split("&")]
    return next((name for name in names if name.isidentifier() and name not in known), None)
