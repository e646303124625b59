"""What a job is booked with where the API doesn't say plainly what it cost: never less than it may have been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.runlog import open_log
from tests.execute.hosted import Document, Hosted, hosting
from tests.execute.lab import Ended, Forge
from tests.execute.scenarios import Scene, texts

QUOTA = 4
UNSAID = object()


class Vague(Hosted):
    cost = 2
    said: Any = UNSAID

    def shown(self, job: Document) -> Document:
        if job["status"]["code"] != "completed":
            return job
        return {name: value for name, value in job.items() if name != "spent"} | (
            {} if self.said is UNSAID else {"spent": self.said}
        )


def run(scene: Scene, api: Hosted, lane: Forge) -> Ended:
    return lane.run(scene.order(api.base_url))


def booked(scene: Scene) -> int:
    with open_log(scene.state / "runs.db") as log:
        return log.credits().spent


@pytest.mark.parametrize("said", [UNSAID, None, "", "many", True, [2], "1.9", "1,5", 1.9, "2", 2])
def test_a_budget_holds_whatever_the_api_says_of_costs(said: Any, lanes: list[Forge], tmp_path: Path) -> None:
    scene = texts(tmp_path, 6, budget={"run": 4}, limits={"job": {"max_credit": 2}})
    api = Vague()
    api.said = said

    with hosting(api):
        ended = run(scene, api, lanes[0])

    assert (ended.code, len(api.happened("start"))) == (QUOTA, 2), ended.outcome
    assert booked(scene) == len(api.happened("charge")) == 4


def test_a_guessed_cost_is_told_and_stands_in_the_report(lanes: list[Forge], tmp_path: Path) -> None:
    scene = texts(tmp_path, 1, limits={"job": {"max_credit": 7}})

    with hosting(Vague()) as api:
        ended = run(scene, api, lanes[0])

    (job,) = ended.jobs
    assert (job["status"], job["spent"], booked(scene)) == ("succeeded", 7, 7)
    assert [one["message"] for one in job["warnings"]] == [
        "the API doesn't say what it cost; its cap is booked, 7 credits"
    ]


def test_without_a_cap_nothing_can_be_booked_for_an_unknown_cost(lanes: list[Forge], tmp_path: Path) -> None:
    scene = texts(tmp_path, 1)

    with hosting(Vague()) as api:
        ended = run(scene, api, lanes[0])

    assert (ended.code, ended.jobs[0]["spent"]) == (0, 0)
    assert "so nothing is booked" in ended.jobs[0]["warnings"][0]["message"]
