"""A file has arrived: what it is, what it is called, and the input record that says so."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

from runner.server.converters.sniff import kind_of_suffix, sniff
from runner.server.jobs.record import Input, timestamp
from runner.wire.names import clean_name


def arrived(entry: Input, path: Path, *, size: int, checksum: str, own_name: str) -> Input:
    """`entry` with what is known of its file at `path`; reads the file, so call it in a thread.

    A suggested name (`filename`) wins over the file's own, and gets its extension where it has none.
    """
    original = clean_name(own_name)
    sniffed = sniff(path, original or entry.filename)
    return replace(
        entry,
        status="ready",
        original=original,
        filename=shown_name(entry.filename, original, sniffed.kind),
        size=size,
        checksum=checksum,
        content_type=sniffed.content_type,
        kind=sniffed.kind,
        error=None,
        modified_at=timestamp(time.time()),
    )


def shown_name(suggested: str, original: str, kind: str) -> str:
    extension = PurePosixPath(original).suffix or f".{kind}"
    if not suggested:
        return original or f"file{extension}"
    claimed = kind_of_suffix(PurePosixPath(suggested).suffix)
    # "Holiday 2018.10" has no extension, "DSC_0013.JPG" has one: only the file's own counts, however it is written.
    return suggested if claimed in (kind_of_suffix(extension), kind) else suggested + extension


def renamed(entry: Input, before: Input) -> Input:
    """`entry` with an extension to the name that it was given since `before`; while its file is missing, without."""
    if entry.status != "ready" or entry.filename == before.filename:
        return entry
    return replace(entry, filename=shown_name(entry.filename, entry.original, entry.kind))


def lost(entry: Input, code: int, message: str) -> Input:
    return replace(
        entry,
        status="failed",
        error={"code": code, "message": message},
        modified_at=timestamp(time.time()),
    )
