"""What `runner serve` may be told about cloud storage: where S3-compatible stores and stand-ins are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import click

from runner.errors import InvalidError
from runner.server.config import ServerConfig

Command = Callable[..., Any]

_PROVIDERS = {"s3": "Amazon S3", "gcs": "Google Cloud Storage", "azure": "Azure Blob Storage"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    s3: str
    gcs: str
    azure: str

    def applied(self, config: ServerConfig) -> ServerConfig:
        """`config` with these endpoints; raises InvalidError for what is no URL."""
        return replace(
            config,
            s3_endpoint=_checked("--s3-endpoint", self.s3),
            gcs_endpoint=_checked("--gcs-endpoint", self.gcs),
            azure_endpoint=_checked("--azure-endpoint", self.azure),
        )


def storage_options(command: Command) -> Command:
    """Adds the options and gives them to `command` as one value, `endpoints`."""

    @functools.wraps(command)
    def with_endpoints(**given: Any) -> Any:
        own = {name: given.pop(f"{name}_endpoint") for name in _PROVIDERS}
        return command(**given, endpoints=Endpoints(**own))

    wrapped: Command = with_endpoints
    for name, title in reversed(_PROVIDERS.items()):
        wrapped = click.option(
            f"--{name}-endpoint", default="", metavar="URL", help=f"Ask this instead of {title}; jobs can't choose it."
        )(wrapped)
    return wrapped


def _checked(option: str, url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port  # raises for what is no port
    except ValueError:
        good = False
    if not good:
        raise InvalidError(f"{option} is not the URL of a server", hint="write it like http://127.0.0.1:9000")
    return url
