"""What is saved at a result's place while the result is on its way: nobody's work is lost, whoever put it there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.execute.lab import Ended, Forge, Server, judge, wait_for, wait_until_stopped
from tests.execute.outside import Order
from tests.execute.scenarios import Scene, two_conversions, upload

FAILED = 6
SEEDS = count(910_000)
THEIRS = b"what somebody saved"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return upload(tmp_path / "work", next(SEEDS), "")


def change(recipe: Path, **fields: Any) -> None:
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), **fields}))


def resized(width: int) -> list[dict[str, Any]]:
    return [{"category": "image", "target": "webp", "options": {"width": width}}]


def width_of(path: Path) -> int:
    with Image.open(path) as image:
        return image.width


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def halted(forge: Forge, order: Order, point: str = "before download") -> Iterator[None]:
    """A run that stands still at `point`, and goes on when the block ends."""
    pid = forge.begin(replace(order, point=point, halt=True))
    try:
        wait_for(Path(order.result + ".halted"))
        wait_until_stopped(pid)  # the file is there a moment earlier
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def during(forge: Forge, order: Order, happens: Callable[[], object]) -> Ended:
    """How a run ends during whose download this happens."""
    with halted(forge, order):
        happens()
    return forge.end()


def saved_anew(place: Path, content: bytes) -> None:
    """As many editors do it: another file takes the place."""
    fresh = place.with_name("editor's copy")
    fresh.write_bytes(content)
    fresh.replace(place)


def delivered(forge: Forge, scene: Scene, server: Server, **fields: Any) -> Path:
    """A result of an earlier run."""
    change(scene.recipe, conversion=resized(10), save={"path": "out/a.webp", **fields})
    assert forge.run(scene.order(server.base_url)).code == 0
    return scene.out / "a.webp"


@pytest.mark.parametrize(
    ("policy", "code", "edit_is", "result_is"),
    [
        ("error", FAILED, "a.webp", ""),
        ("skip", 0, "a.webp", ""),
        ("rename", 0, "a.webp", "a-1.webp"),
        ("overwrite", 0, "", "a.webp"),
    ],
)
def test_what_is_saved_while_new_work_is_fetched_meets_the_rule_that_the_recipe_chose(
    server: Server, lanes: list[Forge], scene: Scene, policy: str, code: int, edit_is: str, result_is: str
) -> None:
    place = delivered(lanes[0], scene, server, on_conflict=policy)
    change(scene.recipe, conversion=resized(12))

    ended = during(lanes[0], scene.order(server.base_url), lambda: place.write_bytes(THEIRS))

    assert ended.code == code, (ended.outcome, ended.stderr)
    assert files(scene.out) == {edit_is, result_is} - {""}
    assert not edit_is or (scene.out / edit_is).read_bytes() == THEIRS
    assert not result_is or width_of(scene.out / result_is) == 12
    assert code == 0 or "a.webp is in the way" in ended.jobs[0]["errors"][0]["message"]


def test_what_kept_a_result_from_its_place_may_go_and_nothing_is_bought_for_it(
    server: Server, lanes: list[Forge], scene: Scene
) -> None:
    place = delivered(lanes[0], scene, server)
    change(scene.recipe, conversion=resized(12))
    during(lanes[0], scene.order(server.base_url), lambda: place.write_bytes(THEIRS))
    place.rename(scene.out / "mine")

    ended = lanes[0].run(scene.order(server.base_url))

    assert (ended.code, width_of(place), (scene.out / "mine").read_bytes()) == (0, 12, THEIRS)
    assert judge(server.state, scene.state, scene.out, crashes=0).starts == 2


def test_a_place_that_is_emptied_meanwhile_is_taken(server: Server, lanes: list[Forge], scene: Scene) -> None:
    place = delivered(lanes[0], scene, server)
    change(scene.recipe, conversion=resized(12))

    ended = during(lanes[0], scene.order(server.base_url), place.unlink)

    assert (ended.code, files(scene.out), width_of(place)) == (0, {"a.webp"}, 12)


@pytest.mark.parametrize("policy", ["error", "overwrite"])
@pytest.mark.parametrize("save", [saved_anew, Path.write_bytes], ids=["another file", "in its place"])
def test_of_an_edited_result_the_last_save_is_kept_beside_and_told(
    server: Server, lanes: list[Forge], scene: Scene, policy: str, save: Callable[[Path, bytes], object]
) -> None:
    place = delivered(lanes[0], scene, server, on_conflict=policy)
    place.write_bytes(b"a first save")

    ended = during(lanes[0], scene.order(server.base_url), lambda: save(place, THEIRS))

    assert ended.code == 0, (ended.outcome, ended.stderr)
    assert (files(scene.out), width_of(place)) == ({"a.webp", "a.webp.changed"}, 10)
    assert (scene.out / "a.webp.changed").read_bytes() == THEIRS
    assert ended.jobs[0]["warnings"][-1]["message"].endswith(f"what lay there is kept as {place}.changed")


def test_what_was_kept_beside_is_told_also_where_another_result_of_the_job_finds_no_place(
    server: Server, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path / "work", next(SEEDS), "")
    assert lanes[0].run(scene.order(server.base_url)).code == 0
    (scene.out / "a.webp").write_bytes(THEIRS)
    (scene.out / "a.jpg").unlink()

    ended = during(lanes[0], scene.order(server.base_url), (scene.out / "a.jpg").mkdir)

    (job,) = ended.jobs
    assert (ended.code, (scene.out / "a.webp.changed").read_bytes()) == (FAILED, THEIRS)
    assert job["errors"][0]["message"].endswith("a.jpg is a folder")
    assert [one["message"].rpartition(" ")[2] for one in job["warnings"]] == [f"{scene.out}/a.webp.changed"]


@pytest.mark.parametrize("point", ["before os.link", "before os.rename"])
@pytest.mark.parametrize("ordinal", [1, 2])
def test_redeliveries_that_come_to_nothing_leave_at_most_one_other_name(
    server: Server, lanes: list[Forge], scene: Scene, point: str, ordinal: int
) -> None:
    place = delivered(lanes[0], scene, server)
    place.write_bytes(THEIRS)
    killed = replace(scene.order(server.base_url), point=point, ordinal=ordinal)

    for _ in range(3):
        lanes[0].run(killed)
        kept = {name for name in files(scene.out) if not name.endswith(".part")}
        assert kept in ({"a.webp"}, {"a.webp", "a.webp.changed"})
        assert THEIRS in [(scene.out / name).read_bytes() for name in kept]
    ended = lanes[0].run(scene.order(server.base_url))

    assert ended.code == 0, (ended.outcome, ended.stderr)
    assert (files(scene.out), width_of(place)) == ({"a.webp", "a.webp.changed"}, 10)
    assert (scene.out / "a.webp.changed").read_bytes() == THEIRS


def test_two_edits_of_a_result_are_kept_under_two_names(server: Server, lanes: list[Forge], scene: Scene) -> None:
    place = delivered(lanes[0], scene, server)
    for content in (b"one", b"two"):
        place.write_bytes(content)
        assert lanes[0].run(scene.order(server.base_url)).code == 0

    kept = {path.read_bytes() for path in scene.out.iterdir() if path.suffix == ".changed"}

    assert kept == {b"one", b"two"}


def test_what_was_made_of_a_result_with_the_longest_of_names_is_kept_under_as_much_of_it_as_fits(
    server: Server, lanes: list[Forge], scene: Scene
) -> None:
    name = "x" * 250 + ".webp"
    change(scene.recipe, conversion=resized(10), save={"path": f"out/{name}"})
    assert lanes[0].run(scene.order(server.base_url)).code == 0
    (scene.out / name).write_bytes(THEIRS)

    ended = lanes[0].run(scene.order(server.base_url))

    assert ended.code == 0, (ended.outcome, ended.stderr)
    (kept,) = files(scene.out) - {name}
    assert (len(kept), kept.endswith(".changed"), (scene.out / kept).read_bytes()) == (255, True, THEIRS)


@pytest.mark.parametrize("policy", ["error", "overwrite"])
def test_a_run_of_the_recipe_as_it_was_puts_nothing_over_what_a_later_run_delivered(
    server: Server, lanes: list[Forge], scene: Scene, policy: str
) -> None:
    place = delivered(lanes[0], scene, server, on_conflict=policy)
    change(scene.recipe, conversion=resized(12))
    second = replace(scene.order(server.base_url), result=str(scene.folder / "second.json"))

    with halted(lanes[0], scene.order(server.base_url)):
        change(scene.recipe, conversion=resized(14))
        later = lanes[1].run(second)
    first = lanes[0].end()

    assert (later.code, first.code) == (0, FAILED), (later.outcome, first.outcome)
    assert (
        "holds the result of work, which another run has put there meanwhile" in first.jobs[0]["errors"][0]["message"]
    )
    assert (files(scene.out), width_of(place)) == ({"a.webp"}, 14)
    again = lanes[0].run(scene.order(server.base_url))
    assert (again.code, [job["status"] for job in again.jobs]) == (0, ["skipped"])


@pytest.mark.parametrize("point", ["before download", "before os.link", "before Delivered", "before RunEnded"])
def test_of_two_recipes_with_one_place_that_are_run_at_once_one_delivers_and_the_other_says_so(
    server: Server, lanes: list[Forge], scene: Scene, point: str
) -> None:
    change(scene.recipe, name="first", conversion=resized(10), save={"path": "out/a.webp", "on_conflict": "overwrite"})
    other = replace(scene.order(server.base_url), result=str(scene.folder / "second.json"))
    other = replace(other, recipes=[str(scene.folder / "other.recipe.json")])
    Path(other.recipes[0]).write_text(scene.recipe.read_text())
    change(Path(other.recipes[0]), name="second", conversion=resized(12))

    with ExitStack() as later:
        with halted(lanes[0], scene.order(server.base_url)):
            later.enter_context(halted(lanes[1], other, point))
        first = lanes[0].end()
    second = lanes[1].end()

    assert sorted([first.code, second.code]) == [0, FAILED], (first.outcome, second.outcome)
    assert width_of(scene.out / "a.webp") == (10 if first.code == 0 else 12)
    lost = first if first.code else second
    assert "which another run has put there meanwhile" in lost.jobs[0]["errors"][0]["message"]
