"""The four providers as a user of the command line has them: real servers, variables of the shell, key files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import Desk
from tests.server.storage.azurite import azurite
from tests.server.storage.gcs import google
from tests.server.storage.remote import Remote
from tests.server.storage.seaweed import seaweed
from tests.server.storage.vsftpd import vsftpd

BOTH = {
    "s3": ("s3-input", "s3-target"),
    "gcs": ("gcs-input", "gcs-target"),
    "azure": ("azure-input", "azure-target"),
    "ftp": ("ftp-input", "ftp-target"),
}


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A provider, and what a user sets to reach it: variables of the recipe, of the shell, and a key file."""

    remote: Remote
    sets: dict[str, Any]
    shell: dict[str, str]
    wrong: dict[str, str]
    keyfile: str = ""


def _s3(folder: Path) -> Iterator[Cloud]:
    with seaweed(folder) as remote:
        shell = {
            "AWS_ACCESS_KEY_ID": remote.credentials["accesskeyid"],
            "AWS_SECRET_ACCESS_KEY": remote.credentials["secretaccesskey"],
        }
        wrong = {"AWS_SECRET_ACCESS_KEY": "wrong-secret-of-nobody"}
        yield Cloud(remote=remote, sets={"bucket": "tests"}, shell=shell, wrong=wrong)


def _gcs(folder: Path) -> Iterator[Cloud]:
    with google(folder) as remote:
        keyfile = json.dumps(remote.credentials["keyfile"])
        other = json.dumps({**remote.credentials["keyfile"], "client_email": "somebody@else.example"})
        sets = {"bucket": "tests", "project": "tests"}
        yield Cloud(
            remote=remote,
            sets=sets,
            shell={"GOOGLE_KEYFILE": keyfile},
            wrong={"GOOGLE_KEYFILE": other},
            keyfile=keyfile,
        )


def _azure(folder: Path) -> Iterator[Cloud]:
    with azurite(folder / "data") as remote:
        shell = {
            "AZURE_STORAGE_ACCOUNT": remote.credentials["accountname"],
            "AZURE_STORAGE_KEY": remote.credentials["accountkey"],
        }
        wrong = {"AZURE_STORAGE_KEY": "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw=="}
        yield Cloud(remote=remote, sets={"container": "tests"}, shell=shell, wrong=wrong)


def _ftp(_: Path) -> Iterator[Cloud]:
    with vsftpd(secure=True) as remote:
        shell = {
            "FTP_USERNAME": str(remote.credentials["username"]),
            "FTP_PASSWORD": str(remote.credentials["password"]),
        }
        sets = {"host": "127.0.0.1", "port": remote.parameters["port"]}
        yield Cloud(remote=remote, sets=sets, shell=shell, wrong={"FTP_PASSWORD": "wrong-password"})


STARTERS: dict[str, Callable[[Path], Iterator[Cloud]]] = {"s3": _s3, "gcs": _gcs, "azure": _azure, "ftp": _ftp}
GROUPS = {"azure": "blob"}


def providers() -> list[Any]:
    """One parameter for each provider, in the worker that runs its server."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(GROUPS.get(name, name))) for name in BOTH]


def pointed_at(desk: Desk, cloud: Cloud) -> Desk:
    """The project with its local server pointed at the provider, and a shell with its secrets."""
    endpoint = "".join(f'{name} = "{url}"\n' for name, url in cloud.remote.endpoint.items())
    desk.write("recipes/runner.toml", f'[local]\nallow_private = ["127.0.0.0/8"]\n{endpoint}')
    if cloud.keyfile:
        desk.write("recipes/secrets/google-keyfile.json", cloud.keyfile)
    return replace(desk, more={**desk.more, **cloud.shell})
