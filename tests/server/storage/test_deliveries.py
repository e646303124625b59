"""A delivery that got through is known as our own: after a kill, and when the job is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.server.config import ServerConfig
from tests.server.conftest import KEY, Api, Copying, run_against
from tests.server.storage.everywhere import object_stores, with_group
from tests.server.storage.ftpd import Ftpd
from tests.server.storage.remote import LOOPBACK, Remote
from tests.server.storage.wire import wire_to

PICTURE = b"\xff\xd8\xff a picture that was delivered"
Serve = Callable[..., None]
# Providers whose parameters don't say whose storage they mean.
accounts = pytest.mark.parametrize("server", [with_group("blob"), pytest.param("pyftpd", id="ftp")])


@pytest.fixture
def pyftpd(naughty: Ftpd) -> Remote:
    return naughty.remote


def neighbor_of(remote: Remote) -> Remote:
    assert remote.neighbor is not None
    return remote.neighbor


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs a test against the server of one state folder, pointed at a provider."""

    def run(
        test: Callable[[Api], Awaitable[None]],
        remote: Remote,
        *,
        converter: Copying | None = None,
        silence_s: float = 5.0,
    ) -> None:
        endpoint: dict[str, Any] = dict(remote.endpoint)
        config = ServerConfig(
            state_dir=tmp_path / "state",
            api_keys=(KEY,),
            workers=2,
            allow_private=LOOPBACK,
            seal_key=tmp_path / "keys" / "seal.key",
            storage_silence_s=silence_s,
            **endpoint,
        )
        asyncio.run(run_against(test, config, converter or Copying()))

    return run


def over(remote: Remote, url: str) -> Remote:
    """The same over another line; a key file names the line that tokens come from."""
    credentials = dict(remote.credentials)
    if "keyfile" in credentials:
        credentials["keyfile"] = {**credentials["keyfile"], "token_uri": f"{url}/token"}
    return replace(remote.behind(url), credentials=credentials)


async def job_to(api: Api, *targets: dict[str, Any]) -> dict[str, Any]:
    job = await api.create(process=False, conversion=[{"target": "png", "output_target": list(targets)}])
    assert (await api.upload(job, PICTURE)).status_code == 200
    assert (await api.start(job)).status_code == 200
    return job


async def until_stored(remote: Remote, name: str) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(remote.get, name) is None:  # noqa: ASYNC110  # a store tells nobody
            await asyncio.sleep(0.02)


@object_stores
def test_what_was_stored_when_the_server_went_is_not_in_its_own_way(remote: Remote, serve: Serve) -> None:
    job: dict[str, Any] = {}
    name = f"gone-{remote.provider}.png"

    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        beyond = over(remote, wire.url)

        async def stopped_before_it_heard(api: Api) -> None:
            wire.silent_after = PICTURE
            job.update(await job_to(api, beyond.target(name)))
            await until_stored(remote, name)
            held = api.opened.house.jobs.load(job["id"])
            assert held is not None
            assert held.phase == "processing"

        async def goes_on(api: Api) -> None:
            done = await api.ended(job)
            assert (done["status"]["code"], done["errors"]) == ("completed", [])
            assert done["conversion"][0]["output_target"][0]["status"] == "completed"
            assert remote.get(name) == PICTURE + b"0"

            again = await api.ended(await job_to(api, beyond.target(name)))
            assert (again["status"]["code"], again["errors"][0]["code"]) == ("failed", 409)

        serve(stopped_before_it_heard, beyond)
        wire.silent_after, wire.silent = b"", False
        serve(goes_on, beyond)


@object_stores
def test_a_second_job_takes_over_what_a_failed_one_has_delivered(remote: Remote, serve: Serve) -> None:
    free, taken = f"first-{remote.provider}.png", f"second-{remote.provider}.png"
    moved = f"third-{remote.provider}.png"
    remote.put(taken, b"somebody else's")

    async def test(api: Api) -> None:
        failed = await api.ended(await job_to(api, remote.target(free), remote.target(taken)))
        second = await api.ended(await job_to(api, remote.target(free), remote.target(moved)))
        third = await api.ended(await job_to(api, remote.target(free), remote.target(f"more-{moved}")))

        assert failed["status"]["code"] == "failed"
        assert (second["status"]["code"], second["errors"]) == ("completed", [])
        assert (remote.get(free), remote.get(moved)) == (PICTURE + b"0", PICTURE + b"0")
        assert remote.get(taken) == b"somebody else's"
        assert (third["status"]["code"], third["errors"][0]["code"]) == ("failed", 409)  # it is the second's by now

    serve(test, remote)


@accounts
def test_one_job_delivers_to_equal_names_in_two_accounts(remote: Remote, serve: Serve) -> None:
    neighbor, name = neighbor_of(remote), f"both-{remote.provider}.png"

    async def test(api: Api) -> None:
        done = await api.ended(await job_to(api, remote.target(name), neighbor.target(name)))

        assert (done["status"]["code"], done["errors"]) == ("completed", [])
        assert (remote.get(name), neighbor.get(name)) == (PICTURE + b"0", PICTURE + b"0")

    serve(test, remote)


@accounts
def test_one_name_twice_in_one_account_is_refused(remote: Remote, serve: Serve) -> None:
    name = f"twice-{remote.provider}.png"

    async def test(api: Api) -> None:
        done = await api.ended(await job_to(api, remote.target(name), remote.target(name)))

        assert (done["status"]["code"], done["errors"][0]["code"], remote.get(name)) == ("failed", 409, None)

    serve(test, remote)


@accounts
def test_what_lies_in_another_account_is_not_taken_for_delivered(remote: Remote, serve: Serve) -> None:
    neighbor, name = neighbor_of(remote), f"moved-{remote.provider}.png"
    taken = f"taken-{remote.provider}.png"
    remote.put(taken, b"first")
    theirs = b"x" * len(PICTURE + b"0")
    neighbor.put(name, theirs)

    async def test(api: Api) -> None:
        failed = await api.ended(await job_to(api, remote.target(name), remote.target(taken)))
        second = await api.ended(await job_to(api, neighbor.target(name)))

        assert (failed["status"]["code"], remote.get(name)) == ("failed", PICTURE + b"0")
        assert (second["status"]["code"], second["errors"][0]["code"]) == ("failed", 409)
        assert neighbor.get(name) == theirs

    serve(test, remote)


@pytest.mark.xdist_group("s3")
def test_other_bytes_are_not_taken_over(s3: Remote, serve: Serve) -> None:
    s3.put("in-the-way.png", b"x")

    async def first(api: Api) -> None:
        targets = s3.target("other-bytes.png"), s3.target("in-the-way.png")
        assert (await api.ended(await job_to(api, *targets)))["status"]["code"] == "failed"

    async def second(api: Api) -> None:
        job = await api.create(
            process=False, conversion=[{"target": "png", "output_target": [s3.target("other-bytes.png")]}]
        )
        await api.upload(job, PICTURE[::-1])
        done = await api.converted(job)
        assert (done["status"]["code"], done["errors"][0]["code"]) == ("failed", 409)
        assert s3.get("other-bytes.png") == PICTURE + b"0"

    serve(first, s3)
    serve(second, s3)


def test_what_was_renamed_at_ftp_when_the_server_went_is_not_in_its_own_way(naughty: Ftpd, serve: Serve) -> None:
    remote, job = naughty.remote, {}
    naughty.mischief.mute = 1

    async def stopped_before_it_heard(api: Api) -> None:
        job.update(await job_to(api, remote.target("own.png")))
        await until_stored(remote, "own.png")

    async def goes_on(api: Api) -> None:
        done = await api.ended(job)
        again = await api.ended(await job_to(api, remote.target("own.png")))

        assert (done["status"]["code"], done["errors"]) == ("completed", [])
        assert (again["status"]["code"], again["errors"][0]["code"]) == ("failed", 409)
        assert remote.get("own.png") == PICTURE + b"0"

    serve(stopped_before_it_heard, remote, silence_s=1.0)
    serve(goes_on, remote)


def test_what_took_the_name_before_the_rename_is_not_taken_for_our_own(naughty: Ftpd, serve: Serve) -> None:
    remote, job = naughty.remote, {}
    theirs = b"x" * len(PICTURE + b"0")
    naughty.mischief.late_s = 60.0

    async def stopped_before_it_was_renamed(api: Api) -> None:
        job.update(await job_to(api, remote.target("own.png")))
        async with asyncio.timeout(10):
            while not list(naughty.home.glob("*.part")):  # noqa: ASYNC110  # a store tells nobody
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        remote.put("own.png", theirs)

    async def goes_on(api: Api) -> None:
        done = await api.ended(job)

        assert (done["status"]["code"], done["errors"][0]["code"]) == ("failed", 409)
        assert remote.get("own.png") == theirs

    serve(stopped_before_it_was_renamed, remote, silence_s=1.0)
    naughty.mischief.late_s = 0.0
    serve(goes_on, remote)


def test_one_name_written_in_two_ways_is_refused_at_ftp(naughty: Ftpd, serve: Serve) -> None:
    remote = naughty.remote

    async def test(api: Api) -> None:
        done = await api.ended(await job_to(api, remote.target("d/a.png"), remote.target("./d//b/../a.png")))

        assert (done["status"]["code"], done["errors"][0]["code"], remote.get("d/a.png")) == ("failed", 409, None)

    serve(test, remote)


def test_at_ftp_what_was_seen_to_get_there_is_taken_over_by_its_size(naughty: Ftpd, serve: Serve) -> None:
    remote = naughty.remote
    remote.put("taken.png", b"first")

    async def test(api: Api) -> None:
        failed = await api.ended(await job_to(api, remote.target("free.png"), remote.target("taken.png")))
        second = await api.ended(await job_to(api, remote.target("free.png"), remote.target("other.png")))
        third = await api.ended(await job_to(api, remote.target("free.png")))

        assert failed["status"]["code"] == "failed"
        assert (second["status"]["code"], second["errors"]) == ("completed", [])
        assert (third["status"]["code"], third["errors"][0]["code"]) == ("failed", 409)

    serve(test, remote)
