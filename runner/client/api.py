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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from runner.client.said import error_code, what_it_says
from runner.errors import AuthenticationError
from runner.wire import headers
from runner.wire.job import Job, read_job
from runner.wire.values import Json, JsonObject, as_id, as_list, as_object, as_text, as_written_count, folded_id

Sleep = Callable[[float], Awaitable[None]]
REPEATABLE = frozenset({"GET", "HEAD", "DELETE", "PATCH"})
PAGE_SIZE = 50
DOWNLOADS_USED_UP = 109  # `error_code` of the local server; that of the hosted API is unknown
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECTED = "no redirect is followed, for it would take the key along: give API2CONVERT_BASE_URL as the API has it"
_NO_ID = "an earlier run took an answer without an id for a job; raise epoch to begin anew"
_ESCAPES = re.compile(  # in texts of JSON
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.DOTALL
)
SECRET_HEADERS = (headers.API_KEY[0], headers.TOKEN[0], headers.DOWNLOAD_PASSWORD[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of jobs; `full` says that there may be another, `count` how many jobs there are on all pages together,
    None where the API doesn't say."""

    jobs: tuple[Job, ...]
    full: bool
    count: int | None = None


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
        """Create `job` unstarted. The header is sent but never relied upon: support is undocumented.

        Raises OutcomeUnknownError also where the answer names no job.
        """
        extra = {headers.IDEMPOTENCY_KEY: idempotency_key}
        created = self._read(await self._call("POST", "/jobs", job | {"process": False}, extra=extra))
        if not _is_id(created.id):
            raise OutcomeUnknownError("POST /jobs: the answer doesn't name the job that was made")
        return created

    async def job(self, job_id: str) -> Job:
        """The job. An answer that shows no status is none, and asked for again."""
        return self._read(await self._call("GET", f"/jobs/{segment(job_id)}", about=job_id), asked_for=job_id)

    async def jobs(self, *, page: int = 1, wanted: Mapping[str, str] | None = None) -> Page:
        """The account's jobs, newest first, 50 a page; of them only the `wanted` where those are given: ids as we
        know them by what `folded_id` makes of them. Rows without an id say nothing."""
        heard: list[Answer] = []
        rows = as_list(await self._call("GET", f"/jobs?page={page}", heard=heard))
        named = [(folded_id(as_id(as_object(row).get("id"))), row) for row in rows]
        jobs = (
            self._read(row, asked_for="" if wanted is None else wanted[name])
            for name, row in named
            if name and (wanted is None or name in wanted)
        )
        return Page(jobs=tuple(jobs), full=len(rows) >= PAGE_SIZE, count=_count(heard))

    async def start_job(self, job_id: str, changes: JsonObject | None = None) -> Job:
        """Start the job: the purchase.

        A 409 says that it was started before, or that it can't be: the job itself tells which. A 429 is the caller's to
        wait for: it says that too many jobs run, which the caller knows more about. Any RefusedError is only a definite
        no where it is `certain`.
        """
        path = f"/jobs/{segment(job_id)}"
        body = {**(changes or {}), "process": True}
        document = await self._call("PATCH", path, body, about=job_id, waits_for_a_place=False)
        return self._read(document, asked_for=job_id)

    async def delete_job(self, job_id: str) -> None:
        """Delete an unstarted job or cancel a running one; one that is gone already is fine."""
        try:
            await self._call("DELETE", f"/jobs/{segment(job_id)}")
        except GoneError:
            return

    async def add_input(self, job_id: str, entry: JsonObject) -> None:
        await self._call("POST", f"/jobs/{segment(job_id)}/input", entry)

    async def set_input_options(self, job_id: str, input_id: str, options: JsonObject) -> None:
        await self._call("PATCH", f"/jobs/{segment(job_id)}/input", [{"id": input_id, "options": options}])

    async def conversions(self, *, page: int = 1) -> list[Json]:
        return as_list(await self._call("GET", f"/conversions?page={page}"))

    async def stats_of_day(self, day: str) -> Json:
        """What was booked for this key on the day ("2026-11-23"): rows of strings, in hours."""
        return await self._call("GET", f"/stats/day/{segment(day)}/single")

    async def contracts(self) -> Json:
        return await self._call("GET", "/contracts")

    def _read(self, document: Json, *, asked_for: str = "") -> Job:
        """A job that was asked for keeps the id by which we know it, however the answer writes it."""
        job = self.hidden.mask_job(read_job(document))
        return replace(job, id=asked_for) if job.id and asked_for not in ("", job.id) else job

    async def _call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        extra: JsonObject | None = None,
        about: str = "",
        waits_for_a_place: bool = True,
        heard: list[Answer] | None = None,
    ) -> Json:
        """`about` is the id of the job that was asked for, where it was one; `heard` takes the answer as it came."""
        doing = f"{method} {path.partition('?')[0]}"
        patience = self.backoff.patience(self.rng)
        unheard = True
        while True:
            try:
                said = _of_job(
                    about, await self._once(method, path, body, extra or {}, doing=doing, heard=heard), doing=doing
                )
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

    async def _once(
        self, method: str, path: str, body: Json, extra: JsonObject, *, doing: str, heard: list[Answer] | None
    ) -> Json:
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
        if heard is not None:
            heard.append(response)
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
    shown = as_id(as_object(document).get("id")) if asked_for else ""
    if shown and folded_id(shown) != folded_id(asked_for):
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
    message = f"{doing}: {status} {what_it_says(response, lambda text: hidden.mask(text, *secrets))}".rstrip()
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:  # a proxy that gave up says 408
        asked_s = _asked_s(response)
        return OutcomeUnknownError(message, retry_after_s=asked_s, hint=_come_back(asked_s))
    if status in (401, 403):
        return AuthenticationError(message, hint="check API2CONVERT_API_KEY, and that it belongs to this endpoint")
    if status in (404, 410):
        kind = UsedUpError if status == HTTPStatus.GONE and error_code(response) == DOWNLOADS_USED_UP else GoneError
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
    except (TypeError, ValueError, OverflowError):
        return datetime.now(UTC)
    return there if there.tzinfo else there.replace(tzinfo=UTC)


def _worth_repeating(error: ApiError, method: str, waits_for_a_place: bool) -> bool:  # noqa: FBT001
    if isinstance(error, ApiUnreachableError):
        return True
    if isinstance(error, RefusedError):
        return error.status == HTTPStatus.TOO_MANY_REQUESTS and waits_for_a_place
    is_unknown = isinstance(error, OutcomeUnknownError) and not isinstance(error, OversizeAnswerError)
    return is_unknown and method in REPEATABLE


def _count(heard: Sequence[Answer]) -> int | None:
    said = heard[-1].headers.get(headers.TOTAL_COUNT, "") if heard else ""
    return as_written_count(said)


def _is_id(text: str) -> bool:
    """Whether it names one thing in a path: without it, a path is that of all of them."""
    return text not in ("", ".", "..")


def segment(text: str) -> str:
    if not _is_id(text):
        raise ApiError(f"a job without an id ({text!r}) can't be asked for; nothing was sent", hint=_NO_ID)
    return quote(text, safe="")
