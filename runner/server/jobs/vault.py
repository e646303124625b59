"""Credentials of jobs: in memory only, and gone with the process.

A record marks what was given as `sealed`; when the vault no longer has it, after a restart, the job fails
without cost instead of running without its password.
"""

from __future__ import annotations

from runner.wire.values import JsonObject


class Vault:
    def __init__(self) -> None:
        self._secrets: dict[str, dict[str, JsonObject]] = {}

    def put(self, job_id: str, part_id: str, credentials: JsonObject) -> None:
        if credentials:
            self._secrets.setdefault(job_id, {}).setdefault(part_id, {}).update(credentials)

    def get(self, job_id: str, part_id: str) -> JsonObject | None:
        return self._secrets.get(job_id, {}).get(part_id)

    def forget(self, job_id: str, part_id: str) -> None:
        self._secrets.get(job_id, {}).pop(part_id, None)

    def wipe(self, job_id: str) -> None:
        self._secrets.pop(job_id, None)
