"""`runner plan`: what a run would do, before and after a real one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest

from runner.resources import schema

Runner = Callable[..., CompletedProcess[str]]
PICTURES = Path(__file__).parents[2] / "recipes" / "pictures"
RECIPE = """\
name = "shop"
[foreach]
files = "in/*.png"
[[input]]
type = "upload"
source = "{item.path}"
[[conversion]]
category = "image"
target = "jpg"
options = { width = 8 }
[save]
path = "out/{item.stem}.jpg"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    shutil.copy(PICTURES / "badge.png", tmp_path / "in" / "a.png")
    shutil.copy(PICTURES / "harbour.png", tmp_path / "in" / "b.png")
    (tmp_path / "shop.recipe.toml").write_text(RECIPE)
    return tmp_path / "shop.recipe.toml"


@pytest.fixture
def finished(shop: Path, runner: Runner) -> Path:
    """A shop whose run is over."""
    done = runner("run", shop)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return shop


def jobs(done: CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    document = json.loads(done.stdout)
    jsonschema.Draft7Validator(schema("plan")).validate(document)
    return {row["address"]: row for row in document["jobs"]}


def test_a_first_plan_would_run_everything_and_starts_nothing(runner: Runner, shop: Path) -> None:
    done = runner("plan", shop, "--format", "json")

    assert (done.returncode, done.stderr) == (0, "")
    assert {address: (row["action"], row["reason"]) for address, row in jobs(done).items()} == {
        "shop[in/a.png]": ("run", "new"),
        "shop[in/b.png]": ("run", "new"),
    }
    assert not (shop.parent / ".runner" / "server").exists()
    assert not (shop.parent / "out").exists()


def test_a_profile_that_nobody_asked_for_keeps_no_recipe_from_its_work(runner: Runner, shop: Path) -> None:
    shop.write_text(f'{RECIPE}[profile.typ]\nconversion = [{{ target = "webp", options = {{ width = "abc" }} }}]\n')

    plain, asked, checked = runner("plan", shop), runner("plan", shop, "--profile", "typ"), runner("check", shop)

    assert (plain.returncode, plain.stderr) == (0, "")
    assert "Plan: 2 to run." in plain.stdout
    assert asked.returncode == 5
    assert "error: width must be a number" in asked.stderr
    assert "error: in profile 'typ': width must be a number" in checked.stderr


def test_the_same_plan_is_the_same_bytes(runner: Runner, shop: Path, tmp_path: Path) -> None:
    one = runner("plan", shop, "--format", "json", PYTHONHASHSEED="1")
    two = runner("plan", "shop.recipe.toml", "--format", "json", cwd=tmp_path, PYTHONHASHSEED="2", TZ="Asia/Tokyo")

    assert one.stdout == two.stdout


def test_a_plan_says_which_jobs_the_budget_has_no_room_for_and_changes_nothing(runner: Runner, shop: Path) -> None:
    shop.write_text(f"limits.job.max_credit = 2\nbudget = {{ day = 3 }}\n{RECIPE}")

    plan, text = runner("plan", shop, "--format", "json"), runner("plan", shop)

    assert {address: (row["action"], row["reason"]) for address, row in jobs(plan).items()} == {
        "shop[in/a.png]": ("run", "new"),
        "shop[in/b.png]": ("run", "new; budget.day has no room for it now"),
    }
    assert "Note: budget.day = 3 of shop lets 1 of 2 jobs through now" in text.stdout
    assert json.loads(plan.stdout)["notes"][0].startswith("budget.day = 3 of shop")


def test_a_plan_counts_what_the_day_has_spent_already(runner: Runner, shop: Path) -> None:
    head = "limits.job.max_credit = 2\nbudget = {{ day = {} }}\n{}"
    shop.write_text(head.format(9, RECIPE))
    assert runner("run", shop).returncode == 0

    shop.write_text(head.format(5, RECIPE.replace("width = 8", "width = 9")))
    plan = jobs(runner("plan", shop, "--format", "json"))

    assert "budget.day" not in plan["shop[in/a.png]"]["reason"]
    assert plan["shop[in/b.png]"]["reason"].endswith("; budget.day has no room for it now")


def test_a_recipe_to_come_after_that_was_not_given_is_told_with_what_to_do(runner: Runner, shop: Path) -> None:
    shop.write_text(f'after = ["print", "shob"]\n{RECIPE}')

    plan, run = runner("plan", shop), runner("run", shop, "-v")

    for done in (plan, run):
        assert done.returncode == 0
        assert "1:10: warning: no recipe that was given is called 'print'\n" in done.stderr
        assert "give its file to this command too" in done.stderr


def test_a_target_that_is_not_made_here_is_said_before_a_run(runner: Runner, shop: Path) -> None:
    shop.write_text(RECIPE.replace('category = "image"\n', "").replace('"jpg"\noptions = { width = 8 }', '"mp4"'))

    checked, plan, elsewhere = (
        runner("check", shop),
        runner("plan", shop),
        runner("check", shop, RUNNER_ENDPOINT="hosted"),
    )

    assert (checked.returncode, plan.returncode) == (0, 5)
    assert "8:10: warning: the local server doesn't make mp4 on this machine" in checked.stderr
    assert "x blocked   shop[in/a.png]" in plan.stdout
    assert "8:10: error: the local server doesn't make mp4 on this machine" in plan.stderr
    assert elsewhere.stderr == ""


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--detailed-exitcode"], 10)])
def test_changes_are_an_exit_code_only_when_asked_for(runner: Runner, shop: Path, flags: list[str], code: int) -> None:
    assert runner("plan", shop, *flags).returncode == code


def test_quiet_is_one_line(runner: Runner, shop: Path) -> None:
    assert runner("plan", shop, "-q").stdout.startswith("Plan: 2 to run.")
    assert len(runner("plan", shop, "-q").stdout.splitlines()) == 1


def test_a_refused_input_is_blocked_in_the_plan_and_the_others_are_planned(runner: Runner, shop: Path) -> None:
    (shop.parent / "in" / "gone.png").symlink_to("nowhere")

    done = runner("plan", shop, "--format", "json")

    assert done.returncode == 5
    assert [row["action"] for row in jobs(done).values()] == ["run", "run", "blocked"]
    assert "shop.recipe.toml:3:9: 'in/gone.png' is a link" in jobs(done)["shop[in/gone.png]"]["reason"]
    assert f"{shop}:3:9: error: " in done.stderr


def test_with_nothing_to_do_it_says_so_and_imports_nothing_that_speaks_http(runner: Runner, finished: Path) -> None:
    done = runner("plan", finished, "--detailed-exitcode", python=("-X", "importtime"))

    loaded = {name.partition(".")[0] for name in re.findall(r"\|\s*([\w.]+)$", done.stderr, re.MULTILINE)}
    assert (done.returncode, done.stdout) == (0, "Nothing to do: 2 done.\n")
    assert "runner" in loaded
    assert not {"httpx", "httpcore", "aiohttp", "rich", "pydantic", "pydantic_settings", "starlette"} & loaded


def test_what_changed_is_named_with_both_values(runner: Runner, finished: Path) -> None:
    finished.write_text(RECIPE.replace("width = 8", "width = 9"))

    rows = jobs(runner("plan", finished, "--format", "json"))

    assert rows["shop[in/a.png]"]["action"] == "run"
    assert rows["shop[in/a.png]"]["reason"] == "changed: conversion[0].options.width: 8 -> 9"
    assert rows["shop[in/a.png]"]["changes"] == [{"path": "conversion[0].options.width", "before": 8, "after": 9}]


def test_a_changed_picture_is_named_by_its_content(runner: Runner, finished: Path) -> None:
    shutil.copy(PICTURES / "harbour.png", finished.parent / "in" / "a.png")

    rows = jobs(runner("plan", finished, "--format", "json"))

    assert rows["shop[in/b.png]"]["action"] == "skip"
    # Equal to b.png now, which is bought already: it is only delivered here.
    assert rows["shop[in/a.png]"]["action"] == "redeliver"


def test_a_picture_is_compared_with_what_its_address_got_last_after_two_have_swapped_names(
    runner: Runner, finished: Path
) -> None:
    one, other = finished.parent / "in" / "a.png", finished.parent / "in" / "b.png"
    picture = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(picture)
    assert runner("run", finished).returncode == 0
    finished.write_text(RECIPE.replace("width = 8", "width = 9"))

    rows = jobs(runner("plan", finished, "--format", "json"))

    assert [row["action"] for row in rows.values()] == ["run", "run"]
    assert {row["reason"] for row in rows.values()} == {"changed: conversion[0].options.width: 8 -> 9"}


def test_an_item_that_is_gone_is_an_orphan_and_one_that_is_refused_is_not(runner: Runner, finished: Path) -> None:
    (finished.parent / "in" / "a.png").unlink()
    gone = jobs(runner("plan", finished, "--format", "json"))
    (finished.parent / "in" / "a.png").symlink_to("nowhere")
    broken = runner("plan", finished, "--format", "json")

    assert {address: row["action"] for address, row in gone.items()} == {
        "shop[in/b.png]": "skip",
        "shop[in/a.png]": "orphan",
    }
    assert [(row["address"], row["action"]) for row in json.loads(broken.stdout)["jobs"]] == [
        ("shop[in/b.png]", "skip"),
        ("shop[in/a.png]", "blocked"),
    ]


def test_a_result_that_is_gone_is_delivered_again_without_credits(runner: Runner, finished: Path) -> None:
    (finished.parent / "out" / "a.jpg").unlink()

    row = jobs(runner("plan", finished, "--format", "json"))["shop[in/a.png]"]

    assert (row["action"], row["credits"]) == ("redeliver", {"cap": 0, "estimate": 0})
    assert row["reason"].endswith("out/a.jpg is missing since it was delivered")


PAIR = """\
{after}
foreach.files = "{folder}/*.png"
[[input]]
type = "upload"
source = "{{item.path}}"
[[conversion]]
target = "jpg"
[save]
path = "{save}/{{item.stem}}.jpg"
on_conflict = "overwrite"
"""


def pair(shop: Path, name: str, folder: str, *, after: str = "", save: str = "out") -> Path:
    """A recipe that saves to where another one may, with one picture of its own."""
    (shop.parent / folder).mkdir(exist_ok=True)
    recipe = shop.parent / f"{name}.recipe.toml"
    recipe.write_text(PAIR.format(after=f'after = ["{after}"]' if after else "", folder=folder, save=save))
    return recipe


def actions(done: CompletedProcess[str]) -> dict[str, str]:
    return {address: job["action"] for address, job in jobs(done).items()}


def outcomes(done: CompletedProcess[str]) -> dict[str, str]:
    return {job["address"]: job["status"] for job in json.loads(done.stdout)["jobs"]}


def test_a_run_blocks_what_the_plan_blocks_also_where_one_recipe_comes_after_the_other(
    runner: Runner, shop: Path
) -> None:
    shop.unlink()
    first, second = pair(shop, "first", "in"), pair(shop, "second", "in2", after="first")
    shutil.copy(PICTURES / "harbour.png", shop.parent / "in2" / "a.png")

    plan = runner("plan", first, second, "--format", "json")
    run = runner("run", first, second, "--format", "json")

    assert actions(plan) == {"first[in/a.png]": "blocked", "first[in/b.png]": "run", "second[in2/a.png]": "blocked"}
    assert outcomes(run) == {
        "first[in/a.png]": "blocked",
        "first[in/b.png]": "succeeded",
        "second[in2/a.png]": "blocked",
    }
    assert run.returncode == 5
    assert run.stderr.count("would all be saved as") == 1
    assert [path.name for path in (shop.parent / "out").iterdir()] == ["b.jpg"]


def test_inputs_that_come_to_be_during_a_run_take_no_place_that_another_recipe_wants(
    runner: Runner, shop: Path
) -> None:
    shop.unlink()
    first, second = pair(shop, "first", "in", save="made"), pair(shop, "second", "made", after="first", save="made")
    second.write_text(second.read_text().replace("*.png", "*.jpg"))

    run = runner("run", first, second, "--format", "json")
    made = {path.name: path.read_bytes() for path in (shop.parent / "made").iterdir()}
    again = runner("run", first, second, "--format", "json")

    assert {status for address, status in outcomes(run).items() if address.startswith("second")} == {"blocked"}
    assert (run.returncode, again.returncode) == (5, 5)
    assert {path.name: path.read_bytes() for path in (shop.parent / "made").iterdir()} == made


def test_the_result_of_a_recipe_that_is_run_on_its_own_stays_as_long_as_that_is_there(
    runner: Runner, shop: Path
) -> None:
    shop.unlink()
    first, second = pair(shop, "first", "in"), pair(shop, "second", "in2")
    (shop.parent / "in" / "b.png").rename(shop.parent / "in2" / "a.png")
    result = shop.parent / "out" / "a.jpg"

    assert runner("run", first).returncode == 0
    made = result.read_bytes()
    plan = runner("plan", second, "--format", "json")
    run = runner("run", second, "--format", "json")
    kept = result.read_bytes()
    again = runner("run", first, "--format", "json")

    assert "holds the result of first[in/a.png]; nothing was bought" in jobs(plan)["second[in2/a.png]"]["reason"]
    hint = "put {recipe.name} into save.path, or give the recipes folders of their own"
    assert jobs(plan)["second[in2/a.png]"]["reason"].endswith(hint)  # with `rename` both at once would be refused
    assert (run.returncode, outcomes(run)) == (6, {"second[in2/a.png]": "blocked"})
    assert (kept, set(outcomes(again).values())) == (made, {"skipped"})

    first.unlink()
    removed = runner("run", second, "--format", "json")

    assert outcomes(removed) == {"second[in2/a.png]": "succeeded"}
    assert result.read_bytes() != made


def test_work_that_was_refused_for_a_limit_of_its_recipe_is_tried_at_once_with_another(
    runner: Runner, shop: Path
) -> None:
    shop.write_text(RECIPE.replace("in/*.png", "in/a.png") + "[limits]\ninput.max_file_size = 10\n")
    refused, parked = runner("run", shop), runner("plan", shop)
    shop.write_text(RECIPE.replace("in/*.png", "in/a.png") + "[limits]\ninput.max_file_size = 1000000\n")

    mended = runner("run", shop)

    assert (refused.returncode, mended.returncode) == (4, 0), mended.stderr
    for said in (refused.stderr, parked.stdout):
        assert "larger than the 10 bytes allowed (limits.input.max_file_size)" in said
        assert "or at once with --retry-failed or other limits" in said
    assert (shop.parent / "out" / "a.jpg").exists()


def test_a_row_that_brings_null_where_text_must_stand_is_refused_alone_with_its_line(
    runner: Runner, shop: Path
) -> None:
    shop.write_text(RECIPE.replace('files = "in/*.png"', 'rows = "r.jsonl"').replace("{item.path}", "{item.file}"))
    shop.write_text(shop.read_text().replace("{item.stem}", "{item.id}"))
    (shop.parent / "None").write_bytes((shop.parent / "in" / "a.png").read_bytes())
    (shop.parent / "r.jsonl").write_text('{"file": null, "id": 1}\n{"file": "in/a.png", "id": true}\n')

    done = runner("run", shop)

    assert done.returncode == 5
    assert "r.jsonl:1: 'file' is null, and source must be text" in done.stderr
    assert [file.name for file in (shop.parent / "out").iterdir()] == ["true.jpg"]
