"""The one family of errors, and the values that say where something is wrong.

    RunnerError                 exit code
      AuthenticationError       3   no key, a wrong key, or an endpoint nobody chose
      QuotaError                4   credits, a limit, a budget, rate limited to the end
      InvalidError              5   a recipe or setting is wrong, or something named doesn't exist
        InvalidInput            5   the same with places: every problem found, all at once
          InvalidSettings       5   of runner.toml
      JobsFailed                6   at least one job failed, the rest was done
      DeadlineReached           7
      UnreachableError          8   the endpoint doesn't answer
      OutputError              74   the result can't be written to standard output
      LockedError              75   another run holds the work

Anything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Literal


class ExitCode(IntEnum):
    OK = 0
    BUG = 1
    USAGE = 2
    AUTHENTICATION = 3
    QUOTA = 4
    INVALID = 5
    FAILED = 6
    DEADLINE = 7
    UNREACHABLE = 8
    CHANGES = 10
    OUTPUT = 74
    LOCKED = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


def counted(count: int, noun: str) -> str:
    """`count` and what it counts, as people say it: "1 credit", "2 credits"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class RunnerError(Exception):
    """Something a person can act on. `hint` says what to try; neither ever holds a secret."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class AuthenticationError(RunnerError):
    exit_code = ExitCode.AUTHENTICATION


class QuotaError(RunnerError):
    exit_code = ExitCode.QUOTA


class InvalidError(RunnerError):
    exit_code = ExitCode.INVALID


class JobsFailed(RunnerError):
    exit_code = ExitCode.FAILED


class DeadlineReached(RunnerError):
    exit_code = ExitCode.DEADLINE


class UnreachableError(RunnerError):
    exit_code = ExitCode.UNREACHABLE


class OutputError(RunnerError):
    exit_code = ExitCode.OUTPUT


class LockedError(RunnerError):
    exit_code = ExitCode.LOCKED


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A range of characters in a file; lines and columns count from 1, the end is exclusive."""

    file: Path
    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong at one place.

    code      stable, kebab-case, for scripts and SARIF ("unknown-key", "literal-secret")
    message   what is wrong and why, without the place
    hint      what to do now; empty where the message says it
    secret    the text at the place must not be shown in an excerpt
    """

    place: Place
    severity: Severity = "error"
    code: str
    message: str
    hint: str = ""
    secret: bool = False


class InvalidInput(InvalidError):
    """Recipes that can't be used: every problem found, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = tuple(problems)


class InvalidSettings(InvalidInput):
    """The same for `runner.toml`."""
