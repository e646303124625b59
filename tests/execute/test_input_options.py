"""Which input an upload became: answers to uploads and the order of inputs differ, and options go to the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.execute.hosted import Document, Hosted, Reply, hosting
from tests.execute.lab import Ended, Forge
from tests.execute.scenarios import Scene, texts

FAILED = 6


def run(scene: Scene, api: Hosted, lane: Forge) -> Ended:
    return lane.run(scene.order(api.base_url))


class Backwards(Hosted):
    """Shows the newest input first; `hidden` is what it doesn't show of any."""

    hidden: tuple[str, ...] = ()

    def shown(self, job: Document) -> Document:
        inputs = [{name: one[name] for name in one if name not in self.hidden} for one in reversed(job["input"])]
        return {**job, "input": inputs}


class Bare(Backwards):
    hidden = ("checksum", "size")


class Whole(Backwards):
    def uploaded(self, job: Document, entry: Document) -> Reply:
        return Reply(body=entry)


class NestedWhole(Backwards):
    def uploaded(self, job: Document, entry: Document) -> Reply:
        return Reply(body={**entry, "id": {"job": job["id"], "input": entry["id"]}})


class Checksum(Backwards):
    def uploaded(self, job: Document, entry: Document) -> Reply:
        return Reply(body={"checksum": entry["checksum"]})


class Silent(Backwards):
    def uploaded(self, job: Document, entry: Document) -> Reply:
        return Reply(body={})


class SilentAndBare(Silent):
    hidden = ("checksum", "size")


def two_inputs(folder: Path) -> Scene:
    inputs = [
        {"type": "upload", "source": f"in/{number}.txt", "options": {"slide_duration": number + 3}} for number in (0, 1)
    ]
    return texts(folder, 2, input=inputs, foreach={"matrix": {"n": [1]}})


def options(api: Hosted) -> dict[str, Any]:
    (job,) = api.jobs.values()
    return {entry["filename"]: entry.get("options") for entry in job["input"]}


@pytest.mark.parametrize("kind", [Hosted, Backwards, Bare, Whole, NestedWhole, Checksum, Silent, SilentAndBare])
def test_options_of_an_upload_go_to_the_input_that_it_became(
    kind: type[Hosted], lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_inputs(tmp_path)

    with hosting(kind()) as api:
        ended = run(scene, api, lanes[0])

    assert ended.code == 0, ended.outcome
    assert options(api) == {"0.txt": {"slide_duration": 3}, "1.txt": {"slide_duration": 4}}


class Blind(Silent):
    hidden = ("id",)


def test_without_a_word_which_input_it_became_nothing_is_bought_with_other_options(
    lanes: list[Forge], tmp_path: Path
) -> None:
    scene = two_inputs(tmp_path)

    with hosting(Blind()) as api:
        ended = run(scene, api, lanes[0])

    assert (ended.code, api.happened("start")) == (FAILED, [])
    assert "its options can't be set; nothing was bought" in ended.jobs[0]["errors"][0]["message"]
