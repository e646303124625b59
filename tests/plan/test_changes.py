"""What changed, in the payload's own words."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan.changes import changes_between

DIGEST = "a" * 64
OTHER = "b" * 64


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        pytest.param({"conversion": [{"target": "png"}]}, {"conversion": [{"target": "png"}]}, [], id="nothing"),
        pytest.param(
            {"conversion": [{"options": {"quality": 80}}]},
            {"conversion": [{"options": {"quality": 90}}]},
            ["conversion[0].options.quality: 80 -> 90"],
            id="option",
        ),
        pytest.param(
            {"conversion": [{"options": {}}]},
            {"conversion": [{"options": {"width": 8}}]},
            ["conversion[0].options.width: nothing -> 8"],
            id="added",
        ),
        pytest.param(
            {"conversion": [{"target": "png"}, {"target": "gif"}]},
            {"conversion": [{"target": "png"}]},
            ['conversion[1]: {"target": "gif"} -> nothing'],
            id="dropped",
        ),
        pytest.param(
            {"input": [{"sha256": DIGEST}]},
            {"input": [{"sha256": OTHER}]},
            ["input[0] content: aaaaaaaaaaaa -> bbbbbbbbbbbb"],
            id="content",
        ),
        pytest.param(
            {"input": [{"sha256": DIGEST, "source": "in/a.jpg", "filename": "a.jpg"}]},
            {"input": [{"sha256": DIGEST, "source": "b.jpg", "filename": "b.jpg"}]},
            [],
            id="an-equal-file-elsewhere",
        ),
        pytest.param(
            {"input": [{"sha256": DIGEST, "source": "in/a.jpg", "filename": "a.jpg"}]},
            {"input": [{"sha256": DIGEST, "source": "in/a.jpg", "filename": "c.jpg"}]},
            ["input[0].filename: a.jpg -> c.jpg"],
            id="a-name-that-was-chosen",
        ),
        pytest.param(
            {"input": [{"sha256": DIGEST, "source": "in/a.jpg", "filename": "a.jpg"}]},
            {"input": [{"sha256": OTHER, "source": "in/b.jpg", "filename": "b.jpg"}]},
            [
                "input[0].filename: a.jpg -> b.jpg",
                "input[0] content: aaaaaaaaaaaa -> bbbbbbbbbbbb",
                "input[0].source: in/a.jpg -> in/b.jpg",
            ],
            id="another-file",
        ),
        pytest.param(
            {"input": [{"source": "https://h/a.jpg?sig=one"}]},
            {"input": [{"source": "https://h/b.jpg?sig=two"}]},
            ["input[0].source: https://h/a.jpg?*** -> https://h/b.jpg?***"],
            id="signed-links",
        ),
        pytest.param(
            {"input": [{"source": "https://h/a.jpg?sig=one"}]},
            {"input": [{"source": "https://h/a.jpg?sig=two"}]},
            ["input[0].source: https://h/a.jpg?***, in what is hidden here"],
            id="signature-alone",
        ),
        pytest.param({"options": {"a": 1}}, {"options": {"a": True}}, ["options.a: 1 -> true"], id="true-is-not-1"),
        pytest.param(
            {"input": [{"revalidate": True}]}, {"input": [{}]}, ["input[0].revalidate: true -> nothing"], id="removed"
        ),
        pytest.param({"options": {"a": 1}}, {"options": {"a": 1.0}}, [], id="one-is-one"),
        pytest.param({"a": 50}, {"a": "50"}, ['a: 50 -> "50"'], id="number-and-text"),
        pytest.param({"a": "50"}, {"a": ""}, ['a: "50" -> ""'], id="empty"),
        pytest.param({"a": " "}, {"a": "b"}, ['a: " " -> "b"'], id="blank"),
        pytest.param({}, {"a": ""}, ['a: nothing -> ""'], id="nothing-and-empty"),
        pytest.param({}, {"a": "nothing"}, ['a: nothing -> "nothing"'], id="the-word-nothing"),
        pytest.param({"a": True}, {"a": "true"}, ['a: true -> "true"'], id="true-and-text"),
        pytest.param({"a": "b c"}, {"a": "b  c "}, ['a: "b c" -> "b  c "'], id="spaces"),
        pytest.param({"a": "b"}, {"a": "c"}, ["a: b -> c"], id="words-without-quotes"),
        pytest.param(
            {"input": [{"revision": "Mon, 30 Nov 2026 10:00:00 GMT"}]},
            {"input": [{"revision": "Mon, 30 Nov 2026 11:00:00 GMT"}]},
            ["input[0] content: Mon, 30 Nov 2026 10:00:00 GMT -> Mon, 30 Nov 2026 11:00:00 GMT"],
            id="dates-of-one-day",
        ),
        pytest.param(
            {"a": "x" * 70 + "1"},
            {"a": "x" * 70 + "2"},
            [f"a: ...{'x' * 20}1 -> ...{'x' * 20}2"],
            id="long-ones-that-differ-at-the-end",
        ),
        pytest.param(
            {"a": "x" * 70},
            {"a": "x" * 70 + "2" * 70},
            [f"a: ...{'x' * 20} -> ...{'x' * 20}{'2' * 34}..."],
            id="a-long-one-that-grew",
        ),
        pytest.param({"o": {"b": 1, "a": 2}}, {"o": {"a": 2, "b": 1}}, [], id="order"),
        pytest.param({"a": {"x": 1}}, {"a": [1]}, ['a: {"x": 1} -> [1]'], id="another-kind"),
    ],
)
def test_changes_name_the_place_and_both_values(before: Any, after: Any, shown: list[str]) -> None:
    assert [str(change) for change in changes_between(before, after)] == shown


@pytest.mark.parametrize(
    "name", ["callback", "notify_status", "limits", "download_passwords", "fail_on_input_error", "process"]
)
def test_what_is_no_part_of_a_key_is_never_the_reason(name: str) -> None:
    assert changes_between({name: 1}, {name: 2}) == ()


def test_credentials_are_never_shown() -> None:
    before = {"input": [{"credentials": {"password": {"env": "OLD"}}}]}
    after = {"input": [{"credentials": {"password": {"env": "NEW"}}}]}

    assert changes_between(before, after) == ()


def test_long_values_are_shortened_for_people_and_whole_in_json() -> None:
    (change,) = changes_between({"a": "x" * 500}, {"a": "y"})

    assert len(str(change)) < 100
    assert change.before == "x" * 500
