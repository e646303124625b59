"""Which callback URLs can be posted to at all. Pure: whether somebody answers there is seen when something is sent."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


class RefusedReceiver(Exception):
    """It can never be posted to: no URL that we serve. The message doesn't show the URL, which may hold a secret."""


def checked_receiver(url: str) -> SplitResult:
    """The parts of `url`; raises RefusedReceiver."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise RefusedReceiver("the callback is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedReceiver("the callback must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise RefusedReceiver("the callback has a user name or password in it, which is not supported")
    if not all(char.isprintable() and not char.isspace() for char in host):
        raise RefusedReceiver("the callback is not a valid URL")
    return parts
