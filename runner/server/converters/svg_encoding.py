"""In which encoding a drawing is written: the XML parser knows few, the standard library many."""

from __future__ import annotations

import codecs
import re

_PARSED = ("utf-8", "utf-16", "iso-8859-1", "us-ascii")  # by the parser itself
# What is written under a name is often its larger sister, which browsers take for it. Source: WHATWG Encoding.
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc-kr": "cp949", "big5": "cp950"}
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


class EncodingError(ValueError):
    """The text completes "the drawing can't be read: ..."."""


def readable(content: bytes) -> tuple[bytes, str | None]:
    """`content` as the parser can read it, and the encoding to tell it; None where it finds that by itself."""
    name = _name(content)
    if name is None or name in _PARSED:
        return content, None
    try:
        return content.decode(_LARGER.get(name, name)).lstrip("\ufeff").encode(), "utf-8"
    except UnicodeError as error:
        raise EncodingError(f"it isn't written in the encoding that it names, {name}; save it as UTF-8") from error
    except LookupError as error:
        raise EncodingError(f"the encoding that it names, {name}, is known to nobody here; save it as UTF-8") from error


def _name(content: bytes) -> str | None:
    if content.startswith(_UTF_32):
        return "utf-32"
    declared = _DECLARED.match(content)
    return declared[1].decode("ascii").lower() if declared else None
