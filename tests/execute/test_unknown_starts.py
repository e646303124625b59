"""A start whose answer nobody got, and what the server says afterwards: whatever it is, one job is started, once."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import apsw
import httpx
import pytest

from runner.runlog import open_log
from runner.server.book import DATABASE
from runner.state import KeyState, Stage
from tests.execute.lab import KEY, Forge, Server, Verdict, Web, entries, judge, running_server, wait_for
from tests.execute.scenarios import Scene, remote, upload

QUOTA, FAILED, UNREACHABLE, LOCKED = 4, 6, 8, 75
SEEDS = count(700_000)
REFUSALS = (400, 402, 422, 429)


def verdict(server: Server, scene: Scene) -> Verdict:
    return judge(server.state, scene.state, scene.out, crashes=0)


def only_state(scene: Scene) -> KeyState:
    with open_log(scene.state / "runs.db") as log:
        (state,) = log.states().values()
    return state


def tell(server: Server, scene: Scene, **body: object) -> int:
    """Somebody else patches the job of the scene."""
    job_id = only_state(scene).job_id
    headers = {"X-Oc-Api-Key": KEY}
    return httpx.patch(f"{server.base_url}/jobs/{job_id}", json=body, headers=headers).status_code


def forget_its_end(server: Server) -> None:
    """Let the server show its jobs as failed which it showed as completed."""
    connection = apsw.Connection(str(server.state / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(10_000)
    for job_id, document in list(connection.execute("select id, document from jobs")):
        changed = bytes(document).replace(b'"completed"', b'"failed"')
        connection.execute("update jobs set document = ? where id = ?", (changed, job_id))
    connection.close()
    server.rehearse("")


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_after_a_start_that_was_heard_is_no_refusal(
    status: int, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)
    faults = f"start drop-after #1; start error-before={status} #2-9"

    with running_server(tmp_path / "server", faults=faults) as server:
        first = lanes[0].run(scene.order(server.base_url))
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (first.code, again.code) == (0, 0), (first.outcome, again.outcome)
    assert again.points == []
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_of_the_next_run_after_a_start_that_was_heard_is_no_refusal(
    status: int, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)
    faults = f"start error-before={status} #2+"

    with running_server(tmp_path / "server", faults=faults) as server:
        killed = lanes[0].run(replace(scene.order(server.base_url), point="after PATCH /v2/jobs/*"))
        again = lanes[0].run(scene.order(server.base_url))
        found = judge(server.state, scene.state, scene.out, crashes=1)

    assert killed.code == -signal.SIGKILL
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize("fault", ["error-after", "error-after=408", "drop-after"])
def test_a_start_that_never_gets_an_answer_is_looked_for_at_the_job_itself(
    fault: str, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=f"start {fault}") as server:
        ended = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert ended.code == 0, ended.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize("faults", ["start error-before=503", "start error-after; read error-before=402"])
def test_a_start_without_an_answer_stays_unknown_where_the_job_does_not_tell(
    faults: str, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=faults) as server:
        ended = lanes[0].run(scene.order(server.base_url))
        stage = only_state(scene).stage
        server.rehearse("")
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (ended.code, [job["status"] for job in ended.jobs]) == (UNREACHABLE, ["pending"])
    assert "nothing was bought" not in ended.jobs[0]["errors"][0]["message"]
    assert stage is Stage.STARTING
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize(("status", "code"), [(400, FAILED), (402, QUOTA), (404, UNREACHABLE), (422, FAILED)])
def test_a_suspended_start_that_arrives_after_another_run_was_refused_starts_the_one_job(
    status: int, code: int, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=f"start error-before={status} #1") as server:
        order = replace(scene.order(server.base_url), lease_s=0.4, point="before PATCH /v2/jobs/*", halt=True)
        pid = lanes[0].begin(order)
        wait_for(Path(order.result + ".halted"))
        second = replace(scene.order(server.base_url), result=str(tmp_path / "second.json"), lock_wait_s=20.0)
        refused = lanes[1].run(second)
        stage = only_state(scene).stage
        os.kill(pid, signal.SIGCONT)
        woken = lanes[0].end()
        again = lanes[1].run(second)
        found = verdict(server, scene)

    assert refused.code == code, refused.outcome
    assert stage is Stage.STARTING
    assert woken.code == LOCKED
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


def test_a_start_that_was_interrupted_in_the_wait_after_one_that_was_heard_is_picked_up(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = remote(tmp_path / "work", next(SEEDS), web.url)
    faults = "start drop-after #1; start busy=8 #2"

    with running_server(tmp_path / "server", faults=faults) as server:
        order = replace(scene.order(server.base_url), point="after PATCH /v2/jobs/*", signals=[signal.SIGINT])
        stopped = lanes[0].run(order)
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert stopped.code == 128 + signal.SIGINT
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


def test_a_definite_refusal_lets_go_of_the_reserved_credits_and_is_due_again_when_the_server_says(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults="start quota=86400 #1") as server:
        refused = lanes[0].run(scene.order(server.base_url))
        state = only_state(scene)
        again = lanes[0].run(scene.order(server.base_url))

    assert (refused.code, again.code) == (QUOTA, QUOTA)
    assert again.points == []
    assert state.stage is Stage.STAGED
    with open_log(scene.state / "runs.db") as log:
        refused_at = next(stored.at for stored in log.events() if type(stored.event).__name__ == "Refused")
        assert log.credits().reserved == 0
    assert state.parked_until == pytest.approx(refused_at + 86400, abs=5)


def test_a_job_that_somebody_else_started_is_followed_and_not_replaced(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults="start quota=0 #1") as server:
        refused = lanes[0].run(scene.order(server.base_url))
        started = tell(server, scene, process=True)
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (refused.code, started, again.code) == (QUOTA, 200, 0), again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize("place", ["create", "upload"])
def test_a_refusal_for_want_of_credits_before_the_start_parks_the_work_and_those_behind_it(
    place: str, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=f"{place} quota=3000 #1; {place} quota=0 #2") as server:
        refused = lanes[0].run(scene.order(server.base_url))
        parked = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (refused.code, parked.code) == (QUOTA, QUOTA)
    assert parked.points == []
    assert re.search(r"due again in (29\d\d|3000) s", parked.jobs[0]["errors"][0]["message"])
    assert (found.wrong, found.starts) == ([], 0)


def test_what_was_parked_before_the_start_is_bought_when_its_time_has_come(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults="create quota=0 #1; upload quota=0 #1") as server:
        ended = [lanes[0].run(scene.order(server.base_url)).code for _ in range(3)]
        found = verdict(server, scene)

    assert ended == [QUOTA, QUOTA, 0]
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


def test_an_upload_that_came_too_often_is_sent_again(web: Web, lanes: list[Forge], tmp_path: Path) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults="upload busy=0 #1-2") as server:
        ended = lanes[0].run(scene.order(server.base_url))

    assert (ended.code, scene.wrong_files()) == (0, [])


@pytest.mark.parametrize("faults", ["read error-before=404 #1", "read error-before=404 #1; list error-before=404"])
def test_a_single_404_of_a_started_job_is_looked_into(
    faults: str, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=faults) as server:
        ended = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (ended.code, scene.wrong_files(), found.starts) == (0, [], 1)


def test_a_server_that_knows_no_call_at_all_loses_no_job(web: Web, lanes: list[Forge], tmp_path: Path) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)
    faults = "GET:/** error-before=404"

    with running_server(tmp_path / "server", faults=faults) as server:
        ended = lanes[0].run(scene.order(server.base_url))
        server.rehearse("")
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert ended.code == UNREACHABLE, ended.outcome
    assert [job["status"] for job in ended.jobs] == ["pending"]
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


def test_a_job_that_was_called_lost_is_looked_for_before_it_is_bought_again(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults="read error-before=404") as server:
        lost = lanes[0].run(scene.order(server.base_url))
        server.rehearse("")
        again = lanes[0].run(replace(scene.order(server.base_url), retry_lost=True))
        found = verdict(server, scene)

    assert (lost.code, [job["status"] for job in lost.jobs]) == (FAILED, ["lost"])
    assert again.code == 0, again.outcome
    assert {entry.attempt for entry in entries(server.state)} == {1}
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


@pytest.mark.parametrize(("faults", "code"), [("read error-before=400", UNREACHABLE), ("read quota", QUOTA)])
def test_a_started_job_that_the_server_wont_tell_of_is_pending(
    faults: str, code: int, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)

    with running_server(tmp_path / "server", faults=faults) as server:
        ended = lanes[0].run(scene.order(server.base_url))
        server.rehearse("")
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (ended.code, [job["status"] for job in ended.jobs]) == (code, ["pending"])
    assert again.code == 0, again.outcome
    assert (found.wrong + scene.wrong_files(), found.starts) == ([], 1)


def test_finished_work_that_the_server_calls_otherwise_is_blocked_and_not_bought_again(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path / "work", next(SEEDS), web.url)
    recipe = scene.recipe.read_text()
    scene.recipe.write_text(recipe.replace('"recipe": 1', '"recipe": 1, "retry": 2'))

    with running_server(tmp_path / "server") as server:
        lanes[0].run(scene.order(server.base_url))
        (scene.out / "a.webp").unlink()
        forget_its_end(server)
        again = lanes[0].run(scene.order(server.base_url))
        found = verdict(server, scene)

    assert (again.code, [job["status"] for job in again.jobs]) == (FAILED, ["blocked"])
    assert found.starts == 1
