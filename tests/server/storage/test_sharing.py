"""Clients are shared by transfers that are under way at once, and closed with the last of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runner.server.storage.places import place_of
from runner.server.storage.protocol import Site
from runner.server.storage.sharing import Shared, sharing_key


def place(**changed: Any) -> Any:
    parameters = {"bucket": "b", "file": changed.pop("file", "a"), "region": changed.pop("region", "eu-central-1")}
    credentials = {"accesskeyid": "ID", "secretaccesskey": "secret-1", **changed}
    return place_of("amazons3", parameters, credentials)


def test_two_at_once_share_one_client_and_the_last_closes_it() -> None:
    made: list[object] = []
    closed: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    shared: Shared[object] = Shared(closed.append)

    first, second = shared.take(b"k", make), shared.take(b"k", make)
    shared.give_back(b"k")
    assert (first is second, closed) == (True, [])
    shared.give_back(b"k")

    assert closed == made
    assert shared.take(b"k", make) is not first


def test_a_client_that_cant_be_made_leaves_nothing() -> None:
    shared: Shared[object] = Shared(lambda _: None)

    with pytest.raises(ValueError, match="no"):
        shared.take(b"k", _refused)

    made = shared.take(b"k", object)
    shared.give_back(b"k")
    assert made is not shared.take(b"k", object)


def _refused() -> object:
    raise ValueError("no")


def test_many_threads_never_use_a_closed_client() -> None:
    class Client:
        closed = False

    def close(client: Client) -> None:
        client.closed = True

    shared: Shared[Client] = Shared(close)
    wrong = []

    def use(_: int) -> None:
        client = shared.take(b"k", Client)
        threading.Event().wait(0.0001)
        if client.closed:
            wrong.append(client)
        shared.give_back(b"k")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, range(500)))

    assert wrong == []


@pytest.mark.parametrize(
    ("changed", "site"),
    [
        pytest.param({"secretaccesskey": "secret-2"}, Site(), id="credentials"),
        pytest.param({"region": "us-east-1"}, Site(), id="region"),
        pytest.param({}, Site(s3_endpoint="http://127.0.0.1:1"), id="site"),
    ],
)
def test_what_makes_a_client_another(changed: dict[str, str], site: Site) -> None:
    assert sharing_key(place(), Site(), "region") != sharing_key(place(**changed), site, "region")


def test_another_object_of_the_same_account_is_reached_by_the_same_client_and_the_key_tells_no_secret() -> None:
    key = sharing_key(place(), Site(), "region")

    assert key == sharing_key(place(file="other"), Site(), "region")
    assert b"secret" not in key
