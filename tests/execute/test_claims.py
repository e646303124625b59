"""Waiting for keys that another run holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from runner.execute.claims import Claims, Patience
from runner.execute.site import Site
from runner.runlog import Owner, RunLog, open_log

KEYS = [f"k{number}" for number in range(8)]


def site_of(log: RunLog, slept: list[float]) -> Site:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    nothing: Any = None  # claiming keys asks the log alone
    return Site(
        api=nothing,
        transfer=nothing,
        poller=nothing,
        log=log,
        run_id="run",
        account="",
        run_date="2026-11-23",
        resolve=nothing,
        now=nothing,
        sleep=sleep,
    )


def test_all_workers_together_wait_no_longer_than_the_run_may(tmp_path: Path) -> None:
    slept: list[float] = []

    async def ask(ours: RunLog, theirs: RunLog) -> list[object]:
        await theirs.claim(KEYS, Owner.this_process())
        patience = Patience(left_s=1.7)
        async with Claims(KEYS, site_of(ours, slept), ahead=4, patience=patience, lease_s=30.0) as claims:
            answers = list(await asyncio.gather(*(claims.next() for _ in KEYS)))
            assert claims.unclaimed == frozenset(KEYS)
        async with Claims(KEYS, site_of(ours, slept), ahead=4, patience=patience, lease_s=30.0) as later:
            return [*answers, await later.next()]

    with open_log(tmp_path / "runs.db") as ours, open_log(tmp_path / "runs.db") as theirs:
        answers = asyncio.run(ask(ours, theirs))

    assert answers == [None] * 9
    assert round(sum(slept), 6) == 1.7


def test_what_is_settled_is_given_back_while_the_rest_goes_on(tmp_path: Path) -> None:
    async def settle_one(ours: RunLog, theirs: RunLog) -> dict[str, object]:
        site, nobody = site_of(ours, []), Patience(left_s=0)
        async with Claims(KEYS[:2], site, ahead=4, patience=nobody, lease_s=30.0) as claims:
            first, second = await claims.next(), await claims.next()
            assert first is not None
            assert second is not None
            claims.done(first)
            for _ in range(100):
                if won := await theirs.claim(KEYS[:2], Owner.this_process()):
                    return dict(won)
                await asyncio.sleep(0.05)
            return {}

    with open_log(tmp_path / "runs.db") as ours, open_log(tmp_path / "runs.db") as theirs:
        won = asyncio.run(settle_one(ours, theirs))

    assert set(won) == {"k0"}
