"""A provider as the tests see it: where it is, who may use it, and a look behind its back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from runner.server.storage.places import place_of
from runner.server.storage.protocol import Place, Site

LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """
    endpoint  the setting that points a server at it ("s3_endpoint"), and its value; FTP has none
    put, get, remove  behind the provider's back: an object's bytes, None where there is none
    content_type  what the provider says an object is, where it knows such a thing
    neighbor  another account with the same parameters, where they don't say whose they are
    """

    provider: str
    endpoint: Mapping[str, str]
    parameters: Mapping[str, Any]
    credentials: Mapping[str, Any] = field(repr=False)
    put: Callable[[str, bytes], None]
    get: Callable[[str], bytes | None]
    remove: Callable[[str], None]
    content_type: Callable[[str], str] | None = None
    neighbor: Remote | None = None

    def site(self, **more: Any) -> Site:
        return Site(allowed=LOOPBACK, **{**self.endpoint, **more})

    def place(self, file: str, **changed: Any) -> Place:
        """Where `file` is; `changed` are other parameters or credentials."""
        known = set(self.credentials)
        credentials = {**self.credentials, **{name: value for name, value in changed.items() if name in known}}
        parameters = {**self.parameters, **{name: value for name, value in changed.items() if name not in known}}
        return place_of(self.provider, {**parameters, "file": file}, credentials)

    def input(self, file: str, **more: Any) -> dict[str, Any]:
        parameters = {**self.parameters, "file": file}
        return {
            "type": "cloud",
            "source": self.provider,
            "parameters": parameters,
            "credentials": dict(self.credentials),
            **more,
        }

    def target(self, file: str) -> dict[str, Any]:
        parameters = {**self.parameters, "file": file}
        return {"type": self.provider, "parameters": parameters, "credentials": dict(self.credentials)}

    def behind(self, url: str) -> Remote:
        """The same, reached by another address."""
        return replace(self, endpoint=dict.fromkeys(self.endpoint, url))
