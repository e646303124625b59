"""How long the sides of a picture can be in its format, as far as options alone tell. No image library is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from runner.wire.values import Json

# Those formats that hold less than what width and height may say.
LONGEST_SIDE = {"ico": 256, "webp": 16_383}


def too_long(target: str, options: Mapping[str, Json]) -> dict[str, str]:
    """By option, why the result can't be had whatever the source is; each text completes "WIDTH is ..."."""
    named = options.get("resize_target") if target == "resize-image" else target
    longest = LONGEST_SIDE.get(str(named))
    if longest is None or options.get("aspect_ratio") or options.get("resize_by") not in (None, "px"):
        return {}
    asked = {name: side for name in ("width", "height") if (side := _number(options.get(name))) is not None}
    over = {name: f"{side:g}; the maximum for {named} is {longest}" for name, side in asked.items() if side > longest}
    inside = options.get("resize_handling") in (None, "keep_aspect_ratio")
    return {} if inside and len(over) < len(asked) else over


def _number(value: Json) -> float | None:
    """As options take it: a number, or a text that holds one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
