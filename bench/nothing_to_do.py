"""`runner run` of 1,000 items with nothing left to do against `python -c pass`: at most 22 times as long.

The items are files that were delivered before; every one of them, its source and its result, is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.figures import Figure, compared
from bench.kit.pictures import tiny_pictures
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, RUNNER, spend, wall_s
from bench.kit.recipes import convert_files
from bench.kit.rounds import rounds


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(1_000, 200)
    tiny_pictures(setup.subfolder("pictures"), count)
    recipe = convert_files(setup.folder, name="idle", pattern="pictures/*.png", target="webp")
    command = [RUNNER, "run", str(recipe), "--endpoint", "local", "--jobs", "16"]
    spend(command, folder=setup.folder)
    pairs = rounds(
        setup.count(15, 5),
        partial(wall_s, command, folder=setup.folder),
        partial(wall_s, [PYTHON, "-c", "pass"], folder=setup.folder),
    )
    yield compared(f"nothing to do, {count:,} items", pairs, most=22, scale=1000, unit="ms")
