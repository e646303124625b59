"""The API's calls, one method each, with retries where a retry can do no harm.

A bare POST is never sent twice. GET, DELETE and a PATCH of one id are tried again when the answer is lost,
since a second one changes nothing; 429 and a connection that was never made are tried again for all.
"""

from __future__ import annotations

import asyncio
import codecs
import email.utils
import random
import re
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import orjson

from runner.client.contact import Contact
from runner.client.endpoint import Endpoint
from runner.client.errors import (
    ApiError,
    ApiUnreachableError,
    GoneError,
    OutcomeUnknownError,
    OversizeAnswerError,
    RefusedError,
    UsedUpError,
)
from runner.client.hidden import Hidden
from runner.client.http import FOREIGN, Answer, Http, translated
from runner.client.pacing import MOST_PARKED_S, Backoff, retry_after
from runner.errors import AuthenticationError
from runner.wire import headers
from runner.wire.job import Job, read_job
from runner.wire.values import Json, JsonObject, as_int, as_list, as_object, as_text

Sleep = Callable[[float], Awaitable[None]]
REPEATABLE = frozenset({"GET", "HEAD", "DELETE", "PATCH"})
PAGE_SIZE = 50
MOST_SAID = 300  # characters of a sentence in a refusal
MOST_PARTS = 20
DOWNLOADS_USED_UP = 109  # `error_code` of the local server; that of the hosted API is unknown
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECTED = "no redirect is followed, for it would take the key along: give API2CONVERT_BASE_URL as the API has it"
_ESCAPES = re.compile(  # in texts of JSON
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.DOTALL
)
SECRET_HEADERS = (headers.API_KEY[0], headers.TOKEN[0], headers.DOWNLOAD_PASSWORD[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of jobs; `full` says that there may be another."""

    jobs: tuple[Job, ...]
    full: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversionApi:
    """The calls of one account at one endpoint. Every method raises ApiError or AuthenticationError."""

    endpoint: Endpoint
    http: Http
    sleep: Sleep = asyncio.sleep
    backoff: Backoff = field(default_factory=Backoff)
    rng: random.Random = field(default_factory=random.Random)
    hidden: Hidden = field(default_factory=Hidden)
    contact: Contact = field(default_factory=Contact)

    def __post_init__(self) -> None:
        self.hidden.add(self.endpoint.api_key)

    async def create_job(self, job: JsonObject, *, idempotency_key: str) -> Job:
        """Create `job` unstarted. The header is sent but never relied upon: support is undocumented."""
        extra = {headers.IDEMPOTENCY_KEY: idempotency_key}
        return self._read(await self._call("POST", "/jobs", job | {"process": False}, extra=extra))

    async def job(self, job_id: str) -> Job:
        """The job. An answer that shows no status is none, and asked for again."""
        return self._read(await self._call("GET", f"/jobs/{_segment(job_id)}", about=job_id))

    async def jobs(self, *, page: int = 1, wanted: Container[str] | None = None) -> Page:
        """The account's jobs, newest first, 50 a page; of them only the `wanted` ids where those are given."""
        rows = as_list(await self._call("GET", f"/jobs?page={page}"))
        jobs = (row for row in rows if wanted is None or as_object(row).get("id") in wanted)
        return Page(jobs=tuple(self._read(row) for row in jobs), full=len(rows) >= PAGE_SIZE)

    async def start_job(self, job_id: str, changes: JsonObject | None = None) -> Job | None:
        """Start the job: the purchase. None where the server says that it was started before (409).

        A 429 is the caller's to wait for: it says that too many jobs run, which the caller knows more about.
        A RefusedError is only a definite no where it is `certain`.
        """
        try:
            path = f"/jobs/{_segment(job_id)}"
            body = {**(changes or {}), "process": True}
            return self._read(await self._call("PATCH", path, body, about=job_id, waits_for_a_place=False))
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise

    async def delete_job(self, job_id: str) -> None:
        """Delete an unstarted job or cancel a running one; one that is gone already is fine."""
        try:
            await self._call("DELETE", f"/jobs/{_segment(job_id)}")
        except GoneError:
            return

    async def add_input(self, job_id: str, entry: JsonObject) -> None:
        await self._call("POST", f"/jobs/{_segment(job_id)}/input", entry)

    async def set_input_options(self, job_id: str, input_id: str, options: JsonObject) -> None:
        await self._call("PATCH", f"/jobs/{_segment(job_id)}/input", [{"id": input_id, "options": options}])

    async def conversions(self, *, page: int = 1) -> list[Json]:
        return as_list(await self._call("GET", f"/conversions?page={page}"))

    async def stats_of_day(self, day: str) -> Json:
        """What was booked for this key on the day ("2026-11-23"): rows of strings, in hours."""
        return await self._call("GET", f"/stats/day/{_segment(day)}/single")

    async def contracts(self) -> Json:
        return await self._call("GET", "/contracts")

    def _read(self, document: Json) -> Job:
        return self.hidden.mask_job(read_job(document))

    async def _call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        extra: JsonObject | None = None,
        about: str = "",
        waits_for_a_place: bool = True,
    ) -> Json:
        """`about` is the id of the job that was asked for, where it was one."""
        doing = f"{method} {path.partition('?')[0]}"
        patience = self.backoff.patience(self.rng)
        unheard = True
        while True:
            try:
                said = _of_job(about, await self._once(method, path, body, extra or {}, doing=doing), doing=doing)
                return _with_status(said, doing=doing) if about and method == "GET" else said
            except ApiError as error:
                unheard = unheard and not isinstance(error, OutcomeUnknownError)
                if isinstance(error, RefusedError):
                    error.certain = unheard
                if not _worth_repeating(error, method, waits_for_a_place):
                    raise
                wait_s = patience.next_s(error.retry_after_s)
                if wait_s is None:
                    raise
                await self.sleep(wait_s)

    async def _once(self, method: str, path: str, body: Json, extra: JsonObject, *, doing: str) -> Json:
        sent = {headers.API_KEY[0]: self.endpoint.api_key, **extra}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            response = await self.http.request(
                method,
                f"{self.endpoint.base_url}{path}",
                content=None if body is None else orjson.dumps(body),
                headers=sent,
            )
        except FOREIGN as error:
            ours = translated(error, doing=doing)
            self.contact.lost = ours if isinstance(ours, ApiUnreachableError) else None
            raise ours from None  # aiohttp's words quote URLs, tokens and all
        self.contact.lost = None
        return answer(response, doing=doing, hidden=self.hidden, sent=sent)


def answer(response: Answer, *, doing: str, hidden: Hidden, sent: Mapping[str, str]) -> Json:
    """The JSON of a 2xx answer (an empty body is None); everything else raises, sorted by meaning."""
    if response.is_success:
        if not response.content:
            return None
        try:
            return _parsed(response.content)
        except (ValueError, RecursionError) as error:
            raise OutcomeUnknownError(f"{doing}: the answer is not JSON") from error
    raise refusal(response, doing=doing, hidden=hidden, sent=sent)


def _parsed(content: bytes) -> Json:
    """JSON, also with halves of characters in its texts, which a name that was cut may have; they become "?"."""
    try:
        return orjson.loads(content)
    except ValueError:
        whole = _ESCAPES.sub(lambda found: b"?" if found["half"] else found[0], content.removeprefix(codecs.BOM_UTF8))
        if whole == content:
            raise
        return orjson.loads(whole)


def _of_job(asked_for: str, document: Json, *, doing: str) -> Json:
    """`document`, unless it is another job's: what a cache or a proxy mixed up says nothing about ours."""
    shown = as_object(document).get("id", asked_for) if asked_for else asked_for
    if shown != asked_for:
        raise OutcomeUnknownError(f"{doing}: the answer is about another job")
    return document


def _with_status(document: Json, *, doing: str) -> Json:
    if not as_text(as_object(as_object(document).get("status")).get("code")).strip():
        raise OutcomeUnknownError(f"{doing}: the answer shows no status of the job")
    return document


def refusal(response: Answer, *, doing: str, hidden: Hidden, sent: Mapping[str, str]) -> ApiError | AuthenticationError:
    """`sent` are the headers of the request: servers repeat what they were told, and those of secrets stay hidden."""
    status = response.status
    secrets = [each for name in SECRET_HEADERS if (each := sent.get(name))]
    message = f"{doing}: {status} {_said(response, lambda text: hidden.mask(text, *secrets))}".rstrip()
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:  # a proxy that gave up says 408
        asked_s = _asked_s(response)
        return OutcomeUnknownError(message, retry_after_s=asked_s, hint=_come_back(asked_s))
    if status in (401, 403):
        return AuthenticationError(message, hint="check API2CONVERT_API_KEY, and that it belongs to this endpoint")
    if status in (404, 410):
        kind = UsedUpError if status == HTTPStatus.GONE and _error_code(response) == DOWNLOADS_USED_UP else GoneError
        return kind(message, status=status)
    if status in REDIRECTS:
        return RefusedError(f"{message}{_where_to(response)}", status=status, hint=_REDIRECTED)
    asked_s = _asked_s(response)
    return RefusedError(message, status=status, retry_after_s=asked_s, hint=_come_back(asked_s))


def _where_to(response: Answer) -> str:
    """The host alone: what stands behind it may be a secret."""
    try:
        parts = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return ""
    return (
        f" (it redirects to {parts.scheme}://{parts.netloc.rpartition('@')[2]})"
        if parts.scheme and parts.netloc
        else ""
    )


def _asked_s(response: Answer) -> float | None:
    header = response.headers.get("Retry-After")
    return None if header is None else retry_after(header, now=_now_there(response), most_s=MOST_PARKED_S)


def _come_back(asked_s: float | None) -> str:
    return f"the server asks to be left alone for {asked_s:.0f} s" if asked_s else ""


def _now_there(response: Answer) -> datetime:
    """The time by the server's own clock: a date in Retry-After is one of its, and ours may be off."""
    try:
        there = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except (TypeError, ValueError):
        return datetime.now(UTC)
    return there if there.tzinfo else there.replace(tzinfo=UTC)


def _said(response: Answer, mask: Callable[[str], str]) -> str:
    """The server's own words, short, on one line and without our credentials: they go to a terminal and into logs."""
    try:
        parts = _all_said(as_object(orjson.loads(response.content)))
    except (ValueError, RecursionError):
        parts = []
    return "; ".join(_shortened(mask(part)) for part in parts[:MOST_PARTS] if part)


def _error_code(response: Answer) -> int:
    try:
        return as_int(as_object(orjson.loads(response.content)).get("error_code"))
    except (ValueError, RecursionError):
        return 0


def _all_said(body: JsonObject) -> list[str]:
    """The message, and what it doesn't hold of the errors by field."""
    message = as_text(body.get("message"))
    errors = [f"{name}: {why}" for name, why in as_object(body.get("errors")).items() if isinstance(why, str)]
    # Often the first of them, perhaps with how many more there are.
    return errors if errors and message.startswith(errors[0]) else [message, *errors]


def _shortened(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:MOST_SAID]


def _worth_repeating(error: ApiError, method: str, waits_for_a_place: bool) -> bool:  # noqa: FBT001
    if isinstance(error, ApiUnreachableError):
        return True
    if isinstance(error, RefusedError):
        return error.status == HTTPStatus.TOO_MANY_REQUESTS and waits_for_a_place
    is_unknown = isinstance(error, OutcomeUnknownError) and not isinstance(error, OversizeAnswerError)
    return is_unknown and method in REPEATABLE


def _segment(text: str) -> str:
    return quote(text, safe="")
