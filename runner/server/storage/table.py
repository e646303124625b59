"""The providers this server serves, one line each, and what their modules need that isn't installed everywhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from runner.server.storage.protocol import Place, Site, Store

EXTRA = "pip install 'conversion-runner[cloud]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A provider whose module is loaded when it is first asked: an SDK takes longer to import than a server to start.

    needs  the package it can't do without
    """

    name: str
    module: str
    needs: str = ""

    @property
    def is_here(self) -> bool:
        return not self.needs or _is_installed(self.needs)

    def connect(self, place: Place, site: Site) -> Store:
        connect: Callable[[Place, Site], Store] = importlib.import_module(self.module).connect
        return connect(place, site)


SERVED: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(name="amazons3", module="runner.server.storage.amazons3", needs="boto3"),
        Entry(name="googlecloud", module="runner.server.storage.googlecloud", needs="google.cloud.storage"),
        Entry(name="azure", module="runner.server.storage.azure", needs="azure.storage.blob"),
        Entry(name="ftp", module="runner.server.storage.ftp"),
    )
}


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a dotted name, the part before the dot
        return False
