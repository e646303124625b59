"""Each job names the server that its uploads go to: one that isn't there is the trouble of that job alone."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.execute.lab import Forge, Server, judge
from tests.execute.middleman import between, honest
from tests.execute.scenarios import many

UNREACHABLE = 8
SEEDS = count(880_000, 100)


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:1/dl", "", None, "nowhere"])
def test_a_job_whose_upload_server_is_not_there_stops_no_other(
    server: Server, lanes: list[Forge], tmp_path: Path, elsewhere: str | None
) -> None:
    scene = many(tmp_path / "work", next(SEEDS), "")
    changed: list[str] = []

    def first_job_elsewhere(method: str, path: str, document: Any) -> Any:
        if (method, path) != ("POST", "/jobs") or changed:
            return document
        changed.append(document["id"])
        return {**document, "server": elsewhere}

    with between(server.base_url) as man:
        man.change = first_job_elsewhere
        first = lanes[0].run(scene.order(man.base_url))
        man.change = honest
        last = lanes[0].run(scene.order(man.base_url))

    (pending,) = (job for job in first.jobs if job["status"] != "succeeded")
    assert (first.code, pending["status"]) == (UNREACHABLE, "pending")
    assert "uploading" in pending["errors"][0]["message"]
    assert "nothing was bought" in pending["errors"][0]["hint"]
    assert (last.code, scene.wrong_files()) == (0, []), last.stderr
    found = judge(server.state, scene.state, scene.out, crashes=0)
    assert (found.wrong, found.starts) == ([], 8)
