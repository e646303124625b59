"""Two runs on one log, as processes: they share the work, wait for it, or take it over from the dead and the silent."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runner.runlog import RunStarted, kind_of, open_log
from tests.execute.lab import Forge, Server, Web, judge, wait_for
from tests.execute.outside import Order
from tests.execute.scenarios import Scene, broken, many, two_conversions
from tests.runlog.conftest import wait_until

FAILED, LOCKED = 6, 75


def _second(scene: Scene, server: Server, *, lock_wait_s: float) -> Order:
    result = str(scene.folder / "second.json")
    return replace(scene.order(server.base_url), result=result, lock_wait_s=lock_wait_s)


@contextmanager
def _halted(forge: Forge, order: Order, point: str) -> Iterator[int]:
    """A run that stands still at `point`; its process id. It goes on, if it still can, when the block ends."""
    pid = forge.begin(replace(order, point=point, halt=True))
    wait_for(Path(order.result + ".halted"))
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_two_runs_at_once_share_the_work_and_start_each_job_once(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = many(tmp_path, 600_000, web.url)

    lanes[0].begin(replace(scene.order(server.base_url), lock_wait_s=30.0))
    lanes[1].begin(_second(scene, server, lock_wait_s=30.0))
    ended = [lanes[0].end(), lanes[1].end()]

    assert [one.code for one in ended] == [0, 0], [one.stderr for one in ended]
    verdict = judge(server.state, scene.state, scene.out, crashes=0)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == scene.attempts


def test_one_word_to_retry_what_failed_buys_one_attempt_however_many_runs_hear_it(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = broken(tmp_path, 602_000, web.url)
    first = replace(scene.order(server.base_url), retry_failed=True)
    second = replace(_second(scene, server, lock_wait_s=30.0), retry_failed=True)
    assert lanes[0].run(scene.order(server.base_url)).code == FAILED

    with _halted(lanes[0], first, "before Intent"):
        lanes[1].begin(second)
        _wait_for_runs(scene, 3)
    ended = [lanes[0].end(), lanes[1].end()]

    assert [one.code for one in ended] == [FAILED, FAILED], [one.stderr for one in ended]
    assert "attempt 2 failed" in ended[1].jobs[0]["errors"][0]["message"]
    assert judge(server.state, scene.state, scene.out, crashes=0).starts == 2


def _wait_for_runs(scene: Scene, count: int, *, most_s: float = 20.0) -> None:
    """Until so many runs have made their plan."""
    until = time.monotonic() + most_s
    with open_log(scene.state / "runs.db", read_only=True) as log:
        while len(list(log.events(kinds=[kind_of(RunStarted)]))) < count:
            assert time.monotonic() < until, f"there aren't {count} runs"
            time.sleep(0.02)


def test_work_that_another_run_holds_is_left_to_it_with_exit_75(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, 601_000, web.url)

    with _halted(lanes[0], scene.order(server.base_url), "before GET /v2/jobs/*"):
        second = lanes[1].run(_second(scene, server, lock_wait_s=0.0))
    first = lanes[0].end()

    assert second.code == LOCKED
    assert [job["status"] for job in second.jobs] == ["pending"]
    assert "another run is working on it" in second.jobs[0]["errors"][0]["message"]
    assert first.code == 0, first.stderr
    assert judge(server.state, scene.state, scene.out, crashes=0).starts == 1


def test_work_that_nobody_asks_for_any_more_is_no_outcome_of_a_run_while_another_one_holds_it(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, 604_000, web.url)
    recipe = json.loads(scene.recipe.read_text())
    patient = _second(scene, server, lock_wait_s=20.0)

    with _halted(lanes[0], scene.order(server.base_url), "before GET /v2/jobs/*"):
        scene.recipe.write_text(json.dumps({**recipe, "conversion": [{"target": "webp"}]}))
        began = time.monotonic()
        changed, again = lanes[1].run(patient), lanes[1].run(patient)
        took_s = time.monotonic() - began
    first = lanes[0].end()

    assert changed.code == 0, (changed.outcome, changed.stderr)
    assert [job["status"] for job in changed.jobs] == ["succeeded"]
    assert (again.code, [job["status"] for job in again.jobs]) == (0, ["skipped"])
    assert took_s < patient.lock_wait_s, "waited for what is none of its business"
    assert first.code == 0, first.stderr
    assert judge(server.state, scene.state, scene.out, crashes=0).starts == 2


def test_work_that_nobody_asks_for_any_more_is_no_outcome_of_a_run_that_lost_it_to_another(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, 605_000, web.url)
    recipe = json.loads(scene.recipe.read_text())
    lanes[0].run(replace(scene.order(server.base_url), point="before GET /v2/jobs/*"))
    scene.recipe.write_text(json.dumps({**recipe, "conversion": [{"target": "webp"}]}))
    short = replace(scene.order(server.base_url), lease_s=0.4, ordinal=2)

    with _halted(lanes[0], short, "before Finished"):
        wait_until(lambda: len(lanes[1].run(_second(scene, server, lock_wait_s=0.0)).jobs) == 2)
    woken = lanes[0].end()

    assert woken.code == 0, (woken.outcome, woken.stderr)
    assert [job["status"] for job in woken.jobs] == ["succeeded"]
    assert judge(server.state, scene.state, scene.out, crashes=1).wrong == []


def test_the_work_of_a_killed_run_is_taken_over_at_once(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, 602_000, web.url)

    with _halted(lanes[0], scene.order(server.base_url), "before GET /v2/jobs/*") as pid:
        os.kill(pid, signal.SIGKILL)
    killed = lanes[0].end()
    second = lanes[1].run(_second(scene, server, lock_wait_s=0.0))

    assert killed.code == -signal.SIGKILL
    assert second.code == 0, second.stderr
    verdict = judge(server.state, scene.state, scene.out, crashes=1)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == 1


POINTS = (
    "before Intent",
    "after Intent",
    "before POST /v2/jobs",
    "after POST /v2/jobs",
    "before Created",
    "after Created",
    "before upload",
    "amid a transfer",
    "after upload",
    "before Staged+Starting",
    "after Staged+Starting",
    "before PATCH /v2/jobs/*",
    "after PATCH /v2/jobs/*",
    "before Started",
    "before Finished",
    "before download",
    "before os.link",
    "before os.remove",
    "before Delivered",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_suspended_run_that_lost_its_lease_notices_and_starts_nothing(
    point: str, server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, 603_000 + POINTS.index(point), web.url)
    short = replace(scene.order(server.base_url), lease_s=0.4)

    with _halted(lanes[0], short, point):
        second = lanes[1].run(_second(scene, server, lock_wait_s=20.0))
    woken = lanes[0].end()

    assert second.code == 0, second.stderr
    assert woken.code == LOCKED, (woken.outcome, woken.stderr)
    assert [job["status"] for job in woken.jobs] == ["pending"]
    assert woken.jobs[0]["errors"][0]["message"].startswith("another run has taken over this work. The line was not")
    verdict = judge(server.state, scene.state, scene.out, crashes=0)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == 1
