"""An FTP server's folder, seen from the machine that it is on."""

from __future__ import annotations

import os
from pathlib import Path

from tests.server.storage.remote import Remote


def ftp_remote(port: int, user: str, password: str, home: Path, *, owner: tuple[int, int] | None = None) -> Remote:
    """`owner` is who has to own what is put there."""

    def put(file: str, content: bytes) -> None:
        path = home / file.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if owner:
            for one in (path, *path.parents):
                if one.is_relative_to(home):
                    os.chown(one, *owner)

    def get(file: str) -> bytes | None:
        path = home / file.lstrip("/")
        return path.read_bytes() if path.exists() else None

    return Remote(
        provider="ftp",
        endpoint={},
        parameters={"host": "127.0.0.1", "port": port},
        credentials={"username": user, "password": password},
        put=put,
        get=get,
        remove=lambda file: (home / file.lstrip("/")).unlink(),
    )
