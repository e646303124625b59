"""Passwords of downloads: many of them cost little, and what they cost nobody else waits for."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runner.server.jobs.passwords import hash_password, hasher, is_among, new_salt, passwords_in, tries

MANY = [f"password {number}" for number in range(100)]


def test_each_candidate_is_hashed_once_however_many_passwords_a_job_has() -> None:
    salt, other = new_salt(), new_salt()
    hashes = [*(f"{salt.hex()}:{number}" for number in range(100)), f"{other.hex()}:1"]

    tried = list(tries(hashes, ",".join("abcdefghijklmnopqrstuvwxyz")))

    assert len(tried) == 17 * 2
    assert {len(same_salt) for _, one, same_salt in tried if one == salt} == {100}


@pytest.mark.parametrize(
    ("given", "opens"),
    [("pa ss", True), ("a,b", True), ("wrong, pa ss", True), ("pa", False), ("", False), ("pa ss,", True)],
)
def test_a_password_opens_alone_and_among_others_and_may_hold_a_comma(given: str, opens: bool) -> None:
    hashed = hasher(new_salt(), {})
    hashes = [hashed("pa ss"), hashed("a,b")]

    assert any(is_among(hash_password(one, salt), known) for one, salt, known in tries(hashes, given)) is opens


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"download_passwords": ["a", "b", "a", ""], "conversion": [{"options": {"download_password": "c"}}]}, "abc"),
        ({"download_passwords": "a", "conversion": {"options": {"download_password": "c"}}}, "ac"),
        ([{"options": {"download_password": "c"}}, {"options": []}, 7], "c"),
        ({"download_password": "d"}, "d"),
        ({"download_passwords": [7, None, []], "conversion": 7}, ""),
        ({"download_passwords": [str(number) for number in range(100_000)]}, ""),
        ([{"options": {"download_password": str(number)}} for number in range(1101)], ""),
        (None, ""),
    ],
)
def test_passwords_are_found_wherever_a_request_may_set_them(body: Any, found: str) -> None:
    assert passwords_in(body) == list(found)


def test_a_hundred_passwords_are_hashed_beside_the_event_loop_and_a_wrong_one_costs_little(with_server: Any) -> None:
    async def test(api: Any) -> None:
        one = time.process_time()
        hash_password("x", new_salt())
        one = time.process_time() - one

        on_the_loop = time.thread_time()
        options = {"download_password": "its own"}
        job = await api.create(
            process=False, conversion=[{"target": "png", "options": options}], download_passwords=MANY
        )
        assert (await api.http.patch(f"/jobs/{job['id']}", json={"download_passwords": MANY})).status_code == 200
        on_the_loop = time.thread_time() - on_the_loop
        await api.upload(job)
        (output,) = (await api.converted(job))["output"]

        async def status(password: str) -> int:
            headers = {"X-Oc-Download-Password": password}
            return int((await api.stranger.get(output["uri"], headers=headers)).status_code)

        wrong = time.process_time()
        assert await status(",".join("abcdefghijklmnopq")) == 401
        wrong = time.process_time() - wrong

        assert [await status(one) for one in (MANY[0], MANY[99], "its own", "x, its own")] == [200] * 4
        assert on_the_loop < 100 * one  # of the 201 hashes that were made
        assert wrong < 200 * one

    with_server(test)


def test_a_job_has_so_many_conversions_and_no_more(with_server: Any) -> None:
    async def test(api: Any) -> None:
        many = [{"target": "png", "options": {"download_password": str(number)}} for number in range(1001)]
        began = time.process_time()
        refused = await api.http.post("/jobs", json={"process": False, "conversion": many})
        assert time.process_time() - began < 2.0
        assert refused.status_code == 400
        assert "at most 1000" in refused.json()["errors"]["conversion"]

        job = await api.create(process=False, conversion=[{"target": "png"}] * 999)
        path = f"/jobs/{job['id']}/conversions"
        assert (await api.http.post(path, json=[{"target": "png"}] * 2)).status_code == 400
        assert (await api.http.post(path, json={"target": "png"})).status_code == 201
        assert (await api.http.post(path, json={"target": "png"})).status_code == 400

    with_server(test)


def test_passwords_are_added_and_rotated_once_there_is_something_to_download(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(download_passwords=["old"])
        await api.upload(job)
        done = await api.converted(job)
        uri = done["output"][0]["uri"]

        async def opens(password: str) -> bool:
            answer = await api.stranger.get(uri, headers={"X-Oc-Download-Password": password})
            return bool(answer.status_code == 200)

        assert [await opens("old"), await opens("new")] == [True, False]
        answer = await api.http.patch(f"/jobs/{job['id']}", json={"download_passwords": ["new", "other"]})
        assert (answer.status_code, answer.json()["status"]["code"]) == (200, "completed")
        assert [await opens("old"), await opens("new"), await opens("other")] == [False, True, True]
        assert (await api.http.patch(f"/jobs/{job['id']}", json={"download_passwords": []})).status_code == 200
        assert (await api.stranger.get(uri)).status_code == 200
        body = {"download_passwords": ["new"], "callback": "http://example.org/"}
        assert (await api.http.patch(f"/jobs/{job['id']}", json=body)).status_code == 409

    with_server(test)


@pytest.mark.parametrize(("given", "locked"), [([""], False), ("", False), (["", "sesame"], True)])
@pytest.mark.parametrize("patched", [False, True])
def test_an_empty_password_is_none(with_server: Any, given: Any, locked: bool, patched: bool) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(download_passwords=["old"] if patched else given)
        if patched:
            answer = await api.http.patch(f"/jobs/{job['id']}", json={"download_passwords": given})
            assert answer.status_code == 200
        await api.upload(job, b"pixels")
        (output,) = (await api.converted(job))["output"]

        opened = await api.stranger.get(output["uri"])
        assert (opened.status_code, opened.content == b"pixels0") == ((401, False) if locked else (200, True))
        unlocked = await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "sesame"})
        assert (unlocked.status_code, unlocked.content) == (200, b"pixels0")

    with_server(test)


@pytest.mark.parametrize(
    ("given", "opens"),
    [
        ({"rotate": 90}, "old"),
        ({"rotate": 90, "download_password": None}, "old"),
        ({"rotate": 90, "download_password": "new"}, "new"),
        ({"rotate": 90, "download_password": ""}, ""),
    ],
)
def test_a_conversions_password_stays_until_it_is_set_anew_or_cleared(
    with_server: Any, given: dict[str, Any], opens: str
) -> None:
    async def test(api: Any) -> None:
        conversion = {"target": "png", "options": {"width": 70, "download_password": "old"}}
        job = await api.create(process=False, conversion=conversion)
        path = f"/jobs/{job['id']}/conversions/{job['conversion'][0]['id']}"
        answer = await api.http.patch(path, json={"options": given})
        assert (answer.status_code, answer.json()["options"]["rotate"]) == (200, 90)
        await api.upload(job, b"pixels")
        (output,) = (await api.converted(job))["output"]

        async def loaded(password: str) -> bytes | None:
            headers = {"X-Oc-Download-Password": password} if password else {}
            download = await api.stranger.get(output["uri"], headers=headers)
            return bytes(download.content) if download.status_code == 200 else None

        tried = [password for password in ("", "old", "new") if await loaded(password) == b"pixels0"]
        assert tried == ([opens] if opens else ["", "old", "new"])

    with_server(test)
