"""Our globs: `*`, `?`, `[abc]`, `[!abc]` within a name, `**` as a whole name for any number of folders.

The same on every machine: case counts, nothing expands braces or `~`, and a `*` at the beginning of a name doesn't
take a dot. `[*]` is a star.
"""

from __future__ import annotations

import re
from functools import cache

_MAGIC = re.compile(r"[*?\[]")
ANY_FOLDERS = "**"


def is_magic(name: str) -> bool:
    """Whether `name` can stand for more than itself."""
    return _MAGIC.search(name) is not None


def may_be_plain(name: str) -> bool:
    """Whether `name` holds brackets and nothing else that is special: "scan [1].jpg" is what programs call copies."""
    return "[" in name and "*" not in name and "?" not in name


def plain_brackets(pattern: str) -> str:
    """`pattern` with brackets that stand for themselves."""
    return pattern.replace("[", "[[]")


def pattern_parts(pattern: str) -> tuple[str, ...]:
    """The names of a pattern, without empty ones and `.`; several `**` in a row are one."""
    parts: list[str] = []
    for part in pattern.split("/"):
        again = part == ANY_FOLDERS and parts[-1:] == [ANY_FOLDERS]
        if part not in ("", ".") and not again:
            parts.append(part)
    return tuple(parts)


@cache
def name_matcher(part: str) -> re.Pattern[str]:
    """What a single name has to look like."""
    hidden = "" if part.startswith((".", "[.")) else r"(?!\.)"
    return re.compile(hidden + _name_regex(part) + r"\Z", re.DOTALL)


def path_matcher(pattern: str) -> re.Pattern[str]:
    """What a path, or a folder above it, has to look like to be taken out by `pattern`; dots are not special here."""
    parts = pattern_parts(pattern)
    regex = "".join(
        "(?:[^/]+/)*" if part == ANY_FOLDERS else _name_regex(part) + ("/" if index < len(parts) - 1 else "")
        for index, part in enumerate(parts)
    )
    if parts and parts[-1] == ANY_FOLDERS:
        regex += "[^/]+"
    return re.compile(regex + r"(?:/|\Z)", re.DOTALL)


def _name_regex(part: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(part):
        char = part[at]
        end = _class_end(part, at) if char == "[" else -1
        if end > 0:
            out.append(_class_regex(part[at + 1 : end]))
            at = end
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        else:
            out.append(re.escape(char))
        at += 1
    return "".join(out)


def _class_end(part: str, at: int) -> int:
    """Where the class that opens at `at` closes; -1 if it never does, then `[` is just a bracket."""
    first = at + 2 if part[at + 1 : at + 2] == "!" else at + 1
    return part.find("]", first + 1)


def _class_regex(inside: str) -> str:
    negated = inside.startswith("!")
    chars = inside.removeprefix("!")
    out: list[str] = []
    at = 0
    while at < len(chars):
        if at + 2 < len(chars) and chars[at + 1] == "-":
            low, high = chars[at], chars[at + 2]
            # An upside-down range holds nothing.
            if low <= high:
                out.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            out.append(re.escape(chars[at]))
            at += 1
    members = "".join(out)
    if not members:
        return "[^/]" if negated else r"(?!)"
    return f"(?!/)[{'^' if negated else ''}{members}]"
