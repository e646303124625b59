"""Findings for people and for scripts: place, message, the line itself with a caret under it, a closing sentence.

The line is read from the file only now, and may be gone. It is left out where it may hold a secret.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from runner.errors import Problem, counted
from runner.wire.values import JsonObject

_MOST_BYTES = 4 * 1024 * 1024  # no recipe is larger, and nothing else is worth an excerpt
_WIDTH = 160
_LOOKS_SECRET = re.compile(
    r"(?:pass(?:word|wd|phrase)?s?|secret\w*|token|key|keyfile)[\"']?\s*[=:]\s*[\"'\[]", re.IGNORECASE
)
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"


def findings_text(
    problems: Sequence[Problem],
    *,
    checked: int,
    color: bool,
    base: Path | None = None,
    closing: bool = True,
    sent: str = "Nothing was sent.",
) -> str:
    """All problems with excerpts, each ending in a line break, and how many there are.

    checked  how many recipes were looked at
    base     paths below it are shown relative to it
    sent     what the closing sentence says about the work itself
    """
    lines = [line for problem in problems for line in _problem(problem, color=color, base=base)]
    if closing and problems:
        lines.append(_closing(problems, checked, sent))
    return "".join(f"{line}\n" for line in lines)


def findings_json(problems: Sequence[Problem], checked: int) -> JsonObject:
    """The shape that `check --format json` prints: paths absolute, every key always there."""
    return {"problems": [_row(problem) for problem in problems], "recipes": checked}


def one_line(text: str) -> str:
    """`text` with everything escaped that a terminal would act on; names of files may hold anything."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _row(problem: Problem) -> JsonObject:
    place = problem.place
    return {
        "file": one_line(str(place.file)) if _has_surrogates(str(place.file)) else str(place.file),
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def _problem(problem: Problem, *, color: bool, base: Path | None) -> Iterator[str]:
    place, severity = problem.place, problem.severity
    where = f"{one_line(_shown_path(place.file, base))}:{place.line}:{place.column}:"
    if color:
        yield f"{_BOLD}{where}{_RESET} {_COLORS[severity]}{severity}:{_RESET} {one_line(problem.message)}"
    else:
        yield f"{where} {severity}: {one_line(problem.message)}"
    yield from _excerpt(problem, color=_COLORS[severity] if color else "")
    if problem.hint:
        yield f"   {one_line(problem.hint)}"


def _shown_path(file: Path, base: Path | None) -> str:
    return str(file.relative_to(base)) if base is not None and file.is_relative_to(base) else str(file)


def _excerpt(problem: Problem, *, color: str) -> Iterator[str]:
    place = problem.place
    lines = _lines(place.file)
    if problem.secret or not 1 <= place.line <= len(lines):
        return
    line = lines[place.line - 1]
    if len(line) > _WIDTH or not line.strip() or _LOOKS_SECRET.search(line):
        return
    number = f"{place.line:>5} | "
    start = min(place.column - 1, len(line))
    end = min(place.end_column - 1, len(line)) if place.end_line == place.line else len(line.rstrip())
    marks = "^" * max(1, sum(_columns(c) for c in line[start:end]))
    pad = "".join("\t" if c == "\t" else " " * _columns(c) for c in line[:start])
    yield number + "".join(c if c == "\t" else one_line(c) for c in line)
    yield " " * (len(number) - 2) + "| " + pad + (f"{color}{marks}{_RESET}" if color else marks)


@lru_cache(maxsize=8)
def _lines(file: Path) -> tuple[str, ...]:
    """The lines of a file, none if it can't be read any more or was never text."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return ()
        text = file.read_bytes().decode()
    except (OSError, ValueError):
        return ()
    return tuple(text.replace("\r\n", "\n").split("\n"))


def _columns(character: str) -> int:
    """How many columns a terminal gives to a character as `one_line` shows it."""
    if not character.isprintable():
        return len(_escaped(character))
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _closing(problems: Sequence[Problem], checked: int, sent: str) -> str:
    counts: Mapping[str, int] = {
        severity: sum(problem.severity == severity for problem in problems) for severity in ("error", "warning", "note")
    }
    where = f" in {counted(checked, 'recipe')}" if checked else ""  # none, where what was given isn't there
    if not counts["error"]:
        said = " and ".join(counted(count, kind) for kind, count in counts.items() if count)
        return f"{said}{where}."
    other = "".join(f", {counted(counts[kind], kind)}" for kind in ("warning", "note") if counts[kind])
    return f"{counted(counts['error'], 'problem')}{other}{where}. {sent}"
