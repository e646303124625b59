"""What the hosted API may do one way or the other: a run ends well either way, with every job started once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import httpx
import pytest

from runner.cli.serve_options import assumption_choices
from runner.server.book import read_book
from runner.server.config import Assumptions
from tests.acceptance.command_line import Desk, png, recipe_of, serving

# Each with faults that lead the run to where the assumption counts.
CASES = {
    "second-start=200": "start drop-after #1-2",
    "second-start=409": "start drop-after #1-2",
    "second-start=402": "start drop-after #1-2",
    "second-start=422": "start drop-after #1-2",
    "second-start=429": "start drop-after #1-2",
    "list=active": "",
    "list=none": "",
    "checksum=sha1": "",
    "checksum=none": "download truncate #1",
    "idempotency=ignored": "create drop-after #1-2",
    "delete-unstarted=409": "create drop-after #1",
    "canceled=404": "start drop-after #1",
    "queued=processing": "",
    "outputs=late": "",
}


@contextmanager
def assuming(desk: Desk, *args: str) -> Iterator[tuple[Desk, httpx.Client]]:
    with serving(desk, "--state", "server", *args) as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})
        with httpx.Client(base_url=ready["base_url"], headers={"X-Oc-Api-Key": ready["api_key"]}) as http:
            yield shell, http


@pytest.mark.parametrize("assumption", CASES)
def test_a_run_ends_well_whatever_the_server_does(desk: Desk, assumption: str) -> None:
    for name in "abcd":
        desk.write(f"in/{name}.png", png(color=f"#{ord(name):02x}5050"))
    desk.write("a.recipe.toml", recipe_of("in/*.png"))

    with assuming(desk, "--assume", assumption, "--faults", CASES[assumption]) as (shell, _):
        first = shell.runner("run", "a.recipe.toml")
        again = shell.runner("run", "a.recipe.toml", "--format", "json")

    assert first.code == 0, first.err
    assert again.json["summary"]["skipped"] == 4
    assert desk.delivered() == {"a.webp", "b.webp", "c.webp", "d.webp"}
    starts = [entry.starts for entry in read_book(desk.folder / "server").values() if entry.starts]
    assert starts == [1, 1, 1, 1]


def test_a_delivery_that_broke_off_goes_on_where_checksums_are_no_md5(desk: Desk) -> None:
    """The first of two results lies in its place, and no line says so."""
    desk.write("in/a.png", png())
    both = recipe_of("in/*.png").replace("[save]", '[[conversion]]\ntarget = "jpg"\n[save]')
    desk.write("a.recipe.toml", both)

    with assuming(desk, "--assume", "checksum=sha1", "--faults", "download error-before=404 #2") as (shell, _):
        broken_off = shell.runner("run", "a.recipe.toml")
        half = desk.delivered()
        again = shell.runner("run", "a.recipe.toml")

    assert (broken_off.code, again.code) == (6, 0), again.err
    assert half == {"a.webp"}
    assert desk.delivered() == {"a.webp", "a.jpg"}
    assert [entry.starts for entry in read_book(desk.folder / "server").values()] == [1]


def test_every_answer_other_than_the_default_is_among_the_cases() -> None:
    defaults = {field.name: field.default for field in fields(Assumptions)}
    others = {
        f"{name}={value}"
        for name, values in assumption_choices().items()
        for value in values
        if value != defaults[name]
    }

    assert {one.replace("_", "-") for one in others} <= set(CASES)


def staged(http: httpx.Client, **body: Any) -> Mapping[str, Any]:
    job: dict[str, Any] = http.post("/jobs", json={"process": False, "conversion": [{"target": "webp"}], **body}).json()
    files = {"file": ("a.png", png())}
    http.post(f"{job['server']}/upload-file/{job['id']}", files=files).raise_for_status()
    return job


def status_of_start(http: httpx.Client, job: Mapping[str, Any]) -> int:
    return http.patch(f"/jobs/{job['id']}", json={"process": True}).status_code


@pytest.mark.parametrize("second", [200, 402, 409, 422, 429])
def test_a_second_start(desk: Desk, second: int) -> None:
    with assuming(desk, "--assume", f"second-start={second}") as (_, http):
        job = staged(http)

        assert [status_of_start(http, job), status_of_start(http, job)] == [200, second]
        assert http.patch(f"/jobs/{job['id']}", json={"process": True, "callback": "http://x/"}).status_code == 409

    assert [entry.starts for entry in read_book(desk.folder / "server").values()] == [1]


def test_a_list_without_ended_jobs_and_one_without_any(desk: Desk) -> None:
    with assuming(desk, "--assume", "list=active") as (_, http):
        assert (http.get("/jobs").status_code, http.get("/jobs").content) == (204, b"")
        kept, gone = staged(http), staged(http)
        http.delete(f"/jobs/{gone['id']}").raise_for_status()

        assert [one["id"] for one in http.get("/jobs").json()] == [kept["id"]]
        assert http.get("/jobs").headers["X-Count"] == "1"

    with assuming(desk, "--assume", "list=none") as (_, http):
        staged(http)

        assert http.get("/jobs").status_code == 204


@pytest.mark.parametrize("kind", ["sha1", "none"])
def test_checksums_of_another_kind_are_true_ones(desk: Desk, kind: str) -> None:
    with assuming(desk, "--assume", f"checksum={kind}") as (_, http):
        job = staged(http, input=[{"type": "base64", "source": "cG5n", "filename": "b.png"}])

        shown = [one["checksum"] for one in http.get(f"/jobs/{job['id']}/input").json()]

    files = [b"png", png()]
    assert shown == [hashlib.sha1(one).hexdigest() if kind == "sha1" else "" for one in files]


def test_an_idempotency_key_may_be_ignored(desk: Desk) -> None:
    headers = {"Idempotency-Key": os.urandom(8).hex()}
    with assuming(desk, "--assume", "idempotency=ignored") as (_, http):
        ids = {http.post("/jobs", json={}, headers=headers).json()["id"] for _ in range(2)}

    assert len(ids) == 2


def test_an_unstarted_job_may_be_there_for_good_and_a_canceled_one_gone(desk: Desk) -> None:
    with assuming(desk, "--assume", "delete-unstarted=409") as (_, http):
        assert http.delete(f"/jobs/{staged(http)['id']}").status_code == 409

    with assuming(desk, "--assume", "canceled=404") as (_, http):
        path = f"/jobs/{staged(http)['id']}"
        assert http.delete(path).status_code == 204
        assert (http.get(path).status_code, http.delete(path).status_code) == (404, 404)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("second-start=500", "there are second-start=409|200|402|422|429"),
        ("secondstart=200", "did you mean second-start?"),
        ("list", "there are"),
    ],
)
def test_an_assumption_that_isnt_one_is_named(desk: Desk, given: str, words: str) -> None:
    done = desk.runner("serve", "--assume", given)

    assert done.code == 5
    assert f"--assume '{given}' is no assumption" in done.err
    assert words in done.err
