"""An answer that came whole, or as far as it came, read like one whose body comes bit by bit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from runner.client.http import Answer, Body, CarriedError, Told
from runner.wire.values import as_written_count


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """`broken` is why no more of the body came, None where all of it did."""

    answer: Answer
    broken: Told | None = None


class HeldResponse:
    """A `Response`, and its own `Body`."""

    def __init__(self, carried: Carried) -> None:
        self._answer = carried.answer
        self._broken = carried.broken

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def content_length(self) -> int | None:
        return as_written_count(self.headers.get("Content-Length", ""))

    @property
    def content(self) -> Body:
        return self

    def is_eof(self) -> bool:
        return self._broken is None

    async def iter_any(self) -> AsyncIterator[bytes]:
        if self._answer.content:
            yield self._answer.content
        if self._broken is not None:
            raise CarriedError(self._broken)

    async def read(self) -> bytes:
        if self._broken is not None:
            raise CarriedError(self._broken)
        return self._answer.content

    def close(self) -> None:
        """There is nothing open."""
