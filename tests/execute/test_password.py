"""Passwords that no download can carry."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from runner.errors import InvalidError
from runner.execute.password import download_password, require_sendable
from runner.server.book import read_book
from tests.execute.lab import Forge, Server, Web
from tests.execute.scenarios import Scene, upload

NUMBERS = count(9_100_001)
SAID = "the download password has a character that isn't printable ASCII, or a blank at an end"


def protected(folder: Path, web: str, password: str) -> Scene:
    scene = upload(folder, next(NUMBERS), web)
    recipe = json.loads(scene.recipe.read_text())
    recipe["download_passwords"] = [{"file": "password.txt"}]
    scene.recipe.write_text(json.dumps(recipe))
    write(scene, password)
    return scene


def write(scene: Scene, password: str) -> None:
    (scene.folder / "password.txt").write_text(password, encoding="utf-8")


def test_work_whose_results_could_not_be_fetched_is_not_bought(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = protected(tmp_path, web.url, "abc\ndef")
    before = read_book(server.state)

    ended = lanes[0].run(scene.order(server.base_url))

    (job,) = ended.jobs
    assert SAID in job["errors"][0]["message"]
    assert (ended.code, job["status"]) == (5, "failed")
    assert read_book(server.state) == before
    assert "abc" not in json.dumps(job)


def test_a_password_that_changed_for_the_worse_is_the_trouble_of_its_job_alone(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = protected(tmp_path, web.url, "canarypassword")
    killed = lanes[0].run(replace(scene.order(server.base_url), point="after Finished"))
    write(scene, "canary\rpassword")

    refused = lanes[0].run(scene.order(server.base_url))
    write(scene, "canarypassword")
    again = lanes[0].run(scene.order(server.base_url))

    assert killed.code == -9
    assert SAID in refused.jobs[0]["errors"][0]["message"]
    assert "canary" not in json.dumps(refused.jobs)
    assert (again.code, scene.wrong_files()) == (0, [])


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "\x7f", "a\tb", " a", "a ", "ä"])
def test_what_a_header_does_not_carry_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(InvalidError) as caught:
        require_sendable(value)

    assert SAID in str(caught.value)


@pytest.mark.parametrize("value", ["", "a", "a b", "!~"])
def test_what_a_header_carries_is_left_as_it_is(value: str) -> None:
    assert require_sendable(download_password({"download_passwords": [value, "b\n"]})) == value
