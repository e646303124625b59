"""`runner doctor --live`: what a real endpoint says of each assumption, at no cost and without leaving anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.acceptance.command_line import Desk, serving

KEY = "key-of-the-doctor-0123456789"
FREE, LISTED, CHECKSUM = "an unstarted job is free", "the list shows all jobs", "checksums are MD5"
IDEMPOTENCY, DELETED = "Idempotency-Key is honoured", "unstarted jobs can be deleted"
UNTOLD = dict.fromkeys(("a second start answers 409", "outputs show with the end"), "unknown")
GOOD = {"endpoint answers": "ok", FREE: "ok", LISTED: "ok", CHECKSUM: "ok", IDEMPOTENCY: "ok", DELETED: "ok"}


@pytest.mark.parametrize(
    ("server", "otherwise"),
    [
        ((), {}),
        (("--assume", "list=none"), {LISTED: "unknown"}),
        (("--assume", "checksum=sha1"), {CHECKSUM: "unknown"}),
        (("--assume", "idempotency=ignored"), {IDEMPOTENCY: "unknown"}),
        (("--assume", "delete-unstarted=409"), {DELETED: "unknown"}),
        (("--assume", "canceled=404"), {}),
        (("--faults", "upload error-before=400"), {CHECKSUM: "unknown"}),
        (("--faults", "create error-before=400 #2+"), {IDEMPOTENCY: "unknown"}),
        (("--faults", "list error-before=400"), {LISTED: "unknown"}),
        (("--faults", "upload error-before=401"), {CHECKSUM: "unknown"}),
        (("--faults", "list error-before=403"), {LISTED: "unknown"}),
        (("--faults", "delete error-before=403 #1"), {DELETED: "unknown"}),
        (
            ("--faults", "delete error-before=401 #1", "--assume", "idempotency=ignored"),
            {DELETED: "unknown", IDEMPOTENCY: "unknown"},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_assumption_is_told_whatever_the_others_say(
    desk: Desk, server: tuple[str, ...], otherwise: dict[str, str]
) -> None:
    with serving(desk, "--state", "server", "--key", KEY, *server) as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": KEY})
        told = shell.runner("doctor", "--live", "--format", "json")

    assert told.code == 0, told.out
    verdicts = {row["what"]: row["verdict"] for row in told.json}
    assert {name: verdicts.get(name) for name in (*GOOD, *UNTOLD)} == {**GOOD, **UNTOLD, **otherwise}
    assert [entry.starts for entry in desk.book("server")] == [0] * len(desk.book("server"))
    left = [entry for entry in desk.book("server") if entry.status != "canceled"]
    assert len(left) == (DELETED in otherwise)


def test_an_endpoint_that_doesnt_take_the_key_is_wrong_and_exits_6(desk: Desk) -> None:
    with serving(desk, "--state", "server", "--key", KEY) as ready:
        more = {"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": "another-key-0123456789"}
        told = replace(desk, more=more).runner("doctor", "--live")

    assert told.code == 6
    assert "!!  endpoint answers" in told.out
    assert "another-key" not in told.out + told.err
