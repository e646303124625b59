"""How this machine reaches cloud storage: the same way as the local server does, or the real providers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path

from runner.cli.endpoint import ChosenEndpoint
from runner.cli.secrets import resolve_secret
from runner.compile import HOSTED
from runner.errors import InvalidError
from runner.server.config import Network
from runner.server.storage.protocol import Site
from runner.wire.secrets import is_reference
from runner.wire.values import JsonObject, as_list, as_text


def store_site(chosen: ChosenEndpoint) -> Site:
    """Where the stores are: for the local server what `[local]` says, for the hosted API the providers' own places."""
    local = {} if chosen.name == HOSTED else dict(chosen.local)
    return Site(
        s3_endpoint=as_text(local.get("s3_endpoint")),
        gcs_endpoint=as_text(local.get("gcs_endpoint")),
        azure_endpoint=as_text(local.get("azure_endpoint")),
        allowed=tuple(_networks(map(as_text, as_list(local.get("allow_private"))))),
    )


def _networks(given: Iterable[str]) -> Iterator[Network]:
    for one in given:
        try:
            yield ip_network(one, strict=False)
        except ValueError as error:
            raise InvalidError(f"[local] allow_private: {error}") from None


def resolved(credentials: JsonObject, folder: Path) -> JsonObject:
    """Credentials with their secrets, for a recipe in `folder`. Raises InvalidError for one that isn't there."""
    return {
        name: resolve_secret(value, folder) if is_reference(value) else value for name, value in credentials.items()
    }
