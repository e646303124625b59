"""One HTTP/1.1 connection: what uvicorn's protocol doesn't do for us, before a request reaches the application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from runner.server.answers import AT_ONCE
from runner.server.faults import HANG_UP

# Line and headers of one request. Nobody has shown a key yet, so what is kept in memory until then has an end.
MOST_HEAD_BYTES = 64 * 1024

# How long a client may say nothing with a request of its own unfinished, or before its first: a connection that is
# held for nothing keeps a place that others need. More than what ends an upload, which has an answer of its own.
MOST_SILENCE_S = 90.0

_LINGER_S = 1.0
_BEGINS_LIKE_A_HEAD = re.compile(rb"[A-Z]{1,20}(?: |\Z)")
_LONGEST_END = 4
_H2C_OFFER = re.compile(rb"\r\nupgrade:[^\r\n]*\bh2c\b[^\r\n]*", re.IGNORECASE)


def _refusal(line: bytes, code: int, message: bytes) -> bytes:
    body = b'{"message":"%s","code":%d,"errors":{}}' % (message, code)
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (line, len(body)) + body


_TOO_LARGE = _refusal(
    b"431 Request Header Fields Too Large", 431, b"The headers are larger than %d bytes" % MOST_HEAD_BYTES
)
_TOO_SLOW = _refusal(b"408 Request Timeout", 408, b"The request stopped: nothing came for a while")


class Connection(HttpToolsProtocol):
    """Ignores an offer to change to HTTP/2, as HTTP allows; the parser would drop the body behind it.

    (Java's client makes that offer with its first request over plain HTTP.) Refuses headers without an end with 431,
    and requests that stop coming with 408, as far as `end_silence` is called now and then.
    """

    _between = True  # no request has begun
    _held = b""  # the beginning of a head, until all of it is there
    _fruitless_bytes = 0  # read since the last piece of a body or the last end of a request
    _is_refused = False
    _heard_at = 0.0  # by the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._is_new = True  # nobody has asked for anything yet
        self._heard_at = self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._between = self._is_new = False
        # Neither may hold on to the request: what is in its scope and leads back to it is garbage for the collector.
        self.scope["extensions"] = {HANG_UP: {"call": self._hang_up}, AT_ONCE: {"call": self._answer_at_once}}

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.transport is self.transport:
            self.cycle.transport = _Joining(self.transport, self.loop)  # type: ignore[assignment]  # all that it uses

    def on_body(self, body: bytes) -> None:
        self._fruitless_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._between = True
        self._fruitless_bytes = 0
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._heard_at = self.loop.time()
        if self._between and (self._held or _BEGINS_LIKE_A_HEAD.match(data)):
            data = self._with_whole_head(data)
        if not data:
            return
        self._fruitless_bytes += len(data)
        super().data_received(data)
        # Heads that come in the middle of something, trailers, and what chunks may say about themselves.
        if self._fruitless_bytes > 2 * MOST_HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    def end_silence(self) -> None:
        """Give up on a client that owes us the rest of what it began and has been silent for too long."""
        now = self.loop.time()
        if self._waits_for_us():
            self._heard_at = now  # its time begins when ours is over
        is_owed = self._is_new or self._held or not self._between
        if is_owed and now - self._heard_at > MOST_SILENCE_S:
            self._stop_reading_body()
            self._refuse(_TOO_SLOW)

    def _stop_reading_body(self) -> None:
        """Whoever waits for more of the body hears that it broke off, and can't answer any more: we do."""
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_started and not self.pipeline:
            cycle.disconnected = True
            cycle.message_event.set()

    def _waits_for_us(self) -> bool:
        return self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue)

    def _with_whole_head(self, data: bytes) -> bytes:
        """What was held back and `data`, without an offer of HTTP/2; nothing while the head isn't whole."""
        known, whole = len(self._held), self._held + data
        end = _end_of_head(whole, max(0, known - _LONGEST_END))
        if (end or len(whole)) > MOST_HEAD_BYTES + _LONGEST_END:
            self._refuse(_TOO_LARGE)
            return b""
        self._held = b"" if end else whole
        if not end:
            return b""
        return _H2C_OFFER.sub(b"", whole[:end]) + whole[end:] if b"h2c" in whole else whole

    def _refuse(self, answer: bytes) -> None:
        self._is_refused = True
        self._held = b""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not (self.cycle.response_complete or self.cycle.disconnected):
            self.transport.close()  # somebody is at work on an answer: another can't be given
            return
        self.transport.write(answer)
        self.transport.write_eof()
        # Closed at once, what the client still sends would reset the connection, and the answer be lost with it.
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _hang_up(self) -> None:
        self.transport.close()

    def _answer_at_once(
        self, scope: Mapping[str, Any], status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """What `cycle.send` does for head and body of an answer whose length is among the headers, in the common case.

        False, and nothing is done, for any other: then `cycle.send` has to be asked, which also waits for slow readers.
        """
        cycle = self.cycle
        if (
            cycle.scope is not scope  # another request is behind it already
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or cycle.flow.write_paused
            or scope["method"] == "HEAD"
        ):
            return False
        lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        head = STATUS_LINE[status] + b"".join(lines) + b"\r\n"
        if head.count(b"\n") != len(lines) + 2 or b"\0" in head:  # `cycle.send` says what is wrong
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write_all(head + body)  # type: ignore[attr-defined]  # it is a _Joining
        cycle.message_event.set()
        cycle.on_response()
        return True


def _end_of_head(data: bytes, start: int) -> int:
    """Where the first empty line from `start` on ends, 0 where there is none. Lines may end without a return, too."""
    returned = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, returned + 1 if returned >= 0 else len(data))
    return bare + 2 if bare >= 0 else returned + 3 if returned >= 0 else 0


class _Joining:
    """What one answer is written to: its head goes out together with the beginning of its body.

    uvicorn writes them one after the other: that is two calls of the system and two packets for every small answer.
    """

    __slots__ = ("_head", "_is_under_way", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._is_under_way = False  # what comes now, goes at once

    def write(self, data: bytes) -> None:
        if self._is_under_way:
            self._transport.write(data)
        elif not self._head:
            self._head = data
            self._loop.call_soon(self._flush)  # at the end of this turn, where no body follows at once
        else:
            self._is_under_way = True
            self._transport.write(self._head + data)

    def write_all(self, data: bytes) -> None:
        """Head and body, that were joined before; behind what waits, such as a `100 Continue`."""
        self._flush()
        self._is_under_way = True
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head and not self._is_under_way:
            self._is_under_way = True
            self._transport.write(self._head)
