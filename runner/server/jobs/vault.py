"""Secrets of jobs: credentials, and what the addresses of remote inputs and callbacks say behind their question mark.

The open form is in memory only. Sealed, they go into the database with the change of the job that they belong to, so
that a restart still has them; they leave it with the end of the job. What can't be opened any more, because the key is
gone, counts as not there: the job fails without cost instead of running without its password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import orjson

from runner.server.jobs.seal import Seal
from runner.wire.values import JsonObject

T = TypeVar("T")

# What a part is called whose secret is an address; credentials are kept under the part's plain id.
ADDRESS = "address:"
_QUEUED = "queued callback"

Changes = Mapping[str, bytes | None]


class Vault:
    def __init__(self, seal: Seal | None = None) -> None:
        self._seal = seal or Seal()
        self._secrets: dict[str, dict[str, JsonObject]] = {}
        self._unwritten: dict[str, dict[str, bytes | None]] = {}

    def put(self, job_id: str, part_id: str, credentials: JsonObject) -> None:
        if not credentials:
            return
        known = self._secrets.setdefault(job_id, {}).setdefault(part_id, {})
        if all(name in known and known[name] == value for name, value in credentials.items()):
            return
        known.update(credentials)
        sealed = self._seal.sealed(orjson.dumps(known), _about(job_id, part_id))
        self._unwritten.setdefault(job_id, {})[part_id] = sealed

    @contextmanager
    def unless_refused(self, job_id: str) -> Iterator[None]:
        """What is put within it was never there, should it raise; not over an `await`."""
        secrets = {part_id: dict(known) for part_id, known in self._secrets.get(job_id, {}).items()}
        unwritten = dict(self._unwritten.get(job_id, {}))
        try:
            yield
        except BaseException:
            _put_back(self._secrets, job_id, secrets)
            _put_back(self._unwritten, job_id, unwritten)
            raise

    def get(self, job_id: str, part_id: str) -> JsonObject | None:
        return self._secrets.get(job_id, {}).get(part_id)

    def forget(self, job_id: str, part_id: str) -> None:
        if self._secrets.get(job_id, {}).pop(part_id, None) is not None:
            self._unwritten.setdefault(job_id, {})[part_id] = None

    def wipe(self, job_id: str) -> None:
        self._secrets.pop(job_id, None)
        self._unwritten.pop(job_id, None)

    def hides_addresses(self, job_id: str) -> bool:
        return any(part_id.startswith(ADDRESS) for part_id in self._secrets.get(job_id, ()))

    def changes(self, job_id: str) -> Changes:
        """What the database doesn't have yet, by part: the sealed secret, or None for one that has to go."""
        return dict(self._unwritten.get(job_id, {}))

    def written(self, job_id: str, changes: Changes) -> None:
        """The database has these now; what was put since is still to come."""
        unwritten = self._unwritten.get(job_id, {})
        for part_id, sealed in changes.items():
            if part_id in unwritten and unwritten[part_id] is sealed:
                del unwritten[part_id]
        if not unwritten:
            self._unwritten.pop(job_id, None)

    def sealed_callback(self, job_id: str, url: str) -> bytes:
        """A callback's address, which outlives the job: it is called until somebody accepts."""
        return self._seal.sealed(url.encode(), _about(job_id, _QUEUED))

    def opened_callback(self, job_id: str, sealed: bytes) -> str:
        """The address again; "" where the key is another by now."""
        return (self._seal.opened(sealed, _about(job_id, _QUEUED)) or b"").decode()

    def mark_of_body(self, account: str, body: bytes) -> bytes:
        """Tells one body of an account from another; a bare digest would give away the passwords that it may hold."""
        return self._seal.mark(body, f"body {account}")

    def restore(self, job_id: str, part_id: str, sealed: bytes) -> None:
        """What an earlier process has sealed, where the key still opens it."""
        content = self._seal.opened(sealed, _about(job_id, part_id))
        if content is not None:
            self._secrets.setdefault(job_id, {})[part_id] = orjson.loads(content)


def _put_back(all_jobs: dict[str, dict[str, T]], job_id: str, before: dict[str, T]) -> None:
    if before:
        all_jobs[job_id] = before
    else:
        all_jobs.pop(job_id, None)


def _about(job_id: str, part_id: str) -> str:
    return f"{job_id} {part_id}"
