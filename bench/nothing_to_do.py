"""`runner run` of 1,000 items with nothing left to do against `python -c pass`: at most 22 times as long.

The items are files that were delivered before; every one of them, its source and its result, is looked at. Then how it
grows: up to 100,000 items against the least that a look at all of them takes, linear, under 96 MiB.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from bench.kit.figures import Figure, compared
from bench.kit.pictures import tiny_pictures
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, RUNNER, spend, wall_s
from bench.kit.recipes import convert_files
from bench.kit.rounds import Pair, rounds

MOST_MIB = {100_000: 96.0}
LINEAR = 1.2  # an item of many may cost that much more than one of few


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(1_000, 200)
    tiny_pictures(setup.subfolder("pictures"), count)
    recipe = convert_files(setup.folder, name="idle", pattern="pictures/*.png", target="webp")
    command = _run(recipe)
    spend([*command, "--jobs", "16"], folder=setup.folder)
    pairs = rounds(
        setup.count(15, 5),
        partial(wall_s, command, folder=setup.folder),
        partial(wall_s, [PYTHON, "-c", "pass"], folder=setup.folder),
    )
    yield compared(f"nothing to do, {count:,} items", pairs, most=22, scale=1000, unit="ms")
    yield from _growth(setup, [1_000, 2_000] if setup.quick else [1_000, 10_000, 100_000])


def _growth(setup: Setup, counts: list[int]) -> Iterator[Figure]:
    start_s = 0.0
    first = 0.0
    for count in (1, *counts):
        pairs, peak_mib = _grown(setup, count)
        took_s = median(pair.ours for pair in pairs)
        if count == 1:
            start_s = took_s
            continue
        yield compared(f"{count:,} items over a bare look at them, CPU", pairs, scale=1000, unit="ms")
        yield _memory(count, peak_mib)
        each_us = (took_s - start_s) / count * 1e6
        first = first or each_us
        yield _each(count, each_us, first)


def _grown(setup: Setup, count: int) -> tuple[list[Pair], float]:
    folder = setup.subfolder(f"past-{count}")
    spend([PYTHON, "-m", "bench.kit.past", str(folder), str(count)], folder=folder)
    command = _run(folder / "idle.recipe.toml")
    peak_mib = spend(command, folder=folder).peak_mib
    bare = [PYTHON, "-m", "bench.kit.bare_look", str(folder)]
    pairs = rounds(3, partial(_cpu_s, command, folder), partial(_cpu_s, bare, folder))
    shutil.rmtree(folder)
    return pairs, peak_mib


def _cpu_s(command: list[str], folder: Path) -> float:
    return spend(command, folder=folder).cpu_s  # both sides only compute, and what else the machine does adds less


def _run(recipe: Path) -> list[str]:
    return [RUNNER, "run", str(recipe), "--endpoint", "local"]


def _memory(count: int, peak_mib: float) -> Figure:
    most = MOST_MIB.get(count)
    what = f"memory of {count:,} items"
    return Figure(what=what, ours=f"{peak_mib:.0f} MiB", peer="none", value=peak_mib, unit=" MiB", most=most)


def _each(count: int, each_us: float, first: float) -> Figure:
    what = f"an item of {count:,} over one of the fewest"
    return Figure(
        what=what, ours=f"{each_us:.0f} us", peer=f"{first:.0f} us", value=each_us / max(first, 1e-9), most=LINEAR
    )
