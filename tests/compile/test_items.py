"""The items of foreach: files, rows, combinations, and what can be wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.compile import Item, items_of
from runner.recipe.model import Foreach, Recipe


def listed(kitchen: Any, foreach: Foreach, **found: Any) -> tuple[tuple[Item, ...], list[tuple[str, str]]]:
    made: Recipe = kitchen.recipe({}, foreach=foreach)
    items, problems = items_of(made, **found)
    return items, [(one.code, one.message) for one in problems]


def rows(name: str = "orders.csv") -> Foreach:
    return Foreach(kind="rows", rows=name)


def test_a_recipe_without_foreach_has_one_nameless_item(kitchen: Any) -> None:
    assert items_of(kitchen.recipe({})) == ((Item(),), ())


@pytest.mark.parametrize(
    ("path", "name", "stem", "folder"),
    [
        ("a.jpg", "a.jpg", "a", ""),
        ("a/b c/d.tar.gz", "d.tar.gz", "d.tar", "a/b c"),
        ("a/.hidden", ".hidden", ".hidden", "a"),
        ("-rf", "-rf", "-rf", ""),
        ("{run.date}.jpg", "{run.date}.jpg", "{run.date}", ""),
        ("line\nbreak é.png", "line\nbreak é.png", "line\nbreak é", ""),
    ],
)
def test_files_know_their_parts(kitchen: Any, path: str, name: str, stem: str, folder: str) -> None:
    items, problems = listed(kitchen, Foreach(kind="files", patterns=("*",)), files=[path])

    assert (items[0].label, problems) == (path, [])
    assert items[0].values == {"path": path, "name": name, "stem": stem, "dir": folder}


def test_csv_rows_are_numbered_from_one_and_keep_blanks_quotes_and_newlines(kitchen: Any) -> None:
    table = 'id,title\r\n1,"a ""b"", c"\r\n\r\n2,"two\nlines"\r\n'

    items, problems = listed(kitchen, rows(), table=table)

    assert problems == []
    assert [(one.label, one.values) for one in items] == [
        ("1", {"id": "1", "title": 'a "b", c'}),
        ("2", {"id": "2", "title": "two\nlines"}),
    ]


def test_json_lines_keep_their_types_and_their_line_separators(kitchen: Any) -> None:
    items, problems = listed(kitchen, rows("o.jsonl"), table='{"n": 1, "s": "a\u2028b"}\r\n\n  \n{"n": null}')

    assert problems == []
    assert [one.values for one in items] == [{"n": 1, "s": "a\u2028b"}, {"n": None}]


@pytest.mark.parametrize(
    ("name", "table", "words"),
    [
        pytest.param("o.csv", "a,b,a\n1,2,3\n", "o.csv:1: there are several columns called 'a'", id="same-name"),
        pytest.param("o.csv", "a,b\n1\n", "o.csv:2: the row has more or fewer cells", id="too-few"),
        pytest.param("o.csv", "a,b\n1,2\n1,2,3\n", "o.csv:3: the row has more or fewer cells", id="too-many"),
        pytest.param("o.csv", 'a\n"open\n', "unexpected end of data", id="open-quote"),
        pytest.param("o.csv", "a\n" + "x" * 200_000, "field larger than field limit", id="huge-cell"),
        pytest.param("o.jsonl", '{"a": 1}\n{"a": \n', "o.jsonl:2: not JSON", id="half-json"),
        pytest.param("o.jsonl", '{"a": "\\ud800"}', "o.jsonl:1: holds half a character", id="half-character"),
        pytest.param("o.jsonl", '{"a": 1}\n{"a": NaN}', "o.jsonl:2: NaN isn't a number in JSON", id="nan"),
        pytest.param("o.jsonl", '{"a": [-Infinity]}', "o.jsonl:1: -Infinity isn't a number in JSON", id="infinity"),
        pytest.param("o.jsonl", '{"a": 1}\n\n{"a": 1e400}', "o.jsonl:3: a number is too large", id="huge-number"),
        pytest.param("o.jsonl", '{"a": 1, "b": 2, "a": 3}', "o.jsonl:1: duplicate key 'a'", id="same-key"),
        pytest.param("o.jsonl", '{"a": {"b": 2, "b": 2}}', "o.jsonl:1: duplicate key 'b'", id="same-key-below"),
        pytest.param("o.jsonl", "[1]\n", "o.jsonl:1: not a JSON object", id="array"),
        pytest.param("o.ndjson", "[" * 100_000, "o.ndjson:1: nested too deeply", id="deep"),
        pytest.param("o.jsonl", '{"a": -1' + "0" * 400 + "}", "o.jsonl:1: a number is too large", id="long-number"),
        pytest.param("o.jsonl", '{"a": ' + "9" * 5000 + "}", "o.jsonl:1: a number is too large", id="endless-number"),
    ],
)
def test_broken_tables_are_named_with_the_line(kitchen: Any, name: str, table: str, words: str) -> None:
    items, problems = listed(kitchen, rows(name), table=table)

    assert items == ()
    ((code, message),) = problems
    assert code == "bad-rows"
    assert words in message


@pytest.mark.parametrize(
    ("foreach", "words"),
    [
        (Foreach(kind="files", patterns=("a/*.jpg", "b/*.png")), "'a/*.jpg', 'b/*.png' give no items, so"),
        (Foreach(kind="files", patterns=("a/*.jpg",)), "'a/*.jpg' gives no items, so"),
        (rows(), "orders.csv gives no items"),
    ],
)
def test_nothing_to_convert_is_a_problem_and_says_where_paths_start(kitchen: Any, foreach: Foreach, words: str) -> None:
    items, problems = items_of(kitchen.recipe({}, foreach=foreach), table="a,b\n")

    assert items == ()
    assert problems[0].code == "no-items"
    assert words in problems[0].message
    assert str(kitchen.folder) in problems[0].hint


def test_a_matrix_gives_every_combination_in_its_own_order(kitchen: Any) -> None:
    matrix = {"target": ("webp", "png"), "width": (100, None), "gray": (True,)}

    items, problems = listed(kitchen, Foreach(kind="matrix", matrix=matrix))

    assert problems == []
    assert [one.label for one in items] == [
        "target=webp,width=100,gray=true",
        "target=webp,width=null,gray=true",
        "target=png,width=100,gray=true",
        "target=png,width=null,gray=true",
    ]
    assert items[0].values == {"target": "webp", "width": 100, "gray": True}


def test_items_that_would_share_an_address_are_a_problem(kitchen: Any) -> None:
    _, problems = listed(kitchen, Foreach(kind="matrix", matrix={"n": ("1", 1, 2)}))

    assert problems == [("repeated-item", "there are several items called 'n=1'")]


@pytest.mark.parametrize(("count", "codes"), [(2, []), (3, ["too-many-items"])])
def test_max_items_guards_a_glob_that_grew(kitchen: Any, count: int, codes: list[str]) -> None:
    foreach = Foreach(kind="files", patterns=("*",), max_items=2)

    _, problems = listed(kitchen, foreach, files=[f"{number}.jpg" for number in range(count)])

    assert [code for code, _ in problems] == codes


def test_a_matrix_beyond_max_items_is_counted_and_not_made(kitchen: Any) -> None:
    matrix = {name: tuple(range(1000)) for name in "abcdef"}

    items, problems = listed(kitchen, Foreach(kind="matrix", matrix=matrix, max_items=100))

    assert items == ()
    assert problems == [("too-many-items", f"there are {1000**6} items, more than max_items = 100")]


@given(table=st.text())
@pytest.mark.parametrize("name", ["o.csv", "o.jsonl"])
def test_whatever_stands_in_a_table_it_is_items_or_problems(kitchen: Any, name: str, table: str) -> None:
    items, problems = listed(kitchen, rows(name), table=table)

    assert bool(items) != bool(problems)
