"""`make soak`: kill runs and servers at random for as long as it takes, with two runners on one log and recipes that
change meanwhile. In the end: no key started twice, no result lost, no credit unaccounted for.

    python -m tests.soak.soak --kills 2000 --seed 7

Prints its seed; the same seed makes the same edits and picks the same points, though the machine's own timing differs.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runner.runlog import open_log
from tests.execute.island import FAILED, FAULTS, KILLED, LOCKED, QUOTA, UNREACHABLE, Island, random_edit, random_kill
from tests.execute.lab import Ended, Web, entries, forges, running_server, running_web

ROUNDS_BETWEEN_LOOKS = 12
SERVER_SHARE = 0.06
FAULTY_SHARE = 0.5  # of the lanes: their servers lose answers and refuse, by the lane's seed


@dataclass(kw_only=True)
class Tally:
    wanted: int
    began: float = field(default_factory=time.monotonic)
    runs: int = 0
    run_kills: int = 0
    server_kills: int = 0
    looks: int = 0
    starts: int = 0
    credits: int = 0
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def kills(self) -> int:
        return self.run_kills + self.server_kills

    @property
    def done(self) -> bool:
        return self.kills >= self.wanted or bool(self.wrong)

    def line(self) -> str:
        took_s = time.monotonic() - self.began
        return (
            f"{self.kills} kills ({self.run_kills} of runs, {self.server_kills} of servers), {self.runs} runs, "
            f"{self.looks} looks at the books, {took_s:.0f} s, {self.kills / took_s:.1f} kills a second"
        )


def soak(*, kills: int, seed: int, lanes: int, folder: Path) -> Tally:
    tally = Tally(wanted=kills)
    with running_web() as web, ThreadPoolExecutor(lanes) as pool:
        for ended in [pool.submit(_lane, folder / f"{lane}", seed + lane, web, tally) for lane in range(lanes)]:
            ended.result()
    return tally


def _lane(folder: Path, seed: int, web: Web, tally: Tally) -> None:
    rng = random.Random(seed)
    with ExitStack() as stack:
        faults = f"{FAULTS}; seed={seed}" if rng.random() < FAULTY_SHARE else ""
        server = stack.enter_context(running_server(folder / "server", faults=faults))
        made = stack.enter_context(forges(2))
        first_seed = rng.randrange(1, 1 << 40)
        island = Island(
            folder=folder / "project", server=server, web=web, forges=made, first_seed=first_seed, faults=faults
        )
        island.run(None)
        while not tally.done:
            for _ in range(ROUNDS_BETWEEN_LOOKS):
                _round(island, rng, tally)
            _look(island, seed, tally)
        _count(island, tally)


def _round(island: Island, rng: random.Random, tally: Tally) -> None:
    for _ in range(rng.choice((1, 2, 2, 3))):
        random_edit(island, rng)
    kills = [random_kill(island, rng, server_share=SERVER_SHARE) for _ in range(rng.choice((1, 1, 2)))]
    deaths = island.server.deaths
    ended = island.run(*kills, jobs=rng.choice((1, 2, 4)))
    with tally.lock:
        tally.runs += len(ended)
        tally.run_kills += sum(one.code == KILLED for one in ended)
        tally.server_kills += island.server.deaths - deaths
        tally.wrong += [f"{island.folder}: {line}" for one in ended for line in _unfit(one)]


def _unfit(ended: Ended) -> list[str]:
    """A run may be killed, done, done but for the broken picture or a spoilt result, locked out, parked or cut off."""
    if ended.code in (0, KILLED, QUOTA, FAILED, LOCKED, UNREACHABLE) and not ended.stderr:
        return []
    return [f"a run ended with {ended.code}: {ended.outcome} {ended.stderr}"]


def _look(island: Island, seed: int, tally: Tally) -> None:
    wrong = island.settle() + _unlogged(island)
    with tally.lock:
        tally.looks += 1
        tally.wrong += [f"seed {seed}, {island.folder}: {line}" for line in wrong]
        print(tally.line(), file=sys.stderr, flush=True)


def _unlogged(island: Island) -> list[str]:
    """What was started for no key of the log, which the judge, who goes by the log's keys, doesn't see. The server is
    this island's own."""
    with open_log(island.folder / "state" / "runs.db") as log:
        known = set(log.states())
    started = [entry for entry in entries(island.server.state) if entry.book.starts]
    return [
        f"job {entry.book.job_id} was started, and the log has no {entry.key}"
        for entry in started
        if entry.key not in known
    ]


def _count(island: Island, tally: Tally) -> None:
    verdict = island.verdict()
    with tally.lock:
        tally.starts += verdict.starts
        tally.credits += verdict.credits
        tally.unknown += verdict.unknown


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--lanes", type=int, default=2 * len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    seed = secrets.randbelow(1 << 30) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    tally = soak(kills=args.kills, seed=seed, lanes=args.lanes, folder=folder)
    print(
        f"{tally.line()}\n{tally.starts} jobs started for {tally.credits} credits; "
        f"{tally.unknown} unstarted jobs with ids that nobody was told of"
    )
    for line in tally.wrong:
        print(f"wrong: {line}")
    print(
        f"Everything is in {folder}" if tally.wrong else "No key started twice, no result lost, no credit unaccounted."
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
