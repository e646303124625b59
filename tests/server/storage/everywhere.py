"""Marks for tests that every provider has to pass, each in the worker that runs its server."""

from __future__ import annotations

import pytest

SERVERS = ("s3", "gcs", "blob", "ftp", "ftps")


def with_group(name: str) -> object:
    """The fixture's name as a parameter, together with the others of its server."""
    return pytest.param(name, id=name, marks=pytest.mark.xdist_group(name))


everywhere = pytest.mark.parametrize("server", [with_group(name) for name in SERVERS])
object_stores = pytest.mark.parametrize("server", [with_group(name) for name in SERVERS[:3]])
