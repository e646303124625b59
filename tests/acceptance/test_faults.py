"""A run against a server whose answers go wrong on purpose: it must end well, and every job be started once."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import apsw
import httpx
import pytest
from PIL import Image

from runner.errors import RunnerError
from runner.runlog import Created, Event, Finished, Intent, RunStarted, kind_of, open_log
from runner.server.book import read_book
from tests.acceptance.command_line import RUNNER, Desk, one_file, png, recipe_of, serving, until, web

SPECS = [
    "create error-before #1; create error-after #2; create drop-before #3; create drop-after #4",
    "start error-before=503 #1; start drop-before #2",
    "start error-after=502 #1; start drop-after #2",
    "start drop-after #1-2; read drop-after #1; list error-before=503 #1",
    "upload drop-after #1",
    "read error-before=504 #1; list error-after #1",
    "any busy=1 #2; any busy-date=1 #4",
    "download truncate #1",
    "download truncate=1 #1-2",
    "download drop-before #1; download error-before=503 #2",
    "download corrupt #1",
    "download slow=2000 #1; create delay=0.2",
    "any drop-after 8%; any error-before 8%; seed=11",
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_run_ends_well_and_nothing_is_started_twice(desk: Desk, spec: str) -> None:
    desk.write("in/a.png", png(color="teal"))
    desk.write("in/b.png", png(color="gold"))
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with serving(desk, "--state", "server", "--faults", spec) as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})
        runs = [shell.runner("run", "a.recipe.toml")]
        while runs[-1].code and len(runs) < 4:
            runs.append(shell.runner("run", "a.recipe.toml"))

    assert runs[-1].code == 0, [run.err for run in runs]
    assert desk.delivered() == {"a.webp", "b.webp"}
    book = read_book(desk.folder / "server").values()
    assert sorted(entry.starts for entry in book if entry.starts) == [1, 1]


@pytest.mark.parametrize("call", ["upload", "download"])
def test_a_file_that_is_refused_with_403_is_that_jobs_trouble_alone(desk: Desk, call: str) -> None:
    """The account's key goes with neither: that a link or a token isn't taken says nothing about it."""
    for name in "abcd":
        desk.write(f"in/{name}.png", png(size=(24, 16 + ord(name))))
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with serving(desk, "--state", "server", "--faults", f"{call} error-before=403 #1") as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})
        first = shell.runner("run", "a.recipe.toml", "--jobs", "1")
        delivered = desk.delivered()
        second = shell.runner("run", "a.recipe.toml")

    assert first.code == 6, first.err
    assert "API2CONVERT_API_KEY" not in first.err
    assert len(delivered) == 3
    assert (second.code, len(desk.delivered())) == (0, 4), second.err
    assert sum(entry.starts for entry in read_book(desk.folder / "server").values()) == 4


def test_a_dropped_answer_is_a_connection_that_ends_and_a_truncated_one_lacks_bytes(desk: Desk) -> None:
    faults = "create drop-after #1; list truncate=1 #1"
    with (
        serving(desk, "--state", "server", "--faults", faults) as ready,
        httpx.Client(base_url=ready["base_url"], headers={"X-Oc-Api-Key": ready["api_key"]}) as http,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            http.post("/jobs", json={})
        with pytest.raises(httpx.RemoteProtocolError):
            http.get("/jobs")
        assert len(http.get("/jobs").json()) == 1


def test_a_spec_that_cant_be_read_stops_the_server_before_it_begins(desk: Desk) -> None:
    done = desk.runner("serve", "--faults", "create explode")

    assert done.code == 5
    assert "'explode' is no fault; there are error-before" in done.err


@contextmanager
def faulty(desk: Desk, faults: str, *more: str) -> Iterator[Desk]:
    with serving(desk, "--state", "server", "--faults", faults, *more) as ready:
        yield replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})


def starts(desk: Desk) -> list[int]:
    return [entry.starts for entry in read_book(desk.folder / "server").values() if entry.starts]


@pytest.mark.parametrize("slow", ["start delay=5 #1", "read delay=5 #1", "upload delay=5 #1", "download slow=20 #1"])
def test_what_the_deadline_cut_off_is_picked_up_by_the_next_run(desk: Desk, slow: str) -> None:
    desk.write("in/a.png", png(color="teal"))
    desk.write("in/b.png", png(color="gold"))
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, slow) as shell:
        cut_off = shell.runner("run", "a.recipe.toml", "--jobs", "1", "--deadline", "2s", "--format", "json")
        again = shell.runner("run", "a.recipe.toml")

    assert cut_off.code == 7, cut_off.err
    assert "pending" in {job["status"] for job in cut_off.json["jobs"]}
    assert again.code == 0, again.err
    assert desk.delivered() == {"a.webp", "b.webp"}
    assert starts(desk) == [1, 1]


def test_the_deadline_is_that_of_the_planning_too(desk: Desk) -> None:
    desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')

    def slowly(_path: str) -> dict[str, str]:
        time.sleep(4)
        return {"ETag": '"1"'}

    with web({"/a.png": png()}, headers=slowly) as base:
        source = {"source": f"{base}/a.png", "revalidate": True}
        desk.write("a.recipe.json", json.dumps({"input": [source], "conversion": [{"target": "webp"}]}))
        began = time.monotonic()
        cut_off = desk.runner("run", "a.recipe.json", "--deadline", "1s")
        took_s = time.monotonic() - began

    assert cut_off.code == 7, cut_off.err
    assert "the deadline was reached before the plan was made. Nothing was sent." in cut_off.err
    assert took_s < 3.5
    assert desk.runner("log", "--format", "json").json["runs"][0]["exit_code"] == 7


@contextmanager
def two_recipes_and_a_slow_source(desk: Desk) -> Iterator[tuple[threading.Event, threading.Event]]:
    """`second` comes after `first`. Once that is done, its source says that it is asked, and answers when it may."""
    asked, may_answer = threading.Event(), threading.Event()

    def slowly_then(path: str) -> dict[str, str]:
        if path == "/b.png" and desk.delivered():
            asked.set()
            may_answer.wait(60)
        return {"ETag": '"1"'}

    desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')
    desk.write("in/a.png", png())
    desk.write("first.recipe.toml", recipe_of("in/*.png"))
    with web({"/b.png": png()}, headers=slowly_then) as base:
        source = {"source": f"{base}/b.png", "revalidate": True}
        second = {"after": ["first"], "input": [source], "conversion": [{"target": "webp"}]}
        desk.write("second.recipe.json", json.dumps(second))
        try:
            yield asked, may_answer
        finally:
            may_answer.set()


def test_the_deadline_is_that_of_planning_anew_what_comes_after_another_recipe(desk: Desk) -> None:
    both = ("first.recipe.toml", "second.recipe.json")

    with two_recipes_and_a_slow_source(desk) as (_, may_answer):
        cut_off = desk.runner("run", *both, "--deadline", "6s", "--format", "json")
        may_answer.set()
        again = desk.runner("run", *both)

    assert cut_off.code == 7, cut_off.err
    assert {job["address"]: job["status"] for job in cut_off.json["jobs"]} == {
        "first[in/a.png]": "succeeded",
        "second": "pending",
    }
    assert again.said == (0, "", "")
    assert desk.delivered() == {"a.webp", "second/b.webp"}


def test_a_signal_is_heard_while_it_is_planned_anew_what_comes_after_another_recipe(desk: Desk) -> None:
    with (
        two_recipes_and_a_slow_source(desk) as (asked, _),
        desk.start("run", "first.recipe.toml", "second.recipe.json", "--format", "json") as process,
    ):
        assert asked.wait(60)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 143, err
    assert [job["status"] for job in json.loads(out)["jobs"]] == ["succeeded", "pending"]


def test_a_job_that_is_shown_as_not_started_after_all_is_started_then(desk: Desk) -> None:
    """The server says that it was started before, which isn't so."""
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "start error-before=409 #1") as shell:
        done = shell.runner("run", "a.recipe.toml")

    assert done.said == (0, "", "")
    assert desk.delivered() == {"a.webp"}
    assert starts(desk) == [1]


def test_a_job_that_is_always_shown_as_not_started_is_left_to_the_next_run(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "start error-before=409 #1-2") as shell:
        given_up = shell.runner("run", "a.recipe.toml", "--format", "json")
        done = shell.runner("run", "a.recipe.toml")

    assert given_up.code == 6
    assert [job["status"] for job in given_up.json["jobs"]] == ["failed"]
    said = given_up.json["jobs"][0]["errors"][0]["message"]
    assert "the job is shown as 'ready', and the next run asks for this very job again" in said
    assert done.code == 0, done.err
    assert starts(desk) == [1]


def test_a_job_that_fetches_its_inputs_was_not_started_for_that(desk: Desk) -> None:
    """The first start never arrives, the next is refused, and all the while the job is shown as downloading."""

    def slowly(_: str) -> dict[str, str]:
        time.sleep(3)
        return {}

    with web({"/a.png": png()}, headers=slowly) as site:
        job = {"input": [{"source": f"{site}/a.png"}], "conversion": [{"category": "image", "target": "webp"}]}
        desk.write("a.recipe.json", json.dumps({**job, "save": {"path": "out/{output.filename}"}}))
        with faulty(desk, "start drop-before #1; start error-before=422 #2", "--allow-private", "127.0.0.0/8") as shell:
            refused = shell.runner("run", "a.recipe.json", "--format", "json")
            again = shell.runner("run", "a.recipe.json")

    assert "422" in refused.json["jobs"][0]["errors"][0]["message"]
    assert refused.json["summary"]["succeeded"] == 0
    assert again.code == 0, again.err
    assert desk.delivered() == {"a.webp"}
    assert starts(desk) == [1]


@pytest.mark.parametrize("fault", ["download corrupt #1", "download truncate=0 #1"])
def test_a_download_that_the_jobs_own_limit_forbids_to_repeat_says_so(desk: Desk, fault: str) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", f"limits.output.max_downloads = 1\n{recipe_of('in/*.png')}")

    with faulty(desk, fault) as shell:
        ended = shell.runner("run", "a.recipe.toml")

    assert ended.code == 6
    assert "limits.output.max_downloads = 1 allows no other download" in ended.err
    assert desk.delivered() == set()


def test_what_came_of_a_download_is_kept_where_the_jobs_own_limit_forbids_to_repeat_it(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", f"limits.output.max_downloads = 1\n{recipe_of('in/*.png')}")

    with faulty(desk, "download truncate=10 #1") as shell:
        ended = shell.runner("run", "a.recipe.toml")

    assert (ended.code, desk.delivered()) == (0, {"a.webp"})


def test_a_download_that_is_always_spoilt_leaves_some_for_a_person_and_says_where_it_lies(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "download corrupt #1-2", "--max-downloads", "3") as shell:
        ended = shell.runner("run", "a.recipe.toml")
        asked = re.search(
            r"bought and waits on the server until .*, and GET (/jobs/\S+) says where it lies",
            ended.err,
        )
        assert asked is not None, ended.err
        base, key = shell.more["API2CONVERT_BASE_URL"], shell.more["API2CONVERT_API_KEY"]
        (output,) = httpx.get(base + asked[1], headers={"X-Oc-Api-Key": key}).json()["output"]
        by_hand = httpx.get(output["uri"])

    assert ended.code == 6
    assert (by_hand.status_code, format_of(by_hand.content)) == (200, "WEBP")


def test_a_result_that_was_downloaded_too_often_is_not_said_to_have_left_the_server(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "download corrupt #1-2", "--max-downloads", "2") as shell:
        first, last = shell.runner("run", "a.recipe.toml"), shell.runner("run", "a.recipe.toml")
        plan = shell.runner("plan", "a.recipe.toml")

    assert (first.code, last.code) == (6, 6)
    assert "the server has it, and hands it out no more; --retry-lost" in last.err
    assert "the server no longer hands it out; --retry-lost" in plan.out
    assert starts(desk) == [1]


def format_of(content: bytes) -> str | None:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.format


def test_a_job_that_was_perhaps_bought_is_no_matter_of_the_budget(desk: Desk) -> None:
    desk.write("in/a.png", png())
    budgeted = "limits.job.max_credit = 5\n[budget]\nday = {day}\n{recipe}"
    recipe = one_file("in/a.png").replace("[[", "\n[[")
    desk.write("a.recipe.toml", budgeted.format(day=5, recipe=recipe))

    with faulty(desk, "start drop-after #1-6; read error-before #1-6") as shell:
        unknown = shell.runner("run", "a.recipe.toml")
        desk.write("a.recipe.toml", budgeted.format(day=0, recipe=recipe))
        again = shell.runner("run", "a.recipe.toml")

    assert (unknown.code, again.code) == (8, 0), again.err
    assert starts(desk) == [1]


def test_a_result_that_is_denied_once_is_asked_for_again_before_it_is_bought_again(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "download error-before=404 #2; download error-before=404 #4-5") as shell:
        first = shell.runner("run", "a.recipe.toml")
        shutil.rmtree(desk.folder / "out")
        again = shell.runner("run", "a.recipe.toml", "--retry-lost")
        shutil.rmtree(desk.folder / "out")
        denied = shell.runner("run", "a.recipe.toml")
        at_last = shell.runner("run", "a.recipe.toml", "--retry-lost")

    assert (first.code, again.code, denied.code, at_last.code) == (0, 0, 6, 0)
    assert "didn't have it just now, and the next run asks again" in denied.err
    assert desk.delivered() == {"a.webp"}
    assert starts(desk) == [1]


def test_the_deadline_ends_waiting_for_the_work_of_another_run(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "upload delay=12 #1") as shell, shell.start("run", "a.recipe.toml") as process:
        until(lambda: told(desk, Created) == 1, what="the first run's job")
        began = time.monotonic()
        waiting = shell.runner("run", "a.recipe.toml", "--lock-wait", "60", "--deadline", "2s")
        took_s = time.monotonic() - began
        process.communicate(timeout=60)

    assert (waiting.code, process.returncode) == (7, 0)
    assert took_s < 8
    assert starts(desk) == [1]


def test_with_skip_an_older_result_of_ours_is_not_what_another_run_began_to_make_anew(desk: Desk) -> None:
    """The other run goes on between our plan and our claim, and dies: what it began is ours to end."""
    desk.write("in/a.png", png(color="red"))
    desk.write("a.recipe.toml", f'{recipe_of("in/*.png", target="png")}on_conflict = "skip"\n')

    with faulty(desk, "create delay=6 #2; upload delay=30 #2") as shell:
        shell.runner("run", "a.recipe.toml")
        desk.write("in/a.png", png(color="lime"))
        with shell.start("run", "a.recipe.toml") as one:
            until(lambda: told(desk, Intent) == 2, what="the first run's intent")
            with shell.start("run", "a.recipe.toml", "--lock-wait", "60", "--format", "json") as other:
                until(lambda: told(desk, RunStarted) == 3, what="the second run's plan")
                until(lambda: told(desk, Created) == 2, what="the first run's job")
                one.kill()
                out, err = other.communicate(timeout=60)

    assert other.returncode == 0, err
    assert [job["status"] for job in json.loads(out)["jobs"]] == ["succeeded"]
    with Image.open(desk.folder / "out" / "a.png") as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 255, 0)
    assert starts(desk) == [1, 1]


def test_a_source_that_became_a_pipe_fails_and_nobody_waits_for_it(desk: Desk) -> None:
    source = desk.write("in/a.png", png())
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with faulty(desk, "create delay=3") as shell, shell.start("run", "a.recipe.toml") as process:
        until(lambda: told(desk, Intent) == 1, what="the run's intent")
        source.unlink()
        os.mkfifo(source)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 6, err
    assert f"{source} can't be read: it is no file any more" in err
    assert starts(desk) == []


def test_a_signal_is_heard_while_a_disk_that_is_full_is_written(desk: Desk) -> None:
    """Cleaning up meets the full disk, too: that must not be taken for how the job ended."""
    for number in range(3):
        desk.write(f"in/{number}.png", noise(number))
    desk.write("a.recipe.toml", recipe_of("in/*.png", target="jpg"))
    out = desk.folder / "out"
    out.mkdir()
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    full = 'mount -t tmpfs -o size=16k tmpfs "$0" && head -c 100k /dev/zero > "$0/full"; exec "$@"'

    with faulty(desk, "download slow=8000") as shell:
        command = [*private, "sh", "-c", full, str(out), str(RUNNER), "run", "a.recipe.toml", "--jobs", "1"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=desk.folder, env=shell.env, stdout=pipe, stderr=pipe, text=True) as process:
            until(lambda: told(desk, Finished) == 1, what="the first job's end")
            time.sleep(1.5)  # some of its result has come, and the rest takes seconds
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)

    assert process.returncode == 143, err
    assert starts(desk) == [1]


def noise(seed: int) -> bytes:
    written = io.BytesIO()
    Image.frombytes("RGB", (200, 200), random.Random(seed).randbytes(120_000)).save(written, "PNG")
    return written.getvalue()


def told(desk: Desk, kind: type[Event]) -> int:
    """How many lines of that kind the run log has; it may be about to be made."""
    with suppress(apsw.SQLError, RunnerError), open_log(desk.folder / ".runner" / "runs.db", read_only=True) as log:
        return len(list(log.events(kinds=[kind_of(kind)])))
    return 0


def test_a_server_that_says_tomorrow_is_not_waited_for_and_named_with_its_time(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    faults = "create busy=100000 #1; GET:/stats/** busy=86400; list busy=86400 #2+"
    with serving(desk, "--state", "server", "--faults", faults) as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})
        began = time.monotonic()
        ran, known, swept = shell.runner("run", "."), shell.runner("status"), shell.runner("sweep")
        took_s = time.monotonic() - began

    assert (ran.code, took_s < 30) == (4, True), ran.err
    assert "ask again in 86400 s" in ran.err
    assert "parked by the server" in known.out
    assert "the server asks to be left alone for 86400 s" in known.err
    assert "the server asks to be left alone for 86400 s" in swept.err
