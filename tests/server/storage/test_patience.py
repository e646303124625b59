"""Patience: breaks are few, a busy server gets minutes, and fewer ask it at once."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runner.server.config import ServerConfig
from runner.server.storage.gates import Gate
from runner.server.storage.patience import Patience, patiently, retry_after_s
from runner.server.storage.places import place_of
from runner.server.storage.protocol import TOO_SLOW, Broken, Busy, Site, Stopped, StorageError
from runner.server.storage.transfer import fetch
from tests.server.conftest import KEY, Api, Copying, run_against
from tests.server.storage.everywhere import order
from tests.server.storage.remote import LOOPBACK
from tests.server.storage.vsftpd import vsftpd


class Waits(threading.Event):
    """Waits no time, and says how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return self.is_set()

    def clock(self) -> float:
        return sum(self.seconds)


def patience(*, attempts: int = 4, busy_s: float = 300.0, ends_at: float = math.inf) -> Patience:
    return Patience(attempts=attempts, busy_s=busy_s, ends_at=ends_at, too_slow="It took too long")


def failing(*errors: Exception) -> Callable[[], None]:
    """Raises these, one after the other, and then nothing."""
    left = iter(errors)

    def attempt() -> None:
        for error in left:
            raise error

    return attempt


def try_it(waits: Waits, given: Patience, attempt: Callable[[], None], *, progress: Callable[[], int] = int) -> None:
    patiently(given, waits, attempt, progress, gate=Gate(), clock=waits.clock)


def test_a_connection_that_breaks_is_given_up_after_a_few_attempts() -> None:
    waits = Waits()

    with pytest.raises(StorageError, match="the connection broke, 4 times in a row: gone"):
        try_it(waits, patience(), failing(*[Broken("gone")] * 4))

    assert waits.seconds == [0.2, 0.4, 0.8]


def test_what_got_further_may_break_as_often_again() -> None:
    waits = Waits()
    reached = iter(range(100))

    try_it(waits, patience(attempts=2), failing(*[Broken("gone")] * 20), progress=lambda: next(reached))

    assert waits.seconds == [0.2] * 20


def test_a_server_that_is_busy_gets_minutes_and_not_everybody_at_once() -> None:
    waits = Waits()

    try_it(waits, patience(), failing(*[Busy("slow down")] * 9))

    assert len(waits.seconds) == 9
    assert 0.5 <= waits.seconds[0] <= 1.5
    assert 15 <= waits.seconds[-1] <= 45
    assert len(set(waits.seconds)) == 9


def test_a_server_that_stays_busy_is_given_up() -> None:
    waits = Waits()

    with pytest.raises(StorageError, match=r"busy for \d+ seconds: slow down"):
        try_it(waits, patience(busy_s=60), failing(*[Busy("slow down")] * 99))

    assert 60 <= sum(waits.seconds) < 110


def test_a_server_says_when_to_come_back_within_reason() -> None:
    waits = Waits()

    try_it(waits, patience(), failing(Busy("later", 20.0), Busy("tomorrow", 86_400.0)))

    assert waits.seconds == [20.0, 60.0]


def test_nobody_waits_beyond_the_end() -> None:
    with pytest.raises(StorageError) as caught:
        try_it(Waits(), patience(ends_at=30.0), failing(*[Busy("slow down")] * 99))

    assert caught.value.code == TOO_SLOW
    assert caught.value.message == "It took too long; last: slow down"


def test_what_nobody_wants_any_more_is_not_asked_for() -> None:
    waits = Waits()
    waits.set()

    with pytest.raises(Stopped):
        try_it(waits, patience(), failing(AssertionError("it was asked for")))


def test_a_gate_lets_half_as_many_in_after_a_busy_answer_and_one_more_when_it_goes_well() -> None:
    gate, release = Gate(), threading.Event()
    inside: list[int] = []

    def stay() -> None:
        with gate.passed(release.is_set):
            inside.append(1)
            release.wait(10)

    with ThreadPoolExecutor(16) as pool:
        for _ in range(7):
            pool.submit(stay)
        _until(lambda: len(inside) == 7)
        gate.narrow()  # an eighth was told to come back later
        pool.submit(stay)
        assert not _happens(lambda: len(inside) == 8, within_s=0.3)
        for _ in range(99):
            gate.widen()
        _until(lambda: len(inside) == 8)
        release.set()


def _until(is_so: Callable[[], bool]) -> None:
    assert _happens(is_so, within_s=10)


def _happens(is_so: Callable[[], bool], *, within_s: float) -> bool:
    never = threading.Event()
    for _ in range(int(within_s / 0.01)):
        if is_so():
            return True
        never.wait(0.01)
    return is_so()


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0.0), ("7", 7.0), ("-1", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 99, 0)]
)
def test_only_plain_seconds_are_read(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds


@pytest.fixture
def busy_store() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("provider", ["amazons3", "azure"])
def test_a_store_that_asks_to_slow_down_is_busy_and_not_broken(busy_store: str, provider: str, tmp_path: Path) -> None:
    places = {
        "amazons3": ({"bucket": "b", "file": "f"}, {"accesskeyid": "id", "secretaccesskey": "secret-secret"}),
        "azure": ({"container": "c", "file": "f"}, {"accountname": "account", "accountkey": "c2VjcmV0LXNlY3JldA=="}),
    }
    site = Site(s3_endpoint=busy_store, azure_endpoint=busy_store, busy_s=0.01)

    with pytest.raises(StorageError, match="busy for"):
        fetch(place_of(provider, *places[provider]), site, order(tmp_path))


@pytest.mark.xdist_group("ftp")
def test_an_ftp_server_that_takes_four_at_once_gives_all_of_sixteen_files(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        inputs = [remote.input(f"{number}.jpg") for number in range(16)]
        several = {"allow_multiple_outputs": True}
        conversion = {"target": "png", "options": several, "output_target": [remote.target("out/")]}
        job = await api.create(input=inputs, conversion=[conversion])
        async with asyncio.timeout(90):
            while (done := await api.get(job))["status"]["code"] not in ("completed", "failed"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (done["status"]["code"], done["errors"], done["warnings"]) == ("completed", [], [])
        assert [remote.get(f"out/{number}.png") for number in range(16)] == [b"\xff\xd8\xff %d0" % n for n in range(16)]

    with vsftpd(secure=False, max_per_ip="4") as remote:
        for number in range(16):
            remote.put(f"{number}.jpg", b"\xff\xd8\xff %d" % number)
        config = ServerConfig(state_dir=tmp_path / "state", api_keys=(KEY,), workers=2, allow_private=LOOPBACK)
        asyncio.run(run_against(test, config, Copying()))
