"""What the run log costs: 2,000 remote jobs of zero length with the log durable on this disk and in memory.

Goal: at most 10 % of the run's wall time, so at most 1.11 times the same run with its log in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.api import fake_api
from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, output
from bench.kit.recipes import remote_jobs
from bench.kit.remote import SOURCE
from bench.kit.rounds import rounds


def measure(setup: Setup) -> Iterator[Figure]:
    jobs = setup.count(2_000, 500)
    pairs = rounds(
        setup.count(7, 3), partial(_run, setup, "durable", jobs), partial(_run, setup, "memory", jobs), warm_up=False
    )
    yield compared(f"run of {jobs:,} jobs, log durable over log in memory", pairs, most=1.11)


def _run(setup: Setup, kind: str, jobs: int) -> float:
    folder = setup.fresh(kind)
    recipe = remote_jobs(folder, jobs, source=SOURCE)
    command = [PYTHON, "-m", "bench.kit.logged_run", kind, str(recipe), str(folder / "state"), "64"]
    with fake_api(folder) as api:
        return float(output(command, folder=folder, env=api.env))
