"""A name server that answers differently the second time: one look, and the connection goes to what was checked."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from runner.server.callbacks.post import Letter, post
from runner.server.engine.fair_places import FairThreads
from runner.server.engine.remote import InputError, Order, fetch
from runner.server.engine.stop import Stop
from runner.server.storage.places import place_of
from runner.server.storage.protocol import Site, StorageError
from runner.server.storage.transfer import fetch as fetch_object
from tests.server.storage.everywhere import order

GOOD, BAD = "127.0.0.2", "127.0.0.1"
ALLOWED = (ip_network(f"{GOOD}/32"),)
NAME = "rebinding.test"


class TwoServers:
    """One port at the address that is allowed and at the one that isn't; who was connected to is noted."""

    def __init__(self, answer: bytes) -> None:
        self.connected: list[str] = []
        self._answer = answer
        self._listening = _on_one_port()
        self.port = self._listening[0].getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, args=(one,)) for one in self._listening]
        for thread in self._threads:
            thread.start()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                self.connected.append(connection.getsockname()[0])
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    continue

    def close(self) -> None:
        for one in self._listening:
            one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()


def _on_one_port() -> tuple[socket.socket, socket.socket]:
    """A port that is free at one address may be somebody's at the other: then another is taken."""
    while True:
        good = socket.create_server((GOOD, 0))
        try:
            return good, socket.create_server((BAD, good.getsockname()[1]))
        except OSError as error:
            good.close()
            if error.errno != errno.EADDRINUSE:
                raise


@pytest.fixture
def servers() -> Iterator[Callable[[bytes], TwoServers]]:
    made: list[TwoServers] = []

    def make(answer: bytes) -> TwoServers:
        made.append(TwoServers(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers for the name: first the address that is allowed, from then on the other."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def changing(host: Any, *args: Any, **more: Any) -> Any:
        if host != NAME:
            return real(host, *args, **more)
        asked.append(host)
        return real(GOOD if len(asked) == 1 else BAD, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    return asked


def test_a_remote_input_comes_from_the_address_that_was_checked(
    servers: Callable[[bytes], TwoServers], lookups: list[str], tmp_path: Path
) -> None:
    both = servers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    got = fetch(
        Order(
            url=f"http://{NAME}:{both.port}/a",
            path=tmp_path / "a",
            most_bytes=10,
            too_large="",
            allowed=ALLOWED,
            stopped=Stop(),
            digest=hashlib.md5(usedforsecurity=False),
        )
    )

    assert (got.size, both.connected, lookups) == (2, [GOOD], [NAME])


def test_every_attempt_looks_the_name_up_and_checks_it_anew(
    servers: Callable[[bytes], TwoServers], lookups: list[str], tmp_path: Path
) -> None:
    both = servers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")  # it breaks off

    with pytest.raises(InputError) as caught:
        fetch(
            Order(
                url=f"http://{NAME}:{both.port}/a",
                path=tmp_path / "a",
                most_bytes=10,
                too_large="",
                allowed=ALLOWED,
                stopped=Stop(),
                digest=hashlib.md5(usedforsecurity=False),
            )
        )

    assert (caught.value.code, both.connected, lookups) == (403, [GOOD], [NAME, NAME])


def test_a_callback_goes_to_the_address_that_was_checked(
    servers: Callable[[bytes], TwoServers], lookups: list[str]
) -> None:
    both = servers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    letter = Letter(url=f"http://{NAME}:{both.port}/hook", body=b"{}", headers={})

    status = asyncio.run(post(letter, allowed=ALLOWED, timeout_s=5, resolvers=FairThreads(1, "resolve")))

    assert (status, both.connected, lookups) == (200, [GOOD], [NAME])


def test_ftp_speaks_to_the_address_that_was_checked(
    servers: Callable[[bytes], TwoServers], lookups: list[str], tmp_path: Path
) -> None:
    both = servers(b"220 Hello\r\n502 No TLS\r\n530 Not you\r\n")
    parameters = {"host": NAME, "port": str(both.port), "file": "a"}
    place = place_of("ftp", parameters, {"username": "u", "password": "p"})

    with pytest.raises(StorageError, match="refuses the login"):
        fetch_object(place, Site(allowed=ALLOWED), order(tmp_path))

    assert (both.connected, lookups) == ([GOOD], [NAME])
