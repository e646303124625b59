"""What ships beside the code: schemas, the catalog snapshot, example recipes.

In a wheel they lie inside the package, in a checkout beside it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The shipped folder `schemas` or `recipes`."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def schema_names() -> tuple[str, ...]:
    return tuple(sorted(p.name.removesuffix(".schema.json") for p in folder("schemas").glob("*.schema.json")))


def schema_text(name: str) -> str:
    """The JSON Schema called `name`, as shipped. Raises LookupError for a name that isn't there."""
    if name not in schema_names():
        raise LookupError(f"there is no schema '{name}'; there are {', '.join(schema_names())}")
    return _text(f"{name}.schema.json")


@cache
def schema(name: str) -> dict[str, Any]:
    """The same as a value, by a name that is known to be there."""
    document: dict[str, Any] = json.loads(_text(f"{name}.schema.json"))
    return document


@cache
def catalog_document() -> dict[str, Any]:
    """The dated snapshot of targets and options, so that `check` works offline."""
    document: dict[str, Any] = json.loads(_text("catalog.json"))
    return document


@cache
def openapi_document() -> dict[str, Any]:
    """The API as the local server speaks it, in OpenAPI 3."""
    document: dict[str, Any] = json.loads(_text("openapi.json"))
    return document


def _text(file: str) -> str:
    return (folder("schemas") / file).read_text(encoding="utf-8")
