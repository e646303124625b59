"""Names that come from a server, made safe and made ours before they become paths."""

from __future__ import annotations

from pathlib import PurePosixPath

from runner.wire.names import clean_name, uploaded_name
from runner.wire.values import JsonObject, as_list, as_object, as_text

MOST_BYTES = 255
NAMELESS = "file"  # what the API calls an upload of whose name nothing is left


def safe_name(name: str, *, fallback: str) -> str:
    """`name` as the name of one file: no separators, no control characters, at most 255 bytes, never empty.

    The ending is kept where the name must be shortened.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(one for one in last if one.isprintable()).strip()
    if clean in ("", ".", ".."):
        clean = fallback
    return _shortened(clean)


def _shortened(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    if len(name.encode()) <= MOST_BYTES:
        return name
    room = MOST_BYTES - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix


def stem_of(entry: JsonObject) -> str:
    """What the API will name outputs of the input `entry` after, or "" where only the server knows.

    An upload has its name in `filename`, as the payload of a run notes it.
    """
    given = as_text(entry.get("filename"))
    if not given:
        return ""
    if entry.get("type") == "upload":
        return PurePosixPath(uploaded_name(given)).stem or NAMELESS
    return PurePosixPath(clean_name(given)).stem


def bought_stem(payload: JsonObject) -> str:
    """What the outputs of a purchase are named after: its first input's name, or "" where only the server knows."""
    inputs = as_list(payload.get("input"))
    return stem_of(as_object(inputs[0])) if inputs else ""


def own_name(name: str, *, bought_as: str, wanted: str) -> str:
    """`name` as this address would have got it, had it bought the work itself.

    Equal files are bought once under the name of one of them; each address still gets its own name.
    """
    if bought_as and wanted and bought_as != wanted and name.startswith(bought_as):
        return wanted + name.removeprefix(bought_as)
    return name
