"""The receiver's application: POST anywhere, answered so that the sender does what is right.

2xx: it is here, or was before. 4xx: never send this again. 503: send it again later.

Anybody can send anything here. A signature proves who wrote a body; without one, a body is only a hint, and what is
believed and stored is what the API itself answers when it is asked about the job.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_network
from weakref import WeakValueDictionary

import orjson
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.server.answers import ApiError, error_answer, json_answer
from runner.server.api.bodies import parse, read_body
from runner.server.callbacks.post import Letter, post
from runner.server.callbacks.sender import signature
from runner.server.config import MIB
from runner.server.engine.fair_places import FairThreads
from runner.server.jobs.receivers import RefusedReceiver
from runner.server.operating.logs import log_event
from runner.server.receiver.mailbox import Mailbox, job_id_of, status_of
from runner.wire.headers import SIGNATURE
from runner.wire.status import TERMINAL, StatusCode
from runner.wire.values import JsonObject, as_object

_log = logging.getLogger(__name__)

_MOST_BYTES = 16 * MIB
_CONFIRM_S = 8.0  # senders wait 3 s at first, and then 10
_FORWARD_S = 10.0
_RESOLVERS = 2  # one may hang while the next is asked for
_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_AGAIN = {"Retry-After": "1"}

# How far a status is: what a job has left behind can't come again. Those of staged jobs come in any order.
_PROGRESS: Mapping[str, int] = {StatusCode.QUEUED: 1, StatusCode.PROCESSING: 2, **dict.fromkeys(TERMINAL, 3)}


class UnconfirmedError(Exception):
    """The API could not be asked; the message says why."""


# The job as the API has it, None where it knows of none; raises UnconfirmedError.
Confirm = Callable[[str], Awaitable[JsonObject | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reception:
    """
    secret      bodies must be signed with it; empty: they needn't
    confirm     asks the API about a job; None: nobody can be asked
    ended       told the id of every job that has ended
    forward_to  URL that gets every body that was stored; empty: nobody
    """

    mailbox: Mailbox
    secret: str = field(default="", repr=False)
    confirm: Confirm | None = None
    ended: Callable[[str], None]
    forward_to: str = ""


def make_receiver(reception: Reception) -> Starlette:
    # Two of the same at once must not both be new; those of other jobs don't wait for an API that takes its time.
    of_jobs: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
    forwarder = _Forwarder(reception)

    async def receive(request: Request) -> Response:
        try:
            body = await read_body(request, _MOST_BYTES)
            document = _checked(body, request.headers.get(SIGNATURE, ""), reception.secret)
            async with of_jobs.setdefault(job_id_of(document), asyncio.Lock()):
                kept = await _taken_in(document, body, reception)
        except ApiError as error:
            _log.warning("rejected: %s", error.message)
            return error_answer(error)
        forwarding = BackgroundTask(forwarder.forward, kept) if kept and reception.forward_to else None
        answer = json_answer({"message": "stored" if kept else "known already"})
        answer.background = forwarding
        return answer

    async def health(_: Request) -> Response:
        return json_answer({"status": "ok"})

    return Starlette(
        routes=[Route("/health", health, methods=["GET"]), Route("/{path:path}", receive, methods=["POST"])]
    )


def _checked(body: bytes, signed: str, secret: str) -> JsonObject:
    """The job document in `body`; raises ApiError for what was not sent by who knows the secret, or has no id."""
    if secret and not hmac.compare_digest(signature(secret, body).encode(), signed.strip().lower().encode()):
        raise ApiError(HTTPStatus.UNAUTHORIZED, f"the body is not signed with our secret ({SIGNATURE})")
    document = as_object(parse(body))
    if not job_id_of(document):
        raise ApiError(HTTPStatus.BAD_REQUEST, "the body has no id of a job")
    return document


async def _taken_in(document: JsonObject, body: bytes, reception: Reception) -> bytes:
    """What was stored, empty where it was known; raises ApiError for what is not believed or can't be stored."""
    job_id, status = job_id_of(document), status_of(document)
    if reception.mailbox.knows(document):
        log_event(_log, "doubled", job=job_id, status=status)
        return b""
    confirmed = await _confirmed(job_id, status, reception)
    if confirmed is not None and not reception.secret:
        if status_of(confirmed) != status:
            log_event(_log, "late", job=job_id, status=status, now=status_of(confirmed))
            _tell(job_id, status_of(confirmed), reception)
            return b""
        if reception.mailbox.knows(confirmed):  # what the sender says of its age was no reason to believe it new
            log_event(_log, "doubled", job=job_id, status=status)
            return b""
        document, body = confirmed, orjson.dumps(confirmed)
    await _stored(document, body, reception)
    log_event(_log, "stored", job=job_id, status=status)
    _tell(job_id, status_of(confirmed or document), reception)
    return body


async def _confirmed(job_id: str, status: str, reception: Reception) -> JsonObject | None:
    """The job as the API has it, None where nobody can be asked; raises ApiError where it contradicts."""
    if reception.confirm is None:
        return None
    try:
        async with asyncio.timeout(_CONFIRM_S):
            found = await reception.confirm(job_id)
    except TimeoutError as error:
        raise _later(f"the API says nothing about the job for {_CONFIRM_S:.0f} s") from error
    except UnconfirmedError as error:
        raise _later(f"the API can't be asked about the job: {error}") from error
    if found is None:
        raise ApiError(HTTPStatus.NOT_FOUND, f"the API knows of no job {job_id}")
    claimed, shown = _PROGRESS.get(status, 0), _PROGRESS.get(status_of(found), 0)
    if claimed > shown:
        raise _later(f"job {job_id} is said to be {status}, and the API says {status_of(found)}")
    if claimed == shown == _PROGRESS[StatusCode.COMPLETED] and status != status_of(found):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"job {job_id} did not end as {status}: it is {status_of(found)}")
    return found


async def _stored(document: JsonObject, body: bytes, reception: Reception) -> None:
    try:
        await asyncio.to_thread(reception.mailbox.store, document, body)
    except OSError as error:
        raise _later(f"it can't be stored: {error.strerror or error}") from error


def _later(message: str) -> ApiError:
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, headers=_AGAIN)


def _tell(job_id: str, status: str, reception: Reception) -> None:
    if status not in TERMINAL:
        return
    try:
        reception.ended(job_id)
    except OSError as error:  # who waits looks in its own time
        _log.warning("job %s: nobody could be woken: %s", job_id, error.strerror or error)


class _Forwarder:
    """Each once, in the order of arrival; it is for development, and what was stored stays stored."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._in_order = asyncio.Lock()
        self._resolvers = FairThreads(_RESOLVERS, "resolve")

    async def forward(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self._reception.secret:
            headers[SIGNATURE] = signature(self._reception.secret, body)
        letter = Letter(url=self._reception.forward_to, body=body, headers=headers)
        async with self._in_order:
            try:
                status = await post(letter, allowed=_EVERYWHERE, timeout_s=_FORWARD_S, resolvers=self._resolvers)
            except (RefusedReceiver, OSError, UnicodeError) as error:
                _log.warning("not forwarded: %s", str(error) or type(error).__name__)
                return
        if status >= 300:
            _log.warning("forwarded, and answered with HTTP %s", status)
