"""The promises hold with the run log on PostgreSQL as they do with a file: the same crashes, the same judge."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.execute.island import LOCKED
from tests.execute.lab import Forge, Server, Web, judge, wait_for, wait_until_stopped
from tests.execute.scenarios import budgeted, many, two_conversions
from tests.execute.test_crash_matrix import crash_and_recover, points_of
from tests.execute.test_promises import Promises
from tests.runlog.conftest import running_postgres

Fresh = Callable[[], str]
NAMES = itertools.count(1)
INVALID, UNREACHABLE = 5, 8


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    """Answers the URL of a new database each time."""
    with running_postgres() as url:

        def make() -> str:
            name = f"run_log_{next(NAMES)}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            return url.replace("/postgres?", f"/{name}?")

        yield make


def test_a_run_killed_around_any_line_is_finished_by_the_next_and_bought_once(
    server: Server, web: Web, lanes: list[Forge], fresh: Fresh, tmp_path: Path
) -> None:
    scene = replace(budgeted(tmp_path / "whole", 701_000, web.url), run_log=fresh())
    whole = lanes[0].run(scene.order(server.base_url))
    points = [(point, ordinal) for point, ordinal in points_of(whole.points) if point.split()[1][0].isupper()]

    wrong = []
    for seed, (point, ordinal) in enumerate(points, start=701_001):
        scene = replace(budgeted(tmp_path / str(seed), seed, web.url), run_log=fresh())
        wrong += crash_and_recover(scene, lanes[0], server, point, ordinal)

    assert not wrong, "\n".join(wrong)
    assert len(points) >= 20


def test_two_runs_at_once_share_the_work_and_start_each_job_once(
    server: Server, web: Web, lanes: list[Forge], fresh: Fresh, tmp_path: Path
) -> None:
    scene = replace(many(tmp_path, 700_000, web.url), run_log=fresh())
    order = replace(scene.order(server.base_url), lock_wait_s=30.0)

    lanes[0].begin(order)
    lanes[1].begin(replace(order, result=str(scene.folder / "second.json")))
    ended = [lanes[0].end(), lanes[1].end()]

    assert [one.code for one in ended] == [0, 0], [one.stderr for one in ended]
    verdict = judge(server.state, scene.state, scene.out, crashes=0, run_log=scene.run_log)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == scene.attempts


@pytest.mark.parametrize("point", ["after Created", "after Staged+Starting", "before Finished", "before Delivered"])
def test_a_suspended_run_that_lost_its_lease_notices_and_starts_nothing(
    point: str, server: Server, web: Web, lanes: list[Forge], fresh: Fresh, tmp_path: Path
) -> None:
    scene = replace(two_conversions(tmp_path, 702_000 + len(point), web.url), run_log=fresh())
    order = scene.order(server.base_url)
    second = replace(order, result=str(scene.folder / "second.json"), lock_wait_s=20.0)

    pid = lanes[0].begin(replace(order, lease_s=0.4, point=point, halt=True))
    wait_for(Path(order.result + ".halted"))
    try:
        ended = lanes[1].run(second)
    finally:
        os.kill(pid, signal.SIGCONT)
    woken = lanes[0].end()

    assert ended.code == 0, ended.stderr
    assert woken.code == LOCKED, (woken.outcome, woken.stderr)
    verdict = judge(server.state, scene.state, scene.out, crashes=0, run_log=scene.run_log)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == 1


def test_a_log_that_goes_away_ends_the_run_and_nothing_more_is_begun(
    server: Server, web: Web, lanes: list[Forge], fresh: Fresh, tmp_path: Path
) -> None:
    scene = replace(many(tmp_path, 703_000, web.url), run_log=fresh())
    order = scene.order(server.base_url)
    name = scene.run_log.partition("?")[0].rpartition("/")[2]

    pid = lanes[0].begin(replace(order, point="after Created", ordinal=2, halt=True))
    wait_until_stopped(pid)
    with psycopg.connect(scene.run_log.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        os.kill(pid, signal.SIGCONT)
        cut = lanes[0].end()
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    again = lanes[0].run(order)

    assert cut.code in (INVALID, UNREACHABLE), cut.stderr
    begun = [job for job in cut.jobs if not any("not begun" in error["message"] for error in job["errors"])]
    # Two more than the one that the server works on are prepared or delivered meanwhile.
    assert (len(cut.jobs), len(begun) <= 3) == (8, True), [job["errors"] for job in cut.jobs]
    assert "the end of the run isn't in the run log" in cut.stderr
    assert again.code == 0, again.stderr
    verdict = judge(server.state, scene.state, scene.out, crashes=1, run_log=scene.run_log)
    assert verdict.wrong + scene.wrong_files() == []
    assert verdict.starts == scene.attempts


def test_no_order_of_crashes_edits_and_runs_breaks_a_promise(
    server: Server, web: Web, lanes: list[Forge], fresh: Fresh
) -> None:
    class OnPostgres(Promises):
        run_log = staticmethod(fresh)

    OnPostgres.server, OnPostgres.web, OnPostgres.forges = server, web, lanes
    run_state_machine_as_test(
        OnPostgres,
        settings=settings(
            max_examples=3,
            stateful_step_count=6,
            derandomize=True,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
