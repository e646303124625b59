"""Secrets written out in a file, by the names of the keys they stand at, in whatever table that is.

Files are looked at as they are: what a profile lays over a value, or what lies in an included file below another,
is in git all the same. What templates become is looked at once more when constants are put in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.recipe.finding import Finding, Steps
from runner.recipe.suggest import listed
from runner.recipe.template import has_template
from runner.wire.secrets import OPTIONS_WITH_SECRETS, is_reference
from runner.wire.values import Json, JsonObject

HINT = 'write { env = "NAME" } and set that variable, or { file = "path" }'
_NAMES = OPTIONS_WITH_SECRETS | {"download_passwords"}


def literal_findings(document: JsonObject, *, expanded: bool = False) -> Iterator[Finding]:
    """Every secret in a document in normal form; names of profiles are nobody's secrets.

    expanded  constants are put in, so that what still holds a template is no reference and never becomes one
    """
    walk = _Walk(expanded=expanded)
    for name, value in document.items():
        if name == "profile" and isinstance(value, dict):
            for profile, overlay in value.items():
                yield from walk.below(overlay, (name, profile))
        else:
            yield from walk.at(name, value, (name,))


def literal_secret(path: Steps, name: str) -> Finding:
    called = "a download password" if name == "download_passwords" else name
    message = f"{called} is a secret and must not be written into a recipe"
    return Finding(path=path, code="literal-secret", message=message, hint=_hint(path), secret=True)


def _hint(path: Steps) -> str:
    tables = path[2:] if path[0] == "profile" else path
    if tables[0] == "vars":
        return 'leave it out of vars, and write { env = "NAME" } where it is used'
    if tables[0] == "foreach" and "credentials" not in tables:
        return f'leave the column out, and write {{ env = "NAME" }} where it is used: {listed(_PLACES)}'
    if "metadata" in tables or "parameters" in tables:
        return f"leave it out: a secret may stand in {listed(_PLACES)}"
    return HINT


_PLACES = ("callback", "credentials", "download_passwords", "options", "source")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Walk:
    """`expanded` is a document with its constants put in."""

    expanded: bool

    def below(self, value: Json, path: Steps) -> Iterator[Finding]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from self.at(name, inner, (*path, name))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self.below(inner, (*path, index))

    def at(self, name: str, value: Json, path: Steps) -> Iterator[Finding]:
        if name not in _NAMES:
            if isinstance(value, dict | list):
                yield from self.below(value, path)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                if self._is_literal(inner):
                    yield literal_secret((*path, index), name)
        elif self._is_literal(value):
            yield literal_secret(path, name)

    def _is_literal(self, value: Json) -> bool:
        """Whether there is anything to hide; a number may be somebody's password, true and false are none."""
        if isinstance(value, str) and not self.expanded and has_template(value):
            return False
        if isinstance(value, int | float):
            return not isinstance(value, bool)
        return bool(value) and not is_reference(value)
