"""Outputs as no server should show them: each is delivered for what it is, and none holds up the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.execute.lab import Ended, Forge, Server, judge
from tests.execute.middleman import Middleman, honest
from tests.execute.scenarios import Scene, two_conversions

FAILED = 6
SEEDS = count(870_000)

Change = Callable[[int, dict[str, Any]], dict[str, Any]]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A webp and a jpg of one picture."""
    return two_conversions(tmp_path / "work", next(SEEDS), "")


def outputs(change: Change) -> Callable[[str, str, Any], Any]:
    """Every output of every job as `change` makes it of its number and of what the server says."""

    def changed(_method: str, _path: str, document: Any) -> Any:
        if isinstance(document, list):
            return [changed(_method, _path, row) for row in document]
        if not isinstance(document, dict) or not isinstance(document.get("output"), list):
            return document
        return {**document, "output": [change(index, one) for index, one in enumerate(document["output"])]}

    return changed


def run(scene: Scene, man: Middleman, lane: Forge) -> Ended:
    return lane.run(scene.order(man.base_url))


def starts(scene: Scene, server: Server) -> int:
    found = judge(server.state, scene.state, scene.out, crashes=0)
    assert found.wrong == []
    return found.starts


def trouble(ended: Ended) -> dict[str, Any]:
    (error,) = ended.jobs[0]["errors"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("one_id", [None, "same"])
@pytest.mark.parametrize("announced", [{"checksum": None, "size": None}, {}])
def test_outputs_that_share_an_id_or_have_none_are_each_delivered(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene, announced: dict[str, Any], one_id: object
) -> None:
    man.change = outputs(lambda _, one: {**one, **announced, "id": one_id})

    first = run(scene, man, lanes[0])
    (scene.out / "a.webp").unlink()
    (scene.out / "a.jpg").unlink()
    again = run(scene, man, lanes[0])

    assert (first.code, again.code, scene.wrong_files(), starts(scene, server)) == (0, 0, [], 1), first.stderr


@pytest.mark.parametrize("status", [304, 402, 451])
def test_a_refused_download_waits_and_the_other_outputs_are_delivered(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene, status: int
) -> None:
    man.refused["/locked"] = status
    man.change = outputs(lambda index, one: {**one, "uri": f"{man.base_url}/locked"} if index == 0 else one)

    first = run(scene, man, lanes[0])
    there = sorted(path.name for path in scene.out.iterdir())
    man.change = honest
    last = run(scene, man, lanes[0])

    assert (first.code, there) == (FAILED, ["a.jpg"])
    assert f"downloading 'a.webp': {status}" in trouble(first)["message"]
    assert trouble(first)["hint"].startswith("the result is bought and waits on the server until about 20")
    assert (last.code, scene.wrong_files(), starts(scene, server)) == (0, [], 1), last.stderr


def test_what_was_put_beside_a_refused_output_is_ours_although_nothing_was_announced_of_it(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene
) -> None:
    man.refused["/locked"] = 402
    plain = {"checksum": None, "size": None}
    man.change = outputs(lambda index, one: {**one, **plain, **({"uri": f"{man.base_url}/locked"} if index else {})})

    first = run(scene, man, lanes[0])
    man.change = outputs(lambda _, one: {**one, **plain})
    last = run(scene, man, lanes[0])

    assert (first.code, last.code) == (FAILED, 0), last.stderr
    assert (scene.wrong_files(), starts(scene, server)) == ([], 1)


def test_outputs_in_another_order_are_still_themselves(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene
) -> None:
    """What an output's number is in its place is what it was when it was bought."""
    recipe = scene.recipe.read_text()
    scene.recipe.write_text(recipe.replace("{output.filename}", "{output.index}.{output.ext}"))
    assert run(scene, man, lanes[0]).code == 0
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in scene.out.iterdir()}
    for name in before:
        (scene.out / name).unlink()

    def reversed_outputs(_method: str, _path: str, document: Any) -> Any:
        is_job = isinstance(document, dict) and document.get("output")
        return {**document, "output": document["output"][::-1]} if is_job else document

    man.change = reversed_outputs
    assert run(scene, man, lanes[0]).code == 0

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in scene.out.iterdir()} == before


@pytest.mark.parametrize("name", ["y" * 400 + ".webp", "x." + "e" * 300])
def test_names_that_are_too_long_keep_no_output_from_being_delivered(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene, name: str
) -> None:
    man.change = outputs(lambda _, one: {**one, "filename": name})

    ended = run(scene, man, lanes[0])

    assert ended.code == 0, ended.stderr
    assert sorted(len(path.name) for path in scene.out.iterdir()) == [255, 255]
    assert starts(scene, server) == 1


def test_an_output_that_can_not_be_put_holds_up_no_other(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene
) -> None:
    """What save.path adds to a name may make it too long."""
    recipe = scene.recipe.read_text()
    scene.recipe.write_text(recipe.replace("{output.filename}", "{output.stem}-large.{output.ext}"))
    man.change = outputs(lambda index, one: one if index else {**one, "filename": "y" * 400 + ".webp"})

    ended = run(scene, man, lanes[0])

    assert ended.code == FAILED
    assert "261 bytes" in trouble(ended)["message"]
    assert [path.name for path in scene.out.iterdir()] == ["a-large.jpg"]


@pytest.mark.parametrize("policy", ["rename", "error"])
def test_a_long_name_gives_way_and_what_was_edited_is_kept(
    man: Middleman, lanes: list[Forge], scene: Scene, policy: str
) -> None:
    scene.recipe.write_text(scene.recipe.read_text().replace('"path"', f'"on_conflict": "{policy}", "path"'))
    man.change = outputs(lambda index, one: {**one, "filename": ("y", "z")[index] * 251 + ".jpg"})
    assert run(scene, man, lanes[0]).code == 0
    edited = scene.out / ("y" * 251 + ".jpg")
    edited.write_bytes(b"edited")

    ended = run(scene, man, lanes[0])

    kept = {"rename": edited.name, "error": "y" * 247 + ".changed"}[policy]
    assert (ended.code, (scene.out / kept).read_bytes()) == (0, b"edited"), ended.stderr
    assert len(list(scene.out.iterdir())) == 3
    assert (kept in str(ended.jobs[0]["warnings"])) == (policy == "error")
