"""Near misses: what somebody may have meant."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

_NEAR = 0.7


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is most like `word`, if any is like it at all."""
    if len(word) > 100:  # comparing is quadratic, and nobody misspells that much
        return None
    candidates = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in reversed(candidates)}
    # Nobody who makes no mistakes waits for it to load.
    found = importlib.import_module("difflib").get_close_matches(word.casefold(), folded, n=1, cutoff=_NEAR)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    near = nearest(word, known)
    return f"; did you mean '{near}'?" if near is not None else ""


def listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def shown(word: str, *, most: int = 60) -> str:
    """`word` in quotes, on one line and not longer than a message can bear."""
    short = word if len(word) <= most else word[: most - 3] + "..."
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short) + "'"
