from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import Place, Problem, Severity
from runner.report.findings import findings_json, findings_text, one_line


def _problem(
    file: Path,
    line: int = 1,
    column: int = 1,
    end_column: int = 2,
    *,
    severity: Severity = "error",
    hint: str = "",
    secret: bool = False,
) -> Problem:
    place = Place(file=file, line=line, column=column, end_line=line, end_column=end_column)
    return Problem(place=place, severity=severity, code="x", message="is wrong", hint=hint, secret=secret)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.recipe.toml"


def test_problem_is_shown_with_its_line_a_caret_and_a_hint(file: Path) -> None:
    file.write_text('\ntarget = "jpgg"\n')

    text = findings_text([_problem(file, 2, 10, 16, hint="do this")], checked=1, color=False, base=file.parent)

    assert text == (
        "x.recipe.toml:2:10: error: is wrong\n"
        '    2 | target = "jpgg"\n'
        "      |          ^^^^^^\n"
        "   do this\n"
        "1 problem in 1 recipe. Nothing was sent.\n"
    )


@pytest.mark.parametrize(
    ("line", "column", "end", "shown", "caret"),
    [
        ("\tx = 1", 2, 3, "\tx = 1", "\t^"),
        ('"漢字" = 1', 1, 5, '"漢字" = 1', "^^^^^^"),
        ("e\u0301x = 1", 3, 4, "e\u0301x = 1", " ^"),
        ("a\x1b[2Jb = 1", 6, 7, "a\\x1b[2Jb = 1", "        ^"),
        ("short", 9, 10, "short", "     ^"),
    ],
)
def test_caret_stays_under_its_text(file: Path, line: str, column: int, end: int, shown: str, caret: str) -> None:
    file.write_text(line + "\n")

    lines = findings_text([_problem(file, 1, column, end)], checked=1, color=False).splitlines()

    assert lines[1:3] == [f"    1 | {shown}", f"      | {caret}"]


def test_place_of_several_lines_is_marked_to_the_end_of_its_first(file: Path) -> None:
    file.write_text("x = '''\nabc\n'''\n")
    place = Place(file=file, line=1, column=5, end_line=3, end_column=4)

    text = findings_text([Problem(place=place, code="x", message="m")], checked=1, color=False)

    assert text.splitlines()[2] == "      |     ^^^"


@pytest.mark.parametrize(
    "line", ['password = "hunter2"', '{"secretKey": "hunter2"}', "api_token='hunter2'", 'passwords = ["hunter2"]']
)
def test_line_that_looks_like_a_secret_is_not_shown(file: Path, line: str) -> None:
    file.write_text(line)

    assert "hunter2" not in findings_text([_problem(file)], checked=1, color=False)


def test_line_of_a_secret_problem_is_not_shown(file: Path) -> None:
    file.write_text("x = 'hunter2'")

    assert "hunter2" not in findings_text([_problem(file, secret=True)], checked=1, color=False)


@pytest.mark.parametrize("state", ["gone", "folder", "bytes", "shorter", "huge line"])
def test_file_that_can_not_be_shown_any_more_costs_only_the_excerpt(file: Path, state: str) -> None:
    if state == "folder":
        file.mkdir()
    elif state != "gone":
        file.write_bytes({"bytes": b"\n\xff", "shorter": b"x", "huge line": b"\n" + b"x" * 999}[state])

    lines = findings_text([_problem(file, 2)], checked=1, color=False).splitlines()

    assert lines == [f"{file}:2:1: error: is wrong", "1 problem in 1 recipe. Nothing was sent."]


def test_names_with_control_characters_can_not_play_with_the_terminal(tmp_path: Path) -> None:
    text = findings_text([_problem(tmp_path / "a\n\x1b[31m\udce9.toml")], checked=1, color=False)

    assert "a\\n\\x1b[31m\\xe9.toml:1:1: error:" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("severities", "closing"),
    [
        (["error", "error"], "2 problems in 3 recipes. Nothing was sent."),
        (["error", "warning", "note"], "1 problem, 1 warning, 1 note in 3 recipes. Nothing was sent."),
        (["warning", "warning"], "2 warnings in 3 recipes."),
        (["warning", "note"], "1 warning and 1 note in 3 recipes."),
    ],
)
def test_closing_sentence_counts(file: Path, severities: list[Severity], closing: str) -> None:
    problems = [_problem(file, severity=severity) for severity in severities]

    assert findings_text(problems, checked=3, color=False).splitlines()[-1] == closing


def test_nothing_wrong_says_nothing() -> None:
    assert findings_text([], checked=3, color=True) == ""


def test_json_has_every_key_and_absolute_paths(file: Path) -> None:
    document = findings_json([_problem(file, 2, 3, 4)], 5)

    assert document == {
        "problems": [
            {
                "file": str(file),
                "line": 2,
                "column": 3,
                "end_line": 2,
                "end_column": 4,
                "severity": "error",
                "code": "x",
                "message": "is wrong",
                "hint": "",
            }
        ],
        "recipes": 5,
    }


def test_json_survives_names_that_are_not_utf_8(tmp_path: Path) -> None:
    document = findings_json([_problem(tmp_path / "caf\udce9.toml")], 1)

    assert json.dumps(document, ensure_ascii=False).encode().endswith(b'"recipes": 1}')


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable()


def test_where_there_is_no_recipe_none_is_counted() -> None:
    problem = Problem(place=Place(file=Path("/nowhere")), code="no-such-file", message="there is no such file")

    assert findings_text([problem], checked=0, color=False).endswith("1 problem. Nothing was sent.\n")
