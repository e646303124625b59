"""The strict recipe schema comes from the loose one: one source of truth, two readers.

Editors get the loose schema: it takes every form that a person may write. The runner brings a document into
one form first (see `normal`), and then holds it against the strict schema: no unknown keys, and of several
forms only the first. Whatever the strict one accepts the loose one accepts too.

`python -m runner.recipe.strict LOOSE STRICT` writes the strict file anew; a test compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from runner.wire.values import Json, JsonObject


def strict(loose: JsonObject) -> JsonObject:
    """The strict schema of `loose`."""
    made: JsonObject = _strict(loose)
    made["$id"] = loose["$id"].replace("recipe.schema", "recipe-strict.schema")
    made["title"] = f"{loose['title']} (strict)"
    made["description"] = (
        "What the runner holds a recipe against, once it has the one form. Made from the loose schema."
    )
    return made


def _strict(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: inner if key in _AS_IT_IS else _strict(inner) for key, inner in schema.items()}
    if "anyOf" in made:  # several forms: the first is the one that the runner brings all others into
        made = {**{key: inner for key, inner in made.items() if key != "anyOf"}, **made["anyOf"][0]}
    if _is_closed(made):
        made["additionalProperties"] = False
    return made


_AS_IT_IS = frozenset({"examples", "default", "enum", "description", "required"})


def _is_closed(schema: JsonObject) -> bool:
    kind = schema.get("type")
    is_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
    return is_object and "properties" in schema and "additionalProperties" not in schema


def main(loose: str, target: str) -> None:
    made = strict(json.loads(Path(loose).read_text(encoding="utf-8")))
    Path(target).write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
