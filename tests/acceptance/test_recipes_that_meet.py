"""Recipes that meet what recipes made: their own results, each other's, and the sources that all of it comes from."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.acceptance.command_line import Desk, png

ONE = """\
{head}
[[input]]
type = "upload"
source = "{source}"
[[conversion]]
target = "{target}"
options = {{ width = {width} }}
"""


def write(
    desk: Desk,
    name: str,
    *,
    head: str,
    source: str = "{item.path}",
    target: str = "webp",
    width: int = 12,
    save: str = "",
) -> None:
    text = ONE.format(head=head, source=source, target=target, width=width)
    desk.write(f"{name}.recipe.toml", text + (f"[save]\n{save}\n" if save else ""))


def planned(desk: Desk) -> tuple[int, dict[str, Any]]:
    done = desk.runner("plan", ".", "--format", "json")
    return done.code, done.json


def actions(plan: dict[str, Any]) -> dict[str, str]:
    return {job["address"]: job["action"] for job in plan["jobs"]}


def run(desk: Desk) -> int:
    return desk.runner("run", ".").code


@pytest.fixture
def pictures(desk: Desk) -> Desk:
    desk.write("in/a.png", png(color="red"))
    desk.write("in/b.png", png(color="blue"))
    return desk


def test_recipes_whose_sources_lie_above_them_save_below_their_own_names_and_buy_nothing_for_it(pictures: Desk) -> None:
    head = 'foreach.files = "../in/*.png"'
    write(pictures, "jobs/v", head=head, save='path = "out/{recipe.name}/../in/{output.filename}"')  # as it once was
    assert run(pictures) == 0
    write(pictures, "jobs/v", head=head)
    write(pictures, "jobs/v2", head=head, width=6)

    plan = planned(pictures)
    assert run(pictures) == 0

    assert actions(plan[1])["v[../in/a.png]"] == "redeliver"
    assert {f"{name}/in/{one}.webp" for name in ("v", "v2") for one in "ab"} < pictures.delivered("jobs/out")
    for name, width in (("v", 12), ("v2", 6)):
        with Image.open(pictures.folder / "jobs" / "out" / name / "in" / "a.webp") as image:
            assert image.width == width
    assert sum(entry.starts for entry in pictures.book()) == 4


def test_a_recipe_that_finds_its_own_results_converts_none_of_them(pictures: Desk) -> None:
    write(pictures, "again", head='foreach.files = "**/*.png"', target="png")

    first = run(pictures)
    code, plan = planned(pictures)
    again = pictures.runner("run", ".")

    assert (first, code, again.code) == (0, 5, 5)
    assert actions(plan) == {
        "again[in/a.png]": "skip",
        "again[in/b.png]": "skip",
        "again[out/again/in/a.png]": "blocked",
        "again[out/again/in/b.png]": "blocked",
    }
    assert "is a result of this recipe, as 1 more are" in again.err
    assert "foreach.exclude" in again.err
    assert [entry.starts for entry in pictures.book()] == [1, 1]


def test_a_result_among_the_sources_that_are_merged_is_told_of_too(pictures: Desk) -> None:
    write(pictures, "all", head="", source="in/*", target="png", save='path = "in/all-{output.index}.png"')

    first = run(pictures)
    again = pictures.runner("run", ".")

    assert (first, again.code) == (0, 5)
    assert "is a result of this recipe" in again.err
    assert [entry.starts for entry in pictures.book()] == [1]


def test_what_is_not_there_yet_is_no_problem_where_another_recipe_makes_it_first(pictures: Desk) -> None:
    write(pictures, "first", head='foreach.files = "in/*.png"')
    write(pictures, "second", head='after = "first"\nforeach.files = "out/first/**/*.webp"', target="png")
    write(pictures, "third", head='after = "second"', source="out/second/**/*.png", target="webp")

    code, plan = planned(pictures)
    ran = run(pictures)
    done_code, done = planned(pictures)
    write(pictures, "first", head='foreach.files = "in/*.png"', width=9)
    changed_code, changed = planned(pictures)

    assert (code, ran, done_code, changed_code) == (0, 0, 0, 0)
    assert actions(plan) == {
        "first[in/a.png]": "run",
        "first[in/b.png]": "run",
        "second": "blocked",
        "third": "blocked",
    }
    assert [job["reason"] for job in plan["jobs"][2:]] == ["waits for first", "waits for second"]
    assert (set(actions(done).values()), done["notes"]) == ({"skip"}, [])
    assert [note.partition(":")[0] for note in changed["notes"]] == [
        "second comes after first",
        "third comes after second",
    ]


def test_without_another_recipe_to_make_it_what_is_not_there_stays_a_problem(pictures: Desk) -> None:
    write(pictures, "first", head='foreach.files = "in/*.png"')
    write(pictures, "second", head='after = "first"\nforeach.files = "elsewhere/*.webp"', target="png")
    run(pictures)

    code, plan = planned(pictures)

    assert (code, actions(plan)["second"]) == (5, "blocked")


def test_a_plan_blocks_what_comes_after_a_recipe_that_is_blocked(pictures: Desk) -> None:
    pictures.write("in/z.png", "no picture")
    write(pictures, "first", head='foreach.files = "in/*.png"')
    assert run(pictures) == 6
    write(pictures, "second", head='after = "first"', source="in/a.png", width=7)

    code, plan = planned(pictures)
    ran = pictures.runner("run", ".", "--format", "json")

    assert (code, ran.code) == (0, 6)
    assert actions(plan)["second"] == "blocked"
    assert plan["jobs"][-1]["reason"] == "it comes after first, which won't be done"
    assert {job["address"]: job["status"] for job in ran.json["jobs"]}["second"] == "blocked"


@pytest.mark.parametrize("save", ["in/{item.name}", "first.recipe.toml", ".runner/runs.db", ".runner/deep/{item.name}"])
def test_no_result_takes_the_place_of_a_source_a_recipe_or_the_run_log(pictures: Desk, save: str) -> None:
    write(pictures, "zero", head='foreach.files = "in/*.png"')
    assert run(pictures) == 0
    head = 'foreach.files = "in/a.png"'
    write(pictures, "first", head=head, target="png", width=5, save=f'path = "{save}"\non_conflict = "overwrite"')
    before = (pictures.folder / "in" / "a.png").read_bytes()

    code, plan = planned(pictures)
    ran = pictures.runner("run", ".")

    assert (code, ran.code) == (5, 5)
    assert actions(plan)["first[in/a.png]"] == "blocked"
    assert "its result would" in ran.err
    assert (pictures.folder / "in" / "a.png").read_bytes() == before
    assert pictures.runner("status", "--offline").code == 0


def test_a_chain_may_overwrite_its_own_results_though_others_take_them_for_sources(pictures: Desk) -> None:
    save = 'path = "out/first/{item.stem}.png"\non_conflict = "overwrite"'
    write(pictures, "first", head='foreach.files = "in/*.png"', target="png", save=save)
    write(pictures, "second", head='after = "first"\nforeach.files = "out/first/*.png"')
    assert run(pictures) == 0
    write(pictures, "first", head='foreach.files = "in/*.png"', target="png", width=9, save=save)

    code, plan = planned(pictures)
    ran = run(pictures)

    assert (code, ran) == (0, 0)
    assert {actions(plan)[f"first[in/{name}.png]"] for name in "ab"} == {"run"}


def test_own_results_are_told_of_although_another_recipe_may_take_them(pictures: Desk) -> None:
    save = 'path = "out/{item.stem}-s.png"\non_conflict = "overwrite"'
    write(pictures, "first", head='foreach.files = ["in/*.png", "out/*.png"]', target="png", save=save)
    write(pictures, "second", head='after = "first"\nforeach.files = "out/*.png"')
    assert run(pictures) == 0

    code, plan = planned(pictures)

    assert code == 5
    assert actions(plan)["first[in/a.png]"] == "skip"
    assert actions(plan)["first[out/a-s.png]"] == "blocked"
    assert "is a result of this recipe" in next(
        job["reason"] for job in plan["jobs"] if job["address"] == "first[out/a-s.png]"
    )
    assert actions(plan)["second[out/a-s.png]"] in ("skip", "run")


def test_a_column_that_save_path_misspells_stops_that_recipe_alone_and_is_told_at_its_place(pictures: Desk) -> None:
    pictures.write("o.csv", "id,file\n1,in/a.png\n2,in/b.png\n")
    write(pictures, "bad", head='foreach.rows = "o.csv"', source="{item.file}", save='path = "out/{item.idd}.webp"')
    write(pictures, "good", head="", source="in/b.png")

    done = pictures.runner("run", ".")

    assert done.code == 5
    assert "bad.recipe.toml:9:8: error: {item.idd} does not exist" in done.err
    assert "1 problem in 2 recipes" in done.err
    assert pictures.delivered("out/good") == {"b.webp"}


def test_what_rows_say_of_options_is_checked_before_anything_is_sent(pictures: Desk) -> None:
    sizes = ("abc", "", "-5", "99999999", "12")
    pictures.write("o.csv", "file,size\n" + "".join(f"in/a.png,{size}\n" for size in sizes))
    head, save = 'foreach.rows = "o.csv"', 'path = "out/{item.size}.webp"'
    write(pictures, "rows", head=head, source="{item.file}", save=save)
    recipe = pictures.folder / "rows.recipe.toml"
    recipe.write_text(recipe.read_text().replace("width = 12", 'width = "{item.size}"'))

    code, plan = planned(pictures)
    ran = pictures.runner("run", ".")

    assert (code, ran.code) == (5, 5)
    assert actions(plan) == {f"rows[{row}]": "run" if row == 5 else "blocked" for row in range(1, 6)}
    assert "rows.recipe.toml:7:21: error: rows[1]: " in ran.err
    assert pictures.delivered() == {"12.webp"}
    assert [entry.starts for entry in pictures.book()] == [1]
