"""Answers that are true of another job or of another moment: neither is taken for what was bought."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.execute.shown import tells_its_end
from runner.wire.job import read_job
from tests.execute.lab import KEY, Ended, Forge, Server, Web, judge, picture
from tests.execute.middleman import Middleman, honest
from tests.execute.scenarios import Build, Scene, two_conversions, upload

FAILED = 6
SEEDS = count(810_000)


@dataclass
class Meddling:
    """Changes the first `times` answers that `method` gets about a job that has an output."""

    method: str
    instead: Any
    times: int = 1
    changed: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, document: Any) -> Any:
        is_job = method == self.method and path.startswith("/jobs/") and isinstance(document, dict)
        is_there = document.get("output") or method == "PATCH" if is_job else False
        if not is_there or len(self.changed) >= self.times:
            return document
        self.changed.append(path)
        return self.instead(document) if callable(self.instead) else self.instead


def one_output(document: Any) -> Any:
    return {**document, "output": document["output"][:1]}


def no_output(document: Any) -> Any:
    return {**document, "output": []}


def run(scene: Scene, man: Middleman, lane: Forge) -> Ended:
    return lane.run(scene.order(man.base_url))


def starts(scene: Scene, server: Server) -> int:
    found = judge(server.state, scene.state, scene.out, crashes=0)
    assert found.wrong == []
    return found.starts


@pytest.mark.parametrize(("build", "instead"), [(upload, no_output), (two_conversions, one_output)])
def test_outputs_that_come_a_little_later_than_completed_are_waited_for(
    build: Build, instead: Any, man: Middleman, server: Server, lanes: list[Forge], web: Web, tmp_path: Path
) -> None:
    scene = build(tmp_path / "work", next(SEEDS), web.url)
    man.change = meddling = Meddling("GET", instead, times=2)

    ended = run(scene, man, lanes[0])

    assert len(meddling.changed) == 2
    assert (ended.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), ended.stderr


@pytest.mark.parametrize(("build", "instead"), [(upload, no_output), (two_conversions, one_output)])
def test_outputs_that_do_not_come_are_a_failure_until_they_do(
    build: Build, instead: Any, man: Middleman, server: Server, lanes: list[Forge], web: Web, tmp_path: Path
) -> None:
    scene = build(tmp_path / "work", next(SEEDS), web.url)
    man.change = Meddling("GET", instead, times=1000)

    first = run(scene, man, lanes[0])
    again = run(scene, man, lanes[0])
    man.change = honest
    last = run(scene, man, lanes[0])

    assert (first.code, again.code) == (FAILED, FAILED)
    assert "is completed, and shows" in first.jobs[0]["errors"][0]["message"]
    assert (last.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), last.stderr


def several(folder: Path) -> Scene:
    """Two results of one conversion."""
    scene = upload(folder, next(SEEDS), "")
    (folder / "in" / "b.png").write_bytes(picture(next(SEEDS)))
    recipe = json.loads(scene.recipe.read_text())
    recipe["input"] = [{"type": "upload", "source": "in/*.png"}]
    recipe["conversion"][0]["options"]["allow_multiple_outputs"] = True
    scene.recipe.write_text(json.dumps(recipe))
    return replace(scene, results={**scene.results, "b.webp": scene.results["a.webp"]})


def test_outputs_of_one_conversion_may_come_one_after_another(
    man: Middleman, server: Server, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = several(tmp_path / "work")
    man.change = meddling = Meddling("GET", one_output)

    ended = run(scene, man, lanes[0])

    assert len(meddling.changed) == 1
    assert (ended.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), ended.stderr


def test_outputs_that_come_after_all_are_delivered_again_and_told(
    man: Middleman, server: Server, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = several(tmp_path / "work")
    man.change = Meddling("GET", one_output, times=1000)
    assert run(scene, man, lanes[0]).code == 0
    (scene.out / "a.webp").unlink()
    man.change = honest

    ended = run(scene, man, lanes[0])

    (warning,) = ended.jobs[0]["warnings"]
    assert "shows 2 outputs now, 1 output more than when it ended" in warning["message"]
    assert (ended.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), ended.stderr
    assert run(scene, man, lanes[0]).points == []


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_the_answer_about_another_job_is_not_taken_for_ours(
    method: str, man: Middleman, server: Server, lanes: list[Forge], web: Web, tmp_path: Path
) -> None:
    ended: list[Any] = []

    def remembering(_method: str, path: str, document: Any) -> Any:
        if path.startswith("/jobs/") and isinstance(document, dict) and document.get("output"):
            ended.append(document)
        return document

    man.change = remembering
    assert run(upload(tmp_path / "other", next(SEEDS), web.url), man, lanes[0]).code == 0
    scene = two_conversions(tmp_path / "work", next(SEEDS), web.url)
    man.change = meddling = Meddling(method, ended[-1])

    ran = run(scene, man, lanes[0])

    assert len(meddling.changed) == 1
    assert (ran.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), ran.stderr


def test_the_list_of_our_server_tells_all_of_an_end(
    server: Server, lanes: list[Forge], web: Web, tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path / "work", next(SEEDS), web.url)
    assert lanes[0].run(scene.order(server.base_url)).code == 0

    rows = httpx.get(f"{server.base_url}/jobs", headers={"X-Oc-Api-Key": KEY}).json()

    assert tells_its_end(read_job(rows[0]))  # so a short job costs three requests and its downloads
