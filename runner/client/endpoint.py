"""Where the API is, and who we are there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """`name` as in keys; `socket` is the path of a UNIX socket that answers for `base_url`'s host."""

    name: str
    base_url: str
    api_key: str = field(repr=False)
    socket: str | None = None
