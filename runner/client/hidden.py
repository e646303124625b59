"""Values that must not show: a server may repeat in its words what a request told it in confidence."""

from __future__ import annotations

from dataclasses import replace

from runner.wire.job import Job, UserError
from runner.wire.values import Json

# Shorter values are no secrets, and hiding them would make any text unreadable.
LEAST = 4


class Hidden:
    """Secrets of this process, to be taken out of every foreign text."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, value: Json) -> None:
        """Hide a secret: a text and its lines, and every text in an object or an array."""
        if isinstance(value, str):
            self._values.update(one for one in (value, *value.splitlines()) if len(one.strip()) >= LEAST)
        elif isinstance(value, dict):
            for inner in value.values():
                self.add(inner)
        elif isinstance(value, list):
            for inner in value:
                self.add(inner)

    def mask(self, text: str) -> str:
        """`text` with "***" for every hidden value, longest first."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def mask_job(self, job: Job) -> Job:
        if not self._values or not (job.errors or job.warnings):
            return job
        return replace(job, errors=self._each(job.errors), warnings=self._each(job.warnings))

    def _each(self, errors: tuple[UserError, ...]) -> tuple[UserError, ...]:
        return tuple(replace(error, message=self.mask(error.message)) for error in errors)
