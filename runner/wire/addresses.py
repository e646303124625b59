"""Addresses as they may be shown: what they hold in confidence is a user with a password, the query and the fragment
(signed links and the like); host and path are names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

MASK = "***"
PARTS = re.compile(r"([^:/?#]*://)?([^/?#]*@)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)


# Shorter values in a query are formats, sizes and the like.
LEAST_VALUE = 6


def masked(address: str) -> str:
    scheme, user, place, query, fragment = _parts(address)
    shown = (f"{MASK}@" if user else "", place or "", f"?{MASK}" if query else "", f"#{MASK}" if fragment else "")
    return (scheme or "") + "".join(shown)


def confidential(address: str) -> Iterator[str]:
    """What `masked` hides of it, whole and in the pieces that a server may speak of, as sent and as people read it."""
    _, user, _, query, fragment = _parts(address)
    pairs = (pair.partition("=") for pair in (query or "")[1:].split("&"))
    values = (value or name for name, _, value in pairs)
    pieces = [(user or "")[:-1].partition(":")[2], *(value for value in values if len(value) >= LEAST_VALUE)]
    for text in ((user or "")[:-1], (query or "")[1:], (fragment or "")[1:], *pieces):
        yield text
        yield unquote_plus(text)


def _parts(address: str) -> tuple[str | None, ...]:
    found = PARTS.fullmatch(address)
    assert found is not None  # every part may be missing, and each takes all that the next doesn't begin with
    return found.groups()
