"""Options are completed, read leniently where it is clear what is meant, and refused with a reason else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.server.converters.catalog import conversions, expand_options, find
from runner.server.converters.protocol import Target
from runner.wire.values import Json


def target(name: str = "jpg") -> Target:
    row = find(None, name)
    assert row is not None
    return row


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_nothing_becomes_every_option_with_its_default(nothing: Json) -> None:
    expanded = expand_options(target(), nothing)

    assert expanded.problems == ()
    assert set(expanded.options) == set(target().options_schema)
    assert expanded.options["quality"] == 85
    assert expanded.options["allow_multiple_outputs"] is False
    assert expanded.options["width"] is None
    assert expanded.options["download_password"] is None


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("quality", 70, 70),
        ("quality", "70", 70),
        ("quality", 70.0, 70),
        ("quality", " 70 ", 70),
        ("quality", None, 85),
        ("width", "12.5", 12.5),
        ("width", 100.0, 100),
        ("color", 1980, "1980"),
        ("color", "gray", "gray"),
        ("allow_multiple_outputs", "true", True),
        ("allow_multiple_outputs", 0, False),
    ],
)
def test_values_are_read_as_they_are_meant(name: str, value: Json, read: Json) -> None:
    expanded = expand_options(target(), {name: value})

    assert expanded.problems == ()
    assert expanded.options[name] == read
    assert type(expanded.options[name]) is type(read)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 140}, "quality is 140; the maximum is 100"),
        ({"quality": "0"}, "quality is 0; the minimum is 1"),
        ({"quality": "high"}, "quality is 'high'; it must be a whole number"),
        ({"quality": 1.5}, "quality is 1.5; it must be a whole number"),
        ({"quality": True}, "quality is true or false; it must be a whole number"),
        ({"quality": [1]}, "quality is an array; it must be a whole number"),
        ({"width": "1e3"}, "width is '1e3'; it must be a number"),
        ({"width": float("nan")}, "width is nan; it must be a number"),
        ({"color": "grey"}, "color is 'grey'; did you mean 'gray'?"),
        ({"color": {}}, "color is an object; it must be a string"),
        ({"allow_multiple_outputs": "maybe"}, "allow_multiple_outputs is 'maybe'; it must be true or false"),
        ({"qualty": 80}, "'qualty' is not an option of jpg; did you mean 'quality'?"),
        ("quality", "options must be an object, not a string"),
        ([1], "options must be an object, not an array"),
    ],
)
def test_what_cannot_be_meant_is_named(options: Json, message: str) -> None:
    expanded = expand_options(target(), options)

    assert [problem.message for problem in expanded.problems] == [message]
    assert expanded.options["quality"] == 85


def test_every_problem_is_named_at_once() -> None:
    expanded = expand_options(target(), {"quality": 0, "color": "x", "oops": 1, "width": 50})

    assert {problem.option for problem in expanded.problems} == {"quality", "color", "oops"}
    assert expanded.options["width"] == 50


def test_of_many_unknown_options_some_are_named_and_the_others_counted() -> None:
    expanded = expand_options(target(), {f"oops{number}": 1 for number in range(100_000)})

    assert len(expanded.problems) == 21
    assert expanded.problems[-1].message == "99980 more are no options of jpg either"


@pytest.mark.parametrize("options", [{"quality" * 1_000_000: 1}, {"color": "gray" * 1_000_000}], ids=["name", "value"])
def test_what_is_too_long_to_be_a_slip_is_neither_guessed_at_nor_repeated(options: Json) -> None:
    began = time.perf_counter()
    (problem,) = expand_options(target(), options).problems

    assert time.perf_counter() - began < 0.5  # comparing it would take seconds, and hold up every other request
    assert "did you mean" not in problem.message
    assert len(problem.option) + len(problem.message) < 400


def test_a_password_is_never_repeated() -> None:
    expanded = expand_options(target(), {"download_password": "geheim-ä"})

    assert len(expanded.problems) == 1
    assert "geheim" not in expanded.problems[0].message


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)


@given(
    row=st.sampled_from([row.target for row in conversions()]),
    options=ANYTHING | st.dictionaries(st.sampled_from(sorted(target("pdf").options_schema)), ANYTHING),
)
def test_anything_is_either_accepted_or_a_problem(row: str, options: Json) -> None:
    expanded = expand_options(target(row), options)

    assert set(expanded.options) == set(target(row).options_schema)
    assert all(problem.message for problem in expanded.problems)
    again = expand_options(target(row), expanded.options)
    assert again.options == expanded.options
    assert again.problems == ()
