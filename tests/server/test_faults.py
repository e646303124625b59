"""Faults on purpose: what a spec means, and that each of them happens where, when and how it says."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.server.book import read_book
from runner.server.faults import FAULTS, PLACES, BadFaults, read_faults
from tests.server.post_office import api_of


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("create", "'create' is no rule"),
        ("create drop-after #1 #2", "is no rule"),
        ("created drop-after", "'created' is no place; there are any, create"),
        ("GET:jobs drop-after", "is no place"),
        ("create explode", "'explode' is no fault; there are error-before"),
        ("create drop-after=1", "drop-after has no value"),
        ("create error-before=200", "from 400 to 599"),
        ("create delay=-1", "is no fault"),
        ("download slow=0", "at least one byte"),
        ("create quota 2", "'2' is no time"),
        ("create quota 101%", "is no time"),
        ("create quota #0", "is no time"),
        ("create quota #5-3", "ends before it begins"),
        ("FOO:/jobs quota", "there is no method FOO"),
        ("seed=x", "is no seed"),
        ("seed=", "is no seed"),
        ("seed=1; seed=2", "there is a seed already"),
    ],
)
def test_a_spec_that_cant_be_read_says_what_would_do(spec: str, words: str) -> None:
    with pytest.raises(BadFaults, match=r".") as caught:
        read_faults(spec)

    assert words in str(caught.value)


WHEN = st.sampled_from(["", "0.5", "10%", "#3", "#2-4", "#2+", "1", "0"])


@given(st.lists(st.tuples(st.sampled_from([*PLACES]), st.sampled_from([*FAULTS]), WHEN), max_size=5), st.integers())
def test_every_word_of_the_tables_can_be_used_and_a_seed_repeats_it_all(
    rules: list[tuple[str, str, str]], seed: int
) -> None:
    spec = "; ".join([" ".join(rule) for rule in rules] + [f"seed={seed}"])
    asked = [("POST", "/jobs"), ("GET", "/jobs/a"), ("GET", "/dl/local/download-file/a/b/c"), ("PATCH", "/jobs/b")] * 8

    one, other = read_faults(spec), read_faults(spec)

    assert [one.of(*request) for request in asked] == [other.of(*request) for request in asked]


def test_without_a_seed_it_is_zero() -> None:
    said, unsaid = read_faults("any quota 50%; seed=0"), read_faults("any quota 50%")

    assert [said.of("GET", "/jobs") for _ in range(50)] == [unsaid.of("GET", "/jobs") for _ in range(50)]


@given(st.text(max_size=60))
def test_no_text_is_more_than_a_bad_spec(text: str) -> None:
    with contextlib.suppress(BadFaults):
        assert len(read_faults(text).rules) <= text.count(";") + text.count("\n") + 1


@pytest.mark.parametrize(
    ("when", "hit"),
    [
        ("", [1, 2, 3, 4, 5, 6]),
        ("#2", [2]),
        ("#2-4", [2, 3, 4]),
        ("#5+", [5, 6]),
        ("0", []),
        ("100%", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_when_counts_the_requests_that_fit(when: str, hit: list[int]) -> None:
    faults = read_faults(f"create quota {when}")

    struck = []
    for number in range(1, 7):
        assert faults.of("GET", "/jobs") == {}
        if faults.of("POST", "/jobs"):
            struck.append(number)

    assert struck == hit


def test_a_probability_is_about_what_it_says() -> None:
    faults = read_faults("any busy 0.25; seed=5")

    assert 200 < sum(bool(faults.of("GET", "/jobs")) for _ in range(1000)) < 300


def in_process(tmp_path: Path, spec: str, body: Any) -> Any:
    async def test() -> Any:
        async with api_of(tmp_path, faults=spec) as api:
            return await body(api)

    return asyncio.run(test())


def test_an_error_before_does_nothing_and_one_after_has_done_it(tmp_path: Path) -> None:
    async def body(api: Any) -> list[int]:
        return [(await api.http.post("/jobs", json={})).status_code for _ in range(3)]

    statuses = in_process(tmp_path, "create error-before=503 #1; create error-after #2", body)

    assert statuses == [503, 500, 201]
    assert len(read_book(tmp_path)) == 2


def test_refusals_come_with_both_forms_of_retry_after(tmp_path: Path) -> None:
    async def body(api: Any) -> list[httpx.Response]:
        return [await api.http.get("/jobs") for _ in range(4)]

    began = time.time()
    quota, busy, dated, good = in_process(tmp_path, "list quota #1; list busy=7 #2; list busy-date=9 #3", body)

    assert [one.status_code for one in (quota, busy, dated, good)] == [402, 429, 429, 200]
    assert busy.headers["Retry-After"] == "7"
    moment = email.utils.parsedate_to_datetime(dated.headers["Retry-After"]).timestamp()
    assert began + 9 - 1 <= moment <= time.time() + 9  # a date has whole seconds


def test_downloads_can_be_corrupted_expired_and_slow(tmp_path: Path) -> None:
    async def body(api: Any) -> list[tuple[int, bytes, float]]:
        job = await api.staged()
        await api.upload(job)
        done = await api.converted(job)
        seen = []
        for _ in range(4):
            began = time.monotonic()
            answer = await api.http.get(done["output"][0]["uri"])
            seen.append((answer.status_code, answer.content, time.monotonic() - began))
        return seen

    corrupt, expired, slow, good = in_process(
        tmp_path, "download corrupt #1; download expired #2; download slow=70 #3", body
    )

    assert good[:2] == (200, b"pixels0")
    assert corrupt[:2] == (200, b"pixels" + bytes([ord("0") ^ 0xFF]))
    assert expired[0] == 410
    assert slow[:2] == (200, b"pixels0")
    assert slow[2] >= 0.09


def test_a_delay_is_waited_for(tmp_path: Path) -> None:
    async def body(api: Any) -> float:
        began = time.monotonic()
        await api.http.get("/jobs")
        return time.monotonic() - began

    assert in_process(tmp_path, "GET:/jobs delay=0.2", body) >= 0.2
