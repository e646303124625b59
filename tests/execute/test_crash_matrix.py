"""`kill -9` of a run on both sides of every durable line, every HTTP call and every step that names a file.

The judge is the server's own book and the files on disk. What is promised: every key and attempt is started at most
once whatever happens, the next run finishes the work, and what was charged is what the run log says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.execute.lab import Ended, Forge, Server, Web, judge
from tests.execute.scenarios import SCENES, Build, Scene, upload

# Points at which a run of each scene is killed. These numbers may grow with the protocol; one that shrinks means
# that a durable line or a call went missing, or that this test no longer sees it.
POINTS = {
    "remote": 36,
    "upload": 41,
    "two_conversions": 47,
    "broken": 29,
    "broken_with_retry": 46,
    "equal_bytes": 46,  # the second address gets a copy, without a download of its own
    "budgeted": 41,
    "upload_by_courier": 41,
}


def upload_by_courier(folder: Path, seed: int, web: str) -> Scene:
    return replace(upload(folder, seed, web), courier=True)


ALL = (*SCENES, upload_by_courier)


def points_of(passed: list[str]) -> Iterator[tuple[str, int]]:
    """Every point with how often it was passed before, but polls only once: how many there are is chance."""
    counts: Counter[str] = Counter()
    for point in passed:
        counts[point] += 1
        if "GET" not in point or counts[point] == 1:
            yield point, counts[point]


@pytest.mark.parametrize("build", ALL, ids=lambda build: build.__name__)
def test_a_run_killed_anywhere_is_finished_by_the_next_and_bought_once(
    build: Build, server: Server, web: Web, lanes: list[Forge], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = ALL.index(build) * 1000
    free: SimpleQueue[Forge] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def rehearse(case: tuple[int, tuple[str, int]]) -> list[str]:
        seed, (point, ordinal) = case
        scene = build(tmp_path / str(seed), number + seed, web.url)
        forge = free.get()
        try:
            return crash_and_recover(scene, forge, server, point, ordinal)
        finally:
            free.put(forge)

    whole = lanes[0].run(build(tmp_path / "whole", number, web.url).order(server.base_url))
    points = list(points_of(whole.points))
    with ThreadPoolExecutor(len(lanes)) as pool:
        wrong = [line for found in pool.map(rehearse, enumerate(points, start=1)) for line in found]

    with capsys.disabled():
        print(f" [{build.__name__}: {len(points)} points] ", end="")
    assert not wrong, "\n".join(wrong)
    assert len(points) >= POINTS[build.__name__]


def crash_and_recover(scene: Scene, forge: Forge, server: Server, point: str, ordinal: int) -> list[str]:
    killed = forge.run(replace(scene.order(server.base_url), point=point, ordinal=ordinal))
    again = forge.run(scene.order(server.base_url))
    idle = forge.run(scene.order(server.base_url))
    wrong = [] if killed.code == -9 else [f"it was not killed but ended with {killed.code}"]
    wrong += _not_ended_well(scene, again) + _not_ended_well(scene, idle)
    if idle.outcome is not None and idle.points:
        wrong.append(f"a third run still found work: {idle.points}")
    wrong += scene.wrong_files()
    verdict = judge(server.state, scene.state, scene.out, crashes=1, run_log=scene.run_log)
    if verdict.starts != scene.attempts:
        wrong.append(f"{verdict.starts} starts instead of {scene.attempts}")
    return [f"{point} ({ordinal}): {one}" for one in wrong + verdict.wrong]


def _not_ended_well(scene: Scene, ended: Ended) -> list[str]:
    if ended.code == scene.exit_code and not ended.stderr:
        return []
    return [f"ended with {ended.code} instead of {scene.exit_code}: {ended.outcome} {ended.stderr}"]
