"""2,000 remote jobs of zero length at `--jobs 64` against the official SDK: jobs a second, CPU a job, requests a job.

Goals: at least 3 times the SDK's rate in 32 threads and 1.5 times that of its best setting, at most half its CPU a
job, no more requests a job. Both sides talk to the same kind of small server in a process of its own. The SDK takes
the steps that we take: create unstarted, add the input, start, wait, download. (Its shortest way starts with the
creation; it is shown without a goal, for whoever takes it buys twice when an answer is lost.) Our side is the
whole command, with its start, a log line durable before every step, and every result synced.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.remote import Took, ours, sdk
from bench.kit.rounds import Pair

AT_ONCE = 64
THREADS = 32
OTHER_THREADS = (1, 4, 8, 16)


def measure(setup: Setup) -> Iterator[Figure]:
    jobs = setup.count(2_000, 500)
    best = min(OTHER_THREADS, key=lambda threads: sdk(setup, jobs // 4, threads=threads).spent.wall_s)
    runs: list[tuple[Took, Took, Took, Took]] = [
        (
            ours(setup, jobs, at_once=AT_ONCE),
            sdk(setup, jobs, threads=THREADS),
            sdk(setup, jobs, threads=best),
            sdk(setup, jobs, threads=best, way="convert"),
        )
        for _ in range(setup.count(3, 2))
    ]
    for peer, what, least in (
        (1, f"SDK in {THREADS} threads", 3.0),
        (2, f"SDK at its best ({best} threads)", 1.5),
        (3, f"SDK's shortest way ({best} threads)", None),
    ):
        yield from _figures(what, jobs, [(run[0], run[peer]) for run in runs], least)


def _figures(what: str, jobs: int, runs: list[tuple[Took, Took]], least: float | None) -> Iterator[Figure]:
    rates = [Pair(ours=mine.spent.wall_s / jobs, peer=other.spent.wall_s / jobs) for mine, other in runs]
    share = median(mine.server_cpu_s / mine.spent.wall_s for mine, _ in runs)
    speed = f"{1 / median(pair.ours for pair in rates):.0f} and {1 / median(pair.peer for pair in rates):.0f} jobs/s"
    note = f"{speed}; the server was busy {share:.0%} of our time"
    yield compared(f"time a job, {what}", rates, least=least, scale=1000, unit="ms", speed=True, note=note)
    cpu = [Pair(ours=mine.spent.cpu_s / jobs, peer=other.spent.cpu_s / jobs) for mine, other in runs]
    yield compared(f"CPU a job, {what}", cpu, most=0.5 if least else None, scale=1000, unit="ms")
    asked = [Pair(ours=mine.requests_count / jobs, peer=other.requests_count / jobs) for mine, other in runs]
    yield compared(f"requests a job, {what}", asked, most=1.0 if least else None, unit="")
