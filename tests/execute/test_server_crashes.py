"""`kill -9` of the server on both sides of every HTTP call, and amid transfers, while the run lives on.

The server is started again at once. The run's retries carry it through, or it ends with exit 8 and the next run
finishes the work; either way it is bought once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.execute.lab import Forge, Server, Web, judge, running_server
from tests.execute.scenarios import Build, Scene, remote, two_conversions

POINTS = {"remote": 9, "two_conversions": 11}
UNREACHABLE = 8
SERVERS = 3


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("servers")
        yield [stack.enter_context(running_server(folder / f"state-{number}")) for number in range(SERVERS)]


@pytest.mark.parametrize("build", [remote, two_conversions], ids=lambda build: build.__name__)
def test_a_server_killed_anywhere_costs_no_second_purchase(
    build: Build, servers: list[Server], web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    whole = lanes[0].run(build(tmp_path / "whole", 70_000, web.url).order(servers[0].base_url))
    points = list(dict.fromkeys(point for point in whole.points if _is_call(point)))

    def rehearse(lane: int) -> list[str]:
        wrong = []
        for number, point in list(enumerate(points))[lane::SERVERS]:
            scene = build(tmp_path / str(number), 71_000 + number, web.url)
            wrong += _crash_and_recover(scene, lanes[lane], servers[lane], point)
        return wrong

    with ThreadPoolExecutor(SERVERS) as pool:
        wrong = [line for found in pool.map(rehearse, range(SERVERS)) for line in found]

    assert not wrong, "\n".join(wrong)
    assert len(points) >= POINTS[build.__name__]


def _is_call(point: str) -> bool:
    return any(word in point for word in ("/v2/", "load", "transfer"))


def _crash_and_recover(scene: Scene, forge: Forge, server: Server, point: str) -> list[str]:
    deaths = server.deaths
    shaken = forge.run(replace(scene.order(server.base_url), point=point, victim=server.wait_up()))
    server.wait_up()
    again = forge.run(scene.order(server.base_url))
    verdict = judge(server.state, scene.state, scene.out, crashes=1)
    wrong = scene.wrong_files() + verdict.wrong
    if server.deaths == deaths:
        wrong.append("the server was not killed")
    if shaken.code not in (scene.exit_code, UNREACHABLE):
        wrong.append(f"the run ended with {shaken.code}: {shaken.outcome} {shaken.stderr}")
    if again.code != scene.exit_code:
        wrong.append(f"the next run ended with {again.code}: {again.outcome} {again.stderr}")
    if verdict.starts != scene.attempts:
        wrong.append(f"{verdict.starts} starts instead of {scene.attempts}")
    return [f"{point}: {one}" for one in wrong]
