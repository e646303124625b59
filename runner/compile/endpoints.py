"""The endpoint's name in keys: work bought from one endpoint is not work bought from another."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from runner.errors import InvalidError

HOSTED = "hosted"
LOCAL = "local"
HOSTED_URL = "https://api.api2convert.com/v2"


def endpoint_name(base_url: str) -> str:
    """ "hosted" for the vendor's API, "loopback" for this machine whatever the port, else host[:port].

    Raises InvalidError for what is no http(s) URL.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the URL, which may hold a password
        raise InvalidError("the base URL can't be read: its host or port is not one") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidError(
            "the base URL must start with http:// or https:// and name a host",
            hint="for example API2CONVERT_BASE_URL=http://127.0.0.1:8700/v2",
        )
    if host == urlsplit(HOSTED_URL).hostname:
        return HOSTED
    if _is_loopback(host):
        return "loopback"
    default = 443 if parts.scheme == "https" else 80
    return host if port in (None, default) else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
