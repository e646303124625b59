"""What a check found, before anybody looked up where: places cost a second parse, and most files are fine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.errors import Severity

Steps = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Characters from 1, end exclusive, as in `Place`."""

    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing wrong with a recipe.

    path      of the value, in the recipe as merged; in `file` itself where that is set
    key       the key is what is wrong, not its value
    file      the one file meant, for what merging hides (syntax, includes, duplicate keys)
    span      where the place is known already
    secret    the text there must not be shown
    """

    path: Steps = ()
    key: bool = False
    code: str
    message: str
    hint: str = ""
    severity: Severity = "error"
    secret: bool = False
    file: Path | None = None
    span: Span | None = None
