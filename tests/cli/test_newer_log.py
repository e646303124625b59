"""What every command says of a run log that a newer runner wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import apsw
import pytest

from runner.runlog import Created, Intent, Owner, RunLog, RunStarted, open_log

Runner = Callable[..., CompletedProcess[str]]
RUN = "20261130T100000-aaaaaa"
RECIPE = '[[input]]\nsource = "https://example.com/a.jpg"\n[[conversion]]\ntarget = "webp"\n'
CHANGES = {
    "its format": "PRAGMA user_version = 99",
    "a field of a state": "UPDATE keys SET state = json_set(state, '$.of_tomorrow', 7)",
    "a kind of line": "INSERT INTO events (at, run_id, kind, key, body) "
    f"VALUES (1.0, '{RUN}', 'of_tomorrow', 'k1:a', '{{}}')",
}
COMMANDS = {
    "plan": ("plan", "a.recipe.toml"),
    "run": ("run", "a.recipe.toml"),
    "status": ("status",),
    "log of a run": ("log", RUN),
    "log of a key": ("log", "--key", "k1:a"),
    "sweep": ("sweep", "--endpoint", "local"),
    "rebuild": ("doctor", "--rebuild-log"),
}
# Plans read states and no lines, the story of a run lines and no states.
SILENT = {("a kind of line", "plan"), ("a kind of line", "run"), ("a field of a state", "log of a run")}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def project(tmp_path: Path, change: str) -> Path:
    """A project whose run log is newer than this runner."""
    (tmp_path / "a.recipe.toml").write_text(RECIPE, encoding="ascii")
    place = tmp_path / ".runner" / "runs.db"
    with open_log(place) as log:
        asyncio.run(_fill(log))
    connection = apsw.Connection(str(place))
    connection.execute(CHANGES[change])
    connection.close()
    return tmp_path


async def _fill(log: RunLog) -> None:
    started = RunStarted(run_id=RUN, endpoint="local", account="local", command="run", recipes=("a",))
    await log.append(started, run_id=RUN)
    fence = (await log.claim(["k1:a"], Owner.this_process()))["k1:a"]
    intent = Intent(key="k1:a", attempt=1, addresses=("a",), payload={}, cap=None, recipe="a", account="local")
    await log.append(intent, Created(key="k1:a", attempt=1, job_id="job"), run_id=RUN, fence=fence)


def test_commands_say_to_update(runner: Runner, project: Path, change: str) -> None:
    for name, command in COMMANDS.items():
        if (change, name) not in SILENT:
            done = runner(*command, cwd=project)

            assert done.returncode == 5, (name, done.stdout, done.stderr)
            assert "run log was written by a newer runner" in done.stderr, name
            assert "  update this runner with `pip install --upgrade conversion-runner`" in done.stderr, name
            assert "Traceback" not in done.stderr


def test_doctor_says_to_update(runner: Runner, project: Path) -> None:
    done = runner("doctor", "--format", "json", cwd=project)

    found = next(one for one in json.loads(done.stdout) if one["what"] == "run log")
    assert (done.returncode, found["verdict"]) == (6, "wrong")
    assert "newer runner" in found["said"]
    assert "(update this runner with `pip install --upgrade conversion-runner`" in found["said"]
