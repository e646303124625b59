"""Accounts and their keys: made, listed and revoked beside the running server, and never kept in clear."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.server.api.access import Keys
from runner.server.store.database import Database
from tests.server.served import RUNNER, serving


def keys(state: Path, *args: str) -> str:
    command = [*RUNNER, "serve", "--state", str(state), "keys", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def status(base_url: str, key: str) -> int:
    return httpx.get(f"{base_url}/jobs", headers={"X-Oc-Api-Key": key}).status_code


def test_a_key_is_good_at_once_and_revoked_at_once_while_the_server_runs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(state) as served:
        key = keys(state, "add", "--account", "billing", "--label", "nightly job")
        before = status(served.base_url, key)
        (row,) = json.loads(keys(state, "list", "--format", "json"))
        keys(state, "revoke", row["id"])
        after = status(served.base_url, key)

    assert (before, after) == (200, 401)
    assert (row["account"], row["label"], row["revoked"]) == ("billing", "nightly job", None)
    assert "revoked" in keys(state, "list")


def test_a_key_is_looked_up_once_for_what_came_together_and_again_for_what_comes_later(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "server.db")
        found = Keys(database, ())
        key = await found.at_start()
        together = {id(found.caller_of(key)) for _ in range(3)}
        await database.write(lambda db: db.execute("update keys set revoked = 1").fetchall())

        assert len(together) == 1
        assert found.caller_of(key) is None
        database.close()

    asyncio.run(run())


def test_a_key_made_before_the_first_start_is_good(tmp_path: Path) -> None:
    key = json.loads(keys(tmp_path / "state", "add", "--format", "json"))["api_key"]

    with serving(tmp_path / "state") as served:
        assert status(served.base_url, key) == 200


def test_a_key_that_was_made_at_the_start_is_good_until_the_next_one(tmp_path: Path) -> None:
    state = tmp_path / "state"
    kept = keys(state, "add")
    made = []
    for _ in range(2):
        command = [*RUNNER, "serve", "--state", str(state), "--format", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            made.append(ready["api_key"])
            known = [status(ready["base_url"], key) for key in (kept, *made)]
            process.terminate()

    assert known == [200, 401, 200]
    rows = json.loads(keys(state, "list", "--format", "json"))
    assert [row["revoked"] is None for row in rows] == [True, False, True]

    with serving(state) as served:  # with a key that was given
        known = [status(served.base_url, key) for key in (kept, *made, served.api_key)]
    assert known == [200, 401, 401, 200]


def test_a_create_that_is_repeated_with_another_key_of_the_account_is_the_same_create(tmp_path: Path) -> None:
    state = tmp_path / "state"
    one, same, other = (keys(state, "add", "--account", name) for name in ("shop", "shop", "other"))

    def create(base_url: str, key: str, **body: Any) -> httpx.Response:
        headers = {"X-Oc-Api-Key": key, "Idempotency-Key": "once"}
        return httpx.post(f"{base_url}/jobs", json={"process": False, **body}, headers=headers)

    with serving(state) as served:
        first, again, others = (create(served.base_url, key) for key in (one, same, other))
        changed = create(served.base_url, same, notify_status=True)
    with serving(state) as served:
        after_restart = create(served.base_url, same)

    assert [answer.status_code for answer in (first, again, others, changed, after_restart)] == [
        201,
        201,
        201,
        409,
        201,
    ]
    assert first.json()["id"] == again.json()["id"] == after_restart.json()["id"]
    assert others.json()["id"] != first.json()["id"]


def test_keys_are_nowhere_in_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(state) as served:
        key = keys(state, "add")
        assert status(served.base_url, key) == 200
        kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())

    assert key.encode() not in kept
    assert served.api_key.encode() not in kept


def test_accounts_dont_see_each_others_jobs_and_keys_of_one_account_share_them(tmp_path: Path) -> None:
    state = tmp_path / "state"
    one, same, other = (keys(state, "add", "--account", name) for name in ("one", "one", "other"))
    with serving(state) as served:
        job = httpx.post(f"{served.base_url}/jobs", json={"process": False}, headers={"X-Oc-Api-Key": one}).json()
        seen = {
            key: httpx.get(f"{served.base_url}/jobs/{job['id']}", headers={"X-Oc-Api-Key": key}).status_code
            for key in (one, same, other)
        }
        listed = httpx.get(f"{served.base_url}/jobs", headers={"X-Oc-Api-Key": other}).json()

    assert list(seen.values()) == [200, 200, 404]
    assert listed == []


def test_another_interface_needs_a_key_that_is_set_or_made(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*RUNNER, "serve", "--state", str(tmp_path / "state"), "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 5
    assert "--key" in refused.stderr
    assert "keys add" in refused.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["revoke", "no-such-id"], "there is no key"),
        (["add", "--account", "../up"], "can't be an account"),
        (["add", "--account", ""], "can't be an account"),
        (["add", "--label", "two\nlines"], "one line"),
        (["add", "--state", "/proc/nope"], "can't use the state folder"),
    ],
)
def test_what_keys_cant_do_is_a_message(tmp_path: Path, args: list[str], words: str) -> None:
    keys(tmp_path / "state", "add")
    command = [*RUNNER, "serve", "--state", str(tmp_path / "state"), "keys", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 5
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [("list",), ("list", "--format", "json"), ("revoke", "5f2a90c1d3e4")])
def test_looking_for_keys_in_the_wrong_folder_is_an_error_and_leaves_no_folder_there(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    command = [*RUNNER, "serve", "--state", str(tmp_path / "wrong" / "state"), "keys", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (5, "")
    assert f"no state of a server in {tmp_path / 'wrong' / 'state'}" in done.stderr
    assert not (tmp_path / "wrong").exists()


def test_statistics_of_one_key_leave_out_the_others(tmp_path: Path, picture_base64: str) -> None:
    state = tmp_path / "state"
    one, other = (keys(state, "add", "--account", "shop") for _ in range(2))
    body = {"input": {"type": "base64", "source": picture_base64, "filename": "a.png"}, "conversion": {"target": "jpg"}}
    with serving(state, "--workers", "1") as served, httpx.Client(base_url=served.base_url) as http:
        headers: dict[str, dict[str, str]] = {key: {"X-Oc-Api-Key": key} for key in (one, other)}
        made = http.post("/jobs", json=body, headers=headers[one]).json()
        year = made["created_at"][:4]
        seen: dict[str, Any] = {
            f"{key == one} {wanted}": sum(
                int(row["job_counter"]) for row in http.get(f"/stats/year/{year}/{wanted}", headers=headers[key]).json()
            )
            for key in (one, other)
            for wanted in ("single", "all")
        }

    assert seen == {"True single": 1, "True all": 1, "False single": 0, "False all": 1}


@pytest.mark.parametrize(
    "contract", ["", "paid", "prepaid", "prepaid:", "prepaid:-1", "prepaid:1.5", "prepaid:9999999999999", "FREE"]
)
def test_what_is_no_contract_is_refused_with_what_there_is(tmp_path: Path, contract: str) -> None:
    command = [*RUNNER, "serve", "--state", str(tmp_path / "state"), "--contract", contract]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "free, prepaid:CREDITS, monthly or unlimited" in done.stderr
