"""Requests that another process carries: the same answers and the same errors, whatever becomes of that process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.client.api import ConversionApi
from runner.client.courier.frames import Frames, packed
from runner.client.courier.http import MOST_CARRIED_BYTES, open_courier_http
from runner.client.endpoint import Endpoint
from runner.client.errors import OutcomeUnknownError
from runner.client.http import FOREIGN, Answer, Http, read_whole
from runner.client.pacing import Backoff
from tests.client.conftest import KEY, Rogue, reply, rogue

ROOT = Path(__file__).resolve().parents[2]
TEXTS = st.text(max_size=20) | st.just("a header that isn't UTF-8: \udcff")
HEADS = st.lists(TEXTS | st.integers(0, 2**40) | st.booleans() | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=5)


@given(frames=st.lists(st.tuples(HEADS, st.binary(max_size=300)), max_size=8), step=st.integers(1, 400))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[tuple[Any, bytes]], step: int) -> None:
    sent = b"".join(packed(head, body) for head, body in frames)
    receiving = Frames()

    came = [frame for at in range(0, len(sent), step) for frame in receiving.add(sent[at : at + step])]

    assert came == frames


def by_courier(
    do: Callable[[Http, Rogue], Awaitable[Any]], *answers: Any, call_timeout_s: float = 5.0, **how: Any
) -> tuple[Any, Rogue]:
    async def main() -> tuple[Any, Rogue]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(rogue(*answers, **how))
            endpoint = Endpoint(name="loopback", base_url=f"{server.url}/v2", api_key=KEY)
            opened = open_courier_http(endpoint, call_timeout_s=call_timeout_s)
            http = await stack.enter_async_context(opened)
            return await do(http, server), server

    return asyncio.run(main())


def couriers(of: int | None = None) -> dict[int, str]:
    """Command lines of the couriers of a process, of this one for None, by their process ids."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_text()
            if parent == (of or os.getpid()) and "runner.client.courier" in command:
                found[int(process.name)] = command
    return found


async def _contracts(http: Http, server: Rogue, *, backoff: Backoff | None = None) -> Any:
    endpoint = Endpoint(name="loopback", base_url=f"{server.url}/v2", api_key=KEY)
    return await ConversionApi(endpoint=endpoint, http=http, backoff=backoff or Backoff(tries=0)).contracts()


async def _arrived(server: Rogue) -> None:
    for _ in range(1000):
        if server.requests:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody asked")


def test_a_call_is_carried_with_its_key_and_nobody_can_read_that_in_the_list_of_processes() -> None:
    async def do(http: Http, server: Rogue) -> tuple[Any, dict[int, str]]:
        return await _contracts(http, server), couriers()

    (said, commands), server = by_courier(do, reply(200, {"plan": "free"}))

    assert said == {"plan": "free"}
    assert server.requests[0].headers["x-api2convert-api-key"] == KEY
    assert len(commands) == 1
    assert KEY not in str(commands)
    assert not couriers()


def test_many_at_once_get_their_own_answers() -> None:
    async def do(http: Http, server: Rogue) -> list[Answer]:
        asked = (http.request("POST", f"{server.url}/{n}", headers={}, content=b"%d" % n) for n in range(300))
        return await asyncio.gather(*asked)

    answers, _ = by_courier(do, lambda request: reply(200, {"path": request.path, "body": request.body.decode()}))

    assert [orjson.loads(answer.content) for answer in answers] == [
        {"path": f"/{number}", "body": str(number)} for number in range(300)
    ]


@pytest.mark.parametrize("name", ["X-Odd", "Retry-After"])
def test_headers_that_are_no_text_come_over_and_are_found_in_any_case(name: str) -> None:
    async def do(http: Http, server: Rogue) -> Answer:
        return await http.request("GET", server.url, headers={})

    answer, _ = by_courier(do, b"HTTP/1.1 200 OK\r\n" + name.encode() + b": \xff1\r\nContent-Length: 0\r\n\r\n")

    assert answer.headers[name.upper()] == "\udcff1"


def test_what_is_longer_than_is_carried_breaks_off_like_any_other_body() -> None:
    async def do(http: Http, server: Rogue) -> tuple[int, str]:
        came = 0
        async with http.open("GET", server.url, headers={}, raw=True, is_small=True) as response:
            try:
                async for block in response.content.iter_any():
                    came += len(block)
            except FOREIGN as error:
                return came, str(error)
        return came, ""

    long = b"x" * (16 * MOST_CARRIED_BYTES)
    (came, why), _ = by_courier(do, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(long) + long)

    assert MOST_CARRIED_BYTES < came < len(long)
    assert "longer" in why


def test_a_body_that_breaks_off_gives_what_came_of_it() -> None:
    async def do(http: Http, server: Rogue) -> tuple[bytes, bool]:
        async with http.open("GET", server.url, headers={}, raw=True, is_small=True) as response:
            came = bytearray()
            try:
                async for block in response.content.iter_any():
                    came += block
            except FOREIGN:
                return bytes(came), True
            return bytes(came), False

    came, _ = by_courier(do, lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf")

    assert came == (b"half", True)


def test_a_refusal_of_a_small_file_is_read_like_any_answer() -> None:
    async def do(http: Http, server: Rogue) -> Answer:
        async with http.open("GET", server.url, headers={}, raw=True, is_small=True) as response:
            return await read_whole(response)

    answer, _ = by_courier(do, reply(404, {"message": "gone"}))

    assert (answer.status, answer.content) == (HTTPStatus.NOT_FOUND, b'{"message": "gone"}')


def test_whoever_waits_for_a_courier_that_is_killed_is_told_that_nobody_knows_and_others_go_without_one() -> None:
    async def do(http: Http, server: Rogue) -> tuple[str, Any]:
        asking = asyncio.create_task(_contracts(http, server))
        await _arrived(server)
        (courier,) = couriers()
        os.kill(courier, signal.SIGKILL)
        with pytest.raises(OutcomeUnknownError) as caught:
            await asking
        server.mute = False
        return str(caught.value), await _contracts(http, server)

    (why, said), _ = by_courier(do, reply(200, {"plan": "free"}), mute=True)

    assert "the process that carries requests has ended" in why
    assert said == {"plan": "free"}


def test_a_request_that_nobody_waits_for_any_more_is_dropped() -> None:
    hung_up = asyncio.Event()

    def answer(_: object) -> None:
        hung_up.set()  # a mute server comes to its answer when the client has gone

    async def do(http: Http, server: Rogue) -> None:
        asking = asyncio.create_task(_contracts(http, server))
        await _arrived(server)
        asking.cancel()
        async with asyncio.timeout(10.0):
            await hung_up.wait()

    by_courier(do, answer, mute=True, call_timeout_s=60.0)


def test_a_call_takes_no_longer_than_it_may() -> None:
    async def do(http: Http, server: Rogue) -> str:
        with pytest.raises(OutcomeUnknownError) as caught:
            await _contracts(http, server)
        return str(caught.value)

    said, _ = by_courier(do, reply(200, {}), mute=True, call_timeout_s=0.5)

    assert "it wasn't whole in time" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_all_processes_of_a_run_leave_its_courier_at_work(number: signal.Signals) -> None:
    async def do(http: Http, server: Rogue) -> Any:
        await _contracts(http, server)
        (courier,) = couriers()
        os.kill(courier, number)
        await asyncio.sleep(0.1)
        assert courier in couriers()
        return await _contracts(http, server)

    said, _ = by_courier(do, reply(200, {"plan": "free"}))

    assert said == {"plan": "free"}


_RUN = """
import asyncio, sys
from runner.client.courier.http import open_courier_http
from runner.client.endpoint import Endpoint

async def main():
    async with open_courier_http(Endpoint(name="x", base_url="http://127.0.0.1:9", api_key="k")) as http:
        try:
            await http.request("GET", "http://127.0.0.1:9/", headers={})
        except Exception as error:
            print(error, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_courier_ends_with_a_run_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _RUN], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline()
        (courier,) = couriers(run.pid)
        run.kill()

    for _ in range(1000):
        if not Path(f"/proc/{courier}").exists():
            return
        time.sleep(0.01)
    raise AssertionError("it is still there")


def test_where_no_process_can_be_started_requests_go_out_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", full)

    said, _ = by_courier(_contracts, reply(200, {"plan": "free"}))

    assert said == {"plan": "free"}


def test_what_goes_wrong_in_a_courier_is_heard_by_whoever_waits() -> None:
    async def do(http: Http, server: Rogue) -> str:
        with pytest.raises(FOREIGN) as caught:
            await http.request("GET", server.url, headers={"a": 1})  # type: ignore[dict-item]
        return str(caught.value)

    said, _ = by_courier(do, reply(200, {}))

    assert said == "TypeError in the process that carries requests"
