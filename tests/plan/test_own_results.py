"""Results among the sources of their own recipe, by whatever path they are called."""

from __future__ import annotations

import pytest

from runner.compile import Links
from runner.plan import fed_by_themselves
from runner.state import DeliveredFile, Delivery, KeyState, Stage
from tests.plan.conftest import FOLDER, MakeJob


def delivered(path: str, *, address: str = "shop[x.jpg]", sha256: str = "aa") -> KeyState:
    file = DeliveredFile(path=path, size_bytes=1, sha256=sha256, mtime_ns=1, inode=1)
    return KeyState(key="k", attempt=1, stage=Stage.FINISHED, deliveries={address: Delivery(save="s", files=(file,))})


@pytest.mark.parametrize(
    ("path", "links"),
    [
        (f"{FOLDER}/a.jpg", {}),
        (f"{FOLDER}/out/a.jpg", {f"{FOLDER}/out": str(FOLDER)}),
        (f"{FOLDER}/out/a.jpg", {f"{FOLDER}/out": "/data", str(FOLDER): "/data"}),
        ("/data/a.jpg", {str(FOLDER): "/data"}),
    ],
)
def test_a_result_is_found_among_the_sources_wherever_links_lead(
    job: MakeJob, path: str, links: dict[str, str]
) -> None:
    found = fed_by_themselves([job("a.jpg"), job("b.jpg")], [delivered(path)], Links(folders=links))

    assert list(found) == ["shop[a.jpg]"]
    assert found["shop[a.jpg]"].message.startswith(f"{FOLDER}/a.jpg is a result of this recipe: ")


@pytest.mark.parametrize(
    "state",
    [
        delivered(f"{FOLDER}/out/a.jpg"),
        delivered(f"{FOLDER}/a.jpg", address="other[x.jpg]"),
        delivered(f"{FOLDER}/a.jpg", sha256=""),
    ],
    ids=["elsewhere", "another recipe's", "left there"],
)
def test_what_is_no_result_of_the_recipe_is_a_source_like_any(job: MakeJob, state: KeyState) -> None:
    assert fed_by_themselves([job("a.jpg")], [state]) == {}
