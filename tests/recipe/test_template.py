from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidError
from runner.recipe.template import Name, Template, UnknownName, expand, names
from runner.wire.values import Json

SCOPE: dict[str, dict[str, Json]] = {
    "item": {"path": "a/b.tif", "Product Name": "Lamp"},
    "vars": {"n": 3, "f": 0.5, "yes": True, "list": [1], "no": None},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{vars.n}", 3),
        ("{vars.list}", [1]),
        ("{vars.yes}", True),
        ("x{vars.n}", "x3"),
        ("{vars.n}{vars.n}", "33"),
        ("{vars.yes}!", "true!"),
        ("{vars.f}!", "0.5!"),
        ("{vars.no}!", "!"),
        ("{item.Product Name}.jpg", "Lamp.jpg"),
        ("{output.stem}-{item.path}-{run.date}", "{output.stem}-a/b.tif-{run.date}"),
        ("{items.path} {item} { item.path } {x} {} }{", "{items.path} {item} { item.path } {x} {} }{"),
        ("{{item.path}}", "{a/b.tif}"),
        ("*.{png,gif}", "*.{png,gif}"),
    ],
)
def test_template_expands_to(text: str, value: Json) -> None:
    assert Template.parse(text).expand(SCOPE) == value
    assert expand([{"k": text}], SCOPE) == [{"k": value}]


def test_name_that_is_not_there_raises_with_what_there_is() -> None:
    with pytest.raises(UnknownName, match=r"behind 'vars.' there is: f, list, n, no, yes"):
        Template.parse("{vars.q}").expand(SCOPE)


def test_array_in_the_middle_of_text_raises() -> None:
    with pytest.raises(InvalidError, match="can't stand in the middle of text"):
        Template.parse("x{vars.list}").expand(SCOPE)


def test_names_are_listed_in_their_order() -> None:
    assert [str(name) for name in names({"a": ["{vars.x} {item.y}"], "b": "{item.y}", "c": 1})] == [
        "{vars.x}",
        "{item.y}",
        "{item.y}",
    ]


@given(st.text())
def test_text_without_names_stays_as_it_is(text: str) -> None:
    template = Template.parse(text)

    assert template.names or template.expand({}) == text


@given(st.text(), st.text())
def test_what_was_put_in_is_not_expanded_again(left: str, value: str) -> None:
    scope = {"item": {"x": value, "y": "secret"}}

    expanded = Template(parts=(f"{left} ", Name(root="item", name="x"))).expand(scope)

    assert expanded == f"{left} {value}"
    assert Template.parse("{item.x}{item.x}").expand({"item": {"x": "{item.y}"}}) == "{item.y}{item.y}"
