"""Who asks: an account by its key, or one job by its token. Both header families are good."""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import dataclass

import apsw
from starlette.requests import Request

from runner.server.answers import not_found, unauthorized
from runner.server.api.heads import header
from runner.server.jobs.ids import new_key
from runner.server.store.database import Database
from runner.server.store.jobs import Held, JobStore
from runner.server.store.keys import digest_of, id_of, insert_key, revoke_labelled
from runner.wire.headers import API_KEY, TOKEN

ACCOUNT = "main"

_MADE_AT_START = "made at the start"
_KEY_HEADERS = tuple(name.lower().encode() for name in API_KEY)
_TOKEN_HEADERS = tuple(name.lower().encode() for name in TOKEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """`only_job` is the one job a token opens, None where a key opens the whole account."""

    account: str
    only_job: str | None = None
    key_id: str = ""


class Keys:
    """Keys given for this run, and keys in the state folder, which may change while the server runs."""

    def __init__(self, database: Database, given: tuple[str, ...]) -> None:
        self._db = database
        self._first = given[0] if given else ""
        self._given = {digest_of(key): ACCOUNT for key in given}
        # Forgotten when the event loop comes round, before it reads more: a request is never judged by what was known
        # before it came, so a key that was revoked meanwhile is good no more.
        self._this_turn: dict[str, Caller] = {}

    def caller_of(self, key: str) -> Caller | None:
        if known := self._this_turn.get(key):
            return known
        digest = digest_of(key)
        account = self._given.get(digest) or self._stored(digest)
        if not account:
            return None
        if not self._this_turn:
            asyncio.get_running_loop().call_soon(self._this_turn.clear)
        caller = self._this_turn[key] = Caller(account=account, key_id=id_of(digest))
        return caller

    def _stored(self, digest: bytes) -> str | None:
        row = self._db.row("select account from keys where hash = ? and revoked is null", (digest,))
        return str(row[0]) if row else None

    async def at_start(self) -> str:
        """The key of this start: the first that was given, or a new one, shown once and kept as a digest.

        The one that an earlier start made is revoked.
        """
        key, now = self._first or new_key(), time.time()

        def change(db: apsw.Connection) -> None:
            revoke_labelled(db, ACCOUNT, _MADE_AT_START, now)
            if not self._first:
                insert_key(db, key, ACCOUNT, _MADE_AT_START, now)

        await self._db.write(change)
        return key


class Door:
    def __init__(self, keys: Keys, jobs: JobStore) -> None:
        self._keys = keys
        self._jobs = jobs

    def caller(self, request: Request) -> Caller:
        """Who sent `request`; raises 401 for nobody we know."""
        caller = self._by_key(request) or self._by_token(request)
        if caller is None:
            raise unauthorized()
        return caller

    def account_caller(self, request: Request) -> Caller:
        """As `caller`, for what only a key may do."""
        caller = self._by_key(request)
        if caller is None:
            raise unauthorized()
        return caller

    def visitor(self, request: Request) -> Caller | None:
        """Who sent `request` to a page that is open to everybody; None without a key, 401 with a wrong one."""
        return self.account_caller(request) if _one_of(request, _KEY_HEADERS) else None

    def held(self, request: Request, job_id: str) -> tuple[Caller, Held]:
        """The job of that id, for who may see it: 401 for strangers and other jobs' tokens, 404 where none is."""
        caller = self._by_key(request)
        held = self._jobs.held(job_id)
        if caller is None:
            return self._by_own_token(request, job_id, held)
        if held is None or held.account != caller.account:
            raise not_found("job")
        return caller, held

    def _by_own_token(self, request: Request, job_id: str, held: Held | None) -> tuple[Caller, Held]:
        token = _one_of(request, _TOKEN_HEADERS)
        if held is None or not token or not _same(held.token, token):
            raise unauthorized()
        return Caller(account=held.account, only_job=job_id), held

    def _by_key(self, request: Request) -> Caller | None:
        key = _one_of(request, _KEY_HEADERS)
        return self._keys.caller_of(key) if key else None

    def _by_token(self, request: Request) -> Caller | None:
        token = _one_of(request, _TOKEN_HEADERS)
        found = self._jobs.job_of_token(token) if token.isascii() and token else None
        return Caller(account=found[1], only_job=found[0]) if found else None


def _one_of(request: Request, names: tuple[bytes, ...]) -> str:
    for name in names:
        if value := header(request, name):
            return value
    return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))
