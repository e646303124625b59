"""Hosts and files of FTP in one form each: what is written in several ways is one place all the same.

A host is what the API takes, "URL or IP": a name, an address or a URL, each perhaps with a port.
"""

from __future__ import annotations

import posixpath

from runner.wire.providers import value_problem
from runner.wire.values import JsonObject


def with_plain_host(given: JsonObject) -> JsonObject:
    """The same parameters with a host that is nothing else, and the port that stood in it.

    Raises ValueError with what is wrong, never with the value.
    """
    host = given.get("host")
    if not isinstance(host, str):
        return given
    name, port = _name_and_port(_authority(host))
    if not port:
        return {**given, "host": name}
    beside = given.get("port", "")
    if beside != "" and str(beside).lstrip("0") != port and not value_problem("port", beside):
        raise ValueError("parameters.host and parameters.port name two different ports")
    return {**given, "host": name, "port": port if beside == "" else beside}


def normal_file(file: str) -> str:
    """A path without empty parts, "." and "..": `./a//b/../c` is `a/c`. One from the root stays one."""
    path = posixpath.normpath(file)
    return f"/{path.lstrip('/')}" if path.startswith("/") else path


def _authority(host: str) -> str:
    scheme, is_url, rest = host.partition("://")
    if is_url and scheme.lower() not in ("ftp", "ftps"):
        raise ValueError("parameters.host must be a name, an IP address, or a URL of ftp or ftps")
    authority = (rest if is_url else host).partition("/")[0]
    if "@" in authority:
        raise ValueError("parameters.host must hold no user name and no password; these are credentials")
    return authority


def _name_and_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        name, _, port = authority.removeprefix("[").partition("]")
    elif authority.count(":") == 1:
        name, _, port = authority.partition(":")
    else:  # no port, or the colons of an IPv6 address
        name, port = authority, ""
    port = port.removeprefix(":")
    problem = value_problem("port", port) if port else ""
    if problem:
        raise ValueError(f"the port in parameters.host {problem}")
    return name, port.lstrip("0")
