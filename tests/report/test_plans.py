"""Plans for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from runner.plan import Action, Change, Credits, Plan, Step
from runner.report.plans import plan_summary, plan_text, printable
from runner.resources import schema
from runner.state import KeyState, Stage
from tests.plan.conftest import make_job

KEY = "k1:" + "0" * 64
MARKS = {"run": "+", "resume": ">", "redeliver": "v", "skip": "=", "retry": "!", "blocked": "x", "lost": "?"}


def step(action: Action = Action.RUN, **more: Any) -> Step:
    usual: dict[str, Any] = {"address": "shop[a.jpg]", "key": KEY, "action": action, "reason": "new"}
    return Step(**(usual | more))


def published(name: str) -> dict[str, Any]:
    """A published shape, in which here, unlike for its readers, nothing may stand that it doesn't describe."""
    made: dict[str, Any] = closed(schema(name))
    return made


def closed(value: Any) -> Any:
    if isinstance(value, dict):
        made = {key: closed(inner) for key, inner in value.items()}
        return made | {"additionalProperties": False} if "properties" in value else made
    return [closed(inner) for inner in value] if isinstance(value, list) else value


def properties(value: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        for name, inner in value.get("properties", {}).items():
            yield f"{at}.{name}", inner
            yield from properties(inner, f"{at}.{name}")
        if "items" in value:
            yield from properties(value["items"], f"{at}[]")


@pytest.mark.parametrize("name", ["plan", "run-report"])
def test_every_property_of_a_published_shape_has_a_description_and_an_example_that_fits(name: str) -> None:
    document = schema(name)

    jsonschema.Draft7Validator.check_schema(document)
    found = dict(properties(document))
    assert len(found) > 20
    for place, described in found.items():
        assert described.get("description", "").endswith("."), place
        assert described.get("examples"), place
        for example in described["examples"]:
            jsonschema.Draft7Validator(closed(described)).validate(example)


@pytest.mark.parametrize(
    ("retry", "state", "said"),
    [
        (0, None, "at most 2."),
        (3, None, "at most 2, or 8 if all fail as often as retry allows."),
        (3, (1, Stage.STAGED), "at most 2, or 8 if"),
        (3, (2, Stage.FAILED), "at most 2, or 4 if"),
        (3, (3, Stage.FAILED), "at most 2."),
        (3, (5, Stage.FAILED), "at most 2."),
    ],
)
def test_the_credits_of_attempts_that_the_recipe_allows_are_told(
    retry: int, state: tuple[int, Stage] | None, said: str
) -> None:
    job = make_job(cap=2, retry=retry)
    known = None if state is None else KeyState(key=KEY, attempt=state[0], stage=state[1])
    bought = step(credits=Credits(cap=2, estimate=None), job=job, state=known)
    shared = step(address="shop[b.jpg]", job=job, state=known)

    assert f" Credits: {said}" in plan_summary(Plan(steps=(bought, shared)))


def test_a_plan_as_json_has_the_published_shape_with_every_key_always_there() -> None:
    plan = Plan(
        steps=(
            *(step(action) for action in Action),
            step(
                changes=(Change(path="conversion[0].target", before="png", after=None),),
                credits=Credits(cap=None, estimate=None),
            ),
            step(Action.BLOCKED, key="", reason="shop.recipe.toml:3: is a folder"),
        )
    )

    document = plan.as_json()

    jsonschema.Draft7Validator(published("plan")).validate(document)
    assert document["jobs"][-2]["changes"] == [{"path": "conversion[0].target", "before": "png", "after": None}]


def test_the_empty_plan_has_the_published_shape_too() -> None:
    jsonschema.Draft7Validator(published("plan")).validate(Plan(steps=()).as_json())


@pytest.mark.parametrize("action", [one for one in Action if one.value in MARKS])
def test_every_action_has_its_mark_address_and_reason(action: Action) -> None:
    line = plan_text(Plan(steps=(step(action, reason="because"),)), color=False, verbose=True).splitlines()[0]

    assert line.startswith(f"{MARKS[action.value]} {action.value} ")
    assert "shop[a.jpg]  because" in line


def test_what_is_done_is_listed_only_when_asked_for() -> None:
    plan = Plan(steps=(step(Action.SKIP), step(Action.ORPHAN, address="shop[b.jpg]")))

    assert plan_text(plan, color=False, verbose=False) == "Plan: 1 to skip, 1 orphan.\n"
    assert len(plan_text(plan, color=False, verbose=True).splitlines()) == 3


def test_nothing_to_do_is_said_in_words() -> None:
    assert plan_summary(Plan(steps=(step(Action.SKIP), step(Action.SKIP)))) == "Nothing to do: 2 done."


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((step(credits=Credits(cap=2, estimate=None)), step(credits=Credits(cap=3, estimate=1))), "at most 5"),
        ((step(credits=Credits(cap=2, estimate=None)), step(credits=Credits(cap=None, estimate=1))), "no cap"),
        ((step(Action.RETRY, credits=Credits(cap=4, estimate=4)), step(Action.LOST)), "at most 4"),
    ],
)
def test_the_summary_names_the_credits_at_stake(steps: tuple[Step, ...], words: str) -> None:
    assert words in plan_summary(Plan(steps=steps)).partition("Credits: ")[2]


def test_each_further_change_has_a_line_of_its_own() -> None:
    changes = tuple(Change(path=f"conversion[{number}].target", before="png", after="gif") for number in range(3))

    lines = plan_text(Plan(steps=(step(changes=changes, reason="changed"),)), color=False, verbose=False).splitlines()

    assert [line.strip() for line in lines[1:3]] == [
        "conversion[1].target: png -> gif",
        "conversion[2].target: png -> gif",
    ]


def test_colours_are_there_only_when_asked_for() -> None:
    plan = Plan(steps=(step(),))

    assert "\x1b[32m" in plan_text(plan, color=True, verbose=False)
    assert "\x1b" not in plan_text(plan, color=False, verbose=False)


def test_no_name_steers_the_terminal_or_breaks_the_line() -> None:
    evil = step(address="shop[\x1b[2J\n\u202e.jpg]", reason="changed: a\nb", changes=())

    text = plan_text(Plan(steps=(evil,)), color=False, verbose=False)

    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\n" in text


def test_names_of_all_the_world_stay_as_they_are() -> None:
    assert printable("Łódź 日本 a b'\".jpg") == "Łódź 日本 a b'\".jpg"


def test_what_nobody_buys_has_no_cap_to_show_and_what_a_person_may_buy_says_what_it_cost() -> None:
    nothing, before = Credits(cap=None, estimate=None), Credits(cap=None, estimate=3)
    plan = Plan(steps=(step(Action.BLOCKED, credits=nothing), step(Action.LOST, credits=before), step(credits=nothing)))

    blocked, lost, run, _ = plan_text(plan, color=False, verbose=False).splitlines()

    assert "credits" not in blocked
    assert lost.endswith("  [credits: 3 last time]")
    assert run.endswith("  [credits: no cap]")
