from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from runner import resources

RECIPES = Path(__file__).parent.parent / "recipes"
GOOD = '[[input]]\nsource = "https://example.com/a.jpg"\n[[conversion]]\ntarget = "webp"\n'


def _check(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", "check", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.recipe.toml").write_text(GOOD)
    return tmp_path


def test_good_recipes_pass_in_silence_without_a_terminal(folder: Path) -> None:
    done = _check(folder)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verbose_says_that_all_is_well(folder: Path) -> None:
    assert _check(folder, "-v").stdout == "1 recipe is fine.\n"


def test_every_problem_comes_at_once_with_its_place_and_exit_code_5(folder: Path) -> None:
    (folder / "bad.recipe.toml").write_text(f"retri = 1\n{GOOD}[[conversion]]\ntarget = 'jpgg'\n")

    done = _check(".", cwd=folder)

    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr == (
        "bad.recipe.toml:1:1: error: unknown key 'retri'; did you mean 'retry'?\n"
        "    1 | retri = 1\n"
        "      | ^^^^^\n"
        "bad.recipe.toml:7:10: error: 'jpgg' is not a target; did you mean 'jpg'?\n"
        "    7 | target = 'jpgg'\n"
        "      |          ^^^^^^\n"
        "2 problems in 2 recipes. Nothing was sent.\n"
    )


def test_json_goes_to_stdout_in_the_published_shape(folder: Path) -> None:
    (folder / "bad.recipe.toml").write_text("retri = 1\n" + GOOD)

    done = _check(folder, "--format", "json")

    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr, document["recipes"]) == (5, "", 2)
    assert [(row["file"], row["line"], row["code"]) for row in document["problems"]] == [
        (str(folder / "bad.recipe.toml"), 1, "unknown-key")
    ]


def test_findings_are_as_their_schema_says(folder: Path) -> None:
    (folder / "bad.recipe.toml").write_text("retri = 1\n" + GOOD)

    jsonschema.Draft7Validator(resources.schema("findings")).validate(
        json.loads(_check(folder, "--format", "json").stdout)
    )


@pytest.mark.parametrize("command", ["plan", "run"])
def test_who_asks_for_json_gets_what_is_wrong_as_json(folder: Path, command: str) -> None:
    (folder / "bad.recipe.toml").write_text("retri = 1\n" + GOOD)
    called = [sys.executable, "-m", "runner", command, "bad.recipe.toml", "--format", "json", "--endpoint", "local"]

    done = subprocess.run(called, capture_output=True, text=True, check=False, cwd=folder)

    document = json.loads(done.stdout)
    assert (done.returncode, document["recipes"]) == (5, 1)
    assert [row["code"] for row in document["problems"]] == ["unknown-key"]
    assert "bad.recipe.toml:1:1: error: " in done.stderr  # for the mail that cron sends
    assert not (folder / ".runner").exists()


def test_json_of_good_recipes_has_all_its_keys(folder: Path) -> None:
    assert json.loads(_check(folder, "--format", "json").stdout) == {"problems": [], "recipes": 1}


def test_warnings_count_only_with_strict(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text("notify_status = true\n" + GOOD)

    plain, strict = _check(folder), _check(folder, "--strict")

    assert (plain.returncode, strict.returncode) == (0, 5)
    assert "1 warning in 1 recipe.\n" in plain.stderr


def test_notes_are_shown_with_verbose_only(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text("process = true\n" + GOOD)

    assert _check(folder).stderr == ""
    assert "note: 'process' is ignored" in _check(folder, "-v").stderr


def test_set_and_profile_reach_the_recipes(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text(
        GOOD + 'options = { quality = "{vars.q}" }\n[vars]\nq = 1\n[profile.bad.vars]\nq = 500\n'
    )

    assert _check(folder, "--set", "q=101").returncode == 5
    assert _check(folder, "--set", "q=100").returncode == 0
    assert "quality is 500" in _check(folder, "--profile", "bad").stderr
    assert (
        "in profile 'bad': quality is 500" in _check(folder).stderr
    )  # a check without a wish is for all that is written


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            "[limits.job]\nmax_credit = 9\n[profile.asked]\nlimits.job.max_credit = 5\nbudget.run = 10\n"
            "[profile.other.limits.job]\nmax_credit = 100\n",
            id="caps",
        ),
        pytest.param(
            '[profile.asked.foreach]\nrows = "a.csv"\n[profile.other.foreach]\nmatrix = { width = [1, 2] }\n',
            id="items",
        ),
    ],
)
def test_another_profile_is_never_laid_over_the_one_that_is_asked_for(folder: Path, told: str) -> None:
    (folder / "good.recipe.toml").write_text(GOOD + told)

    for wish in ((), ("--profile", "asked"), ("--profile", "other")):
        done = _check(folder, *wish)

        assert (done.returncode, done.stderr) == (0, ""), wish


def test_what_is_wrong_under_a_profile_names_it_at_what_it_says(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text(
        GOOD + 'options = { width = "{vars.w}", height = 9 }\n[vars]\nw = 10\n[profile.fine.vars]\nw = 30\n'
        '[profile.typ.vars]\nw = "abc"\n[[profile.flat.conversion]]\ntarget = "webp"\noptions.height = "x"\n'
    )

    done = _check(folder)

    assert done.returncode == 5
    assert "good.recipe.toml:11:5: error: in profile 'typ': width must be a number, not text" in done.stderr
    assert "good.recipe.toml:14:18: error: in profile 'flat': height must be a number, not text" in done.stderr
    assert done.stderr.count("error: ") == 2


def test_what_is_wrong_with_and_without_profiles_is_told_once(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text(
        GOOD + 'options = { quality = 500 }\n[profile.a]\ndeadline = "1h"\n[profile.b]\ndeadline = "2h"\n'
    )

    done = _check(folder)

    assert done.stderr.count("quality is 500") == 1
    assert "in profile" not in done.stderr


def test_what_is_set_is_not_held_against_profiles_that_nobody_asked_for(folder: Path) -> None:
    (folder / "good.recipe.toml").write_text(
        GOOD + 'options = { quality = "{vars.q}" }\n[vars]\nq = 0\n[profile.slow]\ndeadline = "1h"\n'
    )

    assert _check(folder, "--set", "q=50").returncode == 0
    assert _check(folder, "--set", "q=50", "--profile", "slow").returncode == 0
    assert "quality is 0" in _check(folder, "--profile", "slow").stderr


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    gone, empty = _check(tmp_path / "gone.recipe.toml"), _check(tmp_path)

    assert (gone.returncode, empty.returncode) == (5, 5)
    assert "gone.recipe.toml:1:1: error: there is no such file" in gone.stderr
    assert "no recipe in this folder" in empty.stderr


def test_no_path_at_all_is_a_usage_error() -> None:
    assert _check().returncode == 2


def test_everything_in_the_folder_of_bad_recipes_is_told_without_a_traceback_or_a_secret() -> None:
    done = _check(RECIPES / "invalid")

    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_check_of_a_good_recipe_loads_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys; from runner.cli.app import run_cli\n"
        "try: run_cli(['check', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)

    heavy = {"httpx", "pydantic", "rich", "jsonschema", "jsonschema_rs", "tree_sitter", "multiprocessing", "PIL"}
    assert heavy & set(done.stdout.split()) == set()
