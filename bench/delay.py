"""How late a finished job is noticed: jobs of 200 ms, from their end until their output is asked for.

Goal: at most a quarter of the delay that the official SDK adds with its default polling. The server notes both
times, so nobody's start counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.remote import ours, sdk
from bench.kit.rounds import Pair

LENGTH_S = 0.2


def measure(setup: Setup) -> Iterator[Figure]:
    jobs = setup.count(40, 10)
    for at_once in (1, 8):
        pairs = [
            Pair(
                ours=median(ours(setup, jobs, at_once=at_once, length_s=LENGTH_S).delays),
                peer=median(sdk(setup, jobs, threads=at_once, length_s=LENGTH_S).delays),
            )
            for _ in range(setup.count(3, 1))
        ]
        yield compared(f"delay over a job's 200 ms, {at_once} at once", pairs, most=0.25, scale=1000, unit="ms")
