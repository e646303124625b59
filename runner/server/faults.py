"""Faults on purpose: an ASGI layer that lets requests go wrong as a rehearsal asks, seeded and countable.

A spec is rules, separated by semicolons, and at most one `seed=N`:

    WHERE FAULT[=VALUE] [WHEN]

Every rule that fits a request and whose time has come has its effect; of two that would answer in the server's
place the first does. `docs/faults.md` has the words with examples; the tables below are what counts.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.server.answers import AT_ONCE

# Where: a name from here, or METHOD:PATH with `*` for one part of a path and `**` for any number of them.
PLACES = {
    "any": "*:/**",
    "create": "POST:/jobs",
    "start": "PATCH:/jobs/*",
    "read": "GET:/jobs/*",
    "list": "GET:/jobs",
    "delete": "DELETE:/jobs/*",
    "input": "POST:/jobs/*/input",
    "upload": "POST:/dl/*/upload-file/*",
    "download": "GET:/dl/*/download-file/**",
}

# What: its name, what its value is, and the value where none is given (None: there is none to give).
FAULTS: dict[str, tuple[str, float | None]] = {
    "error-before": ("status", 500),
    "error-after": ("status", 500),
    "drop-before": ("", None),
    "drop-after": ("", None),
    "delay": ("seconds", 1),
    "quota": ("seconds", -1),
    "busy": ("seconds", 1),
    "busy-date": ("seconds", 2),
    "truncate": ("bytes", -1),
    "corrupt": ("", None),
    "expired": ("", None),
    "slow": ("bytes a second", 65_536),
}
_ANSWERING = ("error-before", "drop-before", "quota", "busy", "busy-date", "expired")

# The server's protocol puts {"call": a function} under this name into the scope's extensions; it hangs up when
# what was sent is out.
HANG_UP = "conversion_runner.hang_up"

_WORD = re.compile(r"([a-z-]+)(?:=(\d+(?:\.\d+)?))?\Z")
_NTH = re.compile(r"#([1-9]\d*)(?:(\+)|-([1-9]\d*))?\Z")
_SEED = re.compile(r"seed=(-?\d{1,40})\Z", re.ASCII)
_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "*")
_CHANCE = re.compile(r"(0?\.\d+|[01])\Z")


class BadFaults(ValueError):
    """A spec that can't be read; the message names the rule and what would do."""


@dataclass(kw_only=True, slots=True)
class Rule:
    """
    first, last  which of the matching requests it is for, from 1; `last` None means all that follow
    chance       and then with this probability
    seen         matching requests so far
    """

    method: str
    path: re.Pattern[str]
    fault: str
    value: float
    first: int = 1
    last: int | None = None
    chance: float = 1.0
    seen: int = 0

    def fits(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and self.path.fullmatch(path) is not None

    def strikes(self, rng: random.Random) -> bool:
        """Count one more matching request; whether it is hit."""
        self.seen += 1
        due = self.first <= self.seen and (self.last is None or self.seen <= self.last)
        return due and (self.chance >= 1 or rng.random() < self.chance)


@dataclass(kw_only=True, slots=True)
class Faults:
    rules: list[Rule] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  # repeatable is what it must be

    def of(self, method: str, path: str) -> dict[str, float]:
        """What happens to this request: faults by name, with their values."""
        hit = [rule for rule in self.rules if rule.fits(method, path) and rule.strikes(self.rng)]
        return {rule.fault: rule.value for rule in reversed(hit)}


def read_faults(spec: str) -> Faults:
    """The rules of `spec`; raises BadFaults with what is wrong."""
    parts = list(filter(None, (one.strip() for one in re.split(r"[;\n]", spec))))
    seeds = [part for part in parts if part.startswith("seed=")]
    return Faults(
        rules=[_rule(part) for part in parts if part not in seeds],
        rng=random.Random(_seed(seeds)),  # noqa: S311
    )


def _seed(parts: list[str]) -> int:
    if len(parts) > 1:
        raise BadFaults(f"'{parts[1]}': there is a seed already, '{parts[0]}'")
    found = _SEED.match(parts[0]) if parts else None
    if parts and not found:
        raise BadFaults(f"'{parts[0]}' is no seed; write a whole number, such as seed=7")
    return int(found[1]) if found else 0


def _rule(text: str) -> Rule:
    words = text.split()
    if not 2 <= len(words) <= 3:
        raise BadFaults(f"'{text}' is no rule; write WHERE FAULT[=VALUE] [WHEN], such as 'download truncate #1'")
    method, path = _place(words[0])
    fault, value = _fault(words[1])
    rule = Rule(method=method, path=path, fault=fault, value=value)
    if len(words) == 3:
        _set_when(rule, words[2])
    return rule


def _place(word: str) -> tuple[str, re.Pattern[str]]:
    method, colon, path = PLACES.get(word, word).partition(":")
    if not colon or not path.startswith("/"):
        raise BadFaults(f"'{word}' is no place; there are {', '.join(PLACES)}, and METHOD:/path/*")
    if method.upper() not in _METHODS:
        raise BadFaults(f"'{word}': there is no method {method}, but {', '.join(_METHODS)}")
    parts = re.split(r"(\*\*|\*)", path)
    pattern = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
    return method.upper(), re.compile(pattern)


def _fault(word: str) -> tuple[str, float]:
    found = _WORD.match(word)
    known = FAULTS.get(found[1]) if found else None
    if found is None or known is None:
        raise BadFaults(f"'{word}' is no fault; there are {', '.join(FAULTS)}")
    meaning, default = known
    if found[2] is not None and not meaning:
        raise BadFaults(f"'{word}': {found[1]} has no value")
    value = float(found[2]) if found[2] is not None else float(default or 0)
    if meaning == "status" and not 400 <= value <= 599:
        raise BadFaults(f"'{word}': the status must be from 400 to 599")
    if found[1] == "slow" and value < 1:
        raise BadFaults(f"'{word}': at least one byte a second")
    return found[1], value


def _set_when(rule: Rule, word: str) -> None:
    if found := _NTH.match(word):
        rule.first = int(found[1])
        rule.last = None if found[2] else int(found[3] or found[1])
        if rule.last is not None and rule.last < rule.first:
            raise BadFaults(f"'{word}' ends before it begins")
    elif word.endswith("%") and word[:-1].isdigit() and int(word[:-1]) <= 100:
        rule.chance = int(word[:-1]) / 100
    elif _CHANCE.match(word):
        rule.chance = float(word)
    else:
        raise BadFaults(f"'{word}' is no time; write a probability (0.1 or 10%), #3, #3-5 or #3+")


class FaultyApp:
    """`app`, with `faults`."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        shown = path.removeprefix("/v2") or "/"
        hit = self._faults.of(scope["method"], shown)
        if "delay" in hit:
            await asyncio.sleep(hit["delay"])
        answering = next((one for one in _ANSWERING if one in hit), None)
        if answering is not None:
            await _answer(answering, hit[answering], scope, receive, send)
        elif hit:
            await _spoilt(self._app, hit, scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _answer(fault: str, value: float, scope: Scope, receive: Receive, send: Send) -> None:
    """In place of the server, which never hears of the request."""
    if fault == "drop-before":
        await _hang_up(scope, receive)
        return
    while (await receive()).get("more_body"):  # an answer amid an upload would reset the connection
        continue
    status, headers, body = _REFUSALS[fault](value)
    await _send_json(send, status, headers, body)


def _refused(status: int, message: str, **headers: str) -> tuple[int, dict[str, str], dict[str, object]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"message": message, "code": status, "errors": {}}


_REFUSALS: dict[str, Callable[[float], tuple[int, dict[str, str], dict[str, object]]]] = {
    "error-before": lambda value: _refused(int(value), f"A rehearsed fault: {_phrase(value)}; nothing was done"),
    "error-after": lambda value: _refused(int(value), f"A rehearsed fault: {_phrase(value)}; it may have been done"),
    "quota": lambda value: _refused(
        402,
        "A rehearsed fault: the contract's credits are used up",
        **({} if value < 0 else {"Retry_After": str(int(value))}),
    ),
    "busy": lambda value: _refused(429, "A rehearsed fault: too many requests", Retry_After=str(int(value))),
    "busy-date": lambda value: _refused(
        429,
        "A rehearsed fault: too many requests",
        Retry_After=email.utils.formatdate(time.time() + value, usegmt=True),
    ),
    "expired": lambda _: (410, {}, {"error_code": 108, "message": "The file has expired and was deleted"}),
}


def _phrase(status: float) -> str:
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return str(int(status))


async def _send_json(send: Send, status: int, headers: dict[str, str], body: dict[str, object]) -> None:
    content = orjson.dumps(body)
    raw = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in raw.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})


async def _spoilt(app: ASGIApp, hit: dict[str, float], scope: Scope, receive: Receive, send: Send) -> None:
    """The server does what was asked; its answer is lost, or comes otherwise than it was sent."""
    scope.get("extensions", {}).pop(AT_ONCE, None)  # every word of it goes through our hands
    if "drop-after" in hit:
        await app(scope, receive, _swallow)
        await _hang_up(scope, receive)
    elif "error-after" in hit:
        await app(scope, receive, _swallow)
        status, headers, body = _REFUSALS["error-after"](hit["error-after"])
        await _send_json(send, status, headers, body)
    else:
        await app(scope, receive, _Spoiler(hit, scope, receive, send))


async def _swallow(_: Message) -> None:
    """What the server would have said."""


async def _hang_up(scope: Scope, receive: Receive) -> None:
    extension = scope.get("extensions", {}).get(HANG_UP)
    if extension is None:
        raise ConnectionResetError("a rehearsed fault: the connection is dropped")
    extension["call"]()
    while (await receive())["type"] != "http.disconnect":  # until the protocol knows that nobody listens any more
        continue


class _Spoiler:
    """Passes an answer on, spoilt: cut off, changed, slowed down."""

    def __init__(self, hit: dict[str, float], scope: Scope, receive: Receive, send: Send) -> None:
        self._hit = hit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._left: int | None = None
        self._corrupt = "corrupt" in hit
        self._gone = False

    async def __call__(self, message: Message) -> None:
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
            await self._send(message)
            return
        body: bytes = message.get("body", b"")
        if self._corrupt and body:
            self._corrupt = False
            body = body[:-1] + bytes([body[-1] ^ 0xFF])
        if self._left is not None and len(body) >= self._left:
            await self._cut_off(body[: self._left])
            return
        self._left = None if self._left is None else self._left - len(body)
        await self._pass_on({**message, "body": body})

    def _begin(self, message: Message) -> None:
        if "truncate" not in self._hit:
            return
        most = int(self._hit["truncate"])
        lengths = [int(value) for name, value in message["headers"] if name == b"content-length"]
        self._left = most if most >= 0 else lengths[0] // 2 if lengths else 0

    async def _cut_off(self, body: bytes) -> None:
        self._gone = True
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await _hang_up(self._scope, self._receive)

    async def _pass_on(self, message: Message) -> None:
        rate = self._hit.get("slow")
        if rate is None:
            await self._send(message)
            return
        body, piece = message["body"], max(1, int(rate / 10))
        for at in range(0, len(body), piece):
            await self._send({"type": "http.response.body", "body": body[at : at + piece], "more_body": True})
            await asyncio.sleep(min(piece, len(body) - at) / rate)
        await self._send({**message, "body": b""})
