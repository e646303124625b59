"""Which callback URLs can be posted to at all. Pure: whether somebody answers there is seen when something is sent."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


class RefusedReceiver(Exception):
    """It can never be posted to: no URL that we serve. The message doesn't show the URL, which may hold a secret."""


def checked_receiver(url: str, *, called: str = "the callback") -> SplitResult:
    """The parts of `url`, which messages call as `called` says; raises RefusedReceiver."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise RefusedReceiver(f"{called} is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedReceiver(f"{called} must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise RefusedReceiver(f"{called} has a user name or password in it, which is not supported")
    if not all(char.isprintable() and not char.isspace() for char in host):
        raise RefusedReceiver(f"{called} is not a valid URL")
    return parts
