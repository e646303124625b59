"""The limits example of the API page: two credits for three conversions, and what becomes of the third."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.command_line import ROOT, Desk, web

LIMITS = "limits.recipe.json"
PICTURE = (ROOT / "recipes/pictures/mountains.jpg").read_bytes()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with web({"/pictures/mountains.jpg": PICTURE}) as base:
        yield f"{base}/pictures/mountains.jpg"


@pytest.fixture
def project(desk: Desk, url: str) -> Desk:
    """The example as it ships, its URL replaced, in a project whose local server may fetch from this machine."""
    document = json.loads((ROOT / "recipes" / LIMITS).read_text())
    document["input"][0]["source"] = url
    desk.write(LIMITS, json.dumps(document))
    desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')
    return desk


def run(desk: Desk, **changes: Any) -> tuple[int, Any, str]:
    document = json.loads((desk.folder / LIMITS).read_text())
    desk.write(LIMITS, json.dumps(document | changes))
    done = desk.runner("run", LIMITS, "--format", "json")
    (job,) = done.json["jobs"]
    return done.code, job, done.err


def suffixes(job: Any) -> list[str]:
    return [file["path"].rpartition(".")[2] for file in job["outputs"]]


def test_two_credits_pay_for_two_outputs_and_the_third_is_a_warning(project: Desk) -> None:
    code, job, err = run(project)

    assert (code, err) == (0, "")
    assert (job["status"], job["spent"], suffixes(job)) == ("succeeded", 2, ["png", "bmp"])
    (warning,) = job["warnings"]
    assert "credit" in warning["message"]
    assert job["errors"] == []
    assert [entry.credits for entry in project.book()] == [2]


def test_the_warning_is_said_to_people(project: Desk) -> None:
    done = project.runner("run", LIMITS, "-v")

    assert done.code == 0
    assert "warning: limits: " in done.err
    assert "1 succeeded" in done.err


def test_with_fail_on_conversion_error_nothing_comes_and_nothing_is_spent(project: Desk) -> None:
    code, job, err = run(project, fail_on_conversion_error=True)

    assert code == 6
    assert (job["status"], job["spent"], job["outputs"]) == ("failed", 0, [])
    assert "credit" in job["errors"][0]["message"]
    assert "failed: limits: " in err
    assert [entry.credits for entry in project.book()] == [0]


def test_four_credits_pay_for_three_outputs_and_three_are_deducted(project: Desk) -> None:
    code, job, err = run(project, limits={"job": {"max_credit": 4}}, fail_on_conversion_error=True)

    assert (code, err) == (0, "")
    assert (job["status"], job["spent"], suffixes(job)) == ("succeeded", 3, ["png", "bmp", "gif"])
    assert job["warnings"] == []
    assert [entry.credits for entry in project.book()] == [3]


def test_a_picture_that_the_web_does_not_have_fails_the_job_with_its_address(project: Desk, url: str) -> None:
    code, job, err = run(project, input=[{"type": "remote", "source": url.replace("mountains", "gone")}])

    assert code == 6
    assert (job["status"], job["spent"]) == ("failed", 0)
    assert "404" in err


def test_private_networks_are_closed_unless_the_project_opens_them(project: Desk) -> None:
    (project.folder / "runner.toml").unlink()

    code, job, err = run(project)

    assert code == 6
    assert job["status"] == "failed"
    assert "private" in err
