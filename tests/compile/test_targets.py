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
