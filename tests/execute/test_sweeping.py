"""Sweeping where the list of jobs shows less than there is, in smaller pages, or again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.runlog import open_log
from tests.execute.hosted import Document, Hosted, Reply, hosting
from tests.execute.lab import Forge
from tests.execute.scenarios import Scene, texts


class Stubborn(Hosted):
    """Takes no upload and no deletion, until it is `mild`: so jobs are left behind that were never started."""

    mild = False

    def uploaded(self, job: Document, entry: Document) -> Reply:
        return super().uploaded(job, entry) if self.mild else Reply(status=400, body={"message": "no"})

    def deleted(self, job: Document) -> Reply:
        return super().deleted(job) if self.mild else Reply(status=409, body={"message": "no"})


class Empty(Stubborn):
    def is_listed(self, job: Document) -> bool:
        return False


class Active(Stubborn):
    """Lists what was started alone."""

    def is_listed(self, job: Document) -> bool:
        return bool(job["process"])


class Short(Stubborn):
    """Two jobs a page."""

    def rows(self, page: int) -> Reply:
        rows = list(self.jobs.values())
        return Reply(body=rows[(page - 1) * 2 : page * 2], headers={"X-Count": str(len(rows))})


class ShortAndUncounted(Short):
    def rows(self, page: int) -> Reply:
        return replace(super().rows(page), headers={})


class Circling(Stubborn):
    """Whatever page is asked for, it gives them all, for ever."""

    def rows(self, page: int) -> Reply:
        return Reply(body=list(self.jobs.values()) * 20)


class Shouting(Stubborn):
    def row(self, job: Document) -> Document:
        return {**job, "id": job["id"].upper()}


def unstarted(scene: Scene) -> int:
    with open_log(scene.state / "runs.db") as log:
        return len(log.unstarted())


@pytest.mark.parametrize("kind", [Stubborn, Empty, Active, Short, ShortAndUncounted, Circling, Shouting])
def test_all_that_the_log_calls_unstarted_is_swept_and_nothing_else(
    kind: type[Stubborn], lanes: list[Forge], tmp_path: Path
) -> None:
    scene, api = texts(tmp_path, 5), kind()

    with hosting(api):
        lanes[0].run(scene.order(api.base_url))
        ours = unstarted(scene)
        foreign = api.make({})["id"]
        api.mild = True
        asked = len(api.asked)
        swept = lanes[0].run(replace(scene.order(api.base_url), sweep=True))

    assert (swept.code, ours, unstarted(scene)) == (0, 5, 0), swept.stderr
    assert list(api.jobs) == [foreign]
    assert len(api.asked) - asked < 25
