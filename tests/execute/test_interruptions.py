"""SIGINT and SIGTERM in every phase: the log is complete, unstarted jobs are deleted, started ones are picked up."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.execute.lab import Forge, Server, Web, entries, judge
from tests.execute.scenarios import two_conversions

PHASES = {
    "begun, before it is noted": "before RunStarted",
    "begun": "after RunStarted",
    "creating": "before POST /v2/jobs",
    "created, before it is noted": "after POST /v2/jobs",
    "uploading": "amid a transfer",
    "uploaded": "after upload",
    "starting": "before PATCH /v2/jobs/*",
    "converting": "before GET /v2/jobs/*",
    "delivering": "before download",
    "delivered, before it is noted": "before Delivered",
}
LAST = "delivered, before it is noted"
UNBOUGHT = ("begun, before it is noted", "begun", "creating", "created, before it is noted", "uploading", "uploaded")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupted_run_leaves_nothing_unstarted_and_loses_nothing(
    phase: str, number: signal.Signals, server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, hash_of(phase, number), web.url)

    stopped = lanes[0].run(replace(scene.order(server.base_url), point=PHASES[phase], signals=[number]))
    before = judge(server.state, scene.state, scene.out, crashes=0)
    again = lanes[0].run(scene.order(server.base_url))
    after = judge(server.state, scene.state, scene.out, crashes=0)

    assert stopped.code == 128 + number, stopped.stderr
    # The last line may be durable before the signal is heard: then there was nothing left to interrupt.
    possible = ("pending", "succeeded") if phase == LAST else ("pending",)
    assert [job["status"] in possible for job in stopped.jobs] == [True]
    assert "after RunEnded" in stopped.points
    # What is reserved or charged is settled when the job is picked up; nothing may be left unstarted.
    assert not [line for line in before.wrong if "unstarted" in line]
    assert before.unknown == 0
    assert before.starts == (0 if phase in UNBOUGHT else before.starts)
    assert again.code == 0, again.stderr
    assert after.wrong + scene.wrong_files() == []
    assert after.starts == 1


@pytest.mark.parametrize("phase", ["uploading", "converting", "delivering"])
def test_a_second_sigint_ends_the_run_at_once_and_loses_nothing(
    phase: str, server: Server, web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_conversions(tmp_path, hash_of(phase, signal.SIGKILL), web.url)
    # The second comes before the event loop has had a turn: both are handled one after the other.
    twice = replace(scene.order(server.base_url), point=PHASES[phase], signals=[signal.SIGINT, signal.SIGINT])

    stopped = lanes[0].run(twice)
    again = lanes[0].run(scene.order(server.base_url))

    assert stopped.code == -signal.SIGINT
    assert again.code == 0, again.stderr
    verdict = judge(server.state, scene.state, scene.out, crashes=1)
    assert verdict.wrong + scene.wrong_files() == []
    assert [entry.book.starts for entry in entries(server.state, {again.jobs[0]["key"]}) if entry.book.starts] == [1]


def hash_of(phase: str, number: int) -> int:
    return 500_000 + list(PHASES).index(phase) * 100 + number
