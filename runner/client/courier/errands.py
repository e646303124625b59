"""What a courier is asked to do, on what terms, and what it answers, as they go over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from multidict import CIMultiDict

from runner.client.courier.frames import packed
from runner.client.courier.held import Carried
from runner.client.http import Answer, Told
from runner.wire.values import Json


class Kind(StrEnum):
    """
    CALL  a call of the API, bounded in time
    OPEN  whatever answer there is, up to so many bytes of it
    DROP  an earlier errand that nobody waits for any more
    """

    CALL = "call"
    OPEN = "open"
    DROP = "drop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    number: int
    kind: Kind
    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    raw: bool
    most_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How a courier opens its session: as `open_http` does."""

    base_url: str
    socket: str | None
    connections: int
    read_timeout_s: float
    call_timeout_s: float


def packed_terms(terms: Terms) -> bytes:
    return packed([terms.base_url, terms.socket, terms.connections, terms.read_timeout_s, terms.call_timeout_s])


def read_terms(head: Json) -> Terms:
    base_url, socket, connections, read_timeout_s, call_timeout_s = head
    return Terms(
        base_url=base_url,
        socket=socket,
        connections=connections,
        read_timeout_s=read_timeout_s,
        call_timeout_s=call_timeout_s,
    )


def packed_errand(
    number: int,
    kind: Kind,
    method: str = "",
    url: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    raw: bool = False,
    most_bytes: int = 0,
) -> bytes:
    head = [number, kind, method, url, dict(headers or {}), content is not None, raw, most_bytes]
    return packed(head, content or b"")


def read_errand(head: Json, body: bytes) -> Errand:
    number, kind, method, url, headers, has_content, raw, most_bytes = head
    return Errand(
        number=number,
        kind=Kind(kind),
        method=method,
        url=url,
        headers=headers,
        content=body if has_content else None,
        raw=raw,
        most_bytes=most_bytes,
    )


def packed_answer(number: int, answer: Carried | Told) -> bytes:
    if isinstance(answer, Told):
        return packed([number, 0, [], answer.kind, answer.words])
    whole, broken = answer.answer, answer.broken
    why = ["", ""] if broken is None else [broken.kind, broken.words]
    return packed([number, whole.status, list(whole.headers.items()), *why], whole.content)


def read_answer(head: Json, body: bytes) -> Carried | Told:
    _, status, headers, kind, words = head
    why = Told(kind=kind, words=words) if kind else None
    if why is not None and not status:
        return why
    return Carried(answer=Answer(status=status, headers=CIMultiDict(headers), content=body), broken=why)
