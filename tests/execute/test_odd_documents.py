"""Documents that look otherwise than ours: what was bought is followed, delivered and booked all the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runner.runlog import open_log
from runner.state import Stage
from tests.execute.hosted import Document, Hosted, Reply, hosting
from tests.execute.lab import Ended, Forge
from tests.execute.scenarios import Scene, texts

QUOTA, FAILED, UNREACHABLE = 4, 6, 8


def run(scene: Scene, api: Hosted, lane: Forge) -> Ended:
    return lane.run(scene.order(api.base_url))


def results(scene: Scene) -> list[str]:
    return sorted(path.name for path in scene.out.rglob("*.pdf"))


class Numbers(Hosted):
    numbers = count(101)

    def new_id(self) -> str:
        return str(next(self.numbers))

    def shown(self, job: Document) -> Document:
        return {**job, "id": int(job["id"])}


class Shouting(Hosted):
    """Tells ids in capitals once, and in small letters ever after."""

    def created(self, job: Document) -> Reply:
        return Reply(status=201, body={**job, "id": job["id"].upper()})

    def find(self, name: str) -> Document | None:
        return self.jobs.get(name.lower())


class Summing(Hosted):
    """A list that shows little."""

    cost = 3
    looks = 2

    def row(self, job: Document) -> Document:
        outputs = [{"id": one["id"], "filename": one["filename"]} for one in job["output"]]
        return {"id": job["id"], "status": job["status"], "output": outputs}


class Late(Hosted):
    """A list that calls everything failed."""

    cost = 3
    looks = 2

    def row(self, job: Document) -> Document:
        return {**job, "status": {"code": "failed", "info": ""}, "spent": 0}


class Nested(Hosted):
    looks = 2

    def row(self, job: Document) -> Document:
        return {**job, "id": {"job": job["id"]}}


@pytest.mark.parametrize("kind", [Numbers, Shouting, Summing, Late, Nested])
def test_what_was_bought_is_delivered_and_booked_once(kind: type[Hosted], lanes: list[Forge], tmp_path: Path) -> None:
    scene = texts(tmp_path, 5)

    with hosting(kind()) as api:
        ended = run(scene, api, lanes[0])
        again = run(scene, api, lanes[0])

    with open_log(scene.state / "runs.db") as log:
        spent = log.credits().spent
    assert (ended.code, again.code, again.points) == (0, 0, []), ended.outcome
    assert results(scene) == [f"{number}.pdf" for number in range(5)]
    assert len(api.happened("start")) == 5
    assert spent == len(api.happened("charge")) == 5 * api.cost


class Hasty(Hosted):
    """Answers a start with a job that is done, without its id or its outputs."""

    def started(self, job: Document) -> Reply:
        super().started(job)
        return Reply(body={"status": {"code": "completed", "info": ""}})


class Anonymous(Hasty):
    """Names no job that was asked for."""

    cost = 3

    def shown(self, job: Document) -> Document:
        return job if not job["process"] else {name: value for name, value in job.items() if name != "id"}

    def row(self, job: Document) -> Document:
        return job


@pytest.mark.parametrize("kind", [Hasty, Anonymous])
@pytest.mark.parametrize("several", [True, False])
def test_an_end_that_is_told_without_an_id_is_that_of_the_job_that_was_asked_for(
    kind: type[Hosted], several: bool, lanes: list[Forge], tmp_path: Path
) -> None:
    options = {"options": {"allow_multiple_outputs": True}} if several else {}
    scene = texts(tmp_path, 1, conversion=[{"target": "pdf", **options}])

    with hosting(kind()) as api:
        ended = run(scene, api, lanes[0])

    (job,) = ended.jobs
    assert (ended.code, job["job_id"], job["spent"]) == (0, *api.happened("start"), api.cost), ended.outcome
    assert results(scene) == ["0.pdf"]


class Nameless(Hosted):
    """Doesn't say which job it made."""

    def created(self, job: Document) -> Reply:
        return Reply(status=201, body={name: value for name, value in job.items() if name != "id"})


@pytest.mark.parametrize("remote", [True, False])
def test_a_creation_without_an_id_is_tried_again_and_nothing_is_sent_to_all_jobs(
    remote: bool, lanes: list[Forge], tmp_path: Path
) -> None:
    source = {"input": [{"type": "remote", "source": "http://example.com/{item.path}"}]} if remote else {}
    scene = texts(tmp_path, 1, **source)

    with hosting(Nameless()) as api:
        ended = run(scene, api, lanes[0])

    assert (ended.code, ended.jobs[0]["status"]) == (UNREACHABLE, "pending")
    assert "doesn't name the job" in ended.jobs[0]["errors"][0]["message"]
    assert len(api.happened("create")) == 3
    assert [asked for asked in api.asked if not asked.startswith(("POST /jobs", "GET /jobs?page"))] == []


class Unwilling(Hosted):
    """Takes no start, and says why."""

    def started(self, job: Document) -> Reply:
        return Reply(status=409, body={"error": "two inputs are missing"})


def test_a_first_start_that_is_refused_with_409_is_told_in_the_words_of_the_server(
    lanes: list[Forge], tmp_path: Path
) -> None:
    scene = texts(tmp_path, 1)

    with hosting(Unwilling()) as api:
        ended = run(scene, api, lanes[0])

    with open_log(scene.state / "runs.db") as log:
        (state,) = log.states().values()
    (job,) = ended.jobs
    assert (ended.code, job["status"], state.stage) == (FAILED, "failed", Stage.STARTING)
    assert "409 two inputs are missing; the job is shown as 'ready'" in job["errors"][0]["message"]
    assert api.happened("create") == [state.job_id]


class Changeable(Hosted):
    """Takes no start, and says something else about it from the second one on."""

    status = 402
    refused = 0

    def started(self, job: Document) -> Reply:
        self.refused += 1
        if self.refused == 1:
            return Reply(status=409, body={"message": "not now"})
        return Reply(status=self.status, body={"message": "no more"}, headers={"Retry-After": "700"})


@pytest.mark.parametrize("status", [402, 429])
def test_a_start_that_is_refused_otherwise_after_a_409_may_have_been_heard_all_the_same(
    status: int, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = texts(tmp_path, 1, limits={"job": {"max_credit": 3}}, budget={"run": 3})
    api = Changeable()
    api.status = status

    with hosting(api):
        ended = run(scene, api, lanes[0])

    with open_log(scene.state / "runs.db") as log:
        (state,) = log.states().values()
        reserved = log.credits().reserved
    (error,) = ended.jobs[0]["errors"]
    assert (ended.code, state.stage, reserved) == (QUOTA, Stage.STARTING, 3), ended.outcome
    assert "a start of it may have been heard" in error["message"]
    assert error["hint"] == "the server asks to be left alone for 700 s"


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (["The disk is full"], "The disk is full"),
        ([{"code": 10**20, "message": "The disk is full"}], "The disk is full"),
        ([{"code": "9" * 30, "message": "The disk is full"}], "The disk is full"),
        ([{"code": 6005, "message": None}], "the API gives no reason, and calls the job 'failed' (it broke)"),
    ],
)
def test_why_a_job_failed_is_told_whatever_form_it_has(
    errors: Any, said: str, lanes: list[Forge], tmp_path: Path
) -> None:
    class Failing(Hosted):
        def finish(self, job: Document) -> None:
            job.update(status={"code": "failed", "info": "it broke"}, errors=errors)

    scene = texts(tmp_path, 1)

    with hosting(Failing()) as api:
        ended = run(scene, api, lanes[0])

    assert [error["message"] for error in ended.jobs[0]["errors"]] == [said]


SIGNED = {"input": [{"type": "remote", "source": "http://example.com/a.txt?sig=canarysigned"}]}


class Chatty(Hosted):
    """Repeats what it was told, where it gives no reason."""

    def finish(self, job: Document) -> None:
        info = f"the token is {job['token']}, the source {job['input'][0]['source']}"
        job.update(status={"code": "failed", "info": info}, errors=[{"source": "conversion", "code": 7}])


@pytest.mark.parametrize("asked_for", [True, False])
def test_neither_report_nor_log_has_a_secret_of_what_a_job_says_of_its_end(
    asked_for: bool, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = texts(tmp_path, 1, **SIGNED)

    with hosting(Chatty()) as api:
        lanes[0].run(replace(scene.order(api.base_url), point="before GET /v2/jobs/*"))
        if not asked_for:
            scene.recipe.write_text(scene.recipe.read_text().replace('"pdf"', '"png"'))
        ended = run(scene, api, lanes[0])
        tokens = [job["token"] for job in api.jobs.values()]

    with open_log(scene.state / "runs.db") as log:
        logged = [error["message"] for state in log.states().values() for error in state.errors]
    said = "the API gives no reason, and calls the job 'failed' (the token is ***, the source http://example.com/a.txt?***)"
    assert set(logged) == {said}
    assert [error["message"] for job in ended.jobs for error in job["errors"]] == logged
    assert not any(secret in str(ended.outcome) for secret in (*tokens, "canarysigned"))


class Forgetful(Hosted):
    """Shows its first job as if it had no start, for a while."""

    cost = 3
    forgets = True

    def shown(self, job: Document) -> Document:
        is_first = job["id"] == next(iter(self.jobs))
        return {**job, "status": {"code": "ready"}, "process": False} if is_first and self.forgets else job


def test_work_that_nobody_asks_for_any_more_is_not_lost_while_the_server_answers_with_it(
    lanes: list[Forge], tmp_path: Path
) -> None:
    scene, api = texts(tmp_path, 1), Forgetful()

    with hosting(api):
        lanes[0].run(replace(scene.order(api.base_url), point="after Started"))
        scene.recipe.write_text(scene.recipe.read_text().replace('"pdf"', '"png"'))
        forgotten = run(scene, api, lanes[0])
        api.forgets = False
        again = run(scene, api, lanes[0])

    with open_log(scene.state / "runs.db") as log:
        stages = {state.stage for state in log.states().values()}
        credits = log.credits()
    warnings = [warning["message"] for job in forgotten.jobs for warning in job["warnings"]]
    assert (forgotten.code, again.code) == (0, 0), forgotten.outcome
    assert any("as if it had no start; the next run looks again" in message for message in warnings)
    assert (stages, credits.spent, credits.reserved) == ({Stage.FINISHED}, 2 * api.cost, 0)
    assert (len(api.happened("start")), api.happened("delete")) == (2, [])
