"""Where results go: the `save` template of one job, and names that two jobs would fight over."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from runner.compile.naming import parted
from runner.errors import InvalidError
from runner.recipe.model import DEFAULT_SAVE, OnConflict
from runner.recipe.template import expand_text
from runner.wire.names import MOST_BYTES
from runner.wire.values import Json

_MOST_PATH_BYTES = 4096  # with the zero at its end; source: path_resolution(7)


@dataclass(frozen=True, kw_only=True, slots=True)
class SaveTo:
    """Where one job's results go.

    folder       absolute; what a relative `path` starts from
    base         absolute; the part of the path that the recipe's author wrote out; nothing that a name
                 from a listing, a table or a server brings along may lead out of it
    path         the template filled in as far as it is known before the run; the run log compares it
    template     the template as written, and `scope` what it sees: expanded in one go, so that a file's
                 name can't smuggle a template in
    on_conflict  what happens when something that isn't ours is in the way
    """

    folder: Path
    base: Path
    path: str
    template: str
    scope: Mapping[str, Mapping[str, Json]]
    on_conflict: OnConflict = "error"

    @property
    def is_the_same_every_day(self) -> bool:
        return "{run." not in self.template

    @property
    def known_folder(self) -> str:
        """The folder that results go to or below, as far as it is known before they have names."""
        return str(_written_out(self.folder, self.path))

    def places_for(self, names: Iterable[str], *, run_date: str) -> tuple[str, ...]:
        """`place_for` of all outputs of a job."""
        return tuple([self.place_for(name, index=index, run_date=run_date) for index, name in enumerate(names)])

    def path_for(self, filename: str, *, index: int, run_date: str) -> Path:
        """`place_for` as a path."""
        return Path(self.place_for(filename, index=index, run_date=run_date))

    def place_for(self, filename: str, *, index: int, run_date: str) -> str:
        """The absolute path for the output called `filename`, the `index`th of its job (from 0).

        Text, since a plan asks for a million of them. Raises InvalidError where the expanded path leaves `base`, or
        is longer than file systems bear.
        """
        stem, suffix = parted(filename)
        scope = {
            **self.scope,
            "run": {"date": run_date},
            "output": {
                "filename": filename,
                "stem": stem,
                "ext": suffix.lstrip("."),
                "index": index,
            },
        }
        expanded = expand_text(self.template, scope)
        whole = expanded if expanded.startswith("/") else f"{str(self.folder).rstrip('/')}/{expanded}"
        path, base = os.path.normpath(whole), str(self.base)
        if not _is_below(path, base) or "\0" in expanded:
            raise InvalidError(
                f"the result {filename!r} would be saved as {path!r}, outside of {base!r}",
                hint="a name with '..' or a leading '/' got into `save.path`; use {item.name} or {item.stem} there",
            )
        if len(path) > MOST_BYTES or not path.isascii():
            _require_short(path, filename)
        return path


def save_to(
    *, folder: Path, template: str | None, scope: Mapping[str, Mapping[str, Json]], on_conflict: OnConflict
) -> SaveTo:
    """`template` (or the default) filled in as far as `scope` reaches."""
    text = template if template is not None else DEFAULT_SAVE
    item = {"dir": ""} | dict(scope.get("item", {}))
    full_scope = {**scope, "item": _kept_below(item) if text == DEFAULT_SAVE else item}
    return SaveTo(
        folder=folder,
        base=_written_out(folder, text),
        path=expand_text(text, full_scope),
        template=text,
        scope=full_scope,
        on_conflict=on_conflict,
    )


def _kept_below(item: dict[str, Json]) -> dict[str, Json]:
    """`item` with a folder that lies above the recipe's as if it lay in it: nothing else leads out of `out/NAME/`."""
    folder = item["dir"]
    if not isinstance(folder, str) or ".." not in folder:
        return item
    normal = os.path.normpath(folder)
    while normal == ".." or normal.startswith("../"):
        normal = normal[3:]
    return item | {"dir": normal}


def _require_short(path: str, filename: str) -> None:
    longest = max(len(os.fsencode(part)) for part in path.split("/"))
    if longest <= MOST_BYTES and len(os.fsencode(path)) < _MOST_PATH_BYTES:
        return
    what = f"a name of {longest} bytes, and {MOST_BYTES} are" if longest > MOST_BYTES else "a path that is longer than"
    raise InvalidError(
        f"the result {filename!r} would be saved under {what} what file systems bear",
        hint="shorten what `save.path` is made of: a column of a table, or the folders before it",
    )


def _is_below(path: str, base: str) -> bool:
    """Of two normal paths. To POSIX "//" is another root than "/", and no folder is above both."""
    return path.startswith(base.rstrip("/") + "/") and path != base and path.startswith("//") == base.startswith("//")


@lru_cache(maxsize=256)
def _written_out(folder: Path, template: str) -> Path:
    literal = template.split("{", 1)[0]
    return Path(os.path.normpath(folder / (literal.rpartition("/")[0] or ("/" if literal.startswith("/") else ""))))


def output_conflicts(wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Paths that more than one result would be saved as, with the addresses that want them."""
    by_path: dict[str, list[str]] = defaultdict(list)
    for address, path in wanted:
        by_path[path].append(address)
    for path, addresses in by_path.items():
        if len(addresses) > 1:
            yield path, tuple(addresses)
