from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.recipe.normal import API_FIELDS, normal
from runner.recipe.read import read_file
from runner.recipe.story import story
from runner.recipe.strict import strict
from runner.resources import catalog_document, folder, schema
from runner.wire.values import Json, JsonObject

RECIPES = Path(__file__).parent.parent / "recipes"
LOOSE, STRICT = schema("recipe"), schema("recipe-strict")
STRICTLY, LOOSELY = jsonschema_rs.Draft7Validator(STRICT), jsonschema_rs.Draft7Validator(LOOSE)


def _documents() -> list[JsonObject]:
    read = (read_file(path).value for path in sorted(RECIPES.glob("*/*.recipe.*")))
    return [normal(value)[0] for value in read if value is not None]


def test_strict_schema_is_the_one_made_from_the_loose_one() -> None:
    assert strict(LOOSE) == STRICT


@pytest.mark.parametrize("name", ["recipe", "recipe-strict", "catalog"])
def test_schema_is_valid_draft_7(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(schema(name))


def test_editors_schema_uses_only_what_toml_editors_know() -> None:
    known = {
        "$ref", "$schema", "$id", "title", "type", "properties", "required", "additionalProperties", "items", "enum",
        "description", "examples", "default", "anyOf", "pattern", "minimum", "maximum", "definitions",
        "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    }  # fmt: skip

    assert {keyword for one in _schemas(LOOSE) for keyword in one} <= known


def _schemas(value: JsonObject) -> Iterator[JsonObject]:
    yield value
    for key, inner in value.items():
        if key in {"properties", "definitions"}:
            for one in inner.values():
                yield from _schemas(one)
        elif key == "anyOf":
            for one in inner:
                yield from _schemas(one)
        elif key in {"items", "additionalProperties"} and isinstance(inner, dict):
            yield from _schemas(inner)


@pytest.mark.parametrize("name", ["recipe", "recipe-strict", "catalog"])
def test_every_property_has_a_description_and_an_example_that_fits(name: str) -> None:
    whole = jsonschema.Draft7Validator(schema(name))
    for parent in _schemas(schema(name)):
        for key, one in parent.get("properties", {}).items():
            assert one.get("description"), key
            assert one.get("examples"), key
            if not name.endswith("strict"):
                for example in one["examples"]:
                    assert whole.evolve(schema=one).is_valid(example), (key, example)


def test_catalog_keeps_to_its_schema() -> None:
    jsonschema.Draft7Validator(schema("catalog")).validate(catalog_document())


def test_all_schemas_are_shipped_with_unix_line_ends() -> None:
    for path in folder("schemas").glob("*.json"):
        assert b"\r" not in path.read_bytes()
        assert path.read_bytes().endswith(b"}\n")


KEYS = sorted({key for one in _schemas(STRICT) for key in one.get("properties", {})} | {"xyz"})
LEAVES = (0.5, 3.0, "upload", "ftp", "20m", "x", "", "a/b", "{vars.x}", "webp")
SCALARS = st.none() | st.booleans() | st.integers(-2, 200) | st.sampled_from(LEAVES)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def _mutants() -> st.SearchStrategy[JsonObject]:
    """Real documents with one value, at any depth, replaced by anything."""

    def mutated(document: JsonObject, steps: list[int], value: Json) -> JsonObject:
        copy: JsonObject = json.loads(json.dumps(document))
        here: Json = copy
        for step in steps:
            keys = list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) else []
            if not keys:
                break
            key = keys[step % len(keys)]
            if not isinstance(here[key], dict | list) or step % 3 == 0:
                here[key] = value
                break
            here = here[key]
        return copy

    return st.builds(
        mutated, st.sampled_from(_documents()), st.lists(st.integers(0, 30), min_size=1, max_size=6), VALUES
    )


@settings(deadline=None)
@given(st.one_of(_mutants(), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)))
def test_story_has_findings_exactly_when_the_fast_verdict_is_no(document: JsonObject) -> None:
    assert (not list(story(document, STRICT))) == STRICTLY.is_valid(document)


@settings(deadline=None)
@given(st.one_of(_mutants(), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)))
def test_what_the_strict_schema_accepts_the_loose_one_accepts(document: JsonObject) -> None:
    assert LOOSELY.is_valid(document) or not STRICTLY.is_valid(document)


def test_valid_recipes_pass_both_schemas() -> None:
    for path in sorted((RECIPES / "valid").glob("*.recipe.*")):
        value = read_file(path).value
        assert value is not None
        assert LOOSELY.is_valid(value), path


def test_every_field_of_the_api_has_its_place_in_the_schema() -> None:
    assert set(API_FIELDS) <= set(LOOSE["properties"])
