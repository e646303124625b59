"""Names of accounts that stand behind references: keys need them, since whose storage it is makes other work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.cli.secrets import resolve_secret
from runner.compile import Draft
from runner.errors import InvalidError
from runner.wire.accounts import account_references, reference_name
from runner.wire.secrets import Slot
from runner.wire.values import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounts:
    """Each reference is resolved once for all recipes of a folder: names of files are relative to it."""

    _named: dict[Path, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _unnamed: dict[tuple[Path, str], InvalidError] = field(default_factory=dict)

    def of(self, draft: Draft) -> Mapping[str, str]:
        """What is known for the recipe of `draft`, by `reference_name`; the same object for all of its drafts."""
        return self._named[draft.recipe.folder]

    def resolve(self, draft: Draft) -> Iterator[tuple[Slot, InvalidError]]:
        """Learns the names that `draft` needs; tells the places of those that aren't there, and why."""
        folder = draft.recipe.folder
        for slot, reference in account_references(draft.payload):
            name = reference_name(reference)
            if name not in self._named[folder] and (folder, name) not in self._unnamed:
                self._learn(folder, name, reference)
            if (folder, name) in self._unnamed:
                yield slot, self._unnamed[folder, name]

    def _learn(self, folder: Path, name: str, reference: JsonObject) -> None:
        try:
            found = resolve_secret(reference, folder)
        except InvalidError as error:
            self._unnamed[folder, name] = error
            return
        if isinstance(found, str):
            self._named[folder][name] = found
        else:
            self._unnamed[folder, name] = InvalidError("the name of an account must be text, and no object")
