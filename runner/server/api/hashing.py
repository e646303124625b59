"""Slow hashes beside the event loop: in a few threads of their own, so that files never wait for passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from runner.server.jobs.passwords import (
    HashPassword,
    hash_password,
    hasher,
    is_among,
    may_set_passwords,
    new_salt,
    passwords_in,
    salt_of,
    tries,
)
from runner.wire.values import Json

_THREADS = 2


class Hashing:
    """One request has at most one hash in the queue, so that one with many lets the others pass."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")

    async def of_body(self, body: bytes, parsed: Json) -> HashPassword:
        """As `of`, where the body as it came is at hand."""
        return await self.of(parsed) if may_set_passwords(body) else _unasked_for

    async def of(self, body: Json) -> HashPassword:
        """Gives the hashes of what passwords `body` sets, all made by now and under one salt."""
        passwords = passwords_in(body)
        if not passwords:
            return _unasked_for
        salt = new_salt()
        return hasher(salt, {one: await self._hashed(one, salt) for one in passwords})

    async def opens(self, hashes: Iterable[str], given: str) -> bool:
        """Whether `given`, one password or several with commas between, has one of `hashes`."""
        for candidate, salt, same_salt in tries(hashes, given):
            if is_among(await self._hashed(candidate, salt), same_salt):
                return True
        return False

    async def belonging(self, pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of `pairs`, a password and a hash each, that belong together."""
        return frozenset(
            [(one, known) for one, known in set(pairs) if is_among(await self._hashed(one, salt_of(known)), [known])]
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _hashed(self, password: str, salt: bytes) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password, salt)


def _unasked_for(password: str) -> str:
    """The hash of a password that wasn't found beforehand: a body with too many, which is refused after all."""
    return hash_password(password, new_salt())
