"""What another process does with a log, for tests that need one. Not a test itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Callable

from runner.runlog import Created, Intent, LeaseLost, Owner, RunLog, open_log


def claim_all(log: RunLog, count: str) -> None:
    """Claim the keys one by one, in an order of our own, and print those won."""
    owner = Owner.this_process()
    won: list[str] = []

    async def claim() -> None:
        for number in range(int(count)):
            won.extend(await log.claim([f"k{number}"], owner))

    say("ready")
    sys.stdin.readline()
    asyncio.run(claim())
    say(json.dumps(won))
    sys.stdin.readline()


def hold(log: RunLog, key: str, ttl_s: str) -> None:
    """Claim a key, and append to it whenever told to."""
    owner = Owner.this_process()
    fence = asyncio.run(log.claim([key], owner, float(ttl_s)))[key]
    say("held")
    for attempt in itertools.count():
        if not sys.stdin.readline():
            return
        line = Created(key=key, attempt=1, job_id=f"job-{attempt}") if attempt else intent(key)
        try:
            asyncio.run(log.append(line, run_id="run-of-other", fence=fence))
            say("appended")
        except LeaseLost:
            say("lease lost")


def append_forever(log: RunLog, prefix: str) -> None:
    """Append intents from several callers at once, and print each key once it is durable."""
    owner = Owner.this_process()

    async def append(caller: int) -> None:
        for number in itertools.count():
            key = f"{prefix}-{caller}-{number}"
            fence = (await log.claim([key], owner))[key]
            await log.append(intent(key), run_id="run-of-other", fence=fence)
            say(key)

    async def together() -> None:
        await asyncio.gather(*(append(caller) for caller in range(8)))

    asyncio.run(together())


def intent(key: str) -> Intent:
    return Intent(key=key, attempt=1, addresses=(key,), payload={}, cap=None, recipe="r", account="a")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


DOINGS: dict[str, Callable[..., None]] = {
    "claim-all": claim_all,
    "hold": hold,
    "append-forever": append_forever,
}

if __name__ == "__main__":
    doing, place, *arguments = sys.argv[1:]
    with open_log(place) as opened:
        DOINGS[doing](opened, *arguments)
