"""`runner log`, as a process where its exit code matters and in this one elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runner.cli.log import log as log_command
from runner.runlog import (
    Abandoned,
    Clock,
    Created,
    Delivered,
    Event,
    Failed,
    Finished,
    Intent,
    NotDone,
    Owner,
    RunEnded,
    RunStarted,
    Started,
    Starting,
    open_log,
)
from runner.state import DeliveredFile

Runner = Callable[..., subprocess.CompletedProcess[str]]
FIRST, SECOND, THIRD = "20261123T100000-aaaaaa", "20261123T110000-bbbbbb", "20261123T120000-cccccc"
GOOD, BAD = "k1:" + "a" * 64, "k1:" + "b" * 64
FILE = DeliveredFile(path="/out/a.webp", size_bytes=3, sha256="5" * 64, mtime_ns=1, inode=1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A log of two runs: the first was killed after a start, the second finished that job and failed another."""
    ticks = iter(range(1_795_000_000, 1_795_100_000))
    folder = tmp_path / "state"
    with open_log(folder / "runs.db", clock=Clock(now=lambda: float(next(ticks)))) as log:
        fences = asyncio.run(log.claim([GOOD, BAD], Owner.this_process()))

        def say(run_id: str, *events: Event) -> None:
            for event in events:
                fence = fences.get(getattr(event, "key", ""))
                asyncio.run(log.append(event, run_id=run_id, fence=fence))

        say(FIRST, run_started(FIRST), *begin(GOOD, "r[a\n.tif]"))
        say(
            SECOND,
            run_started(SECOND),
            Started(key=GOOD, attempt=1, job_id="j-a"),
            Finished(key=GOOD, attempt=1, spent=2, outputs=()),
            Delivered(key=GOOD, attempt=1, address="r[a\n.tif]", save="out", files=(FILE,)),
            *begin(BAD, "r[b.tif]"),
            Failed(key=BAD, attempt=1, spent=1, errors=({"code": 5, "message": "broken \x1b[31mfile"},)),
            RunEnded(run_id=SECOND, exit_code=6, summary={"succeeded": 1, "failed": 1}),
        )
    return folder


def run_started(run_id: str) -> RunStarted:
    return RunStarted(run_id=run_id, endpoint="local", account="acct", command="runner run r", recipes=("r",))


def begin(key: str, address: str) -> list[Event]:
    job_id = f"j-{key[-1]}"
    payload = {"callback": {"env": "HOOK_URL"}}
    return [
        Intent(key=key, attempt=1, addresses=(address,), payload=payload, cap=4, recipe="r", account="acct"),
        Created(key=key, attempt=1, job_id=job_id),
        Starting(key=key, attempt=1, job_id=job_id),
    ]


def call(state: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(log_command, ["--state", str(state), *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def read(state: Path, *arguments: str) -> Any:
    return json.loads(call(state, *arguments, "--format", "json").stdout)


def test_runs_are_listed_newest_first_as_a_table(state: Path) -> None:
    head, second, first = call(state).stdout.splitlines()

    assert head.split() == ["RUN", "COMMAND", "STARTED", "(UTC)", "TOOK", "EXIT", "ENDPOINT", "CREDITS", "JOBS"]
    assert second.startswith(f"{SECOND}  runner run r  ")
    assert "  6  " in second
    assert second.endswith("  3        1 started, 1 finished, 1 delivered, 1 failed")
    assert first.startswith(FIRST)


def test_a_sweep_is_listed_as_one_with_what_it_deleted(tmp_path: Path) -> None:
    begun = RunStarted(run_id=FIRST, endpoint="local", account="acct", command="sweep", recipes=())

    async def sweep() -> None:
        fence = (await log.claim([GOOD], Owner.this_process()))[GOOD]
        intent, created, _ = begin(GOOD, "r[a.tif]")
        await log.append(begun, run_id=FIRST)
        await log.append(intent, created, Abandoned(key=GOOD, attempt=1, job_id="j-a"), run_id=FIRST, fence=fence)

    with open_log(tmp_path / "runs.db") as log:
        asyncio.run(sweep())

    _, row = call(tmp_path).stdout.splitlines()

    assert row.startswith(f"{FIRST}  sweep  ")
    assert row.endswith("  1 deleted unstarted")


def test_runs_are_listed_as_json_with_every_key(state: Path) -> None:
    second, first = read(state)["runs"]

    assert second == {
        "run_id": SECOND,
        "started_at": second["started_at"],
        "ended_at": second["ended_at"],
        "endpoint": "local",
        "command": "runner run r",
        "exit_code": 6,
        "spent": 3,
        "counts": second["counts"],
    }
    assert second["started_at"].startswith("2026-11-1")
    assert (first["ended_at"], first["exit_code"]) == (None, None)


def test_a_limit_shortens_the_list(state: Path) -> None:
    assert [run["run_id"] for run in read(state, "--limit", "1")["runs"]] == [SECOND]


@pytest.mark.parametrize("name", [SECOND, SECOND[:12], "last"])
def test_a_run_is_shown_by_its_id_its_beginning_or_as_the_last(state: Path, name: str) -> None:
    shown = read(state, name)

    assert shown["run"]["run_id"] == SECOND
    good, bad = shown["jobs"]
    assert (good["address"], good["status"], good["spent"], good["job_id"]) == ("r[a\n.tif]", "delivered", 2, "j-a")
    assert good["outputs"] == [{"path": "/out/a.webp", "size": 3, "sha256": "5" * 64}]
    assert (bad["status"], bad["spent"], bad["outputs"]) == ("failed", 1, [])
    assert bad["errors"] == [{"code": 5, "message": "broken \x1b[31mfile"}]
    assert [line["kind"] for line in good["events"]] == ["started", "finished", "delivered"]


@pytest.fixture
def held_up(state: Path) -> Path:
    """A third run, in which one job was begun and is pending, and others were blocked."""
    why = {"code": 0, "message": "out is in the way", "hint": "move it"}
    groups = (
        NotDone(status="blocked", count=5, addresses=("r[c]", "r[d]"), errors=(why,)),
        NotDone(status="blocked", count=1, addresses=("r[e]",), errors=(why | {"message": "no \x1bcredits"},)),
        NotDone(status="pending", count=1, addresses=("r[f]",), errors=(why | {"message": "the deadline came"},)),
    )
    key = "k1:" + "c" * 64
    with open_log(state / "runs.db") as log:
        fence = asyncio.run(log.claim([key], Owner.this_process()))[key]
        asyncio.run(log.append(run_started(THIRD), run_id=THIRD))
        asyncio.run(log.append(*begin(key, "r[f]"), run_id=THIRD, fence=fence))
        ended = RunEnded(run_id=THIRD, exit_code=6, summary={"blocked": 6, "pending": 1}, not_done=groups)
        asyncio.run(log.append(ended, run_id=THIRD))
    return state


def test_a_run_is_shown_with_what_it_left_and_why_said_once(held_up: Path) -> None:
    text = call(held_up, "last").stdout

    assert "r[f]: start asked for, 0 credits, job j-c\n" in text
    assert "    error: the deadline came\n" in text
    assert "blocked, 5 of them: out is in the way\n    r[c]\n    r[d]\n    and 3 more\n  move it\n" in text
    assert "r[e]: blocked: no \\x1bcredits\n" in text


def test_what_a_run_left_stands_among_the_jobs_of_its_json(held_up: Path) -> None:
    shown = read(held_up, "last")

    rows = {job["address"]: job for job in shown["jobs"]}
    assert [(at, rows[at]["status"]) for at in sorted(rows)] == [
        ("r[c]", "blocked"), ("r[d]", "blocked"), ("r[e]", "blocked"), ("r[f]", "starting"),
    ]  # fmt: skip
    assert rows["r[c]"]["errors"] == [{"code": 0, "message": "out is in the way", "hint": "move it"}]
    assert rows["r[f]"]["errors"][0]["message"] == "the deadline came"
    assert rows["r[c]"].keys() == rows["r[f]"].keys()
    assert shown["unnamed"] == 3


def test_what_was_bought_once_for_two_addresses_counts_once(tmp_path: Path) -> None:
    with open_log(tmp_path / "state" / "runs.db") as log:
        fence = asyncio.run(log.claim([GOOD], Owner.this_process()))[GOOD]
        asyncio.run(log.append(run_started(FIRST), run_id=FIRST))
        lines = [
            *begin(GOOD, "r[a]"),
            Started(key=GOOD, attempt=1, job_id="j-a"),
            Finished(key=GOOD, attempt=1, spent=2, outputs=()),
            *(Delivered(key=GOOD, attempt=1, address=f"r[{at}]", save="out", files=(FILE,)) for at in "ab"),
        ]
        for line in lines:
            asyncio.run(log.append(line, run_id=FIRST, fence=fence))

    shown = read(tmp_path / "state", "last")

    assert shown["run"]["spent"] == 2
    assert [(job["address"], job["spent"]) for job in shown["jobs"]] == [("r[a]", 2), ("r[b]", 0)]


def test_a_run_that_was_killed_shows_how_far_it_came(state: Path) -> None:
    text = call(state, FIRST).stdout

    assert "ended    not yet, or it was killed" in text
    assert "r[a\\n.tif]: start asked for, 0 credits, job j-a" in text


def test_nothing_that_a_terminal_would_act_on_is_printed(state: Path) -> None:
    for arguments in ((), ("last",), ("--key", "r[b.tif]")):
        text = call(state, *arguments).stdout
        assert text.replace("\n", "").isprintable()
    assert "broken \\x1b[31mfile" in call(state, "last").stdout


@pytest.mark.parametrize("wanted", [GOOD, GOOD[:8], "r[a\n.tif]"])
def test_a_key_is_shown_over_all_runs(state: Path, wanted: str) -> None:
    lines = read(state, "--key", wanted)["events"]

    kinds = ["intent", "created", "starting", "started", "finished", "delivered"]
    assert [line["kind"] for line in lines] == kinds
    assert [line["run_id"] for line in lines] == [FIRST] * 3 + [SECOND] * 3
    assert len(read(state, FIRST, "--key", wanted)["events"]) == 3


def test_an_empty_or_missing_log_says_that_there_is_nothing_yet_and_makes_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"

    text = call(missing)

    assert (text.stdout, text.stderr) == ("", f"There are no runs yet in {missing}.\n")
    assert read(missing) == {"runs": []}
    assert not missing.exists()


@pytest.mark.parametrize("asked", [[], ["last"]])
def test_where_no_log_is_it_is_said_where_it_may_be(tmp_path: Path, runner: Runner, asked: list[str]) -> None:
    shown = runner("log", *asked, cwd=tmp_path)

    assert f"in {tmp_path / '.runner'}" in shown.stderr
    assert "beside its recipe" in shown.stderr


@pytest.mark.parametrize("said", ["state = 'state'", "run_log = 'state/runs.db'"])
def test_the_log_is_where_the_project_says_that_runs_keep_it(state: Path, runner: Runner, said: str) -> None:
    (state.parent / "runner.toml").write_text(said)

    shown = runner("log", "--format", "json", cwd=state.parent)

    assert [run["run_id"] for run in json.loads(shown.stdout)["runs"]] == [SECOND, FIRST], shown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1999"], "there is no run '1999'"),
        (["2026"], "2 runs begin with '2026'"),
        (["--key", "nobody"], "no such address"),
    ],
)
def test_what_is_not_there_is_named_and_exits_5(state: Path, arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "runner", "log", "--state", str(state), *arguments]

    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 5
    assert message in ended.stderr
    assert ended.stdout == ""


def test_a_damaged_log_exits_5_with_advice(state: Path) -> None:
    (state / "runs.db").write_bytes(os.urandom(10_000))
    for each in state.glob("runs.db-*"):
        each.unlink()

    ended = subprocess.run(
        [sys.executable, "-m", "runner", "log", "--state", str(state)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 5
    assert "the run log is damaged" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_state_folder_is_found_by_its_variable(state: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "runner", "log", "--format", "json"],
        env={**os.environ, "RUNNER_STATE": str(state)},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert len(json.loads(ended.stdout)["runs"]) == 2


def test_references_to_secrets_are_not_even_printed(state: Path) -> None:
    for arguments in (["last"], ["--key", GOOD], [FIRST, "--format", "json"]):
        assert "HOOK_URL" not in call(state, *arguments).output
