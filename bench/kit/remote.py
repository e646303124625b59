"""A run of remote jobs without work, by us or by the SDK, against a server of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.kit.api import fake_api
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, RUNNER, Spent, spend
from bench.kit.recipes import remote_jobs

SOURCE = "http://files.example.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What a side took for all jobs; `server_cpu_s` says how far the server was from being the bottleneck."""

    spent: Spent
    server_cpu_s: float
    requests: Mapping[str, int]
    delays: Sequence[float]

    @property
    def requests_count(self) -> int:
        return sum(self.requests.values())


def ours(setup: Setup, jobs: int, *, at_once: int, length_s: float = 0.0) -> Took:
    """`runner run`, whole: with its start, its log on this disk, every result on disk and synced."""
    folder = setup.fresh("ours")
    recipe = remote_jobs(folder, jobs, source=SOURCE)
    command = [RUNNER, "run", str(recipe), "--state", str(folder / "state"), "--jobs", str(at_once)]
    return _took(folder, command, length_s)


def sdk(setup: Setup, jobs: int, *, threads: int, way: str = "staged", length_s: float = 0.0) -> Took:
    folder = setup.fresh("sdk")
    command = [PYTHON, "-m", "bench.kit.sdk_jobs", str(threads), str(jobs), str(folder), SOURCE, way]
    return _took(folder, command, length_s)


def _took(folder: Path, command: list[str], length_s: float) -> Took:
    with fake_api(folder, length_s=length_s) as api:
        before = api.cpu_s()
        spent = spend(command, folder=folder, env=api.env)
        server_cpu_s = api.cpu_s() - before
        return Took(spent=spent, server_cpu_s=server_cpu_s, requests=api.requests(), delays=api.delays())
