"""A server names the results: none of its names takes the place of what the work needs, or of what runs obey."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.execute.lab import Forge, Server, judge
from tests.execute.middleman import Middleman
from tests.execute.scenarios import Scene, upload

FAILED, INVALID = 6, 5
SEEDS = count(890_000)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return upload(tmp_path / "work", next(SEEDS), "")


def change(scene: Scene, **fields: Any) -> None:
    scene.recipe.write_text(json.dumps({**json.loads(scene.recipe.read_text()), **fields}))


def called(name: str) -> Any:
    """A server that calls every result so."""

    def changed(_method: str, _path: str, document: Any) -> Any:
        if isinstance(document, list):
            return [changed(_method, _path, row) for row in document]
        if not isinstance(document, dict) or not isinstance(document.get("output"), list):
            return document
        return {**document, "output": [{**one, "filename": name} for one in document["output"]]}

    return changed


def contents(folder: Path) -> dict[str, bytes]:
    left_out = {"result.json", "result.json.stderr"}
    files = (path for path in folder.rglob("*") if path.is_file() and "state" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in left_out}


@pytest.mark.parametrize("policy", ["error", "overwrite", "rename", "skip"])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("work.recipe.json", "a recipe"),
        ("new.recipe.toml", "a recipe"),
        ("runner.toml", "the runner's settings"),
        (".git", "a part of .git"),
        ("state", "what the runner itself remembers"),
    ],
)
def test_no_name_that_a_server_gives_makes_what_runs_obey(
    man: Middleman, server: Server, lanes: list[Forge], scene: Scene, policy: str, name: str, what: str
) -> None:
    change(scene, save={"path": "{output.filename}", "on_conflict": policy})
    man.change = called(name)
    before = contents(scene.folder)

    ended = lanes[0].run(scene.order(man.base_url))

    (error,) = ended.jobs[0]["errors"]
    assert (ended.code, contents(scene.folder)) == (FAILED, before)
    assert error["message"].endswith(f"would be taken for {what}")
    assert "bought and waits on the server" in error["hint"]
    change(scene, save={"path": "out/a.webp"})
    assert (lanes[0].run(scene.order(man.base_url)).code, scene.wrong_files()) == (0, [])
    assert judge(server.state, scene.state, scene.out, crashes=0).starts == 1


@pytest.mark.parametrize("at", ["state", "elsewhere"])
def test_no_link_leads_a_result_among_what_the_runner_remembers(
    man: Middleman, lanes: list[Forge], scene: Scene, at: str
) -> None:
    (scene.folder / "elsewhere").mkdir()
    (scene.folder / "state").symlink_to("elsewhere")
    (scene.folder / "in" / "link").symlink_to(scene.folder / at)
    change(scene, save={"path": "in/{output.stem}/{output.filename}"})
    man.change = called("link")

    ended = lanes[0].run(scene.order(man.base_url))

    assert ended.code == FAILED
    assert ended.jobs[0]["errors"][0]["message"].endswith("would be taken for what the runner itself remembers")
    assert not (scene.folder / "elsewhere" / "link").exists()


@pytest.mark.parametrize("save", ["in/{output.filename}", "link/{output.filename}"])
@pytest.mark.parametrize("name", ["a.png", "b.png", "sizes.json"])
def test_what_the_work_needs_is_not_replaced_whatever_the_server_calls_a_result(
    man: Middleman, lanes: list[Forge], scene: Scene, save: str, name: str
) -> None:
    (scene.folder / "link").symlink_to("in")
    (scene.folder / "in" / "b.png").write_bytes((scene.folder / "in" / "a.png").read_bytes() + b"other")
    (scene.folder / "in" / "sizes.json").write_text("{}")
    change(scene, include=["in/sizes.json"], save={"path": save, "on_conflict": "overwrite"})
    change(scene, foreach={"files": "in/*.png"}, input=[{"type": "upload", "source": "{item.path}"}])
    man.change = called(name)
    before = contents(scene.folder)

    ended = lanes[0].run(scene.order(man.base_url))

    assert (ended.code, contents(scene.folder)) == (FAILED, before)
    assert "which a result doesn't replace" in ended.jobs[0]["errors"][0]["message"]


def test_a_picture_that_is_resized_in_its_place_is_foreseen_and_not_bought(
    server: Server, lanes: list[Forge], scene: Scene
) -> None:
    change(
        scene,
        conversion=[{"category": "operation", "target": "resize-image", "options": {"width": 10, "height": 10}}],
        save={"path": "in/{output.filename}", "on_conflict": "overwrite"},
    )
    before = contents(scene.folder)

    ended = lanes[0].run(scene.order(server.base_url))

    (error,) = ended.jobs[0]["errors"]
    assert (ended.code, contents(scene.folder)) == (INVALID, before)
    assert "a.png, which is a source of work" in error["message"]
    assert judge(server.state, scene.state, crashes=0).starts == 0


@pytest.mark.parametrize(
    ("leads_to", "target", "what"),
    [
        ("in", "png", "a.png, which is a source of work"),
        (".git", "webp", "taken for a part of .git"),
        ("state", "webp", "taken for what the runner itself remembers"),
    ],
)
def test_what_a_link_leads_a_result_to_is_foreseen_and_nothing_is_bought(
    server: Server, lanes: list[Forge], scene: Scene, leads_to: str, target: str, what: str
) -> None:
    (scene.folder / ".git").mkdir()
    (scene.folder / "link").symlink_to(leads_to)
    conversion = [{"category": "image", "target": target, "options": {"width": 10}}]
    change(scene, conversion=conversion, save={"path": "link/{output.filename}", "on_conflict": "overwrite"})
    before = contents(scene.folder)

    ended = lanes[0].run(scene.order(server.base_url))

    (error,) = ended.jobs[0]["errors"]
    assert (ended.code, contents(scene.folder)) == (INVALID, before)
    assert what in error["message"]
    assert judge(server.state, scene.state, crashes=0).starts == 0


def test_results_that_a_link_leads_among_the_sources_are_not_converted_again(
    server: Server, lanes: list[Forge], scene: Scene
) -> None:
    (scene.folder / "link").symlink_to("in")
    change(scene, foreach={"files": "in/*.png"}, input=[{"type": "upload", "source": "{item.path}"}])
    conversion = [{"category": "image", "target": "png", "options": {"width": 10}}]
    change(scene, conversion=conversion, save={"path": "link/{item.stem}-small.png"})

    first = lanes[0].run(scene.order(server.base_url))
    again = [lanes[0].run(scene.order(server.base_url)) for _ in range(2)]

    assert (first.code, [ended.code for ended in again]) == (0, [INVALID, INVALID])
    assert "in/a-small.png is a result of this recipe" in again[0].jobs[1]["errors"][0]["message"]
    assert judge(server.state, scene.state, crashes=0).starts == 1
