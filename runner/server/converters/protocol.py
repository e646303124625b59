"""What a converter takes and gives; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runner.wire.values import Json

# Error codes of the API for a conversion that can't be done.
UNREADABLE = 6005  # the file lacks what is needed, or can't be read at all
TOO_LARGE = 6037  # width or height; `details.text_1` says the size


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One input file. `kind` is the short name that `sniff` gave it: "jpg", "svg", "heic"."""

    path: Path
    filename: str
    content_type: str
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Guards:
    """How large a picture may be: pixels of one picture, pictures in one file, pixels of all of them."""

    pixels: int = 178_000_000
    frames: int = 5_000
    frame_pixels: int = 356_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One conversion of `sources`. `options` are expanded: every option of the target is there.

    workdir  an empty folder for this conversion alone; products lie in it
    """

    category: str
    target: str
    options: Mapping[str, Json]
    metadata: Mapping[str, Json]
    sources: tuple[Source, ...]
    workdir: Path
    guards: Guards = field(default_factory=Guards)


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One file made. `filename` is what to call it, `sources` the indexes of what it was made from.

    warnings  what was asked for and couldn't be done, a sentence each; the file is good all the same
    """

    path: Path
    filename: str
    content_type: str
    sources: tuple[int, ...]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


# What may be said of a source: everything else in an answer is left out.
FACTS = frozenset({"width", "height", "pages", "frames"})


class ConversionError(Exception):
    """This conversion can't be done; `message` is for the person who sent the file."""

    def __init__(self, code: int, message: str, details: Mapping[str, Json] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Json] = dict(details or {})


class ContentError(ValueError):
    """Why a file can't be read, in words for the person who sent it; they complete "can't be read: ..."."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One row of the catalog.

    id              stable numeric string, never reused
    options_schema  JSON Schema of every option by name
    sources         the kinds it can be made from
    """

    id: str
    category: str
    target: str
    extension: str
    content_type: str
    options_schema: Mapping[str, Mapping[str, Json]]
    sources: frozenset[str]


class Converter(Protocol):
    """A family of conversions. Where one of `programs` is missing, its targets are absent."""

    @property
    def name(self) -> str: ...

    @property
    def targets(self) -> tuple[Target, ...]: ...

    @property
    def programs(self) -> tuple[str, ...]: ...

    def convert(self, request: Request) -> list[Product]:
        """The files made, in order. Raises ConversionError; anything else it raises is our bug."""

    def facts(self, source: Source, guards: Guards) -> Mapping[str, str]:
        """What is known of a source that was converted, by the names in FACTS, in digits."""
