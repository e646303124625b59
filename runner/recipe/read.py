"""Bytes of a file become a JSON value, or findings that say why not. Nothing here knows what a recipe is.

The file is opened without waiting (a pipe must not hang a check) and read once, up to a limit. What comes
out can be carried by JSON exactly and is nested no deeper than `MAX_DEPTH`, so that code behind this may recurse.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import rtoml

from runner.recipe.finding import Finding, Span, Steps
from runner.recipe.gaps import with_gaps
from runner.recipe.suggest import shown
from runner.wire.values import Json, JsonObject

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
_EXACT = 2**53 - 1  # beyond it a double, and so JSON as most read it, has holes
# What the text of any number, date or time shows that JSON can't carry exactly; words may look so too.
_MAYBE_INEXACT = re.compile(rb"[0-9](?:[0-9_]{14}|[xobeE:]|-[0-9])")
_MAYBE_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # only an escape can write one: UTF-8 can't
_COUNTED_KEY = re.compile(rb'"\s*:')
# Only files that are wrong need these, so `re` compiles them when they are first used.
_PLACE = r"\s*at line (\d+) column (\d+)\s*$"
_KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[\w-]+|"[^"\n]*"|'[^'\n]*'))*"""
_CONSTANT = r'"(?:\\.|[^"\\])*"|(NaN|-?Infinity|[0-9]{4000,})'
_NESTING = r""""(?:\\.|[^"\\\n])*"|'[^'\n]*'|#.*|([\[{])|([\]}])|((?:[\w-]+[ \t]*\.[ \t]*){60})"""
_LITERAL_SECRET = r"""(?xi)
    (?:secretaccesskey|sessiontoken|keyfile|accountkey|passwords?|token|private_key)["']?\s*[=:]
        (?!\s*\[?\s*\{\s*["']?(?:env|file|keyring)\b)
    | ://[^/\s"']*:[^/\s"']*@"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """What a file holds: an object, or findings, or, where only values are at fault, both, with gaps for those."""

    file: Path
    value: JsonObject | None
    findings: tuple[Finding, ...] = ()


def read_file(file: Path) -> Read:
    """The object in a TOML or JSON file. Never raises: what is wrong is in `findings`."""
    data = _bytes_of(file)
    if isinstance(data, Finding):
        return Read(file=file, value=None, findings=(data,))
    return read_bytes(file, data)


def read_bytes(file: Path, data: bytes) -> Read:
    """The same for bytes at hand; `file` says by its ending what they are."""
    text = _text_of(file, data)
    if isinstance(text, Finding):
        return Read(file=file, value=None, findings=(text,))
    parse = _json if file.name.endswith(".json") else _toml
    value = parse(file, text, data)
    if isinstance(value, Finding):
        return Read(file=file, value=None, findings=(value,))
    if not isinstance(value, dict):
        found = Finding(code="wrong-type", message="a recipe is an object, not a bare value", file=file)
        return Read(file=file, value=None, findings=(found,))
    read = _exact(file, value, data)
    twice = _hidden(file, value, text, data) if parse is _json else None
    if twice is None:
        return read
    # What is hidden may be a secret, in a line that another finding would show.
    return replace(read, value=None if twice.secret else read.value, findings=(twice, *read.findings))


def has_literal_secret(text: str) -> bool:
    """Whether something that looks like a secret stands in the text itself; for texts nobody could parse."""
    return re.search(_LITERAL_SECRET, text) is not None


def _bytes_of(file: Path) -> bytes | Finding:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return _unreadable(file, error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _no_file(file, status.st_mode)
        if status.st_size > MAX_BYTES:
            return _too_large(file, status.st_size)
        return os.read(descriptor, status.st_size + 1)  # not the limit: that much would be set aside each time
    except OSError as error:
        return _unreadable(file, error)
    finally:
        os.close(descriptor)


def _unreadable(file: Path, error: OSError | ValueError) -> Finding:
    if isinstance(error, FileNotFoundError):
        return Finding(code="no-such-file", message="there is no such file", file=file, span=Span())
    if isinstance(error, PermissionError):
        hint = "give the user that runs this the right to read it"
        return Finding(code="not-readable", message="no right to read this file", hint=hint, file=file, span=Span())
    reason = (error.strerror or "unknown error") if isinstance(error, OSError) else str(error)
    return Finding(code="not-readable", message=f"can't be read: {reason}", file=file, span=Span())


def _no_file(file: Path, mode: int) -> Finding:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((name for matches, name in kinds if matches(mode)), "a device")
    return Finding(code="not-a-file", message=f"is {kind}, not a file", file=file, span=Span())


def _too_large(file: Path, size: int) -> Finding:
    message = f"is {size:,} bytes long; a recipe may have {MAX_BYTES:,}"
    hint = "many items belong into a CSV or JSONL file that foreach.rows names"
    return Finding(code="too-large", message=message, hint=hint, file=file, span=Span())


def _text_of(file: Path, data: bytes) -> str | Finding:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "is UTF-16; a recipe is UTF-8"
        return Finding(code="not-utf-8", message=message, hint="save it as UTF-8", file=file, span=Span())
    if data.startswith(b"\xef\xbb\xbf"):
        message = "begins with a byte order mark; a recipe is plain UTF-8"
        hint = "save it as UTF-8 without BOM"
        return Finding(code="byte-order-mark", message=message, hint=hint, file=file, span=Span())
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(file, data, error.start)
    if not text.strip():
        hint = "the least that works is an input and a conversion with a target"
        return Finding(code="empty-file", message="is empty", hint=hint, file=file, span=Span())
    return text


def _not_utf8(file: Path, data: bytes, offset: int) -> Finding:
    line = data.count(b"\n", 0, offset) + 1
    start = data.rfind(b"\n", 0, offset) + 1
    column = len(data[start:offset].decode(errors="replace")) + 1
    message = f"is not UTF-8: byte {data[offset]:#04x} at offset {offset}"
    span = Span(line=line, column=column, end_line=line, end_column=column + 1)
    return Finding(code="not-utf-8", message=message, hint="save it as UTF-8", file=file, span=span, secret=True)


def _toml(file: Path, text: str, _data: bytes) -> Json | Finding:
    try:
        return rtoml.loads(text)
    except rtoml.TomlParsingError as error:
        said = str(error)
    if "recursion" in said:
        return _too_deep(file, text)
    place = re.search(_PLACE, said)
    line, column = (int(place[1]), int(place[2])) if place else (1, 1)
    if said.startswith("duplicate key"):
        return _syntax(file, text, "duplicate-key", _repeated(text, line, column), line, column)
    return _syntax(file, text, "syntax", re.sub(_PLACE, "", said), line, column)


def _repeated(text: str, line: int, column: int) -> str:
    """What to say of a key or a table that stands at a place of a TOML file for a second time."""
    lines = text.split("\n")
    written = lines[line - 1] if line <= len(lines) else ""
    found = re.match(_KEY, written[column - 1 :])
    key = _header(written) or (found[0].strip() if found else "")
    if not key:
        return "duplicate key"
    first = _first_place(lines, key, line)
    return f"duplicate key {shown(key)}" + (f"; it stands at {first} already" if first else "")


def _first_place(lines: list[str], key: str, line: int) -> str:
    """The nearest earlier place in the same table, as the same text; empty where the key is written otherwise there."""
    is_table = bool(_header(lines[line - 1]))
    for above in range(line - 1, 0, -1):
        written = lines[above - 1]
        header = _header(written)
        if header == key if is_table else written.partition("=")[0].strip() == key:
            return f"{above}:{written.index(key) + 1}"
        if header and not is_table:
            return ""
    return ""


def _header(line: str) -> str:
    """The name of the table that a line opens, or nothing."""
    return line.strip("[ \t").partition("]")[0].strip() if line.lstrip().startswith("[") else ""


def _json(file: Path, text: str, _data: bytes) -> Json | Finding:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        said, at = _fault_of(error)
        return _syntax(file, text, "syntax", said, *_line_and_column(text, at))
    except RecursionError:
        return _too_deep(file, text)
    except ValueError as error:  # a constant that is not JSON, or a number of more than 4,300 digits
        at = next((match.start(1) for match in re.finditer(_CONSTANT, text) if match[1]), 0)
        return _syntax(file, text, "syntax", str(error).partition(";")[0], *_line_and_column(text, at))


def _hidden(file: Path, value: Json, text: str, data: bytes) -> Finding | None:
    """The first key that another one of its name hides, if there is any."""
    return None if _key_count(value) == len(_COUNTED_KEY.findall(data)) else _duplicate(file, text)


def _fault_of(error: json.JSONDecodeError) -> tuple[str, int]:
    """What is wrong, and where. Before Python 3.13 what stands behind a comma too many is called missing."""
    before = error.doc[: error.pos].rstrip(" \t\r\n")
    unended = _UNENDED.get((error.msg, error.doc[error.pos : error.pos + 1]))
    if unended and before.endswith(","):
        return f"illegal trailing comma before end of {unended}", len(before) - 1
    return error.msg[:1].lower() + error.msg[1:], error.pos


_UNENDED = {
    ("Expecting property name enclosed in double quotes", "}"): "object",
    ("Expecting value", "]"): "array",
}


def _refuse_constant(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")


def _key_count(value: Json) -> int:
    """How many keys all objects hold together; fewer than the text shows when one hides another."""
    count = 0
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            count += len(one)
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
    return count


def _duplicate(file: Path, text: str) -> Finding | None:
    doubled: list[str] = []

    def pairs(found: list[tuple[str, Json]]) -> dict[str, Json]:
        seen: dict[str, Json] = {}
        for key, value in found:
            if key in seen:
                doubled.append(key)
            seen[key] = value
        return seen

    json.loads(text, object_pairs_hook=pairs)
    if not doubled:
        return None
    found = [*re.finditer(re.escape(json.dumps(doubled[0], ensure_ascii=False)) + r"\s*:", text)]
    offset = found[1].start() if len(found) > 1 else 0
    message = f"duplicate key {shown(doubled[0])}"
    if len(found) == 2:  # else nobody knows which of them belong to the same object
        line, column = _line_and_column(text, found[0].start())
        message += f"; it stands at {line}:{column} already"
    return _syntax(file, text, "duplicate-key", message, *_line_and_column(text, offset))


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _too_deep(file: Path, text: str) -> Finding:
    line, column = _line_and_column(text, _where_too_deep(text))
    span = Span(line=line, column=column, end_line=line, end_column=column + 1)
    message = f"is nested too deep; {MAX_DEPTH} levels are the limit"
    return Finding(code="too-deep", message=message, file=file, span=span, secret=True)


def _where_too_deep(text: str) -> int:
    """About where: the bracket that is one too many, or a key of too many parts."""
    depth = 0
    for match in re.finditer(_NESTING, text):
        depth += bool(match[1]) - bool(match[2])
        if depth >= MAX_DEPTH or match[3]:
            return match.start()
    return 0


def _syntax(file: Path, text: str, code: str, message: str, line: int, column: int) -> Finding:
    span = Span(line=line, column=column, end_line=line, end_column=column + 1)
    return Finding(code=code, message=message, file=file, span=span, secret=has_literal_secret(text))


def _exact(file: Path, value: JsonObject, data: bytes) -> Read:
    """Turns down what JSON can't carry: too deep first, since all the rest recurses."""
    if (data.count(b"[") + data.count(b"{") + data.count(b".") > MAX_DEPTH) and _depth(value) > MAX_DEPTH:
        return Read(file=file, value=None, findings=(_too_deep(file, data.decode()),))
    findings = tuple(inexact(value, ())) if _maybe_inexact(data) else ()
    placed = tuple(
        Finding(path=path, code="not-json", message=message, hint=hint, file=file) for path, message, hint in findings
    )
    if _MAYBE_HALF.search(data):
        placed += tuple(_half_characters(value, (), file))
    return Read(file=file, value=with_gaps(value, placed), findings=placed)


def _maybe_inexact(data: bytes) -> bool:
    return b"nan" in data or b"inf" in data or _MAYBE_INEXACT.search(data) is not None


def _depth(value: Json) -> int:
    level: list[Json] = [value]
    depth = 0
    while level:
        depth += 1
        below: list[Json] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        level = below
    return depth


def inexact(value: Json, path: Steps) -> Iterator[tuple[Steps, str, str]]:
    """What in an object or an array JSON can't carry exactly: where, why, and what to do."""
    for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
        kind = type(inner)
        if kind is dict or kind is list:
            yield from inexact(inner, (*path, step))
        elif kind is not str and kind is not bool:
            said = _NUMBERS.get(kind, _date)(inner)
            if said:
                yield (*path, step), *said


def _integer(value: int) -> tuple[str, str] | None:
    if abs(value) <= _EXACT:
        return None
    return "this number is too large to be carried exactly", "write it as a string"


def _float(value: float) -> tuple[str, str] | None:
    if math.isfinite(value):
        return None
    return "nan and inf are not numbers in JSON", "leave the key out, or write a number"


def _date(value: object) -> tuple[str, str] | None:
    if not isinstance(value, dt.date | dt.time):
        return None
    return "dates and times are no JSON values", "put it in quotes"


def _half_characters(value: Json, path: Steps, file: Path) -> Iterator[Finding]:
    """Strings and keys that no UTF-8 can hold: JSON may write half of a pair of surrogates, and Python reads it."""
    if isinstance(value, str) and has_half_character(value):
        yield _half(path, file, key=False)
    for step, inner in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        if isinstance(step, str) and has_half_character(step):
            yield _half((*path, step), file, key=True)
        yield from _half_characters(inner, (*path, step), file)


def has_half_character(text: str) -> bool:
    """Whether `text` holds half of a pair of surrogates, which is no character and can't be sent."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _half(path: Steps, file: Path, *, key: bool) -> Finding:
    message = f"{'this key' if key else 'this text'} holds half a character: one of two surrogates without the other"
    hint = "write the character itself, or both halves one after the other"
    return Finding(path=path, key=key, code="not-json", message=message, hint=hint, file=file)


_NUMBERS: dict[type, Callable[..., tuple[str, str] | None]] = {int: _integer, float: _float}
