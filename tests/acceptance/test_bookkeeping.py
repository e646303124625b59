"""What runs leave in the log about credits and refusals, against a real server that says no now and then."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from runner.cli.sweep import claimed, delete_one
from runner.runlog import Created, Intent, LeaseLost, Leftover, Owner, RunLog, RunSummary, Staged, open_log
from runner.server.book import read_book
from tests.acceptance.command_line import Desk, png, serving, until

KEY = "key-of-the-bookkeeper-0123456789"
COLORS = ("teal", "gold", "navy", "plum", "pink", "cyan", "lime", "gray", "tan", "red")


@contextmanager
def shell_at(desk: Desk, *args: str, state: str = "server") -> Iterator[Desk]:
    """A shell that is configured for a server of its own, started with ARGS."""
    with serving(desk, "--state", state, "--key", KEY, *args) as ready:
        yield replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})


def pictures(desk: Desk, *numbers: int) -> None:
    for number in numbers:
        desk.write(f"in/{number}.png", png(color=COLORS[number]))


def recipe(desk: Desk, **more: object) -> None:
    document = {
        "foreach": {"files": "in/*.png"},
        "input": [{"type": "upload", "source": "{item.path}"}],
        "conversion": [{"category": "image", "target": "webp"}],
        "save": {"path": "out/{output.filename}"},
        **more,
    }
    desk.write("a.recipe.json", json.dumps(document))


def unpark(desk: Desk) -> None:
    """As if the time until which the server refused starts had passed."""
    connection = apsw.Connection(str(desk.folder / ".runner" / "runs.db"))
    connection.execute("UPDATE keys SET state = json_set(state, '$.parked_until', 1)")
    connection.close()


def starts(desk: Desk, state: str = "server") -> int:
    return sum(entry.starts for entry in read_book(desk.folder / state).values())


def limits_at(shell: Desk) -> list[Mapping[str, Any]]:
    """The limits of all jobs that were started, as the server shows them."""
    headers = {"X-Oc-Api-Key": shell.more["API2CONVERT_API_KEY"]}
    with httpx.Client(base_url=shell.more["API2CONVERT_BASE_URL"], headers=headers) as http:
        jobs = http.get("/jobs").json()
    return [job["limits"]["job"] for job in jobs if job["status"]["code"] == "completed"]


def test_parked_jobs_that_are_resumed_count_in_the_budget_of_the_run(desk: Desk) -> None:
    pictures(desk, *range(4))
    recipe(desk, limits={"job": {"max_credit": 1}}, budget={"run": 4})
    with shell_at(desk, "--faults", "start quota #1-4") as shell:
        parked = shell.runner("run", "a.recipe.json", "--jobs", "4")
        unpark(desk)
        pictures(desk, *range(4, 10))

        again = shell.runner("run", "a.recipe.json")

    assert (parked.code, again.code) == (4, 4)
    assert "the budget of 'a' for a run is 4 credits" in again.err
    assert starts(desk) == 4


def test_who_is_refused_for_want_of_credits_is_told_when_to_come_back_and_how_not_to_wait(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", "start quota=600 #1") as shell:
        parked = shell.runner("run", "a.recipe.json")
        plan = shell.runner("plan", "a.recipe.json", "--format", "json").json
        early = shell.runner("run", "a.recipe.json")
        urged = shell.runner("run", "a.recipe.json", "--retry-failed")

    assert "ask again in 600 s, or at once with --retry-failed" in parked.err
    assert "or at once with --retry-failed" in plan["jobs"][0]["reason"]
    assert (parked.code, early.code, urged.code) == (4, 4, 0), urged.err
    assert starts(desk) == 1


def test_an_interrupted_job_is_made_anew_with_the_limits_that_the_recipe_has_now(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk, limits={"job": {"max_credit": 100}})
    with shell_at(desk, "--faults", "upload error-before=400 #1") as shell:
        failed = shell.runner("run", "a.recipe.json")
        recipe(desk, limits={"job": {"max_credit": 1}}, budget={"run": 1})

        again = shell.runner("run", "a.recipe.json")
        limits = limits_at(shell)

    assert (failed.code, again.code) == (6, 0), again.err
    assert [one["max_credit"] for one in limits] == [1]


def test_a_parked_job_is_made_anew_when_its_limits_were_changed_and_kept_otherwise(desk: Desk) -> None:
    pictures(desk, 0, 1)
    recipe(desk, limits={"job": {"max_credit": 100}})
    with shell_at(desk, "--faults", "start quota #1-2") as shell:
        shell.runner("run", "a.recipe.json", "--jobs", "2")
        made = set(read_book(desk.folder / "server"))
        unpark(desk)
        recipe(desk, foreach={"files": "in/0.png"}, limits={"job": {"max_credit": 100}})
        kept = shell.runner("run", "a.recipe.json")
        recipe(desk, limits={"job": {"max_credit": 2}}, budget={"day": 200})
        changed = shell.runner("run", "a.recipe.json")
        limits = limits_at(shell)

    assert (kept.code, changed.code) == (0, 0), kept.err + changed.err
    assert sorted(one["max_credit"] for one in limits) == [2, 100]
    fresh = {job_id for job_id, entry in read_book(desk.folder / "server").items() if entry.starts} - made
    assert len(fresh) == 1


def test_what_the_server_refused_is_told_by_the_plan_and_by_the_log(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk, conversion=[{"target": "mp4"}, {"target": "mp3"}])

    with shell_at(desk) as shell:
        ended = shell.runner("run", "a.recipe.json")
        plan = shell.runner("plan", "a.recipe.json", "--format", "json").json
    log = desk.runner("log", "last", "--format", "json").json
    text = desk.runner("log", "last").out

    assert ended.code == 6
    assert ended.err.count("400") == 1
    assert "'mp4' is a target of the API, but this server doesn't make it" in ended.err
    assert "conversion.1.target: 'mp3'" in ended.err
    assert "it was refused before" in plan["jobs"][0]["reason"]
    assert "'mp4' is a target of the API, but this server doesn't make it" in plan["jobs"][0]["reason"]
    assert (log["jobs"][0]["status"], log["jobs"][0]["errors"][0]["code"]) == ("refused", 400)
    assert "'mp3'" in log["jobs"][0]["errors"][0]["message"]
    assert "error: POST /jobs: 400" in text


def test_a_rehearsal_here_uses_up_no_budget_elsewhere_and_stands_in_no_other_book(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk, limits={"job": {"max_credit": 1}}, budget={"day": 1})
    rehearsed = desk.runner("run", "a.recipe.json")
    with shell_at(desk) as shell:
        served = shell.runner("run", "a.recipe.json")

        status = shell.runner("status", "a.recipe.json", "--format", "json").json

    assert (rehearsed.code, served.code) == (0, 0), served.err
    assert sorted((row["endpoint"], row["credits"]) for row in status["spent"]) == [("local", 1), ("loopback", 1)]
    assert (status["server"]["booked"], status["server"]["known"]) == (1, 1)


def test_status_names_what_the_server_booked_for_others(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk) as shell:
        shell.runner("run", "a.recipe.json")
        pictures(desk, 1)
        shell.runner("run", "a.recipe.json", "--state", "elsewhere")

        status = shell.runner("status", "a.recipe.json")

    assert "the server booked 2 credits for this key today (UTC), this log knows of 1" in status.out
    assert "1 more: jobs of another log or program" in status.out
    assert "loopback  a" in status.out


def test_a_budget_of_a_day_that_is_used_up_ends_a_run_with_4_and_buys_nothing_more(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk, limits={"job": {"max_credit": 1}}, budget={"day": 1})
    with shell_at(desk) as shell:
        first = shell.runner("run", "a.recipe.json")
        pictures(desk, 1)

        second = shell.runner("run", "a.recipe.json")

    assert (first.code, second.code) == (0, 4)
    assert "the budget of 'a' for a day is 1 credit: 1 spent, 0 reserved, 1 more don't fit" in second.err
    assert starts(desk) == 1


@contextmanager
def one_job_under_way(desk: Desk, *, point: str) -> Iterator[Desk]:
    """A shell after a run whose deadline came while the server was silent at `point`, and an edit of the recipe."""
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", f"{point} delay=20 #1") as shell:
        ended = shell.runner("run", "a.recipe.json", "--deadline", "2s")
        assert ended.code == 7, ended.err
        recipe(desk, epoch=1)
        yield shell


def test_what_was_started_before_an_edit_is_seen_to_its_end_and_booked(desk: Desk) -> None:
    with one_job_under_way(desk, point="read") as shell:
        plan = shell.runner("plan", "a.recipe.json", "--format", "json").json
        again = shell.runner("run", "a.recipe.json", "--format", "json")
        idle = shell.runner("plan", "a.recipe.json", "--detailed-exitcode")
        status = shell.runner("status", "--format", "json").json

    assert [(job["action"], job["address"]) for job in plan["jobs"]] == [
        ("run", "a[in/0.png]"),
        ("resume", "a[in/0.png]"),
    ]
    assert "no longer asks for it" in plan["jobs"][1]["reason"]
    assert plan["summary"]["resume"] == 1
    assert (again.code, idle.code) == (0, 0)
    old = again.json["jobs"][1]
    assert (old["status"], old["spent"], old["outputs"]) == ("succeeded", 1, [])
    assert "its results were left on the server" in old["warnings"][0]["message"]
    assert (status["server"]["booked"], status["server"]["known"]) == (2, 2)


def test_what_an_edit_overtook_before_its_start_is_never_bought(desk: Desk) -> None:
    """The server takes its time with the start, and the run is gone before it is done."""
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", "start drop-before") as shell:
        shell.runner("run", "a.recipe.json", "--deadline", "2s")
    recipe(desk, epoch=1)
    with shell_at(desk) as shell:
        again = shell.runner("run", "a.recipe.json", "--format", "json")
        shell.runner("sweep", "a.recipe.json")

    assert again.code == 0, again.err
    assert [job["status"] for job in again.json["jobs"]] == ["succeeded", "skipped"]
    assert "had not been started and was deleted" in again.json["jobs"][1]["warnings"][0]["message"]
    assert sorted(entry.starts for entry in read_book(desk.folder / "server").values()) in ([0, 1], [1])


def test_what_an_edit_overtook_and_the_server_keeps_is_started_when_it_is_asked_for_again(desk: Desk) -> None:
    """A start of it may still be on its way: another job for the same work could then be the second that is bought."""
    pictures(desk, 0)
    recipe(desk)
    keeps = ("--assume", "delete-unstarted=409")
    with shell_at(desk, "--faults", "start drop-before", *keeps) as shell:
        shell.runner("run", "a.recipe.json", "--deadline", "2s")
    (first,) = read_book(desk.folder / "server")
    recipe(desk, epoch=1)
    with shell_at(desk, *keeps) as shell:
        edited = shell.runner("run", "a.recipe.json", "--format", "json")
        recipe(desk, save={"path": "old/{output.filename}"})
        back = shell.runner("run", "a.recipe.json", "--format", "json")

    assert (edited.code, back.code) == (0, 0), edited.err + back.err
    assert "the server keeps it" in edited.json["jobs"][1]["warnings"][0]["message"]
    assert back.json["jobs"][0]["job_id"] == first
    assert sorted(entry.starts for entry in read_book(desk.folder / "server").values()) == [1, 1]


@contextmanager
def somebody_works_on(desk: Desk, address: str) -> Iterator[str]:
    """Another process (this one) holds the lease on the work of `address`; the id of its job."""
    with open_log(desk.folder / ".runner" / "runs.db") as log:
        state = next(state for state in log.states().values() if address in state.addresses)
        asyncio.run(log.claim([state.key], Owner.this_process()))
        yield state.job_id


def foreign_job(shell: Desk) -> str:
    """A job that no log of ours knows."""
    headers = {"X-Oc-Api-Key": shell.more["API2CONVERT_API_KEY"]}
    with httpx.Client(base_url=shell.more["API2CONVERT_BASE_URL"], headers=headers) as http:
        made: str = http.post("/jobs", json={"conversion": [{"target": "png"}], "process": False}).json()["id"]
    return made


def test_sweep_says_what_it_would_delete_and_leaves_what_is_held_or_not_ours(desk: Desk) -> None:
    pictures(desk, 0, 1)
    recipe(desk)
    with shell_at(desk, "--faults", "start quota #1-2") as shell:
        shell.runner("run", "a.recipe.json", "--jobs", "2")
        ours, foreign = set(read_book(desk.folder / "server")), foreign_job(shell)
        with somebody_works_on(desk, "a[in/1.png]") as held:
            dry = shell.runner("sweep", "--dry-run", "--format", "json").json
            before = {job_id: entry.status for job_id, entry in read_book(desk.folder / "server").items()}
            swept = shell.runner("sweep", "--format", "json").json
        after = {
            job_id
            for job_id, entry in read_book(desk.folder / "server").items()
            if entry.status in ("ready", "created", "incomplete")
        }
        runs = shell.runner("log", "--format", "json").json["runs"]
        again = shell.runner("sweep", "--dry-run")

    free = ours - {held}
    assert dry == swept == {"deleted": [*free], "held": [held], "foreign": [foreign], "gone": []}
    assert set(before) == {*ours, foreign}
    assert after == {held, foreign}
    assert [(run["command"], run["exit_code"]) for run in runs] == [("sweep", 0), ("run", 4)]
    assert again.out == f"would delete {held}\nnot ours {foreign}: unstarted, and unknown to this log\n"


def test_sweep_forgets_what_was_deleted_by_one_who_was_killed_before_the_log_knew_it(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", "start quota #1") as shell:
        shell.runner("run", "a.recipe.json")
        (made,) = read_book(desk.folder / "server")
        headers = {"X-Oc-Api-Key": shell.more["API2CONVERT_API_KEY"]}
        httpx.delete(f"{shell.more['API2CONVERT_BASE_URL']}/jobs/{made}", headers=headers).raise_for_status()
        dry = shell.runner("sweep", "--dry-run")
        swept = shell.runner("sweep", "--format", "json").json
        again = shell.runner("sweep", "--format", "json").json

    assert dry.out == f"would forget {made}: it was deleted before\n"
    assert swept == {"deleted": [], "held": [], "foreign": [], "gone": [made]}
    assert again["gone"] == []


def test_sweep_deletes_nothing_that_a_run_took_over_meanwhile(tmp_path: Path) -> None:
    nothing: Any = None  # the API, which must not be asked
    left = Leftover(job_id="j", key="k", attempt=1, endpoint="", account="", at=0.0)
    intent = Intent(key="k", attempt=1, addresses=("a",), payload={}, cap=None, recipe="a", account="")

    async def overtaken(log: RunLog, other: RunLog) -> None:
        fence = (await log.claim(["k"], Owner.this_process()))["k"]
        created = Created(key="k", attempt=1, job_id="j")
        await log.append(intent, created, Staged(key="k", attempt=1, uploads=()), run_id="r", fence=fence)
        await log.release([fence])
        await other.claim(["k"], Owner.this_process())
        with pytest.raises(LeaseLost):
            await delete_one(nothing, log, "sweep", left, fence)

    with open_log(tmp_path / "runs.db") as log, open_log(tmp_path / "runs.db") as other:
        asyncio.run(overtaken(log, other))

        assert log.states()["k"].stage == "staged"


def test_sweep_keeps_its_leases_for_as_long_as_it_takes(tmp_path: Path) -> None:
    async def rivals(log: RunLog, other: RunLog) -> None:
        async with claimed(log, {"k"}, lease_s=0.3):
            for _ in range(8):
                await asyncio.sleep(0.1)
                assert await other.claim(["k"], Owner.this_process()) == {}
        assert set(await other.claim(["k"], Owner.this_process())) == {"k"}

    with open_log(tmp_path / "runs.db") as log, open_log(tmp_path / "runs.db") as other:
        asyncio.run(rivals(log, other))


def test_work_of_another_account_is_left_to_its_key_and_nothing_is_asked(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", "start quota #1") as shell:
        shell.runner("run", "a.recipe.json")
        unpark(desk)
        jobs = read_book(desk.folder / "server")
        stranger = replace(shell, more={**shell.more, "API2CONVERT_API_KEY": "key-of-somebody-else-9876543210"})

        stopped = stranger.runner("run", "a.recipe.json")
        swept = stranger.runner("sweep", "--dry-run")

    assert stopped.code == 3
    assert "begun with another account's API key" in stopped.err
    assert swept.code == 3
    assert read_book(desk.folder / "server") == jobs


def test_a_mistyped_key_leaves_the_work_to_the_right_one(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk) as shell:
        mistyped = replace(shell, more={**shell.more, "API2CONVERT_API_KEY": "key-with-a-typo"})

        refused = mistyped.runner("run", "a.recipe.json")
        done = shell.runner("run", "a.recipe.json", "--format", "json")

    assert refused.code == 3
    assert (done.code, done.json["summary"]["succeeded"]) == (0, 1), done.err


def test_a_run_that_could_do_nothing_is_in_the_log_and_one_with_nothing_to_do_is_not(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    desk.write("out/0.webp", b"somebody else's")
    blocked = desk.runner("run", "a.recipe.json", "--format", "json")
    (desk.folder / "out" / "0.webp").unlink()
    done = desk.runner("run", "a.recipe.json", "--format", "json")
    idle = desk.runner("run", "a.recipe.json", "--format", "json")

    runs = desk.runner("log", "--format", "json").json["runs"]
    shown = desk.runner("log", blocked.json["run_id"])

    assert (blocked.code, done.code, idle.code) == (6, 0, 0)
    assert [(run["run_id"], run["exit_code"]) for run in runs] == [
        (done.json["run_id"], 0),
        (blocked.json["run_id"], 6),
    ]
    assert "result   1 blocked" in shown.out
    assert "out/0.webp is in the way; nothing was bought" in shown.out


def test_a_run_whose_server_cannot_be_started_ends_in_the_log(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    desk.write(".runner/server/server.db", "no database" * 1000)

    ended = desk.runner("run", "a.recipe.json")
    runs = desk.runner("log", "--format", "json").json["runs"]

    assert ended.code != 0
    assert [run["exit_code"] for run in runs] == [ended.code]


def test_a_new_log_for_an_account_with_jobs_is_a_warning_once(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk, save={"path": "out/{output.filename}", "on_conflict": "overwrite"})
    with shell_at(desk) as shell:
        first = shell.runner("run", "a.recipe.json")
        lost = shell.runner("run", "a.recipe.json", "--state", "new")
        recipe(desk, epoch=1, save={"path": "out/{output.filename}", "on_conflict": "overwrite"})
        known = shell.runner("run", "a.recipe.json", "--state", "new")
        quiet = shell.runner("run", "a.recipe.json", "--state", "newer", "--quiet")

    assert [done.code for done in (first, lost, known, quiet)] == [0] * 4
    assert "new, but the account has jobs already (1)" in lost.err
    assert first.err + known.err + quiet.err == ""


def test_a_signal_is_heard_while_a_new_log_looks_at_the_account(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    log = desk.folder / ".runner" / "runs.db"
    with shell_at(desk, "--faults", "list delay=50") as shell, shell.start("run", "a.recipe.json") as process:
        until(lambda: log.exists() and bool(runs_of(log)), what="the run's first line")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        (run,) = runs_of(log)

    assert (process.returncode, run.exit_code) == (130, 130)
    assert desk.book("server") == ()


def runs_of(place: Path) -> Sequence[RunSummary]:
    """Of a log that may be about to be made."""
    with suppress(apsw.SQLError), open_log(place, read_only=True) as log:
        return log.runs()
    return ()


def test_a_damaged_log_leads_to_its_repair_and_nothing_is_bought_again(desk: Desk) -> None:
    pictures(desk, 0, 1)
    recipe(desk)
    place = desk.folder / ".runner" / "runs.db"
    with shell_at(desk) as shell:
        shell.runner("run", "a.recipe.json")
        foreign = foreign_job(shell)
        data = place.read_bytes()
        place.write_bytes(data[:4096] + b"\xaa" * 4096 + data[8192:])

        stopped = shell.runner("run", "a.recipe.json")
        dry = shell.runner("sweep", "--dry-run")
        repaired = shell.runner("doctor", "--rebuild-log")
        again = shell.runner("run", "a.recipe.json")

    assert (stopped.code, dry.code, repaired.code, again.code) == (5, 5, 0, 0)
    assert "the run log is damaged" in stopped.err
    assert "runner doctor --rebuild-log" in stopped.err
    assert dry.out == f"not ours {foreign}: unstarted, and unknown to this log\n"
    assert "2 keys are known" in repaired.err
    assert (starts(desk), again.err) == (2, "")
    assert [each.stat().st_size for each in place.parent.glob("runs.db.damaged-*")] == [len(data)]


def test_status_and_plan_tell_a_run_that_works_from_one_that_was_killed(desk: Desk) -> None:
    pictures(desk, 0)
    recipe(desk)
    with shell_at(desk, "--faults", "start delay=60 #1") as shell, shell.start("run", "a.recipe.json") as run:
        until(lambda: '"starting": 1' in shell.runner("status", "--offline", "--format", "json").out, what="the start")
        status, plan = shell.runner("status", "--offline"), shell.runner("plan", "a.recipe.json")
        run.kill()
        run.wait()
        afterwards = shell.runner("status", "--offline"), shell.runner("plan", "a.recipe.json")

    held = "a[in/0.png]  k1:"
    assert f"held by a run now\n  {held}" in status.out
    assert f"(pid {run.pid} on " in status.out
    assert "; a run holds it now" in plan.out
    assert f"Note: another run (pid {run.pid} on " in plan.out
    assert f"left by a run that is gone: the next one goes on\n  {held}" in afterwards[0].out
    assert "held by a run now" not in afterwards[0].out
    assert "holds" not in afterwards[1].out
