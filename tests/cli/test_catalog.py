from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from runner.cli.catalog import catalog
from runner.errors import InvalidError


def test_targets_are_listed_by_category_with_the_date() -> None:
    lines = CliRunner().invoke(catalog, []).stdout.splitlines()

    assert "targets, as known on 20" in lines[0]
    assert any(line.startswith("image: ") and " webp" in line for line in lines)


def test_options_of_a_target_come_with_their_evidence() -> None:
    text = CliRunner().invoke(catalog, ["thumbnail"]).stdout

    assert text.startswith("operation/thumbnail (documented; all options known)\n")
    assert "  width: integer, 10..500\n      Width in pixels. (documented)\n" in text


def test_json_holds_rows_with_schemas() -> None:
    rows = json.loads(CliRunner().invoke(catalog, ["pdf", "--format", "json"]).stdout)

    assert [row["category"] for row in rows] == ["document", "ebook"]
    assert rows[0]["options"]["merge"]["type"] == "boolean"
    assert all(set(row) == {"category", "target", "complete", "evidence", "note", "options"} for row in rows)


def test_category_narrows_the_list() -> None:
    rows = json.loads(CliRunner().invoke(catalog, ["--category", "hash", "--format", "json"]).stdout)

    assert {row["category"] for row in rows} == {"hash"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["jpgg"], "there is no target 'jpgg'; did you mean 'jpg'?"),
        (["--category", "imag"], "there is no category 'imag'; did you mean 'image'?"),
        (["webp", "--category", "audio"], "there is no target 'webp' in category 'audio'"),
    ],
)
def test_what_is_not_there_is_an_error_with_a_near_miss(args: list[str], said: str) -> None:
    error = CliRunner().invoke(catalog, args).exception

    assert isinstance(error, InvalidError)
    assert str(error).startswith(said)


@pytest.mark.parametrize(
    ("args", "said", "hint"),
    [
        (["WEBP", "--category", "archive"], "there is no target 'WEBP' in category 'archive'", "'webp' is in 'image'"),
        (["webp", "--category", "archive"], "there is no target 'webp' in category 'archive'", "'webp' is in 'image'"),
        (["zipp", "--category", "archive"], "there is no target 'zipp' in category 'archive'; did you mean 'zip'?", ""),
        (["xyzzy", "--category", "archive"], "there is no target 'xyzzy' in category 'archive'", ""),
    ],
)
def test_a_target_of_another_category_is_not_what_was_meant_in_this_one(args: list[str], said: str, hint: str) -> None:
    error = CliRunner().invoke(catalog, args).exception

    assert isinstance(error, InvalidError)
    assert (str(error), error.hint) == (said, hint)
