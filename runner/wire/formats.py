"""What files of a target are called: the ending that the API gives to their names."""

from __future__ import annotations

_SHORTER = {"jpeg": "jpg", "tif": "tiff"}


def file_ending(target: str) -> str:
    """The ending of a result, without the dot, for the target as a conversion names it."""
    return _SHORTER.get(target.lower(), target.lower())
