"""Names that come from a server, made safe and made ours before they become paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from runner.wire.names import clean_name, plain_name, unique_names, uploaded_name
from runner.wire.values import JsonObject, as_list, as_object, as_text

MOST_BYTES = 255
NAMELESS = "file"  # what the API calls an upload of whose name nothing is left


def names_of(outputs: Iterable[str], *, bought_as: str, wanted: str) -> list[str]:
    """What the outputs of one purchase, as the server names them, are called at one address: each its own way.

    bought_as  what the purchase is named after
    wanted     what this address would have it named after
    """
    return unique_names(_name_of(name, index, bought_as, wanted) for index, name in enumerate(outputs))


def _name_of(name: str, index: int, bought_as: str, wanted: str) -> str:
    safe = safe_name(name, fallback=f"output-{index + 1}")
    return safe_name(own_name(safe, bought_as=bought_as, wanted=wanted), fallback=safe)


def safe_name(name: str, *, fallback: str) -> str:
    """`name` as the name of one file: no separators, no control characters, at most 255 bytes, never empty.

    The ending is kept where the name must be shortened. None is hidden and ends in ".part": such are half files,
    which are removed when nobody writes them any more.
    """
    plain = plain_name(name)
    return _shortened((plain.lstrip(".") if plain.endswith(".part") else plain) or fallback)


def parted(name: str) -> tuple[str, str]:
    """The name of one file as its stem and its ending with the dot; a dot that it begins or ends with parts nothing."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def _shortened(name: str) -> str:
    if len(name.encode()) <= MOST_BYTES:
        return name
    _, suffix = parted(name)
    room = MOST_BYTES - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix


def stem_of(entry: JsonObject) -> str:
    """What the API will name outputs of the input `entry` after, or "" where only the server or a run knows.

    An upload has its name in `filename`, as the payload of a run notes it; an object of a provider has one of its own.
    """
    given = as_text(entry.get("filename")) or _object_name(entry)
    if not given or "{run." in given:
        return ""
    if entry.get("type") == "upload":
        return parted(uploaded_name(given))[0] or NAMELESS
    return parted(clean_name(given))[0]


def _object_name(entry: JsonObject) -> str:
    """What an object in cloud storage is called, without its folders."""
    file = as_object(entry.get("parameters")).get("file") if entry.get("type") == "cloud" else None
    return PurePosixPath(file).name if isinstance(file, str) else ""


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
