from __future__ import annotations

import json

from click.testing import CliRunner

from runner import resources
from runner.cli.schema import schema
from runner.errors import InvalidError


def test_schema_is_printed_as_it_ships() -> None:
    done = CliRunner().invoke(schema, ["recipe"])

    assert (done.exit_code, done.stdout) == (0, resources.schema_text("recipe"))
    assert json.loads(done.stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_schemas_are_listed_with_their_titles() -> None:
    text, rows = CliRunner().invoke(schema, []).stdout, CliRunner().invoke(schema, ["--format", "json"]).stdout

    assert "recipe           Conversion recipe\n" in text
    assert {row["name"] for row in json.loads(rows)} == set(resources.schema_names())


def test_unknown_schema_is_an_error_with_a_near_miss() -> None:
    error = CliRunner().invoke(schema, ["recipes"]).exception

    assert isinstance(error, InvalidError)
    assert str(error).startswith("there is no schema 'recipes'")
    assert error.hint == "did you mean 'recipe'?"
