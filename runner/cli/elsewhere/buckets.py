"""The objects that `foreach.bucket` means, as names and revisions."""

from __future__ import annotations

from pathlib import Path

from runner.cli.elsewhere.stores import resolved
from runner.errors import InvalidError
from runner.inventory import path_matcher
from runner.recipe.model import Foreach
from runner.server.storage.looking import listed
from runner.server.storage.places import shelf_of
from runner.server.storage.protocol import Site, StorageError
from runner.server.storage.table import EXTRA, SERVED
from runner.wire.providers import PROVIDERS


def objects_of(foreach: Foreach, site: Site, *, folder: Path) -> list[tuple[str, str]]:
    """Names and revisions, by name, no more than one above `max_items`. Blocks while the provider is asked.

    Raises InvalidError with the provider's words, and what a missing secret raises.
    """
    bucket = foreach.bucket
    assert bucket is not None
    match = tuple(map(path_matcher, bucket.match))
    exclude = tuple(map(path_matcher, foreach.exclude))

    def is_wanted(name: str) -> bool:
        taken = not match or any(one.fullmatch(name) for one in match)
        return taken and not any(one.match(name) for one in exclude)

    entry = SERVED[bucket.source]
    if not entry.is_here:
        title = PROVIDERS[bucket.source].title
        raise InvalidError(f"{title} can't be listed: the package {entry.needs} is missing here", hint=EXTRA)
    most = None if foreach.max_items is None else foreach.max_items + 1
    try:
        shelf = shelf_of(bucket.source, bucket.parameters, resolved(bucket.credentials, folder))
        found = listed(shelf, site, most=most, is_wanted=is_wanted)
    except StorageError as error:
        raise InvalidError(error.message) from None
    return [(one.name, one.version) for one in found]
