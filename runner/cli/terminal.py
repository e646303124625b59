"""What kind of reader is at the other end: a person at a terminal, or a file, a pipe, cron."""

from __future__ import annotations

import os
import sys
from typing import IO


def is_terminal(stream: IO[str]) -> bool:
    return stream.isatty()


def wants_color(stream: IO[str]) -> bool:
    """Colours on a terminal, unless NO_COLOR or a dumb terminal says otherwise; FORCE_COLOR always.

    Source: https://no-color.org
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def talks(*, quiet: bool, verbose: bool) -> bool:
    """Whether to say more than what is wrong: on a terminal unless --quiet, elsewhere only with -v."""
    return verbose or (is_terminal(sys.stderr) and not quiet)
