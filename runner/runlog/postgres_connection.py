"""A connection to PostgreSQL whose server may go away, come back, or say nothing any more.

A server that hangs (a disk that doesn't answer, a process or a machine that was stopped) refuses nothing: whoever
waits for it waits for ever, and can't be ended. So it is left after a while, and not asked again for another while: the
end of a run would else wait anew for each thing that it wants to note.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, waiting
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict

from runner.runlog.postgres_faults import ServerSilent

# What an address doesn't set by itself. The others are for machines that are gone without a word: the kernel notices.
_PATIENCE = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
SHUNNED_S = 30.0
_LOOK_EVERY_S = 0.1


@dataclass(kw_only=True, slots=True)
class Silence:
    """What all connections to one server know of it: how long it may say nothing, and how long it isn't asked then."""

    most_s: float
    shunned_s: float = SHUNNED_S
    _shunned_until: float = 0.0

    def begins(self) -> None:
        self._shunned_until = time.monotonic() + self.shunned_s

    def refuse(self) -> None:
        """Raises ServerSilent while the server isn't to be asked."""
        if time.monotonic() < self._shunned_until:
            raise ServerSilent("it said nothing a moment ago")


class Line:
    """A connection that is made when needed, and again when it broke between two transactions."""

    def __init__(self, url: str, silence: Silence) -> None:
        self._url = url
        self._silence = silence
        self._connection: _Connection | None = None

    def begin(self, sql: str) -> psycopg.Connection:
        self._silence.refuse()
        if self._connection is not None:
            try:
                return self._begun(self._connection, sql)
            except ServerSilent:
                raise
            except psycopg.OperationalError:
                if not self._connection.closed:
                    raise
        self._connection = self._connected()
        return self._begun(self._connection, sql)

    def _begun(self, connection: psycopg.Connection, sql: str) -> psycopg.Connection:
        try:
            connection.execute(sql.encode())
        except psycopg.Error:
            self.undo()
            raise
        return connection

    def _connected(self) -> _Connection:
        parameters: dict[str, Any] = {**_PATIENCE, **conninfo_to_dict(self._url), "client_encoding": "utf8"}
        try:
            # Nothing is prepared: behind a pooler the next transaction may be on another connection of the server's.
            connection = _Connection.connect(autocommit=True, prepare_threshold=None, **parameters)
        except errors.ConnectionTimeout:
            self._silence.begins()
            raise
        connection.silence = self._silence
        return connection

    def undo(self) -> None:
        if self._connection is not None and not self._connection.closed:
            with contextlib.suppress(psycopg.OperationalError):
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection(psycopg.Connection):
    """All that waits for the server waits here. What isn't waited for to its end is undone: the connection is closed.

    The driver would ask a server that hangs to cancel, and wait for that as well.
    """

    silence: Silence

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_EVERY_S, timeout: float | None = None) -> RV:  # noqa: ARG002
        try:
            return waiting.wait(self._while_it_speaks(gen), self.pgconn.socket, interval=interval)
        except ServerSilent:
            self.silence.begins()
            self.close()
            raise
        except KeyboardInterrupt:
            self.close()
            raise

    def _while_it_speaks(self, gen: PQGen[RV]) -> PQGen[RV]:
        """`gen`, which is sent what its socket is ready for: nothing, when there was nothing for an interval."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.silence.most_s:
                    raise ServerSilent(f"it said nothing for {self.silence.most_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result
