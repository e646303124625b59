"""One server, one web server and a few forges for all tests about crashes in a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.execute.lab import Forge, Server, Web, forges, running_server, running_web
from tests.execute.middleman import Middleman, between

LANES = 4  # a run mostly waits: for the server, the disk, the next poll


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with running_web() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "state") as opened:
        yield opened


@pytest.fixture(scope="module")
def lanes() -> Iterator[list[Forge]]:
    with forges(LANES) as made:
        yield made


@pytest.fixture
def man(server: Server) -> Iterator[Middleman]:
    """Stands between a run and the server."""
    with between(server.base_url) as opened:
        yield opened
