"""What a profile has to do with a finding: a value is wrong where it is used, and may stand in the profile's vars."""

from __future__ import annotations

from dataclasses import replace

from runner.recipe.finding import Finding, Steps
from runner.recipe.template import names
from runner.wire.values import Json, JsonObject, as_object


def at_overlay(finding: Finding, document: JsonObject, profile: str) -> Finding:
    """`finding` of `document` under `profile`, at the variable of the profile that the value at fault is made of."""
    written = as_object(as_object(as_object(document.get("profile")).get(profile)).get("vars"))
    value = _value_at(document, finding.path)
    used = names(value) if isinstance(value, str) and not finding.key else ()
    variable = next((name.name for name in used if name.root == "vars" and name.name in written), None)
    return finding if variable is None else replace(finding, path=("vars", variable))


def _value_at(document: Json, path: Steps) -> Json:
    for step in path:
        if isinstance(document, dict):
            document = document.get(str(step))
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document
