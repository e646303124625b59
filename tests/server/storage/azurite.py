"""Azure Blob Storage's stand-in: Azurite, the vendor's own. It verifies the account key.

Laxer than Azure: it doesn't check which version of the API is asked for.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.server.storage.processes import answers, free_ports, required, running
from tests.server.storage.remote import Remote

# Both are in Azurite's documentation; it knows no other account but those that it is told.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NEIGHBOR, NEIGHBORS_KEY = "neighbor", "bmVpZ2hib3Jz" * 4
CONTAINER = "tests"

_PROGRAM = Path(__file__).parents[3] / "tools/node/node_modules/azurite/dist/src/blob/main.js"


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Remote]:
    node = shutil.which("node") or shutil.which("nodejs")
    assert node, "node is missing: install the Debian package nodejs (tools/debian-packages does)"
    program = required(_PROGRAM, "make test installs it (tools/test-servers)")
    (port,) = free_ports(1)
    folder.mkdir(parents=True)
    command = [
        *("env", f"AZURITE_ACCOUNTS={ACCOUNT}:{KEY};{NEIGHBOR}:{NEIGHBORS_KEY}"),
        *(node, program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", folder),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with running(command, folder / "log", is_ready=lambda: answers(port), what="Azurite"):
        url = f"http://127.0.0.1:{port}"
        with _account(url, ACCOUNT, KEY) as remote, _account(url, NEIGHBOR, NEIGHBORS_KEY) as neighbor:
            yield replace(remote, neighbor=neighbor)


@contextlib.contextmanager
def _account(url: str, name: str, key: str) -> Iterator[Remote]:
    credential = {"account_name": name, "account_key": key}
    with BlobServiceClient(f"{url}/{name}", credential=credential) as service:
        yield _remote(url, service.create_container(CONTAINER), {"accountname": name, "accountkey": key})


def _remote(url: str, container: ContainerClient, credentials: Mapping[str, str]) -> Remote:

    def get(file: str) -> bytes | None:
        try:
            return bytes(container.download_blob(file).readall())
        except ResourceNotFoundError:
            return None

    def put(file: str, content: bytes) -> None:
        container.upload_blob(file, content, overwrite=True)

    return Remote(
        provider="azure",
        endpoint={"azure_endpoint": url},
        parameters={"container": CONTAINER},
        credentials=credentials,
        put=put,
        get=get,
        remove=container.delete_blob,
        content_type=lambda file: str(
            container.get_blob_client(file).get_blob_properties().content_settings.content_type
        ),
    )
