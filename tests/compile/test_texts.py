"""What rows and a matrix bring to where a job needs text: one spelling, or an error of that item."""

from __future__ import annotations

from typing import Any

import pytest

from runner.compile import drafts_of, items_of, jobs_of, unspelt
from runner.recipe.model import Foreach, Recipe, Save
from tests.compile.conftest import FOLDER, Kitchen

JOB = {
    "input": [{"type": "upload", "source": "{item.v}", "filename": "{item.v}"}],
    "conversion": [
        {
            "target": "{item.v}",
            "options": {"width": "{item.v}"},
            "output_target": [
                {"type": "ftp", "parameters": {"host": "h", "port": "{item.v}", "file": "{item.v}"}},
            ],
        }
    ],
}
SPELT = [("true", "true"), ("false", "false"), ("5", "5"), ("0.5", "0.5"), ('"x"', "x")]


def recipe(**more: Any) -> Recipe:
    usual: dict[str, Any] = {
        "file": FOLDER / "shop.recipe.toml",
        "folder": FOLDER,
        "name": "shop",
        "job": JOB,
        "foreach": Foreach(kind="rows", rows="o.jsonl"),
        "save": Save(path="{item.v}", on_conflict="error"),
    }
    return Recipe(**(usual | more))


@pytest.mark.parametrize(("value", "text"), SPELT, ids=[value for value, _ in SPELT])
def test_a_value_that_is_alone_is_spelt_as_inside_of_text_in_names_and_keeps_its_type_in_options(
    kitchen: Kitchen, value: str, text: str
) -> None:
    made = recipe()
    items, _ = items_of(made, table=f'{{"v": {value}}}')
    (draft,) = drafts_of(made, items)
    job, _ = jobs_of(draft, [[kitchen.content(text)]], endpoint="local")

    assert list(unspelt(made, items)) == []
    assert [source.source for source in draft.sources] == [text]
    assert job is not None
    for payload in (draft.payload, job.payload_for(run_date="2026-11-23")):
        conversion = payload["conversion"][0]
        assert payload["input"][0]["filename"] == text
        assert conversion["target"] == text
        assert conversion["output_target"][0]["parameters"]["file"] == text
        assert conversion["options"]["width"] == items[0].values["v"]
        assert conversion["output_target"][0]["parameters"]["port"] == items[0].values["v"]
    assert job.save.path == text
    assert job.save.place_for("x.png", index=0, run_date="2026-11-23") == f"/srv/shop/{text}"


@pytest.mark.parametrize(("value", "kind"), [("null", "null"), ('["a"]', "an array"), ('{"a": 1}', "an object")])
def test_what_has_no_spelling_is_an_error_of_its_row_alone(value: str, kind: str) -> None:
    made = recipe()
    items, _ = items_of(made, table=f'{{"v": "x"}}\n{{"v": {value}}}')

    ((item, problem),) = unspelt(made, items)

    assert (item.label, problem.code) == ("2", "wrong-type")
    assert problem.message.startswith(f"o.jsonl:2: 'v' is {kind}, and source must be text; ")
    for place in ("filename", "target", "file", "save.path"):
        assert f"and {place} must be text" in problem.message
    assert "width" not in problem.message


def test_a_matrix_brings_no_null_to_a_name() -> None:
    made = recipe(foreach=Foreach(kind="matrix", matrix={"v": (1, None)}), save=None)
    items, _ = items_of(made)

    ((item, problem),) = unspelt(made, items)

    assert item.label == "v=null"
    assert problem.message.startswith("shop[v=null]: 'v' is null, and source must be text")


def test_a_table_of_text_has_nothing_to_spell() -> None:
    made = recipe(foreach=Foreach(kind="rows", rows="o.csv"))
    items, _ = items_of(made, table="v\nx\n")

    assert list(unspelt(made, items)) == []
    assert drafts_of(made, items)[0].text_slots == ()
