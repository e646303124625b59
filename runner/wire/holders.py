"""Where objects of providers lie, in one form: equal ones are one place, however they are written.

Object stores take names as they are; FTP has several ways to write a host and a path.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.wire.ftp_names import normal_file, with_plain_host
from runner.wire.providers import DEFAULTS
from runner.wire.values import Json


def holder_of(provider: str, parameters: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Where an object or a listing lies, apart from its name: the other parameters, sorted, with what is left out."""
    given = _plain(parameters) if provider == "ftp" else parameters
    known = DEFAULTS.get(provider, {}) | {name: str(value) for name, value in given.items() if value != ""}
    return tuple(sorted((name, value) for name, value in known.items() if name not in ("file", "prefix")))


def object_name(provider: str, file: str) -> str:
    """The name of an object, the same for all ways of writing it."""
    return normal_file(file) if provider == "ftp" else file


def _plain(parameters: Mapping[str, Json]) -> Mapping[str, Json]:
    try:
        plain = with_plain_host(dict(parameters))
    except ValueError:  # what is wrong with it, the check says
        return parameters
    port = str(plain.get("port", ""))
    return {
        **plain,
        "host": str(plain.get("host", "")).lower(),
        "port": port.lstrip("0") if port.isascii() and port.isdigit() else port,
    }
