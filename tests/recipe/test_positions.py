from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from runner.recipe.finding import Span, Steps
from runner.recipe.place import Layer, place_in
from runner.recipe.positions import Node, positions
from runner.recipe.read import read_bytes
from runner.wire.values import Json

TOML = """# pictures
"é漢" = "漢" # why
a.b.c = 1
[[input]]
type = "upload"
x = [1, # one
  2, {k = "v", "q.r" = 3}]
[input.credentials]
p = { env = "X" }
[[input]]
source = '''
abc
'''
[limits]
job.max_credit = 3
"""


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        (("é漢",), True, (2, 1, 2, 5)),
        (("é漢",), False, (2, 8, 2, 11)),
        (("a", "b", "c"), True, (3, 5, 3, 6)),
        (("a", "b"), False, (3, 3, 3, 4)),
        (("input", 0), True, (4, 3, 4, 8)),
        (("input", 0, "x", 2, "q.r"), False, (7, 24, 7, 25)),
        (("input", 0, "credentials", "p", "env"), False, (9, 13, 9, 16)),
        (("input", 1, "source"), False, (11, 10, 13, 4)),
        (("limits", "job", "max_credit"), False, (15, 18, 15, 19)),
        ((), False, (1, 1, 16, 1)),
    ],
)
def test_toml_places_are_characters_from_one(path: Steps, key: bool, expected: tuple[int, ...]) -> None:
    node, depth = positions(TOML.encode(), toml=True).find(path)

    span = node.key if key else node.value
    assert depth == len(path)
    assert (span.line, span.column, span.end_line, span.end_column) == expected


def test_path_that_is_not_there_gives_the_nearest_above() -> None:
    node, depth = positions(TOML.encode(), toml=True).find(("input", 1, "credentials", "p"))

    assert (node.key.line, depth) == (10, 2)


def test_bare_object_counts_as_an_array_of_one() -> None:
    node, depth = positions(b'{"input": {"source": 7}}', toml=False).find(("input", 0, "source"))

    assert (node.value.column, depth) == (22, 3)


def test_place_in_a_file_that_is_gone_names_the_file(tmp_path: Path) -> None:
    place = place_in((Layer(file=tmp_path / "gone.toml"),), ("a",))

    assert (place.file, place.line) == (tmp_path / "gone.toml", 1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(TEXT, st.booleans(), st.integers(-(2**50), 2**50))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=4)


def _at(text: str, span: Span) -> str:
    lines = text.split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    first, last = lines[span.line - 1][span.column - 1 :], lines[span.end_line - 1][: span.end_column - 1]
    return "\n".join([first, *lines[span.line : span.end_line - 1], last])


def _agrees(node: Node, value: Json, text: str, *, toml: bool) -> None:
    """Each scalar's place holds that scalar, each key's place that key."""
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in steps:
            child = node.children[step]
            if isinstance(step, str):
                assert _key(_at(text, child.key), toml=toml) == step
            _agrees(child, inner, text, toml=toml)
    else:
        assert _value(_at(text, node.value), toml=toml) == value


def _key(text: str, *, toml: bool) -> Json:
    if not toml:
        return json.loads(text)
    return next(iter(_read(f"{text} = 1")))


def _value(text: str, *, toml: bool) -> Json:
    return _read(f"x = {text}")["x"] if toml else json.loads(text)


def _read(text: str) -> dict[str, Json]:
    value = read_bytes(Path("x.toml"), text.encode()).value
    assert value is not None
    return value


@given(DOCUMENTS)
def test_every_place_in_json_holds_what_the_document_holds(document: dict[str, Json]) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1)

    _agrees(positions(text.encode(), toml=False), document, text, toml=False)


@given(DOCUMENTS)
def test_every_place_in_toml_holds_what_the_document_holds(document: dict[str, Json]) -> None:
    text = tomli_w.dumps(document)
    read = read_bytes(Path("x.toml"), text.encode())

    assert read.value == document
    _agrees(positions(text.encode(), toml=True), document, text, toml=True)
