"""Names at output targets: what can't get its name isn't bought, whoever takes it and whenever."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.execute.lab import Ended, Forge, Server, judge, picture, wait_for
from tests.execute.outside import Order
from tests.execute.scenarios import Scene
from tests.server.storage.ftpd import Ftpd, ftpd

FAILED = 6


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[Ftpd]:
    (tmp_path / "ftp").mkdir()
    with ftpd(tmp_path / "ftp") as opened:
        yield opened


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    folder = tmp_path / "work"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.png").write_bytes(picture(700_000))
    (folder / "runner.toml").write_text('[local]\nallow_private = ["127.0.0.0/8"]\n')
    return Scene(folder=folder, results={})


def write(scene: Scene, ftp: Ftpd, *, quality: int, name: str = "work", retry: int = 0) -> None:
    (scene.folder / "password").write_text(ftp.remote.credentials["password"])
    target = {
        "type": "ftp",
        "parameters": {**ftp.remote.parameters, "file": "a.webp"},
        "credentials": {"username": ftp.remote.credentials["username"], "password": {"file": "password"}},
    }
    conversion = {"category": "image", "target": "webp", "options": {"quality": quality}, "output_target": [target]}
    recipe = {
        "recipe": 1,
        "name": name,
        "retry": retry,
        "input": [{"type": "upload", "source": "in/a.png"}],
        "conversion": [conversion],
    }
    scene.recipe.write_text(json.dumps(recipe))


def order(scene: Scene, server: Server, *, number: int = 0, **more: object) -> Order:
    return replace(scene.order(server.base_url), result=str(scene.folder / f"result-{number}.json"), **more)  # type: ignore[arg-type]


def told(ended: Ended) -> list[tuple[str, str, str]]:
    """What became of each address, with the first thing that is said of it."""
    said = [(job["errors"] or job["warnings"] or [{"message": ""}])[0]["message"] for job in ended.jobs]
    return [(job["action"], job["status"], one) for job, one in zip(ended.jobs, said, strict=True)]


@pytest.mark.parametrize("name", ["work", "renamed"])
def test_what_an_earlier_recipe_began_takes_its_name_and_nothing_else_is_bought_for_it(
    scene: Scene, ftp: Ftpd, server: Server, lanes: list[Forge], name: str
) -> None:
    write(scene, ftp, quality=80)
    assert lanes[0].run(order(scene, server, point="after Started")).code == -signal.SIGKILL
    write(scene, ftp, quality=50, name=name)

    changed = lanes[0].run(order(scene, server))
    first = ftp.remote.get("a.webp")
    ftp.remote.remove("a.webp")
    last = lanes[0].run(order(scene, server))

    assert [ended.code for ended in (changed, last)] == [FAILED, 0]
    waits, begun = told(changed)
    assert waits[:2] == ("blocked", "blocked")
    assert "the name is taken, and nothing is overwritten; nothing was bought; remove it there" in waits[2]
    assert begun[:2] == ("resume", "succeeded")
    assert "its results went to FTP, host '127.0.0.1', file 'a.webp'" in begun[2]
    assert ftp.remote.get("a.webp") not in (None, first)
    verdict = judge(server.state, scene.state, crashes=1)
    assert (verdict.wrong, verdict.starts) == ([], 2)


def test_what_an_earlier_recipe_began_and_never_started_leaves_its_name_to_the_new_work(
    scene: Scene, ftp: Ftpd, server: Server, lanes: list[Forge]
) -> None:
    write(scene, ftp, quality=80)
    assert lanes[0].run(order(scene, server, point="before PATCH /v2/jobs/*")).code == -signal.SIGKILL
    write(scene, ftp, quality=50)

    changed = lanes[0].run(order(scene, server))

    assert changed.code == 0, changed.stderr
    assert [one[:2] for one in told(changed)] == [("run", "succeeded"), ("resume", "skipped")]
    verdict = judge(server.state, scene.state, crashes=1)
    assert (verdict.wrong, verdict.starts) == ([], 1)


def test_of_two_runs_that_want_one_name_the_second_to_commit_starts_nothing(
    scene: Scene, ftp: Ftpd, server: Server, lanes: list[Forge]
) -> None:
    write(scene, ftp, quality=80)
    pid = lanes[0].begin(order(scene, server, number=1, point="before Intent", halt=True))
    wait_for(Path(order(scene, server, number=1).result + ".halted"))
    try:
        write(scene, ftp, quality=50)
        second = lanes[1].run(order(scene, server, number=2))
    finally:
        os.kill(pid, signal.SIGCONT)
    first = lanes[0].end()

    assert (first.code, second.code) == (FAILED, 0), first.stderr + second.stderr
    assert [(job["status"], job["spent"]) for job in first.jobs] == [("blocked", 0)]
    assert "which another run started meanwhile, stores its result as FTP" in told(first)[0][2]
    verdict = judge(server.state, scene.state, crashes=0)
    assert (verdict.wrong, verdict.starts) == ([], 1)


def test_what_failed_for_a_taken_name_is_bought_again_only_when_the_name_is_free(
    scene: Scene, ftp: Ftpd, server: Server, lanes: list[Forge]
) -> None:
    ftp.remote.put("a.webp", b"somebody's")
    write(scene, ftp, quality=80, retry=2)

    failed = lanes[0].run(order(scene, server))
    taken, urged = (lanes[0].run(order(scene, server, number=1, retry_failed=word)) for word in (False, True))
    write(scene, ftp, quality=80)
    waits = lanes[0].run(order(scene, server))
    ftp.remote.remove("a.webp")
    done = lanes[0].run(order(scene, server, retry_failed=True))

    assert [ended.code for ended in (failed, taken, urged, waits, done)] == [FAILED, FAILED, FAILED, FAILED, 0]
    (error,) = failed.jobs[0]["errors"]
    assert error["code"] == 409
    assert error["hint"].startswith("remove what has the name there, or give `file` another one; --retry-failed then")
    assert [told(ended)[0][:2] for ended in (taken, urged, waits)] == [("blocked", "blocked")] * 3
    assert "the name is taken" in told(urged)[0][2]
    assert "remove what has the name there" in told(waits)[0][2]
    assert judge(server.state, scene.state, crashes=0).starts == 2


def test_what_another_run_saw_fail_for_a_taken_name_meanwhile_is_looked_at_before_it_is_retried(
    scene: Scene, ftp: Ftpd, server: Server, lanes: list[Forge]
) -> None:
    ftp.remote.put("a.webp", b"somebody's")
    write(scene, ftp, quality=80, retry=1)
    pid = lanes[0].begin(order(scene, server, number=1, point="before Claim", halt=True))
    wait_for(Path(order(scene, server, number=1).result + ".halted"))
    try:
        second = lanes[1].run(order(scene, server, number=2))
    finally:
        os.kill(pid, signal.SIGCONT)
    first = lanes[0].end()

    assert (first.code, second.code) == (FAILED, FAILED), first.stderr + second.stderr
    assert [ended.jobs[0]["status"] for ended in (first, second)] == ["blocked", "failed"]
    assert told(first)[0][2].endswith("nothing was bought; run again to look")
    assert judge(server.state, scene.state, crashes=0).starts == 1
