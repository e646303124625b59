"""Which route a path is: every entry of the table, and what is none."""

from __future__ import annotations

import pytest

from runner.server.app import PREFIXES, ROUTES
from runner.server.paths import Paths


def every_route() -> Paths[str]:
    paths: Paths[str] = Paths()
    for path in {entry.path for entry in ROUTES}:
        for prefix in PREFIXES:
            paths.add(prefix + path, path)
    return paths


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", sorted({entry.path for entry in ROUTES}))
def test_every_route_is_found_with_what_stands_in_it(path: str, prefix: str) -> None:
    names = [part.strip("{}").removesuffix(":path") for part in path.split("/") if part.startswith("{")]
    asked = path.replace(":path", "")
    for name in names:
        asked = asked.replace(f"{{{name}}}", f"the {name}")

    assert every_route().find(prefix + asked) == (path, {name: f"the {name}" for name in names})


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "//",
            "/v2",
            "/v2/",
            "/v2/jobs/",
            "/v2jobs",
            "jobs",
            "/v2/v2/jobs",
            "/v2/jobs//input",
            "/v2/jobs/a/b",
        ),
        *("/v2/stats/day/monday", "/v2/jobs/a/input/b/c", "/v2/dl/local/download-file/a", "/v2/JOBS"),
    ],
)
def test_what_is_no_route_is_nothing(path: str) -> None:
    assert every_route().find(path) is None


@pytest.mark.parametrize("rest", ["", "a.png", "a/b.png", "/", "a//b/"])
def test_the_end_of_a_path_may_be_several_parts_or_none(rest: str) -> None:
    found = every_route().find(f"/v2/dl/local/download-file/id/{rest}")

    assert found == ("/dl/local/download-file/{output_id}/{filename:path}", {"output_id": "id", "filename": rest})


def test_a_word_goes_before_a_value() -> None:
    paths: Paths[str] = Paths()
    paths.add("/{name}/x", "value")
    paths.add("/word/x", "word")

    assert paths.find("/word/x") == ("word", {})
    assert paths.find("/other/x") == ("value", {"name": "other"})
