"""The three standard streams as they really are: perhaps closed, perhaps on a full disk.

A result that can't be written is an error of one line and an exit code of its own; what can't be said on stderr is
lost, and nothing else with it. What a closed stream leaves free would otherwise be given to the next file that is
opened, a database say, and messages would go there.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import sys

from runner.errors import OutputError

_STDIN, _STDOUT, _STDERR = range(3)


def settle_streams() -> None:
    """Call once, before anything is opened. Streams that are none of the process (a test's) stay as they are."""
    for number in (_STDIN, _STDOUT, _STDERR):
        _occupy(number)
    if sys.stdout is None or _is_bare(sys.stdout):
        encoding = _spoken() if os.isatty(_STDOUT) else "utf-8"  # into files and pipes always the same bytes
        # A name that is no UTF-8 becomes an escape.
        sys.stdout = _text(_Results(_STDOUT, "wb", closefd=False), encoding=encoding, line=os.isatty(_STDOUT))
    if sys.stderr is None or _is_bare(sys.stderr):
        sys.stderr = _text(_Messages(_STDERR, "wb", closefd=False), encoding=_spoken(), line=True)


class _Results(io.FileIO):
    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type] # whatever the buffer above hands on
        except BrokenPipeError:  # whoever read our output has seen enough
            raise
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)  # what is left in buffers is lost with it
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"the result can't be written to standard output: {why}") from error


class _Messages(io.FileIO):
    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return len(memoryview(data).cast("B"))  # type: ignore[arg-type]


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        # Reading from it ends at once, writing a result fails as it would have, and messages go nowhere.
        taken = os.open(os.devnull, os.O_WRONLY if number == _STDERR else os.O_RDONLY)
        os.dup2(taken, number)
        if taken != number:
            os.close(taken)


def _is_bare(stream: object) -> bool:
    if type(stream) is not io.TextIOWrapper:
        return False
    raw: object = getattr(stream.buffer, "raw", stream.buffer)  # PYTHONUNBUFFERED leaves the buffer out
    return isinstance(raw, io.FileIO)


def _spoken() -> str:
    """What people and terminals read here: the locale's encoding, whatever mode the interpreter is in.

    A locale of ASCII alone is one that nobody chose (cron's, say).
    """
    try:
        spoken = codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "utf-8"
    return "utf-8" if spoken == "ascii" else spoken


def _text(raw: io.FileIO, *, encoding: str, line: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=line, write_through=line
    )
