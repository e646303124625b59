"""What runs leave in the log about credits and refusals, against a real server that says no now and then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import apsw
import httpx

from runner.server.book import read_book
from tests.acceptance.command_line import Desk, png, serving

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

    ended = desk.runner("run", "a.recipe.json")
    plan = desk.runner("plan", "a.recipe.json", "--format", "json").json
    log = desk.runner("log", "last", "--format", "json").json
    text = desk.runner("log", "last").out

    assert ended.code == 6
    assert ended.err.count("400") == 1
    assert "'mp4' is not a target here" in ended.err
    assert "conversion.1.target: 'mp3'" in ended.err
    assert "refused it before" in plan["jobs"][0]["reason"]
    assert "'mp4' is not a target here" in plan["jobs"][0]["reason"]
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
    assert "the budget of 'a' for a day is 1 credits: 1 spent, 0 reserved, 1 more don't fit" in second.err
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
