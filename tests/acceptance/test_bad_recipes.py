"""Recipes as people really write them: each mistake at its place, all of them at once, and nothing sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.command_line import Desk, Done, new_desk, one_file

INPUT = '[[input]]\nsource = "https://example.com/a.png"\n'
JOB = INPUT + '[[conversion]]\ntarget = "webp"\n'

# file name -> what stands in it, the place of the problem, words that the message must hold
MISTAKES: dict[str, tuple[bytes, str, str]] = {
    "empty.recipe.toml": (b"", "1:1", "is empty"),
    "empty.recipe.json": (b"", "1:1", "is empty"),
    "latin1.recipe.toml": (b'name = "x"\nowner = "Caf\xe9"\n' + JOB.encode(), "2:13", "UTF-8"),
    "utf16.recipe.json": ("{}".encode("utf-16"), "1:1", "UTF-16"),
    "nul.recipe.toml": (b'name = "a\0b"\n' + JOB.encode(), "1:10", "invalid basic string"),
    "half-table.recipe.toml": (b'name = "x"\n[save\npath = "out"\n', "2:6", "expected `]`"),
    "half-object.recipe.json": (
        b'{"input": [{"source": "https://example.com/a.png"',
        "1:50",
        "expecting ',' delimiter",
    ),
    "twice.recipe.toml": (b'name = "a"\nname = "b"\n' + JOB.encode(), "2:1", "duplicate key"),
    "twice.recipe.json": (b'{"input": [],\n "input": []}', "2:2", "duplicate key"),
    "unknown.recipe.toml": (b"retri = 1\n" + JOB.encode(), "1:1", "'retri'; did you mean 'retry'"),
    "option.recipe.toml": (JOB.encode() + b"options = { qualty = 3 }\n", "5:13", "did you mean 'quality'"),
    "target.recipe.toml": (INPUT.encode() + b'[[conversion]]\ntarget = "wepb"\n', "4:10", "did you mean 'webp'"),
    "number.recipe.toml": (b"name = 3\n" + JOB.encode(), "1:8", "must be text, not a whole number"),
    "text.recipe.toml": (b'retry = "two"\n' + JOB.encode(), "1:9", "must be a whole number, not text"),
    "table.recipe.json": (b'{"input": 7,\n "conversion": {"target": "webp"}}', "1:11", "input"),
    "deep.recipe.toml": (b"a = " + b"[" * 10_000 + b"]" * 10_000, "1:", "nested too deep"),
    "deep.recipe.json": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "1:", "nested too deep"),
    "up.recipe.toml": (one_file("../../etc/hostname").encode(), "3:10", "out of the project"),
    "save-up.recipe.toml": (
        JOB.encode() + b'[save]\npath = "../../x/{output.filename}"\n',
        "6:8",
        "out of the project",
    ),
    "brace.recipe.toml": (one_file("{item.paht}").encode(), "3:10", "{item.paht}"),
    "loop.recipe.toml": (b'include = "loop.recipe.toml"\n' + JOB.encode(), "1:", "include"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = new_desk(tmp_path_factory.mktemp("mistakes"))
    for name, (content, _, _) in MISTAKES.items():
        desk.write(name, content)
    return desk


@pytest.fixture(scope="module")
def checked(folder: Desk) -> Done:
    return folder.runner("check", ".")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_at_its_place(checked: Done, name: str) -> None:
    _, place, words = MISTAKES[name]

    lines = [line for line in checked.err.splitlines() if line.startswith(f"{name}:{place}")]

    assert lines, checked.err
    assert any(words in line for line in lines), lines


def test_all_mistakes_of_all_recipes_come_at_once_with_exit_code_5(folder: Desk, checked: Done) -> None:
    report = folder.runner("check", ".", "--format", "json")

    assert (checked.code, checked.out) == (5, "")
    assert "Nothing was sent." in checked.err
    assert (report.code, report.err, report.json["recipes"]) == (5, "", len(MISTAKES))
    assert {Path(one["file"]).name for one in report.json["problems"]} == set(MISTAKES)


def test_run_and_plan_and_compile_refuse_them_alike_and_touch_nothing(folder: Desk) -> None:
    for command in ("run", "plan", "compile"):
        assert folder.runner(command, ".").code == 5

    assert not (folder.folder / ".runner/server").exists()
    assert folder.delivered() == set()


def test_one_bad_recipe_is_told_and_the_good_one_beside_it_is_not_blamed(desk: Desk) -> None:
    desk.write("good.recipe.toml", JOB)
    desk.write("bad.recipe.toml", "retri = 1\n" + JOB)

    done = desk.runner("check", ".")

    assert done.code == 5
    assert "good.recipe.toml" not in done.err


def test_a_recipe_of_100_megabytes_is_refused_without_reading_it(desk: Desk) -> None:
    with (desk.folder / "big.recipe.toml").open("wb") as file:
        file.write(JOB.encode())
        file.truncate(100 * 1024 * 1024)

    done = desk.runner("check", "big.recipe.toml")

    assert done.code == 5
    assert done.err.startswith("big.recipe.toml:1:1: error: ")
    assert "MB" in done.err or "MiB" in done.err or "bytes" in done.err


@pytest.mark.parametrize("name", ["-dash.recipe.toml", "a b.recipe.toml", "quo'te\".recipe.toml", "ün☃.recipe.toml"])
def test_recipes_may_be_called_anything(desk: Desk, name: str) -> None:
    desk.write(name, "retri = 1\n" + JOB)

    done = desk.runner("check", "--", name)

    assert done.code == 5
    assert done.err.startswith(f"{name}:1:1: error: ")


def test_a_line_break_in_a_recipes_name_does_not_break_the_message(desk: Desk) -> None:
    desk.write("a\nb.recipe.toml", "retri = 1\n" + JOB)

    assert "a\\nb.recipe.toml:1:1: error: " in desk.runner("check", ".").err


@pytest.mark.parametrize("command", ["check", "plan", "run", "compile"])
def test_what_is_not_there_is_said(desk: Desk, command: str) -> None:
    gone = desk.runner(command, "gone.recipe.toml")

    assert gone.code == 5
    assert "gone.recipe.toml:1:1: error: there is no such file" in gone.err


def test_a_folder_without_recipes_says_so(desk: Desk) -> None:
    assert "no recipe in this folder" in desk.runner("run", ".").err


def test_two_recipes_of_one_name_are_refused_together(desk: Desk) -> None:
    desk.write("a/photos.recipe.toml", JOB)
    desk.write("b/photos.recipe.toml", JOB)

    done = desk.runner("check", ".")

    assert done.code == 5
    assert "photos" in done.err


def test_settings_that_cannot_be_read_are_named_without_their_values(desk: Desk) -> None:
    desk.write("good.recipe.toml", JOB)
    desk.write("runner.toml", 'jobs = "s3cret-canary"\nendpiont = "local"\n')

    done = desk.runner("plan", "good.recipe.toml")

    assert done.code == 5
    assert "jobs" in done.err
    assert "endpiont" in done.err
    assert "s3cret-canary" not in done.err


def test_a_broken_settings_file_is_named(desk: Desk) -> None:
    desk.write("good.recipe.toml", JOB)
    desk.write("runner.toml", "jobs = [\n")

    done = desk.runner("plan", "good.recipe.toml")

    assert done.code == 5
    assert str(desk.folder / "runner.toml") in done.err


def test_usage_is_2_and_a_near_miss_is_suggested(desk: Desk) -> None:
    wrong = desk.runner("chekc", "x")

    assert wrong.code == 2
    assert "'check'" in wrong.err
    assert desk.runner("run").code == 2
    assert desk.runner("run", ".", "--jobs", "many").code == 2


def test_problems_as_json_have_every_key(desk: Desk) -> None:
    desk.write("bad.recipe.toml", "retri = 1\n" + JOB)

    (problem,) = json.loads(desk.runner("check", ".", "--format", "json").out)["problems"]

    assert problem == {
        "file": str(desk.folder / "bad.recipe.toml"),
        "line": 1,
        "column": 1,
        "end_line": 1,
        "end_column": 6,
        "severity": "error",
        "code": "unknown-key",
        "message": "unknown key 'retri'; did you mean 'retry'?",
        "hint": problem["hint"],
    }


@pytest.mark.parametrize("source", ["ftp://example.com/a.jpg", "FTP://example.com/a.jpg"])
def test_an_ftp_link_is_warned_of_by_check_and_refused_by_run_where_the_work_is_done_here(
    desk: Desk, source: str
) -> None:
    desk.write("a.recipe.toml", f'[[input]]\nsource = "{source}"\n[[conversion]]\ntarget = "webp"\n')
    hosted = replace(desk, more={**desk.more, "RUNNER_ENDPOINT": "hosted", "RUNNER_API_KEY": "k"})

    here, there, run = desk.runner("check", "."), hosted.runner("check", "."), desk.runner("run", ".")

    said = "the local server fetches http and https, and no ftp"
    assert here.code == 0
    assert f"a.recipe.toml:2:10: warning: {said}" in here.err
    assert 'type = "cloud", source = "ftp"' in here.err
    assert there.said == (0, "", "")
    assert run.code == 5
    assert f"a.recipe.toml:2:10: error: {said}" in run.err
