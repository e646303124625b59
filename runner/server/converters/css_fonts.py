"""The fonts that CSS of a drawing names: each list of families ends in a general one.

Only whole declarations are touched. What is in doubt stays as it is: comments, texts, addresses, the names that
`@font-face` defines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.server.converters.fonts import with_general_family

# What may hold a sign of the structure without meaning it, and the signs themselves.
# Source: CSS Syntax Module Level 3, section 4.3.
_TEXT = r""""[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'?"""
_COMMENT = r"/\*.*?(?:\*/|\Z)"
_ADDRESS = r"""url\((?!\s*["'])[^)\\]*+(?:\\.[^)\\]*+)*+\)?"""
_PIECE = re.compile(rf"(?is){_COMMENT}|{_TEXT}|{_ADDRESS}|\\.|[{{}};()\[\]]")

_FONT = re.compile(
    rf"""(?isx) ( (?: \s | {_COMMENT} )*+ font (?: -family )? \s* : )
    ( (?: {_TEXT} | {_COMMENT} | /(?!\*) | \\\S | [^"'/\\!] )++ )
    ( !\s*important\s* )?"""
)


def with_families(style: str) -> str:
    """`style` as an attribute holds it: declarations alone."""
    return "".join(_rewritten(style, inside=True))


def with_families_in_rules(sheet: str) -> str:
    """`sheet` as an element holds it: rules, with the declarations in braces."""
    return "".join(_rewritten(sheet, inside=False))


def _rewritten(css: str, *, inside: bool) -> Iterator[str]:
    """Piece by piece. In the block of an @-rule itself there are no declarations for elements."""
    blocks = [inside]  # whether each that is open holds such declarations
    for part, end in _parts(css):
        yield _declaration(part) if blocks[-1] and end != "{" else part
        yield end
        if end == "{":
            blocks.append(not _without_comments(part).lstrip().startswith("@"))
        elif end == "}" and len(blocks) > 1:
            blocks.pop()


def _parts(css: str) -> Iterator[tuple[str, str]]:
    """What stands between the signs that end a declaration or what comes before a block, each with that sign."""
    start = depth = 0
    for piece in _PIECE.finditer(css):
        sign = piece[0]
        if sign in ("(", "["):
            depth += 1
        elif sign in (")", "]"):
            depth = max(0, depth - 1)
        elif sign in ("{", "}", ";") and not depth:
            yield css[start : piece.start()], sign
            start = piece.end()
    yield css[start:], ""


def _declaration(part: str) -> str:
    found = _FONT.fullmatch(part)
    if not found:
        return part
    return f"{found[1]}{with_general_family(_without_comments(found[2]))}{found[3] or ''}"


def _without_comments(part: str) -> str:
    return re.sub(rf"(?s){_TEXT}|{_COMMENT}", lambda found: " " if found[0].startswith("/*") else found[0], part)
