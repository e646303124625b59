"""Sends what the queue holds: in order per job, so many at a time, with patience that ends.

2xx accepts. 4xx and redirects are final: the receiver was reached and doesn't want it. 5xx, silence and broken
connections are tried again, later each time; but a status that was sent in vain some times gives way to a later one
of its job, for the last one is what matters. A receiver that keeps failing is left alone for a while.

Source: the API's guide on webhooks, for the seconds and the counts; the spacing of retries is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections import Counter
from dataclasses import dataclass

from runner import __version__
from runner.server.callbacks.post import Letter, post
from runner.server.config import CallbackRules, Network
from runner.server.engine.addresses import RefusedAddress
from runner.server.engine.fair_places import FairThreads
from runner.server.jobs.document import with_base
from runner.server.jobs.receivers import RefusedReceiver
from runner.server.jobs.record import Job
from runner.server.standing import Standing
from runner.server.store.callbacks import CallbackQueue, Message
from runner.wire.headers import SIGNATURE

_log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 5.0
_RESOLVERS = 4


@dataclass(slots=True)
class _Receiver:
    """`failures` in a row; nothing is sent before `rests_until`."""

    failures: int = 0
    rests_until: float = 0.0
    in_flight: int = 0


class Callbacks:
    """`start` takes up what an earlier process left; `close` stops, and what was under way is sent again."""

    def __init__(
        self,
        queue: CallbackQueue,
        rules: CallbackRules,
        *,
        base_url: str,
        allowed: tuple[Network, ...],
        standing: Standing,
    ) -> None:
        self._queue = queue
        self._rules = rules
        self._base_url = base_url
        self._allowed = allowed
        self._news = asyncio.Event()
        self._flights: dict[str, asyncio.Task[None]] = {}  # by job
        self._receivers: dict[str, _Receiver] = {}
        self._resolvers = FairThreads(_RESOLVERS, "resolve")
        self._standing = standing
        self.counts: Counter[str] = Counter()  # of results, for /metrics

    def start(self) -> None:
        self._standing.start("callbacks", self._send_what_is_due)

    def watch(self, old: Job | None, new: Job) -> None:  # noqa: ARG002  # the shape of a listener
        if new.callback:
            self._news.set()

    async def close(self) -> None:
        """Call it after the standing tasks have ended."""
        tasks = list(self._flights.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_what_is_due(self) -> None:
        """One round: begin with what may be sent, and wait until there can be more."""
        self._news.clear()
        now = time.time()  # one moment for both, or what becomes due between them is waited for by nobody
        self._take_off(now)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._until_next(now))

    def _take_off(self, now: float) -> None:
        """Begin with everything that is due and may be sent now."""
        while free := self._rules.at_once - len(self._flights):
            found = self._queue.due(now, limit=free, without_jobs=self._flights, without_hosts=self._busy(now))
            for message in found:
                receiver = self._receivers.setdefault(message.host, _Receiver())
                if receiver.in_flight < self._rules.at_once_per_host:
                    receiver.in_flight += 1
                    self._flights[message.job_id] = asyncio.create_task(self._fly(message, receiver))
            if not found:
                return

    def _busy(self, now: float) -> list[str]:
        most = self._rules.at_once_per_host
        return [host for host, one in self._receivers.items() if one.in_flight >= most or one.rests_until > now]

    def _until_next(self, now: float) -> float | None:
        """Seconds until something may be sent that can't be now; None: only news can bring that."""
        moments = [one.rests_until for one in self._receivers.values() if one.rests_until > now]
        due = self._queue.next_due(now)
        moments += [due] if due is not None else []
        return max(0.0, min(moments) - now) if moments else None

    async def _fly(self, message: Message, receiver: _Receiver) -> None:
        try:
            await self._send(message, receiver)
        except Exception:  # noqa: BLE001  # what became of it could not be written, most likely: it is sent again
            _log.exception("job %s: a callback could not be recorded", message.job_id)
            await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            receiver.in_flight -= 1
            self._flights.pop(message.job_id, None)
            if not receiver.in_flight and not receiver.failures:
                self._receivers.pop(message.host, None)
            self._news.set()

    async def _send(self, message: Message, receiver: _Receiver) -> None:
        try:
            status = await self._posted(message)
        except (RefusedReceiver, RefusedAddress) as error:
            await self._settle(message, "refused", f"not sent: {error}")
            return
        except (OSError, UnicodeError) as error:  # TimeoutError is one of them
            await self._failed(message, receiver, str(error) or type(error).__name__)
            return
        except Exception as error:  # noqa: BLE001  # an error of ours: the attempt counts, or it would be sent for ever
            _log.exception("job %s: a callback could not be sent", message.job_id)
            await self._failed(message, receiver, type(error).__name__)
            return
        if status >= 500:
            await self._failed(message, receiver, f"HTTP {status}")
            return
        receiver.failures = 0
        if status < 300:
            await self._settle(message, "accepted", "")
        else:
            await self._settle(message, "rejected", f"the receiver rejects it with HTTP {status}")

    async def _posted(self, message: Message) -> int:
        body = with_base(message.body, self._base_url)
        headers = {"Content-Type": "application/json", "User-Agent": f"conversion-runner/{__version__}"}
        if self._rules.secret:
            headers[SIGNATURE] = signature(self._rules.secret, body)
        first = message.attempts == 0
        return await post(
            Letter(url=message.url, body=body, headers=headers),
            allowed=self._allowed,
            timeout_s=self._rules.first_timeout_s if first else self._rules.retry_timeout_s,
            resolvers=self._resolvers,
        )

    async def _failed(self, message: Message, receiver: _Receiver, why: str) -> None:
        receiver.failures += 1
        if receiver.failures >= self._rules.rest_after:
            receiver.rests_until = time.time() + self._rules.rest_s
            receiver.failures = self._rules.rest_after - 1  # after the rest one more failure is enough
            _log.warning("callbacks to %s keep failing: it rests for %.0f s", message.host, self._rules.rest_s)
        if message.attempts >= self._rules.retries:
            await self._settle(message, "given up", f"given up after {message.attempts + 1} attempts: {why}")
            return
        if message.attempts + 1 >= self._rules.outdated_after and self._queue.is_outdated(message):
            await self._settle(message, "outdated", f"outdated after {message.attempts + 1} attempts: {why}")
            return
        self.counts["tried again"] += 1
        wait_s = min(self._rules.first_wait_s * 2**message.attempts, self._rules.most_wait_s)
        await self._queue.postpone(message, due=time.time() + wait_s)

    async def _settle(self, message: Message, result: str, why: str) -> None:
        self.counts[result] += 1
        if why:  # never the URL: it may hold a secret
            _log.warning("job %s: callback '%s' to %s %s", message.job_id, message.status, message.host, why)
        await self._queue.settle(message)


def signature(secret: str, body: bytes) -> str:
    """What stands in `X-Oc-Signature`: HMAC-SHA256 of the raw body, in lower-case hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
