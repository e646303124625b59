"""What the soak and the state machine found once, as short as it can be told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import apsw
import pytest

from runner.runlog import open_log
from runner.server.book import read_book
from tests.execute.island import Island, Kill
from tests.execute.lab import Forge, Server, Web
from tests.execute.scenarios import upload

NUMBERS = count(9_000_001)


@pytest.fixture
def island(server: Server, web: Web, lanes: list[Forge], tmp_path: Path) -> Iterator[Island]:
    """An island where everything was run once."""
    made = Island(folder=tmp_path / "island", server=server, web=web, forges=lanes, first_seed=next(NUMBERS))
    made.run(None)
    yield made
    assert made.settle() == []


def test_a_result_that_a_killed_run_put_is_replaced_after_the_recipe_changed(island: Island) -> None:
    island.width = 6
    island.run(Kill(point="before Delivered"))
    island.width = 18


def test_a_result_of_equal_work_that_a_killed_run_put_is_replaced_after_the_input_changed(island: Island) -> None:
    island.put("twin.png", 77)
    island.run(None)
    island.put("twin.png", island.pictures["a.png"])
    island.run(Kill(point="before Delivered"))
    island.put("twin.png", 78)


def test_what_was_delivered_before_a_move_and_back_is_ours_to_replace(island: Island) -> None:
    island.out = "out/b"
    island.run(None)
    island.width = 6
    island.out = "out/a"


def test_half_files_of_a_killed_run_are_removed_by_the_next_delivery_there(island: Island) -> None:
    island.put("a.png", 79)
    island.run(Kill(point="amid a transfer", ordinal=2))
    island.run(Kill(point="before os.remove"))
    island.put("b.png", 80)


def test_a_run_that_another_one_overtook_replaces_what_is_ours(island: Island) -> None:
    """Both plan the new work as new; the second finds it begun, and must not take the old result for a stranger's."""
    island.width = 6
    island.run(Kill(point="after Intent"), None)


@pytest.mark.parametrize("point", ["before os.remove", "before Delivered"])
def test_a_renamed_result_that_a_killed_run_put_is_found_by_its_checksum(
    point: str, server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path, next(NUMBERS), web.url)
    recipe = json.loads(scene.recipe.read_text())
    recipe["save"]["on_conflict"] = "rename"
    scene.recipe.write_text(json.dumps(recipe))
    scene.out.mkdir()
    (scene.out / "a.webp").write_text("somebody's own")

    killed = lanes[0].run(replace(scene.order(server.base_url), point=point))
    again = lanes[0].run(scene.order(server.base_url))

    assert (killed.code, again.code) == (-9, 0), again.stderr
    assert sorted(path.name for path in scene.out.iterdir()) == ["a-1.webp", "a.webp"]
    assert (scene.out / "a.webp").read_text() == "somebody's own"


def test_a_folder_in_the_place_of_a_result_is_said_to_be_in_the_way(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path, next(NUMBERS), web.url)
    assert lanes[0].run(scene.order(server.base_url)).code == 0
    (scene.out / "a.webp").unlink()
    (scene.out / "a.webp").mkdir()

    blocked = lanes[0].run(scene.order(server.base_url))
    (scene.out / "a.webp").rmdir()
    again = lanes[0].run(scene.order(server.base_url))

    assert blocked.code == 6
    assert "a.webp is a folder; it is bought already" in blocked.jobs[0]["errors"][0]["message"]
    assert (again.code, scene.wrong_files()) == (0, [])


def test_what_was_made_for_an_attempt_that_has_another_job_already_is_deleted(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path, next(NUMBERS), web.url)
    lanes[0].run(replace(scene.order(server.base_url), point="after Intent"))
    with open_log(scene.state / "runs.db") as log:
        (key,) = log.states()
    with contextlib.closing(apsw.Connection(str(scene.state / "runs.db"))) as connection:
        connection.execute("INSERT INTO starts (key, attempt, job_id) VALUES (?, 1, 'another')", (key,))
    before = set(read_book(server.state))

    ended = lanes[0].run(scene.order(server.base_url))

    assert "is already committed to job another" in ended.jobs[0]["errors"][0]["message"]
    made = [entry.status for job_id, entry in read_book(server.state).items() if job_id not in before]
    assert made == ["canceled"]


def test_a_digest_that_is_remembered_wrongly_stands_in_the_way_of_one_run_alone(
    server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = upload(tmp_path, next(NUMBERS), web.url)
    lanes[0].run(scene.order(server.base_url))
    with contextlib.closing(apsw.Connection(str(scene.state / "runs.db"))) as connection:
        connection.execute("UPDATE digests SET sha256 = ?, hashed_at_ns = ?", ("0" * 64, 1 << 62))
    recipe = json.loads(scene.recipe.read_text())
    recipe["conversion"][0]["options"] = {"width": 18}
    scene.recipe.write_text(json.dumps(recipe))

    refused = lanes[0].run(scene.order(server.base_url))
    again = lanes[0].run(scene.order(server.base_url))

    assert "changed while the run went on; run again" in refused.jobs[0]["errors"][0]["message"]
    assert again.code == 0, again.stderr
    assert [job["status"] for job in again.jobs] == ["succeeded"]
