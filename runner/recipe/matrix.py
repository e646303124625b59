"""What a matrix puts into conversions is known before anything is listed, and so it is held against the catalog too.

A wrong value is told once, at its place in the matrix; where it is only part of a text, at the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from runner.errors import InvalidError
from runner.recipe.finding import Finding, Steps
from runner.recipe.options import conversion_findings
from runner.recipe.template import expand, names, parsed
from runner.wire.catalog import Catalog
from runner.wire.values import Json, JsonObject, as_object

_MOST = 200  # combinations; beyond them every value is still looked at once
_FIELDS = ("target", "category", "options")

Columns = Mapping[str, Sequence[Json]]


def matrix_findings(entry: JsonObject, at: Steps, foreach: Json, catalog: Catalog) -> Iterator[Finding]:
    """What is wrong with one conversion under the values of the matrix; nothing where it uses none."""
    matrix = as_object(as_object(foreach).get("matrix"))
    if not matrix:
        return
    used = {name.name for field in _FIELDS for name in names(entry.get(field)) if name.root == "item"}
    columns = {name: values for name, values in matrix.items() if name in used and isinstance(values, list) and values}
    told: set[tuple[Steps, str]] = set()
    for indices in _combinations(columns) if columns else ():
        chosen = {name: columns[name][index] for name, index in indices.items()}
        for found in _under(entry, at, chosen, catalog):
            path = _place(entry, found.path[len(at) :], indices) or found.path
            if (path, found.code) not in told:
                told.add((path, found.code))
                yield replace(found, path=path, key=found.key and path == found.path)


def _combinations(columns: Columns) -> Iterator[dict[str, int]]:
    """Which value of each column: the first combinations, and then each value beside the first ones of the others."""
    for indices in itertools.islice(itertools.product(*(range(len(values)) for values in columns.values())), _MOST):
        yield dict(zip(columns, indices, strict=True))
    first = dict.fromkeys(columns, 0)
    for name, values in columns.items():
        yield from (first | {name: index} for index in range(1, min(len(values), _MOST)))


def _under(entry: JsonObject, at: Steps, chosen: Mapping[str, Json], catalog: Catalog) -> Iterator[Finding]:
    try:
        expanded = {field: expand(value, {"item": chosen}) for field, value in entry.items() if field in _FIELDS}
    except InvalidError:  # an array in the middle of a text, or a column that doesn't exist: told elsewhere
        return
    yield from conversion_findings(expanded, at, catalog)


def _place(entry: Json, path: Steps, indices: Mapping[str, int]) -> Steps | None:
    """The place in the matrix of a value that stands at `path` of the conversion; None where it is written there."""
    for step in path:
        if isinstance(entry, str):
            break  # inside of what the matrix put in
        entry = entry[step]
    template = parsed(entry) if isinstance(entry, str) else None
    if template is None or len(template.parts) != 1 or not template.names or template.names[0].root != "item":
        return None
    name = template.names[0].name
    return ("foreach", "matrix", name, indices[name])
