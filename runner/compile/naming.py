"""Names that come from a server, made safe and made ours before they become paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from runner.wire.formats import file_ending
from runner.wire.names import (
    MOST_BYTES,
    clean_name,
    fitted,
    is_ending,
    plain_name,
    unique_names,
    uploaded_name,
)
from runner.wire.values import JsonObject, as_list, as_object, as_text

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
    plain = _shortened(plain_name(name))
    return (plain.lstrip(".") if plain.endswith(".part") else plain) or fallback


def parted(name: str) -> tuple[str, str]:
    """The name of one file as its stem and its ending with the dot; a dot that it begins or ends with parts nothing."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def _shortened(name: str) -> str:
    if len(name.encode()) <= MOST_BYTES:
        return name
    stem, suffix = parted(name)
    return fitted(stem, suffix) if is_ending(suffix) else fitted(name, "")


def stem_of(entry: JsonObject) -> str:
    """What the API will name outputs of the input `entry` after, or "" where only the server or a run knows."""
    name = _name_there(entry)
    return parted(name)[0] or (NAMELESS if entry.get("type") == "upload" and _is_known(entry) else "")


def ending_of(entry: JsonObject) -> str:
    """The ending of the input `entry`, without its dot, or "" where there is none that is known."""
    return parted(_name_there(entry))[1].lstrip(".")


def _name_there(entry: JsonObject) -> str:
    """What an input is called once the API has it.

    An upload has its name in `filename`, as the payload of a run notes it; an object of a provider has one of its own.
    """
    if not _is_known(entry):
        return ""
    given = _given_name(entry)
    return uploaded_name(given) if entry.get("type") == "upload" else clean_name(given)


def _given_name(entry: JsonObject) -> str:
    return as_text(entry.get("filename")) or _object_name(entry)


def _is_known(entry: JsonObject) -> bool:
    given = _given_name(entry)
    return bool(given) and "{run." not in given


def _object_name(entry: JsonObject) -> str:
    """What an object in cloud storage is called, without its folders."""
    file = as_object(entry.get("parameters")).get("file") if entry.get("type") == "cloud" else None
    return PurePosixPath(file).name if isinstance(file, str) else ""


def bought_stem(payload: JsonObject) -> str:
    """What the outputs of a purchase are named after: its first input's name, or "" where only the server knows."""
    inputs = as_list(payload.get("input"))
    return stem_of(as_object(inputs[0])) if inputs else ""


def result_ending(conversion: JsonObject, *, source: str) -> str:
    """The ending of what `conversion` makes, without its dot; `source` is that of its first input.

    Operations name what is done, and not what comes of it: a picture that is resized stays what it is.
    """
    target = as_text(conversion.get("target")).lower()
    options = as_object(conversion.get("options"))
    if target == "thumbnail":
        return file_ending(as_text(options.get("thumbnail_target")) or "png")
    if target == "resize-image":
        own = file_ending(source)
        return file_ending(as_text(options.get("resize_target"))) or (own if own in _RESIZED else "png")
    if target == "compress":
        return source
    return file_ending(target)


# Source: the API's page on resizing pictures.
_RESIZED = frozenset({"bmp", "gif", "ico", "jpg", "png", "tga", "tiff", "webp"})


def own_name(name: str, *, bought_as: str, wanted: str) -> str:
    """`name` as this address would have got it, had it bought the work itself.

    Equal files are bought once under the name of one of them; each address still gets its own name.
    """
    if bought_as and wanted and bought_as != wanted and name.startswith(bought_as):
        return wanted + name.removeprefix(bought_as)
    return name
