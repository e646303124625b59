"""What no result may take the place of, told from what any may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.compile import Job, Links, Needed, destroying, needed_by
from runner.recipe.model import Foreach, Recipe, Save
from runner.recipe.place import Layer

FOLDER = "/srv/shop"
NEEDED = Needed(state=(f"{FOLDER}/.state",))


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("a.recipe.toml", "a recipe"),
        ("deep/A.Recipe.JSON", "a recipe"),
        ("runner.toml", "the runner's settings"),
        ("deep/runner.toml", "the runner's settings"),
        (".git", "a part of .git"),
        (".git/hooks/x", "a part of .git"),
        ("../.git/hooks/x", "a part of .git"),
        (".runner/.runner", "a part of .runner"),
        (".state", "what the runner itself remembers"),
        (".state/runs.db", "what the runner itself remembers"),
        (".stated", ""),
        ("recipe.toml", ""),
        ("my-runner.toml", ""),
        ("runner.toml.webp", ""),
        (".gitignore", ""),
        ("a.git/x", ""),
    ],
)
def test_some_names_are_obeyed_whoever_gives_them(path: str, what: str) -> None:
    whole = f"/srv/{path[3:]}" if path.startswith("../") else f"{FOLDER}/{path}"

    assert NEEDED.never(whole, folder=FOLDER) == what


def test_what_lies_above_the_recipe_is_no_name_of_a_result() -> None:
    assert NEEDED.never("/srv/.git/modules/shop/out/a.webp", folder="/srv/.git/modules/shop") == ""


def job(kitchen: Any, name: str, source: str, *, on_conflict: Any = "overwrite", **more: Any) -> tuple[Recipe, Job]:
    made = kitchen.recipe(
        {"input": [{"type": "upload", "source": source}], "conversion": [{"target": "webp"}]},
        name=name,
        file=Path(FOLDER) / f"{name}.recipe.toml",
        save=Save(path="{output.filename}", on_conflict=on_conflict),
        **more,
    )
    return made, kitchen.job_of(made, files=[[kitchen.content(source)]])


def needed(*made: tuple[Recipe, Job], results: tuple[str, ...] = ()) -> Needed:
    return needed_by([one for _, one in made], [one for one, _ in made], state=Path(FOLDER, ".runner"), results=results)


def test_sources_recipes_and_what_they_are_made_of_are_there_to_stay(kitchen: Any) -> None:
    layers = (Layer(file=Path(FOLDER, "a.recipe.toml")), Layer(file=Path(FOLDER, "common.toml")))
    found = needed(
        job(kitchen, "a", "in/a.png", layers=layers),
        job(kitchen, "b", "in/b.png", foreach=Foreach(kind="rows", rows="./rows.csv")),
    )

    assert found.there(f"{FOLDER}/in/a.png", recipe="a") == "a source of a"
    assert found.there(f"{FOLDER}/in/b.png", recipe="a") == "a source of b[]"
    assert found.there(f"{FOLDER}/b.recipe.toml", recipe="a") == "a recipe"
    assert found.there(f"{FOLDER}/common.toml", recipe="b") == "a file that a.recipe.toml includes"
    assert found.there(f"{FOLDER}/rows.csv", recipe="a") == "the file with the rows of b.recipe.toml"
    assert found.there(f"{FOLDER}/in/c.png", recipe="a") == ""


def test_results_stay_results_for_whom_comes_before_whoever_takes_them(kitchen: Any) -> None:
    first, second = job(kitchen, "first", "in/a.png"), job(kitchen, "second", "out/b.png", after=("first",))
    third = job(kitchen, "third", "out/c.png", after=("second",))
    found = needed(first, second, third)

    assert [found.there(f"{FOLDER}/out/{one}.png", recipe="first") for one in "bc"] == ["", ""]
    assert found.there(f"{FOLDER}/in/a.png", recipe="third") == "a source of first"


def test_what_was_delivered_stays_a_result_whoever_takes_it(kitchen: Any) -> None:
    path = f"{FOLDER}/out/a.png"
    first, second = job(kitchen, "first", "in/a.png"), job(kitchen, "second", "out/a.png")

    assert needed(first, second, results=(path,)).there(path, recipe="first") == ""
    assert needed(first, second).there(path, recipe="first") == "a source of second"


def test_nothing_is_gathered_where_nobody_overwrites(kitchen: Any) -> None:
    found = needed(job(kitchen, "a", "in/a.png", on_conflict="rename"))

    assert (found.sources, found.parts) == ({}, {})


def test_what_is_needed_is_known_by_where_it_really_lies(kitchen: Any) -> None:
    links = Links(folders={f"{FOLDER}/in": "/data/in", f"{FOLDER}/out": "/data/in", FOLDER: FOLDER})
    recipe, made = job(kitchen, "a", "in/a.png")
    found = needed_by([made], [recipe], state=Path(FOLDER, ".runner"), links=links)

    assert found.there(links.real(f"{FOLDER}/out/a.png"), recipe="a") == "a source of a"
    assert found.there(links.real(f"{FOLDER}/out/b.png"), recipe="a") == ""


def test_the_folder_of_the_run_log_is_known_by_every_way_to_it(kitchen: Any) -> None:
    links = Links(folders={f"{FOLDER}/state": "/disk/state", FOLDER: "/data"})
    recipe, made = job(kitchen, "a", "in/a.png")
    found = needed_by([made], [recipe], state=Path(FOLDER, "state"), links=links)

    ways = (f"{FOLDER}/state/x", "/data/state", "/disk/state", "/disk/state/deep/x")
    assert {found.never(path, folder=FOLDER) for path in ways} == {"what the runner itself remembers"}
    assert found.never("/disk/x", folder=FOLDER) == ""


def test_a_result_that_a_link_leads_to_a_source_is_foreseen(kitchen: Any) -> None:
    recipe, made = job(kitchen, "a", "in/a.webp")
    links = Links(folders={f"{FOLDER}/in": FOLDER})
    found = needed_by([made], [recipe], state=Path(FOLDER, ".runner"), links=links)

    (problem,) = destroying([made], found, run_date="2026-11-30", links=links).values()

    assert problem.message == f"a: its result would replace {FOLDER}/a.webp, which is a source of a"
