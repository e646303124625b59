"""Values that must not show: a server may repeat in its words what a request told it in confidence."""

from __future__ import annotations

from dataclasses import replace

from runner.wire.addresses import confidential
from runner.wire.job import Job, UserError, code_of
from runner.wire.status import is_known
from runner.wire.values import Json

# Shorter values are no secrets, and hiding them would make any text unreadable.
LEAST = 4


class Hidden:
    """Secrets of this process, to be taken out of every foreign text."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}  # by their first `LEAST` characters: a long run learns very many

    def add(self, value: Json) -> None:
        """Hide a secret: a text and its lines, and every text in an object or an array."""
        if isinstance(value, str):
            for one in (value, *value.splitlines()):
                if len(one.strip()) >= LEAST:
                    self._values.setdefault(one[:LEAST], set()).add(one)
        elif isinstance(value, dict):
            for inner in value.values():
                self.add(inner)
        elif isinstance(value, list):
            for inner in value:
                self.add(inner)

    def add_address(self, address: str) -> None:
        for one in confidential(address):
            self.add(one)

    def mask(self, text: str, *more: str) -> str:
        """`text` with "***" for every hidden value and `more`, longest first."""
        hidden = (*more, *(value for begin in self._begins(text) for value in self._values[begin]))
        for value in sorted({one for one in hidden if one and one in text}, key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def _begins(self, text: str) -> set[str]:
        """With what hidden values begin that may be in `text`."""
        if len(text) > len(self._values):
            return {begin for begin in self._values if begin in text}
        return {begin for at in range(len(text)) if (begin := text[at : at + LEAST]) in self._values}

    def mask_job(self, job: Job) -> Job:
        """The job, whose own secrets are hidden from now on, without any in what is told of it."""
        self.add(job.token)
        for output in job.outputs:
            self.add_address(output.uri)
        info = self.mask(job.info)
        if is_known(job.status) and info == job.info and not (job.errors or job.warnings):
            return job
        return replace(
            job,
            status=self._status(job),
            info=info,
            errors=self._each(job.errors),
            warnings=self._each(job.warnings),
        )

    def _status(self, job: Job) -> str:
        """One that nobody knows is told; in small letters a secret wouldn't be known for one."""
        return job.status if is_known(job.status) else self.mask(code_of(job.document)).lower()

    def _each(self, errors: tuple[UserError, ...]) -> tuple[UserError, ...]:
        return tuple(replace(error, message=self.mask(error.message)) for error in errors)
