"""Which version of an input is meant: listed objects and web pages that changed are new work, nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from runner.compile import Item, items_of, job_key
from runner.compile.draft import drafts_of
from runner.compile.job import jobs_of
from runner.recipe.model import Bucket, Foreach

PLACE = {"bucket": "pictures"}
CREDENTIALS = {"accesskeyid": "ID", "secretaccesskey": {"env": "S3"}}


def cloud(**parameters: Any) -> dict[str, Any]:
    return {"type": "cloud", "source": "amazons3", "parameters": parameters, "credentials": CREDENTIALS}


def foreach(**more: Any) -> Foreach:
    bucket = Bucket(source="amazons3", parameters={**PLACE, "prefix": "in/"}, credentials=CREDENTIALS)
    return Foreach(kind="bucket", bucket=bucket, **more)


def job(kitchen: Any, *inputs: dict[str, Any], item: Item | None = None, seen: dict[str, str] | None = None) -> Any:
    body = {"input": list(inputs), "conversion": [{"target": "webp"}]}
    made = kitchen.recipe(body, foreach=foreach() if item else None)
    (draft,) = drafts_of(made, [item or Item()])
    compiled, problems = jobs_of(draft, (), endpoint="local", seen=seen)
    assert problems == ()
    return compiled


def item(revision: str = "etag-1") -> Item:
    return Item(label="in/a b.jpg", values={"path": "in/a b.jpg"}, revision=revision)


def test_objects_become_items_with_their_whole_name(kitchen: Any) -> None:
    objects = [("in/a b.jpg", "1"), ("in/deep/c.jpg", "2")]

    items, problems = items_of(kitchen.recipe({}, foreach=foreach()), objects=objects)

    assert problems == ()
    assert [(one.label, one.revision) for one in items] == objects
    assert items[1].values == {"path": "in/deep/c.jpg", "name": "c.jpg", "stem": "c", "dir": "in/deep"}


def test_more_objects_than_max_items_are_a_problem_and_nothing_is_one_too(kitchen: Any) -> None:
    many = [("a", "1"), ("b", "1"), ("c", "1")]

    _, too_many = items_of(kitchen.recipe({}, foreach=foreach(max_items=2)), objects=many)
    _, none = items_of(kitchen.recipe({}, foreach=foreach()), objects=[])

    assert [one.code for one in too_many] == ["too-many-items"]
    assert "at least 3 items" in too_many[0].message
    assert [one.code for one in none] == ["no-items"]
    assert "prefix 'in/'" in none[0].message


def test_the_version_of_the_listed_object_is_part_of_the_key(kitchen: Any) -> None:
    given = cloud(**PLACE, file="{item.path}")

    first, same, changed = (job(kitchen, given, item=item(one)) for one in ("etag-1", "etag-1", "etag-2"))

    assert first.key == same.key != changed.key
    assert first.payload_for(run_date="2026-11-25")["input"][0]["revision"] == "etag-1"
    assert "revision" not in first.payload["input"][0]


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({**PLACE, "file": "logo.png"}, id="another object"),
        pytest.param({"bucket": "other", "file": "in/a b.jpg"}, id="another bucket"),
        pytest.param({**PLACE, "file": "in/a b.jpg", "region": "eu-west-1"}, id="another region"),
    ],
)
def test_inputs_that_are_not_the_listed_object_have_no_version(kitchen: Any, parameters: dict[str, str]) -> None:
    first, changed = (job(kitchen, cloud(**parameters), item=item(one)) for one in ("etag-1", "etag-2"))

    assert first.key == changed.key


def test_the_default_region_written_out_is_the_same_place(kitchen: Any) -> None:
    written = cloud(**PLACE, file="{item.path}", region="eu-central-1")

    first, changed = (job(kitchen, written, item=item(one)) for one in ("etag-1", "etag-2"))

    assert first.key != changed.key


def test_a_key_without_any_version_is_what_it_always_was() -> None:
    body = {"input": [{"source": "https://example.com/a.png"}], "conversion": [{"target": "webp"}]}

    plain = job_key(body, digests={}, endpoint="local", epoch=0)

    assert plain == job_key(body, digests={}, revisions={}, endpoint="local", epoch=0)
    assert plain == "k1:ebe54163c55bc5e802fb93b365b9cad8a909b3f378554818c79ab41bf2c40c3b"


def test_a_revalidated_source_that_changed_is_new_work(kitchen: Any) -> None:
    url = "https://example.com/a.png"
    asked = {"source": url, "revalidate": True}

    first = job(kitchen, asked, seen={url: '"1"'})
    changed = job(kitchen, asked, seen={url: '"2"'})
    unasked = [job(kitchen, {"source": url}, seen={url: one}) for one in ('"1"', '"2"')]

    assert first.key != changed.key
    assert unasked[0].key == unasked[1].key
