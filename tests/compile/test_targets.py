"""Names at providers: when two targets are one place."""

from __future__ import annotations

from typing import Any

import pytest

from runner.compile.targets import targets_of, wanted_twice


def target(provider: str, credentials: dict[str, Any], **parameters: str) -> dict[str, Any]:
    return {"type": provider, "parameters": {"file": "a.jpg", **parameters}, "credentials": credentials}


def told(*targets: dict[str, Any]) -> list[str]:
    """The names that several jobs want, each of which has one of `targets`."""
    wanted = [
        (f"job[{number}]", f"key {number}", found)
        for number, one in enumerate(targets)
        for found in targets_of({"conversion": [{"target": "jpg", "output_target": [one]}]})
    ]
    return [str(name) for name, _ in wanted_twice(wanted)]


@pytest.mark.parametrize(
    ("provider", "account", "held"),
    [("ftp", "username", {"host": "h"}), ("azure", "accountname", {"container": "c"})],
)
def test_equal_names_in_two_accounts_are_two_places(provider: str, account: str, held: dict[str, str]) -> None:
    alice, bob = (target(provider, {account: name}, **held) for name in ("alice", "bob"))
    hidden, other = (target(provider, {account: {"env": name}}, **held) for name in ("A", "B"))

    assert told(alice, bob, hidden, other) == []
    assert len(told(alice, alice)) == len(told(hidden, hidden)) == 1


def test_who_may_write_a_bucket_makes_no_two_of_it() -> None:
    one, other = (target("amazons3", {"accesskeyid": name}, bucket="b") for name in ("a", "b"))

    assert told(one, other) == ["Amazon S3, bucket 'b', file 'a.jpg'"]


def ftp(host: str, file: str, **more: str) -> dict[str, Any]:
    return {"type": "ftp", "parameters": {"host": host, "file": file, **more}, "credentials": {"username": "u"}}


def test_hosts_and_files_of_ftp_are_the_same_however_they_are_written() -> None:
    files = [ftp("h", file) for file in ("d/x.jpg", "d//x.jpg", "./d/x.jpg", "d/sub/../x.jpg")]
    hosts = [
        ftp("h", "x.jpg", port="2121"),
        ftp("ftp://H:2121/", "x.jpg"),
        ftp("h:2121", "x.jpg"),
        ftp("h", "x.jpg", port="02121"),
    ]

    assert told(*files) == ["FTP, host 'h', file 'd/x.jpg'"]
    assert told(*hosts) == ["FTP, host 'h', file 'x.jpg'"]
    assert [told(hosts[0], other) for other in hosts[1:]] == [["FTP, host 'h', file 'x.jpg'"]] * 3


def test_other_hosts_ports_and_folders_of_ftp_are_other_places() -> None:
    others = [ftp("h", "x.jpg"), ftp("h:2121", "x.jpg"), ftp("g", "x.jpg"), ftp("h", "/x.jpg"), ftp("h", "../x.jpg")]

    assert told(*others) == []


def test_object_stores_take_names_as_they_are() -> None:
    slashes = [target("amazons3", {}, bucket="b", file=file) for file in ("d/x", "d//x", "./d/x")]

    assert told(*slashes) == []
