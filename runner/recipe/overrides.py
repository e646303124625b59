"""`--set`: values from the command line in place of those in `vars`, each of the type that the recipe gave it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from runner.recipe.finding import Finding
from runner.recipe.read import has_half_character, inexact
from runner.recipe.suggest import shown
from runner.wire.values import Json, JsonObject


def overridden(document: JsonObject, overrides: Mapping[str, str]) -> tuple[JsonObject, list[Finding]]:
    """`document` with these values in its `vars`, and what is wrong with them."""
    names = document.get("vars")
    if not overrides or not isinstance(names, dict):
        return document, []
    values, findings = dict(names), []
    for name, text in overrides.items():
        if name not in values:
            continue
        try:
            values[name] = _typed(text, values[name])
        except ValueError as error:
            message = f"--set {name}: {error}"
            findings.append(Finding(path=("vars", name), code="wrong-type", message=message))
    return {**document, "vars": values}, findings


def _typed(text: str, like: Json) -> Json:
    if has_half_character(text):  # a byte of the command line that is no UTF-8
        raise ValueError("the value is not UTF-8 text")
    if isinstance(like, str):
        return text
    kinds: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", list: "an array"}
    try:
        value = json.loads(text)
        if isinstance(like, float) and type(value) is int:
            value = float(value)
    except (ValueError, RecursionError, OverflowError):
        value = None
    if type(value) is not type(like):
        raise ValueError(f"{shown(text)} is not {kinds.get(type(like), 'a table')}, which the recipe has there")
    for _, message, _ in inexact([value], ()):
        raise ValueError(f"{shown(text)}: {message}")
    return value
