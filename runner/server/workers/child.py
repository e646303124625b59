"""One conversion, in the child that was forked for it: read the request, give up rights, convert, answer."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.server.converters.protocol import Converter, Request, Source
from runner.server.workers.confine import confine
from runner.server.workers.messages import pack_products, pack_refusal, unpack_request
from runner.server.workers.outcome import Limits, no_worker, refusal_of, unsupported


def run(connection: socket.socket, converters: Sequence[Converter], *, parent: int) -> None:
    """Answers on `connection`; a bytes length of 8 goes before the request, the answer ends with the stream."""
    request, limits = unpack_request(_received(connection))
    gc.disable()  # a child ends soon; what it leaves behind goes with it
    connection.sendall(_answer(request, limits, converters, parent=parent))


def _received(connection: socket.socket) -> bytes:
    length = int.from_bytes(_exactly(connection, 8), "big")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(length - len(parts), 1024 * 1024))
        if not part:
            os._exit(1)  # the server gave up
        parts += part
    return bytes(parts)


def _answer(request: Request, limits: Limits, converters: Sequence[Converter], *, parent: int) -> bytes:
    try:
        tempfile.tempdir = str(request.workdir)
        confine(request, limits, parent=parent)
    except OSError as error:
        return pack_refusal(no_worker(f"its rights can't be limited: {error.strerror}"))
    try:
        return _result(replace(request, guards=limits.guards), converters)
    except Exception as error:  # noqa: BLE001  # the border of the process: whatever it was becomes an answer
        return pack_refusal(refusal_of(error, limits))


def _result(request: Request, converters: Sequence[Converter]) -> bytes:
    for converter in converters:
        if any((row.category, row.target) == (request.category, request.target) for row in converter.targets):
            products = converter.convert(request)
            return pack_products(products, [_facts(converter, request, source) for source in request.sources])
    return pack_refusal(unsupported(request.category, request.target))


def _facts(converter: Converter, request: Request, source: Source) -> Mapping[str, str]:
    try:
        return converter.facts(source, request.guards)
    except Exception:  # noqa: BLE001  # a conversion that went well must not fail for it
        return {}
