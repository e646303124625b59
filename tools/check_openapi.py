#!/usr/bin/env python3
"""Hold our OpenAPI document against another one of the same API: `tools/check_openapi.py THEIRS [OURS]`.

Every path, method, parameter, field, enum value and status of theirs has to be in ours, or in REASONS with the
reason why not. What ours has on top is our own affair. A reason that nothing needs any more is an error too.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Node = dict[str, Any]

OURS = Path(__file__).parents[1] / "schemas" / "openapi.json"

# Patterns of what may be missing, each with why.
REASONS = {
    r"POST /jobs: status 204": "an empty body is a mistake of the client: 400 with code 8; a 204 could not say so",
    r"GET /jobs/\{job_id\}/input: status 402": "too much is refused where it is added, not where it is read",
    r"PATCH /jobs/\{job_id\}/output(/\{file_id\})?: status 409": "outputs can be renamed and protected at any time",
    r"GET /contracts: status 200: \[\]": "an object: what the API's own pages show",
    r".*: status 20[01](: \[\])?: field download_passwords": "passwords are taken and never shown again",
    r"PATCH /jobs/\{job_id\}: body: field (conversion|input|output)": "these are changed at their own paths",
    r"PATCH /jobs/\{job_id\}: body: field \w+": "set by the server alone, and ignored like any unknown field",
}


@dataclass(frozen=True)
class Document:
    root: Node

    def found(self, node: Node) -> Node:
        while "$ref" in node:
            target: Any = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operations(self) -> dict[tuple[str, str], Node]:
        return {
            (method.upper(), path): operation
            for path, operations in self.root["paths"].items()
            for method, operation in operations.items()
            if method != "parameters"
        }


def main(args: list[str]) -> int:
    theirs, ours = Path(args[0]), Path(args[1]) if len(args) > 1 else OURS
    missing = list(compare(Document(json.loads(theirs.read_text())), Document(json.loads(ours.read_text()))))
    unexplained = [one for one in missing if not any(re.fullmatch(reason, one) for reason in REASONS)]
    stale = [reason for reason in REASONS if not any(re.fullmatch(reason, one) for one in missing)]
    for one in unexplained:
        _say(f"missing in {ours.name}: {one}")
    for one in stale:
        _say(f"no longer missing, drop its reason: {one}")
    if unexplained or stale:
        return 1
    operations = len(Document(json.loads(theirs.read_text())).operations())
    _say(f"{ours.name} has all of {operations} operations; {len(missing)} differences, each with a reason")
    return 0


def compare(theirs: Document, ours: Document) -> Iterator[str]:
    known = ours.operations()
    for (method, path), operation in theirs.operations().items():
        place = f"{method} {path}"
        if (method, path) not in known:
            yield place
        else:
            yield from _operation(place, operation, known[method, path], theirs, ours)


def _operation(place: str, their: Node, our: Node, theirs: Document, ours: Document) -> Iterator[str]:
    known = {_name(one) for one in map(ours.found, our["parameters"])}
    for parameter in map(theirs.found, their.get("parameters", [])):
        if _name(parameter) not in known:
            yield f"{place}: {parameter['in']} parameter {parameter['name']}"
    bodies = _schema(their.get("requestBody"), theirs), _schema(our.get("requestBody"), ours)
    yield from _schemas(f"{place}: body", *bodies, theirs, ours)
    for status, response in their["responses"].items():
        if status not in our["responses"]:
            yield f"{place}: status {status}"
            continue
        answers = _schema(response, theirs), _schema(our["responses"][status], ours)
        yield from _schemas(f"{place}: status {status}", *answers, theirs, ours)


def _name(parameter: Node) -> tuple[str, str]:
    return parameter["in"], str(parameter["name"]).lower()


def _schema(node: Node | None, document: Document) -> Node | None:
    content = document.found(node or {}).get("content", {})
    return next((one["schema"] for one in content.values()), None)


def _schemas(place: str, their: Node | None, our: Node | None, theirs: Document, ours: Document) -> Iterator[str]:
    """What of their schema ours can't be; of our alternatives the one that fits best counts."""
    if their is None:
        return
    if our is None:
        yield place
        return
    if their.get("type") == "array" and "$ref" in their:  # meant as an array of that
        their = {"type": "array", "items": {"$ref": their["$ref"]}}
    their, our = theirs.found(their), ours.found(our)
    if "oneOf" in our:
        yield from min((list(_schemas(place, their, one, theirs, ours)) for one in our["oneOf"]), key=len)
    elif their.get("type") != "array":
        yield from _values(place, their, our)
        yield from _fields(place, their, our, theirs, ours)
    elif our.get("type") == "array":
        yield from _schemas(f"{place}: []", their.get("items", {}), our["items"], theirs, ours)
    else:
        yield f"{place}: []"


def _fields(place: str, their: Node, our: Node, theirs: Document, ours: Document) -> Iterator[str]:
    for name, field in their.get("properties", {}).items():
        if name in our.get("properties", {}):
            yield from _schemas(f"{place}.{name}", field, our["properties"][name], theirs, ours)
        else:
            yield f"{place}: field {name}"


def _values(place: str, their: Node, our: Node) -> Iterator[str]:
    """`x-known-values` are an open list: others are taken too."""
    known = [*our.get("enum", []), *our.get("x-known-values", [])]
    for value in their.get("enum", []):
        if value not in known:
            yield f"{place}: value {value}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
