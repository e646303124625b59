"""`runner --version` against `python -c pass`: at most 2.0 times as long.

The entry module answers before it imports anything; what is left is the interpreter's own start, and for the
installed command the few lines of its script.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, RUNNER, wall_s
from bench.kit.rounds import rounds


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(40, 10)
    for what, command in (
        ("runner --version", [RUNNER, "--version"]),
        ("python -m runner --version", [PYTHON, "-m", "runner", "--version"]),
    ):
        pairs = rounds(
            count,
            partial(wall_s, command, folder=setup.folder),
            partial(wall_s, [PYTHON, "-c", "pass"], folder=setup.folder),
        )
        yield compared(what, pairs, most=2.0, scale=1000, unit="ms")
