"""Addresses as they may be shown: what they hold in confidence is a user with a password, the query and the fragment
(signed links and the like); host and path are names."""

from __future__ import annotations

import re

MASK = "***"
PARTS = re.compile(r"([^:/?#]*://)?([^/?#]*@)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)


def masked(address: str) -> str:
    found = PARTS.fullmatch(address)
    assert found is not None  # every part may be missing, and each takes all that the next doesn't begin with
    scheme, user, place, query, fragment = found.groups()
    shown = (f"{MASK}@" if user else "", place, f"?{MASK}" if query else "", f"#{MASK}" if fragment else "")
    return (scheme or "") + "".join(shown)
