"""Looking without touching: what lies behind a prefix, and how reading or storing an object would fare."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from threading import Event

from runner.server.storage.contact import connected, named, patiently
from runner.server.storage.protocol import Found, Place, Site, Store

_BUSY_S = 20.0


def listed(
    shelf: Place, site: Site, *, most: int | None = None, is_wanted: Callable[[str], bool] = lambda _: True
) -> list[Found]:
    """The objects behind a prefix whose names are wanted, by name; no more than `most`. Raises StorageError.

    Names that end in a slash are left out: they stand for folders.
    """
    found: list[Found] = []

    def look() -> None:
        found.clear()
        wanted = (one for one in store.listing() if not one.name.endswith("/") and is_wanted(one.name))
        found.extend(islice(wanted, most))

    with named(shelf), closing(connected(shelf, site)) as store:
        patiently(shelf, _hasty(site), Event(), look)
    return sorted(found, key=lambda one: one.name)


def look_at_source(place: Place, site: Site) -> None:
    """Raises StorageError where the object isn't there, or couldn't be read."""
    with named(place), closing(connected(place, site)) as store:
        patiently(place, _hasty(site), Event(), lambda: _opened(store))


def look_at_target(place: Place, site: Site) -> str:
    """What can't be seen beforehand of storing an object there; raises StorageError where it would be refused."""
    unseen = ""

    def look() -> None:
        nonlocal unseen
        unseen = store.foresee()

    with named(place), closing(connected(place, site)) as store:
        patiently(place, _hasty(site), Event(), look)
    return unseen


def _hasty(site: Site) -> Site:
    """Somebody waits for the answer: a store that stays busy is said soon."""
    return replace(site, busy_s=min(site.busy_s, _BUSY_S))


def _opened(store: Store) -> None:
    opened = store.open()
    if opened.size is None:  # FTP didn't find it, or doesn't say: only the first bytes can tell
        with suppress(_Enough):
            opened.read(0, _enough)


class _Enough(Exception):
    pass


def _enough(_: bytes) -> None:
    raise _Enough
