"""The frame of the command line: help, versions, what is imported, endpoints and settings."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from runner import __version__
from runner.cli.app import COMMANDS
from runner.cli.endpoint import choose_endpoint
from runner.errors import AuthenticationError
from runner.runlog import Created, Intent, Owner, RunStarted, open_log
from runner.server.converters.fonts import FOLDERS, installed_families
from runner.settings import load_settings

Runner = Callable[..., CompletedProcess[str]]
RECIPE = '[[input]]\nsource = "https://example.com/a.jpg"\n[[conversion]]\ntarget = "webp"\n'
HEAVY = {"httpx", "aiohttp", "rich", "pydantic", "jsonschema", "apsw", "boto3", "starlette", "PIL"}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "a.recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process's own environment without anything that settings read."""
    for name in list(os.environ):
        if name.startswith(("RUNNER_", "API2CONVERT_")):
            monkeypatch.delenv(name)
    return monkeypatch


def imported(done: CompletedProcess[str]) -> set[str]:
    """The modules that a process with -X importtime says it imported."""
    return set(re.findall(r"^import time:.*\|\s*([\w.]+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_names_its_exit_codes_and_shows_an_example(runner: Runner, command: str) -> None:
    done = runner(command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\b[Ee]xits? (with )?\d", " ".join(done.stdout.split())), done.stdout
    assert re.search(rf"Examples?:\s.*runner {command}", done.stdout, re.DOTALL), done.stdout


def test_the_help_lists_every_command_with_a_summary(runner: Runner) -> None:
    done = runner("--help")

    assert done.returncode == 0
    for command, (_, summary) in COMMANDS.items():
        assert f"{command} " in done.stdout
        assert summary.split()[0] in done.stdout


@pytest.mark.parametrize(("wrong", "meant"), [("chekc", "check"), ("plna", "plan"), ("complie", "compile")])
def test_a_near_miss_of_a_command_is_answered_with_what_was_meant(runner: Runner, wrong: str, meant: str) -> None:
    done = runner(wrong)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"Did you mean '{meant}'?" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["plan"],
        ["plan", "--no-such"],
        ["compile", "x", "--set", "y"],
        ["serve", "--retention", "nan"],
        ["serve", "--retention", "inf"],
        ["run", "x", "--lock-wait", "nan"],
        ["run", "x", "--deadline", "0s"],
    ],
)
def test_wrong_usage_is_exit_code_2_without_a_traceback(runner: Runner, args: list[str]) -> None:
    done = runner(*args)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_the_version_is_said_without_importing_anything_else_of_ours(runner: Runner) -> None:
    done = runner("--version", python=("-X", "importtime"))

    assert done.stdout == f"runner {__version__}\n"
    assert {name for name in imported(done) if name.startswith("runner")} <= {"runner", "runner.__main__"}
    assert not {"click", "importlib.metadata"} & imported(done)


def test_the_frame_imports_nothing_heavy(runner: Runner) -> None:
    done = runner("--help", python=("-X", "importtime"))

    loaded = imported(done)
    assert "runner.cli.app" in loaded
    assert not HEAVY & loaded


ENDPOINTS = [
    # runner.toml, environment, --endpoint -> name in keys, base URL
    pytest.param("", {}, None, ("local", ""), id="nothing"),
    pytest.param("", {"API_KEY": "k", "BASE_URL": "http://x"}, None, ("local", ""), id="not-ours"),
    pytest.param("jobs = 2", {"API_KEY": "k"}, None, ("local", ""), id="not-ours-with-settings"),
    pytest.param("", {"API2CONVERT_API_KEY": "k"}, None, ("hosted", "https://api.api2convert.com/v2"), id="key"),
    pytest.param("", {"RUNNER_API_KEY": "k"}, None, ("hosted", "https://api.api2convert.com/v2"), id="our-key"),
    pytest.param("", {"API2CONVERT_API_KEY": "k"}, "local", ("local", ""), id="key-but-local"),
    pytest.param("", {"API2CONVERT_API_KEY": ""}, None, ("local", ""), id="empty-key"),
    pytest.param(
        "",
        {"API2CONVERT_API_KEY": "k", "API2CONVERT_BASE_URL": "http://127.0.0.1:9/v2/"},
        None,
        ("loopback", "http://127.0.0.1:9/v2"),
        id="base-url",
    ),
    pytest.param('endpoint = "local"', {"API2CONVERT_API_KEY": "k"}, None, ("local", ""), id="file-says-local"),
    pytest.param('endpoint = "local"', {"RUNNER_ENDPOINT": "hosted", "RUNNER_API_KEY": "k"}, None,
                 ("hosted", "https://api.api2convert.com/v2"), id="environment-over-file"),
    pytest.param("", {"RUNNER_ENDPOINT": "local", "RUNNER_API_KEY": "k"}, "https://c.example.com/v2",
                 ("c.example.com", "https://c.example.com/v2"), id="flag-over-environment"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "env", "flag", "chosen"), ENDPOINTS)
def test_the_endpoint_is_chosen_by_flag_environment_file_and_default(
    clean: pytest.MonkeyPatch,
    recipe: Path,
    toml: str,
    env: Mapping[str, str],
    flag: str | None,
    chosen: tuple[str, str],
) -> None:
    (recipe.parent / "runner.toml").write_text(toml)
    for name, value in env.items():
        clean.setenv(name, value)

    got = choose_endpoint([recipe], endpoint=flag, state=None)

    assert (got.name, got.base_url) == chosen
    assert got.state == recipe.parent / ".runner"
    assert "k" not in repr(got).partition("api_key")[2].split(",")[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v2", "https://me:canary@c.example.com/v2", "hosted"])
def test_an_endpoint_without_a_key_is_an_error_that_repeats_no_url(
    clean: pytest.MonkeyPatch, recipe: Path, url: str
) -> None:
    with pytest.raises(AuthenticationError, match="no API key") as raised:
        choose_endpoint([recipe], endpoint=url, state=None)

    assert "canary" not in str(raised.value) + raised.value.hint


@pytest.mark.parametrize("key", ["canary\nX-Evil: 1", "canaryé"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    clean: pytest.MonkeyPatch, recipe: Path, key: str
) -> None:
    clean.setenv("API2CONVERT_API_KEY", key)

    with pytest.raises(AuthenticationError, match="character that no key has") as raised:
        choose_endpoint([recipe], endpoint=None, state=None)

    assert "canary" not in str(raised.value) + raised.value.hint


def test_blanks_around_a_key_are_not_part_of_it(clean: pytest.MonkeyPatch, recipe: Path) -> None:
    clean.setenv("API2CONVERT_API_KEY", " k\n")

    assert choose_endpoint([recipe], endpoint=None, state=None).api_key == "k"


def test_the_state_folder_never_depends_on_whether_there_is_a_settings_file(
    clean: pytest.MonkeyPatch, recipe: Path, tmp_path: Path
) -> None:
    clean.chdir("/")
    clean.setenv("RUNNER_STATE", "tmp/elsewhere")
    without = choose_endpoint([recipe], endpoint=None, state=None).state
    (tmp_path / "runner.toml").write_text('state = "kept"')

    assert choose_endpoint([recipe], endpoint=None, state=None).state == without == Path("/tmp/elsewhere")
    clean.delenv("RUNNER_STATE")
    assert choose_endpoint([recipe], endpoint=None, state=None).state == tmp_path / "kept"


@pytest.mark.parametrize(
    ("toml", "env", "flags", "jobs"),
    [
        ("", {}, {}, 8),
        ("jobs = 2", {}, {}, 2),
        ("jobs = 2", {"RUNNER_JOBS": "3"}, {}, 3),
        ("jobs = 2", {"RUNNER_JOBS": "3"}, {"jobs": 4}, 4),
        ("jobs = 2", {"RUNNER_JOBS": "3"}, {"jobs": None}, 3),
    ],
)
def test_flags_go_before_environment_before_file_before_defaults(
    clean: pytest.MonkeyPatch, tmp_path: Path, toml: str, env: dict[str, str], flags: dict[str, Any], jobs: int
) -> None:
    file = tmp_path / "runner.toml"
    file.write_text(toml)
    for name, value in env.items():
        clean.setenv(name, value)

    assert load_settings(file, **flags).jobs == jobs


@pytest.mark.parametrize(
    ("toml", "word"),
    [
        ("jobs = 'canary'", "runner.toml:1:8: error: jobs must be a whole number"),
        ("josb = 'canary'", "runner.toml:1:1: error: unknown setting 'josb'; did you mean 'jobs'?"),
        ("jobs = 0", "runner.toml:1:8: error: jobs must be at least 1"),
        ("[local]\nworkers = 'canary'", "runner.toml:2:11: error: workers must be a whole number"),
        ("[local]\nworker = 'canary'", "runner.toml:2:1: error: unknown setting 'worker'; did you mean 'workers'?"),
        (
            "endpoint = 1\nxyz = 'canary'",
            "there are 'base_url', 'endpoint', 'jobs', 'local', 'run_log', 'run_log_schema', 'st",
        ),
        ("endpoint = 1\njobs = 'canary'", "runner.toml:1:12: error: endpoint must be text"),
        ("api_key = 'canary'", "runner.toml: api_key is a secret"),
        ("api_key = 'canary", "runner.toml:1:"),
        ("jobs = 2\njobs = 'canary'", "runner.toml:2:1: error: duplicate key"),
    ],
)
def test_a_wrong_settings_file_is_told_at_its_place_and_never_by_a_value(
    runner: Runner, recipe: Path, toml: str, word: str
) -> None:
    (recipe.parent / "runner.toml").write_text(toml)

    done = runner("plan", recipe)

    assert done.returncode == 5
    assert word in done.stderr
    assert "canary" not in done.stderr


def test_a_wrong_variable_is_named_and_not_blamed_on_the_file(runner: Runner, recipe: Path) -> None:
    (recipe.parent / "runner.toml").write_text("jobs = 2\n")

    done = runner("plan", recipe, RUNNER_JOBS="canary", RUNNER_LOCAL__WORKERS="0")

    assert (done.returncode, done.stdout) == (5, "")
    assert "RUNNER_JOBS must be a whole number" in done.stderr
    assert "RUNNER_LOCAL__WORKERS must be at least 1" in done.stderr
    assert "runner.toml" not in done.stderr
    assert "canary" not in done.stderr


def test_a_run_log_that_is_no_address_and_no_database_is_refused_without_being_shown(
    runner: Runner, recipe: Path
) -> None:
    wrong = runner("run", recipe, cwd=recipe.parent, RUNNER_RUN_LOG="postgresql:/canary@host")
    right = runner("plan", recipe, RUNNER_RUN_LOG="other.db")

    assert (wrong.returncode, right.returncode) == (5, 0)
    assert "run_log (RUNNER_RUN_LOG) is neither a postgresql:// URL nor a database" in wrong.stderr
    assert "canary" not in wrong.stderr
    assert {path.name for path in recipe.parent.iterdir()} <= {recipe.name, "in", "a.png"}


@pytest.mark.parametrize("name", ["", "1shop", "shop-canary", "pg_canary", "a.canary", '"canary"', "canarü", "s" * 64])
def test_a_schema_of_the_run_log_is_a_name_as_postgresql_has_them(runner: Runner, recipe: Path, name: str) -> None:
    by_variable = runner("plan", recipe, RUNNER_RUN_LOG="other.db", RUNNER_RUN_LOG_SCHEMA=name)
    (recipe.parent / "runner.toml").write_text(f"run_log_schema = '{name}'\n")
    in_file = runner("plan", recipe, RUNNER_RUN_LOG="other.db")

    assert (by_variable.returncode, in_file.returncode) == (5, 5)
    assert "RUNNER_RUN_LOG_SCHEMA must be a name of at most 63 letters" in by_variable.stderr
    assert "runner.toml:1:18: error: run_log_schema must be a name of at most 63 letters" in in_file.stderr
    assert "canar" not in by_variable.stderr + in_file.stderr


def test_a_schema_without_a_database_is_an_environment_that_was_lost(runner: Runner, recipe: Path) -> None:
    (recipe.parent / "runner.toml").write_text("run_log_schema = 'shop'\n")

    run, plan = runner("run", recipe), runner("plan", recipe)
    doctor = runner("doctor", recipe)
    check, compiled = runner("check", recipe), runner("compile", recipe)
    meant = runner("plan", recipe, RUNNER_RUN_LOG=".runner/runs.db")

    for done in (run, plan):
        assert done.returncode == 5
        assert "run_log_schema is 'shop', but no run_log (RUNNER_RUN_LOG) says in which database" in done.stderr
    assert doctor.returncode == 6
    assert "!!  run log                       run_log_schema is 'shop', but no run_log" in doctor.stdout
    assert (check.returncode, compiled.returncode, meant.returncode) == (0, 0, 0)
    assert not (recipe.parent / ".runner" / "runs.db").exists()


@pytest.mark.parametrize("toml", [b"jobs = 'canary'", b"api_key = '\xffcanary'", b"[[["])
def test_a_wrong_settings_file_is_exit_code_5(runner: Runner, recipe: Path, toml: bytes) -> None:
    (recipe.parent / "runner.toml").write_bytes(toml)

    done = runner("plan", recipe)

    assert (done.returncode, done.stdout) == (5, "")
    assert "runner.toml" in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


def spoken_to(recipe: Path, endpoint: str) -> None:
    """Leave a run log behind that has spoken to `endpoint`."""
    with open_log(recipe.parent / ".runner" / "runs.db") as log:
        started = RunStarted(run_id="r1", endpoint=endpoint, account="a", command="run", recipes=("a",))
        asyncio.run(log.append(started, run_id="r1"))
        fence = asyncio.run(log.claim(["k1:a"], Owner.this_process()))["k1:a"]
        intent = Intent(key="k1:a", attempt=1, addresses=("z",), payload={}, cap=None, recipe="z", account="a")
        made = Created(key="k1:a", attempt=1, job_id="job")
        asyncio.run(log.append(intent, made, run_id="r1", fence=fence))


def test_cron_without_its_environment_does_not_convert_somewhere_else(runner: Runner, recipe: Path) -> None:
    spoken_to(recipe, "hosted")

    lost = runner("plan", recipe)
    ran = runner("run", recipe)
    meant = runner("plan", recipe, "--endpoint", "local")
    found = runner("plan", recipe, API2CONVERT_API_KEY="k")

    assert (lost.returncode, ran.returncode, meant.returncode, found.returncode) == (3, 3, 0, 0)
    assert "runs of this log went to hosted" in lost.stderr
    assert "--endpoint local" in lost.stderr
    assert (lost.stdout, ran.stdout) == ("", "")


def test_a_log_that_only_knows_this_machine_stays_quiet(runner: Runner, recipe: Path) -> None:
    spoken_to(recipe, "local")

    assert runner("plan", recipe).returncode == 0


@pytest.mark.parametrize(
    ("env", "colours"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_follow_the_environment(runner: Runner, recipe: Path, env: dict[str, str], *, colours: bool) -> None:
    assert ("\x1b[" in runner("plan", recipe, **env).stdout) is colours


def test_a_reader_that_had_enough_is_no_error(recipe: Path) -> None:
    command = f"{sys.executable} -m runner schema recipe | head -c 10"
    done = subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_doctor_says_which_fonts_drawings_get(runner: Runner, tmp_path: Path) -> None:
    done = runner("doctor", "--format", "json", cwd=tmp_path, HOME=str(tmp_path))

    (fonts,) = [row for row in json.loads(done.stdout) if row["what"] == "fonts"]
    here = installed_families(FOLDERS[:2])
    assert fonts["verdict"] == ("ok" if here else "missing")
    assert (here.sans_serif if here else "install some") in fonts["said"]


@pytest.mark.parametrize(
    "command", [["status"], ["log"], ["doctor"], ["sweep"], ["check", "a.recipe.toml"], ["run", "a.recipe.toml"]]
)
def test_a_current_folder_that_was_removed_is_called_that(command: list[str], tmp_path: Path) -> None:
    gone = f'mkdir "{tmp_path}/gone" && cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && exec "$@"'

    done = subprocess.run(
        ["sh", "-c", gone, "sh", sys.executable, "-m", "runner", *command],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "API2CONVERT_API_KEY": "k" * 32},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (5, "")
    assert "the current folder is gone" in done.stderr
    assert "Traceback" not in done.stderr
