"""Real servers, each started once by the worker that has its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.storage.azurite import azurite
from tests.server.storage.ftpd import Ftpd, ftpd
from tests.server.storage.gcs import google
from tests.server.storage.remote import Remote
from tests.server.storage.seaweed import seaweed
from tests.server.storage.vsftpd import vsftpd


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with seaweed(tmp_path_factory.mktemp("s3")) as remote:
        yield remote


@pytest.fixture(scope="session")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with azurite(tmp_path_factory.mktemp("azure") / "data") as remote:
        yield remote


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with google(tmp_path_factory.mktemp("gcs")) as remote:
        yield remote


@pytest.fixture(scope="session")
def ftp() -> Iterator[Remote]:
    with vsftpd(secure=False) as remote:
        yield remote


@pytest.fixture(scope="session")
def ftps() -> Iterator[Remote]:
    with vsftpd(secure=True) as remote:
        yield remote


@pytest.fixture
def naughty(tmp_path: Path) -> Iterator[Ftpd]:
    """An FTP server that can be made to fail."""
    (tmp_path / "ftp").mkdir()
    with ftpd(tmp_path / "ftp") as server:
        yield server


@pytest.fixture
def remote(server: str, request: pytest.FixtureRequest) -> Remote:
    """The provider that the test's parameter `server` names."""
    found: Remote = request.getfixturevalue(server)
    return found
