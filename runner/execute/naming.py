"""Names that come from a server, made safe and made ours before they become paths."""

from __future__ import annotations

from pathlib import PurePosixPath

from runner.wire.values import JsonObject, as_list, as_object, as_text

MOST_BYTES = 255


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


def bought_stem(payload: JsonObject) -> str:
    """What the outputs of a purchase are named after: its first input's name, or "" where only the server knows."""
    inputs = as_list(payload.get("input"))
    first = as_object(inputs[0]) if inputs else {}
    return PurePosixPath(as_text(first.get("filename"))).stem


def own_name(name: str, *, bought_as: str, wanted: str) -> str:
    """`name` as this address would have got it, had it bought the work itself.

    Equal files are bought once under the name of one of them; each address still gets its own name.
    """
    if bought_as and wanted and bought_as != wanted and name.startswith(bought_as):
        return wanted + name.removeprefix(bought_as)
    return name
