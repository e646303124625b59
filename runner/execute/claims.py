"""Taking keys under lease, a handful at a time, so that two runs on one log share the work between them.

What another run holds is set aside and asked for again at the end, for as long as this run may wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from runner.errors import RunnerError
from runner.execute.site import Site
from runner.runlog import Fence, Owner
from runner.state import KeyState

LEASE_S = 30.0
RENEWALS = 3  # in the time of one lease
GIVE_BACK_S = 1.0
ASK_AGAIN_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A key that is ours now, and what the log knows of it under this lease."""

    key: str
    fence: Fence
    state: KeyState | None


@dataclass(kw_only=True, slots=True)
class Patience:
    """Seconds that a run will wait for what others hold, in all: what one wait uses up the next hasn't got."""

    left_s: float

    def use(self, most_s: float) -> float:
        """How long to sleep until asking again, at most `most_s`; 0 when it is used up."""
        wait_s = max(0.0, min(ASK_AGAIN_S, self.left_s, most_s))
        self.left_s -= wait_s
        return wait_s


class Claims:
    """Hands out every key once. Use as a context: it renews what is held, and releases it at the end.

    until  when nobody waits for other runs any more, by the loop's clock; None where only `patience` ends that
    """

    def __init__(
        self,
        keys: Iterable[str],
        site: Site,
        *,
        ahead: int,
        patience: Patience,
        lease_s: float,
        until: float | None = None,
    ) -> None:
        self._site = site
        self._owner = Owner.this_process()
        self._unasked = deque(keys)
        self._contested: deque[str] = deque()
        self._ready: deque[Claim] = deque()
        self._held: dict[str, Fence] = {}
        self._settled: dict[str, Fence] = {}
        self._ahead = ahead
        self._patience = patience
        self._lease_s = lease_s
        self._until = until
        self._one_at_a_time = asyncio.Lock()
        self._standing: tuple[asyncio.Task[None], ...] = ()

    async def __aenter__(self) -> Claims:
        self._standing = (asyncio.create_task(self._renew()), asyncio.create_task(self._give_back()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._standing:
            task.cancel()
        await asyncio.gather(*self._standing, return_exceptions=True)
        # A log that can't be written any more must not hide what became of the work: what we hold ends with us.
        with suppress(RunnerError):
            await self._site.log.release({**self._held, **self._settled})

    @property
    def unclaimed(self) -> frozenset[str]:
        """Keys that another run still held when the waiting was over, or that were never asked for."""
        return frozenset(self._contested) | frozenset(self._unasked)

    @property
    def held_elsewhere(self) -> frozenset[str]:
        """Those of them that another run was seen to hold."""
        return frozenset(self._contested)

    async def next(self) -> Claim | None:
        """The next key, or None when there is none left to have."""
        async with self._one_at_a_time:
            if not self._ready:
                await self._claim_some()
            return self._ready.popleft() if self._ready else None

    def done(self, claim: Claim) -> None:
        """The key is settled; others may have it with our next look at the log, or a second later: one transaction for
        many."""
        self._settled[claim.key] = self._held.pop(claim.key, claim.fence)

    async def _claim_some(self) -> None:
        while self._unasked and not self._ready:
            some = [self._unasked.popleft() for _ in range(min(self._ahead, len(self._unasked)))]
            self._contested.extend(await self._claim(some))
        while self._contested and not self._ready:
            some = [self._contested.popleft() for _ in range(min(self._ahead, len(self._contested)))]
            self._contested.extend(await self._claim(some))
            wait_s = 0.0 if self._ready else self._patience.use(self._time_left())
            if wait_s == 0.0:
                return
            await self._site.sleep(wait_s)

    def _time_left(self) -> float:
        return inf if self._until is None else self._until - asyncio.get_running_loop().time()

    async def _claim(self, keys: list[str]) -> list[str]:
        """Claim what can be had; answers the rest."""
        await self._release()
        won = await self._site.log.claim(keys, self._owner, ttl_s=self._lease_s)
        self._held.update(won)
        states = self._site.log.states(won)
        self._ready.extend(Claim(key=key, fence=won[key], state=states.get(key)) for key in keys if key in won)
        return [key for key in keys if key not in won]

    async def _release(self) -> None:
        settled, self._settled = self._settled, {}
        if settled:
            await self._site.log.release(settled)

    async def _give_back(self) -> None:
        """Our last keys may take long, and then nothing is asked of the log for as long."""
        while True:
            await asyncio.sleep(GIVE_BACK_S)
            with suppress(RunnerError):  # what can't be given back ends with us
                await self._release()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            # A log that can't be written now says so to whoever writes lines; later we may still be in time.
            with suppress(RunnerError):
                for key in await self._site.log.renew(self._held, ttl_s=self._lease_s):
                    self._held.pop(key, None)
