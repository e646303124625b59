"""A value that can't be read, or a file that isn't there, hides nothing else, and is told once."""

from __future__ import annotations

import pytest

from runner.recipe.model import Loaded
from runner.report.findings import findings_text
from tests.recipe.conftest import Load

WRONG = 'retry = "two"\n[[input]]\nsource = "https://example.com/a.jpg"\n[[conversion]]\ntarget = "wepb"\n'
ALSO = [("wrong-type", "retry must be a whole number, not text"), ("unknown-target", "'wepb' is not a target")]


def said(loaded: Loaded) -> list[tuple[str, str]]:
    return [(one.code, one.message.split("; did")[0]) for one in loaded.problems]


@pytest.mark.parametrize("value", ["2020-01-01", "10:00:00", "nan", "-inf", "12345678901234567890"])
def test_a_value_that_cant_be_carried_hides_no_other_mistake(load: Load, value: str) -> None:
    found = said(load(x__recipe__toml=f"vars.d = {value}\n{WRONG}"))

    assert found[0][0] == "not-json"
    assert found[1:] == ALSO


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param('vars.d = nan\nconversion = [{ target = "{vars.d}" }]', id="constant"),
        pytest.param('vars.d = nan\nconversion = [{ target = "w{vars.d}" }]', id="constant-in-text"),
        pytest.param('conversion = [{ target = "webp", options = { width = nan } }]', id="option"),
        pytest.param("conversion = [{ target = 2020-01-01 }]", id="target"),
        pytest.param('conversion = [{ target = "{item.x}" }]\nforeach.matrix = { x = ["png", nan] }', id="matrix"),
        pytest.param(
            'conversion = [{ target = "w{item.x}" }]\nforeach.matrix = { x = ["ebp", nan] }', id="matrix-text"
        ),
        pytest.param('retry = inf\nconversion = [{ target = "webp" }]', id="retry"),
        pytest.param('name = 2020-01-01\nconversion = [{ target = "webp" }]', id="name"),
        pytest.param('after = [2020-01-01]\nconversion = [{ target = "webp" }]', id="after"),
        pytest.param('save.path = nan\nconversion = [{ target = "webp" }]', id="save"),
        pytest.param('deadline = 10:00:00\nconversion = [{ target = "webp" }]', id="deadline"),
        pytest.param(
            'limits.job.max_credit = nan\nbudget.run = 3\nconversion = [{ target = "webp" }]', id="cap-of-a-budget"
        ),
        pytest.param('callback = nan\nnotify_status = true\nconversion = [{ target = "webp" }]', id="callback"),
        pytest.param(
            'conversion = [{ target = "webp", output_target = [{ type = nan, parameters = { file = "a" } }] }]',
            id="provider",
        ),
    ],
)
def test_nothing_is_told_of_what_only_the_value_itself_is_to_blame_for(load: Load, recipe: str) -> None:
    found = said(load(x__recipe__toml=f'{recipe}\n[[input]]\nsource = "https://example.com/a.jpg"\n'))

    assert [code for code, _ in found] == ["not-json"]


def test_a_value_under_a_profile_is_told_once_and_with_the_others(load: Load) -> None:
    text = 'vars.d = "webp"\n[profile.p.vars]\nd = nan\n[[input]]\nsource = "https://example.com/a.jpg"\n'

    found = said(load(x__recipe__toml=f'{text}[[conversion]]\ntarget = "{{vars.d}}"\noptions = {{ qualty = 3 }}\n'))

    assert [code for code, _ in found] == ["not-json", "unknown-option"]


def test_json_with_half_a_character_is_judged_as_well(load: Load) -> None:
    text = '{"name": "\\ud800", "retry": "two", "input": {"source": "https://e.com"}, "conversion": {"target": "wepb"}}'

    found = said(load(x__recipe__json=text))

    assert found[0][0] == "not-json"
    assert found[1:] == ALSO


def test_a_key_that_stands_twice_in_json_hides_no_other_mistake(load: Load) -> None:
    text = '{"retry": 1, "retry": "two", "input": {"source": "https://e.com"}, "conversion": {"target": "wepb"}}'

    found = said(load(x__recipe__json=text))

    assert [found[0][0], *found[1:]] == ["duplicate-key", *ALSO]


def test_a_secret_that_a_second_key_hides_is_in_no_line_that_is_shown(load: Load) -> None:
    first = '{"source": "https://e.com",\n"credentials": {"password": "hunter2", "pasword": 1,\n'
    loaded = load(
        x__recipe__json=f'{{"input": {first} "password": {{"env": "A"}}}}}}, "conversion": {{"target": "webp"}}}}'
    )

    assert [problem.code for problem in loaded.problems] == ["duplicate-key"]
    assert "hunter2" not in findings_text(loaded.problems, checked=1, color=False)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(None, id="not-there"),
        pytest.param("a = \n", id="broken"),
    ],
)
def test_an_include_that_cant_be_read_hides_no_other_mistake_and_lacks_nothing(load: Load, part: str | None) -> None:
    recipe = (
        'include = ["part.toml"]\nretry = "two"\nbudget.run = 3\nnotify_status = true\nforeach.exclude = "b"\n'
        '[[conversion]]\ntarget = "wepb"\noptions = { width = "{vars.width}", height = "{item.height}" }\n'
    )

    found = said(load(x__recipe__toml=recipe, **({} if part is None else {"part.toml": part})))

    assert sorted(found[1:] if part is None else [one for one in found if one[0] != "syntax"]) == sorted(ALSO)


def test_all_that_is_wrong_with_includes_is_told(load: Load, fetch: str) -> None:
    found = said(load(x__recipe__toml=f'include = ["nope.toml", 3]\n{fetch}'))

    assert found == [
        ("bad-include", "the included file 'nope.toml' does not exist"),
        ("wrong-type", "include must be text, not a whole number"),
    ]


def test_what_an_array_lacks_is_told_whatever_was_included(load: Load) -> None:
    found = said(load(x__recipe__toml='include = "nope.toml"\n[[input]]\nsource = "https://e.com"\n[[conversion]]\n'))

    assert [code for code, _ in found] == ["bad-include", "missing-key"]


def test_a_profile_or_a_constant_that_an_include_may_have_is_not_called_unknown(load: Load, fetch: str) -> None:
    found = said(load(profile="p", sets={"x": "1"}, x__recipe__toml=f'include = "nope.toml"\n{fetch}'))

    assert [code for code, _ in found] == ["bad-include"]
