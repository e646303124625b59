"""500 small pictures through the local server: at most 25 ms of CPU a job above the bare library.

CPU of runner, server and conversions together, with everything's start and end, less what Pillow takes for the same
pictures in a loop. Wall time is shown without a goal.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench.kit.conversions import bare, through_the_server
from bench.kit.figures import Figure, compared
from bench.kit.pictures import tiny_pictures
from bench.kit.plan import Setup
from bench.kit.rounds import Pair

MOST_MS = 25.0


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(500, 100)
    source = setup.subfolder("tiny")
    tiny_pictures(source, count)
    runs = [
        (through_the_server(setup, pattern="tiny/*.png"), bare(setup, source=source)) for _ in range(setup.count(3, 2))
    ]
    cpu = [Pair(ours=ours.cpu_s * 1000 / count, peer=peer.cpu_s * 1000 / count) for ours, peer in runs]
    above = [pair.ours - pair.peer for pair in cpu]
    yield Figure(
        what=f"CPU a job of {count} small pictures, above the bare library",
        ours=f"{median(pair.ours for pair in cpu):.1f} ms",
        peer=f"{median(pair.peer for pair in cpu):.1f} ms",
        value=median(above),
        unit=" ms",
        most=MOST_MS,
        spread=(min(above), max(above)),
    )
    wall = [Pair(ours=ours.wall_s / count, peer=peer.wall_s / count) for ours, peer in runs]
    yield compared(f"time a job of {count} small pictures", wall, scale=1000, unit="ms")
