"""What the `metadata` of a conversion asks for: what a file says is removed, texts are written into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runner.server.converters.image_targets import with_article
from runner.wire.values import Json

# What a result can say, by its format; what isn't here can say nothing.
EXIF_TEXTS = ("title", "author", "subject", "keywords", "description", "comment", "copyright")
PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("jpg", "png", "webp", "tiff", "avif"), EXIF_TEXTS),
    "pdf": ("title", "author", "subject", "keywords"),
}
_NO = ("", "none", "false", "0", "no", "off", "[]", "{}")
_MOST_TOLD = 20
_MOST_SHOWN = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """
    clears   whether all that the source says of itself is left out
    texts    what to say instead or besides, by the names in EXIF_TEXTS
    unknown  other names that were given
    """

    clears: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def wishes_of(metadata: Mapping[str, Json]) -> Wishes:
    """Reads the `metadata` of a conversion; an empty value counts as not given."""
    given = {name: value for name, value in metadata.items() if name != "clear_all" and value not in (None, "", [], {})}
    texts = {name: text for name in EXIF_TEXTS if (text := _text(given.get(name)))}
    return Wishes(
        clears=str(metadata.get("clear_all", "")).lower() not in _NO,  # in doubt nothing is given away
        texts=texts,
        unknown=tuple(name for name in given if name not in texts),
    )


def _text(value: Json) -> str:
    """A text, a number or a list of them; everything else is none. EXIF ends a text at a NUL, so none is kept."""
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _text(one) if not isinstance(one, list) else ""))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).replace("\0", "").strip()
    return ""


def unheld(wishes: Wishes, target: str) -> tuple[str, ...]:
    """Warnings of what a result in the format `target` can't say."""
    held = PLACES.get(target, ())
    without_place = [name for name in wishes.texts if name not in held]
    warnings = []
    if without_place:
        warnings.append(
            f"{with_article(target).capitalize()} has no place for {_listed(without_place)}; the result is without."
        )
    if wishes.unknown:
        known = _listed(["clear_all", *EXIF_TEXTS])
        warnings.append(f"Metadata can be {known}; {_listed(map(repr, wishes.unknown))} can't be written.")
    return tuple(warnings)


def _listed(names: Iterable[str]) -> str:
    first, *more = [name[:_MOST_SHOWN] for name in names][:_MOST_TOLD]
    return f"{', '.join([first, *more[:-1]])} and {more[-1]}" if more else first
