"""Pictures whose magic number is too short to be sure of, or absent: what else their headers have to say."""

from __future__ import annotations

import re


def odd_picture_kind(head: bytes, tail: bytes) -> str | None:
    """Formats whose magic number alone is too short to be sure of."""
    if head[:2] == b"BM" and len(head) >= 26 and head[14] in (12, 40, 52, 56, 64, 108, 124) and not head[15]:
        return "bmp"
    if re.match(rb"P[1-6][\s#]", head):
        return "ppm"
    if head[0] == 10 and len(head) >= 128 and head[1] in (0, 2, 3, 4, 5) and head[2] == 1 and head[3] in (1, 2, 4, 8):
        return "pcx"
    if head[:4] == b"\x00\x00\x02\x00" and _is_cursor(head):
        return "cur"
    return "tga" if tail[8:24] == b"TRUEVISION-XFILE" else None


def _is_cursor(head: bytes) -> bool:
    """A list of at least one, whose picture lies behind the list; else these may be the first bytes of a tga."""
    count = int.from_bytes(head[4:6], "little")
    return count > 0 and int.from_bytes(head[18:22], "little") >= 6 + 16 * count


def is_plain_tga(head: bytes) -> bool:
    """Of the first version, which has no magic number; its header leaves little to chance."""
    if len(head) < 18 or 0 in (head[12] | head[13], head[14] | head[15]) or head[17] & 0xC0:
        return False
    has_palette, kind, palette, depth = head[1], head[2] & ~8, head[3:8], head[16]
    if has_palette:
        return (has_palette, kind, depth) == (1, 1, 8) and palette[4] in (15, 16, 24, 32)
    return not any(palette) and ((kind == 2 and depth in (15, 16, 24, 32)) or (kind == 3 and depth in (8, 16)))
