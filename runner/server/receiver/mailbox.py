"""What was received: one file per job and status, written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import orjson

from runner.server.store.blobs import sync_file
from runner.wire.values import JsonObject, as_object, as_text

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}\Z")
_STATUS = re.compile(r"[a-z][a-z_-]{0,31}\Z")


def job_id_of(document: JsonObject) -> str:
    """The job's id, or nothing where there is none that could be a file's name."""
    job_id = document.get("id")
    return job_id if isinstance(job_id, str) and _ID.match(job_id) else ""


def status_of(document: JsonObject) -> str:
    """The status, or "unknown" where there is none that could be a file's name."""
    status = as_object(document.get("status")).get("code")
    return status if isinstance(status, str) and _STATUS.match(status) else "unknown"


class Mailbox:
    """A folder of `ID_STATUS.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def knows(self, document: JsonObject) -> bool:
        """Whether this status of this job lies here, as new as this or newer."""
        try:
            known = as_object(orjson.loads(self._path(document).read_bytes()))
        except (OSError, ValueError):
            return False
        return as_text(known.get("modified_at")) >= as_text(document.get("modified_at"))

    def store(self, document: JsonObject, body: bytes) -> None:
        """Write `body` durably; replaces an older one of the same status. Raises OSError."""
        path = self._path(document)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            part.touch(mode=0o600)  # the document holds the job's token
            part.write_bytes(body)
            sync_file(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(self._folder)

    def _path(self, document: JsonObject) -> Path:
        return self._folder / f"{job_id_of(document)}_{status_of(document)}.json"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
