"""Answers of old to new creations: a job that holds other work is neither used nor deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.execute.hosted import Document, Hosted, Reply, hosting
from tests.execute.lab import Ended, Forge
from tests.execute.scenarios import Scene, texts

UNREACHABLE = 8
REMOTE = {"input": [{"type": "remote", "source": "http://example.com/{item.path}"}]}


class Replaying(Hosted):
    """Answers every creation but the first `fresh` with what it answered before, as a cache would."""

    fresh = 1

    def created(self, job: Document) -> Reply:
        if len(self.jobs) <= self.fresh:
            return Reply(status=201, body=self.shown(job))
        return Reply(status=201, body=next(iter(self.jobs.values())))


class Stuttering(Hosted):
    """Answers the second creation with the first's job, and is itself again."""

    def created(self, job: Document) -> Reply:
        shown = next(iter(self.jobs.values())) if len(self.jobs) == 2 else job
        return Reply(status=201, body=shown)


def run(scene: Scene, api: Hosted, lane: Forge, *, jobs: int = 1) -> Ended:
    return lane.run(replace(scene.order(api.base_url), jobs=jobs))


def wrong_results(scene: Scene) -> list[str]:
    """Each result says what it was made of."""
    return [path.name for path in scene.out.rglob("*.pdf") if f" {path.stem}.txt as" not in path.read_text()]


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("recipe", [{}, REMOTE], ids=["uploads", "remote"])
def test_a_job_that_another_key_holds_is_left_alone(
    recipe: dict[str, Any], jobs: int, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = texts(tmp_path, 3, **recipe)

    with hosting(Replaying()) as api:
        ended = run(scene, api, lanes[0], jobs=jobs)

    said = sorted(job["status"] for job in ended.jobs)
    assert (ended.code, said, wrong_results(scene)) == (UNREACHABLE, ["pending", "pending", "succeeded"], [])
    assert (len(api.happened("start")), api.happened("delete")) == (1, [])
    assert len(api.jobs[api.happened("start")[0]]["input"]) == 1


@pytest.mark.parametrize("recipe", [{}, REMOTE], ids=["uploads", "remote"])
def test_another_creation_is_asked_for_after_an_old_answer(
    recipe: dict[str, Any], lanes: list[Forge], tmp_path: Path
) -> None:
    scene = texts(tmp_path, 3, **recipe)

    with hosting(Stuttering()) as api:
        ended = run(scene, api, lanes[0])

    assert (ended.code, wrong_results(scene), len(api.happened("start"))) == (0, [], 3), ended.outcome
