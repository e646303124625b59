"""What a file is, from what is in it. Its name only breaks ties among kinds of plain text."""

from __future__ import annotations

import codecs
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import puremagic

from runner.server.converters.picture_headers import is_plain_tga, odd_picture_kind
from runner.wire.formats import file_ending

HEAD_BYTES = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Sniffed:
    """`kind` is a short name, usually the extension; "bin" where nobody knows."""

    kind: str
    content_type: str


# Where the bytes stand, the bytes, the kind. The first that fits wins.
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (0, b"\x00\x00\x01\x00", "ico"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"),
    (0, b"\xff\x4f\xff\x51", "jp2"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jxl"),
    (0, b"\xff\x0a", "jxl"),
    (0, b"8BPS\x00\x01", "psd"),
    (0, b"qoif", "qoi"),
    (0, b"icns", "icns"),
    (0, b"DDS ", "dds"),
    (0, b"\x01\xda", "sgi"),
    (0, b"%PDF-", "pdf"),
    (0, b"%!PS", "eps"),
    (0, b"\xc5\xd0\xd3\xc6", "eps"),
    (0, b"gimp xcf", "xcf"),
    (0, b"\x1a\x45\xdf\xa3", "mkv"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"FLV\x01", "flv"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zst"),
    (0, b"BZh", "bz2"),
    (257, b"ustar", "tar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (0, b"{\\rtf", "rtf"),
    (0, b"PAR1", "parquet"),
    (0, b"SQLite format 3\x00", "sqlite"),
    (0, b"wOFF", "woff"),
    (0, b"wOF2", "woff2"),
    (0, b"OTTO", "otf"),
    (0, b"\x00\x01\x00\x00\x00", "ttf"),
    (0, b"\x7fELF", "elf"),
)

BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"M4A ", b"M4B "), "m4a"),
    b"qt  ": "mov",
    **dict.fromkeys((b"3gp4", b"3gp5", b"3gp6"), "3gp"),
}
RIFF = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}
ZIP_MIMETYPES = {
    "application/epub+zip": "epub",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
}
ZIP_MEMBERS = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx"}
TEXT_SUFFIXES = {
    "md": "md",
    "markdown": "md",
    "rst": "rst",
    "tex": "tex",
    "xml": "xml",
    "csv": "csv",
    "tsv": "tsv",
    "html": "html",
    "htm": "html",
    "json": "json",
    "txt": "txt",
    "srt": "srt",
    "vtt": "vtt",
}

# Endings of pictures that aren't called after their kind, beside those that targets have.
PICTURE_SUFFIXES = {
    **dict.fromkeys(("jpe", "jfif"), "jpg"),
    **dict.fromkeys(("heif", "hif"), "heic"),
    **dict.fromkeys(("j2k", "jpx"), "jp2"),
    **dict.fromkeys(("pbm", "pgm", "pnm"), "ppm"),
    "apng": "png",
}

CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "avif": "image/avif",
    "heic": "image/heic",
    "ico": "image/vnd.microsoft.icon",
    "cur": "image/x-win-bitmap",
    "svg": "image/svg+xml",
    "svgz": "image/svg+xml",
    "jp2": "image/jp2",
    "jxl": "image/jxl",
    "psd": "image/vnd.adobe.photoshop",
    "qoi": "image/qoi",
    "icns": "image/icns",
    "dds": "image/vnd-ms.dds",
    "sgi": "image/sgi",
    "pcx": "image/vnd.zbrush.pcx",
    "ppm": "image/x-portable-anymap",
    "tga": "image/x-tga",
    "xcf": "image/x-xcf",
    "eps": "application/postscript",
    "pdf": "application/pdf",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "7z": "application/x-7z-compressed",
    "rar": "application/vnd.rar",
    "xz": "application/x-xz",
    "zst": "application/zstd",
    "bz2": "application/x-bzip2",
    "gz": "application/gzip",
    "tar": "application/x-tar",
    "zip": "application/zip",
    "epub": "application/epub+zip",
    "odt": "application/vnd.oasis.opendocument.text",
    "ole": "application/x-ole-storage",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "rtf": "application/rtf",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "parquet": "application/vnd.apache.parquet",
    "sqlite": "application/vnd.sqlite3",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "otf": "font/otf",
    "ttf": "font/ttf",
    "elf": "application/x-executable",
    "html": "text/html",
    "json": "application/json",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "xml": "application/xml",
    "md": "text/markdown",
    "rst": "text/x-rst",
    "tex": "text/x-tex",
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "empty": "application/x-empty",
}
UNKNOWN = "application/octet-stream"


def sniff(path: Path, filename: str) -> Sniffed:
    """What the file at `path` is. Never raises for its content; OSError where it can't be read.

    filename  as the sender called it; only asked which kind of text a text is
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - 26))
        tail = file.read(26)
    if not head:
        return Sniffed(kind="empty", content_type=CONTENT_TYPES["empty"])
    kind = _binary_kind(path, head, tail) or _text_kind(head, filename, complete=size <= HEAD_BYTES)
    if kind:
        return Sniffed(kind=kind, content_type=CONTENT_TYPES.get(kind, UNKNOWN))
    return _by_puremagic(head)


def kind_of_suffix(suffix: str) -> str:
    """The kind of file that a name with `suffix` claims to be; what is no known ending stays as it is."""
    ending = suffix.removeprefix(".").lower()
    return TEXT_SUFFIXES.get(ending) or PICTURE_SUFFIXES.get(ending) or file_ending(ending)


def _binary_kind(path: Path, head: bytes, tail: bytes) -> str | None:
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_kind(path)
    if head[:2] == b"\x1f\x8b":
        return _gzip_kind(head)
    if head[4:8] == b"ftyp":
        return _brand_kind(head)
    if head[:4] == b"RIFF":
        return RIFF.get(head[8:12])
    if kind := odd_picture_kind(head, tail):
        return kind
    known = next((kind for at, magic, kind in MAGIC if head[at : at + len(magic)] == magic), None)
    return known or ("tga" if is_plain_tga(head) else None)


def _brand_kind(head: bytes) -> str:
    length = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length, 4))]
    if brands[0] in (b"mif1", b"msf1") and b"avif" in brands:  # the general brand first, the real one behind
        return "avif"
    return BRANDS.get(brands[0]) or "mp4"


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                return ZIP_MIMETYPES.get(archive.read("mimetype").decode("ascii", "replace").strip(), "zip")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError):
        return "zip"
    if "[Content_Types].xml" in names:
        return next((kind for start, kind in ZIP_MEMBERS.items() if any(n.startswith(start) for n in names)), "zip")
    return "zip"


def _gzip_kind(head: bytes) -> str:
    try:
        begin = zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return "gz"
    return "svgz" if _text_kind(begin, "", complete=False) == "svg" else "gz"


def _text_kind(head: bytes, filename: str, *, complete: bool) -> str | None:
    text = _decoded(head, complete=complete)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n")
    if kind := _markup_kind(start):
        return kind
    if complete and start[:1] in ("{", "[") and _is_json(start):
        return "json"
    suffix = PurePosixPath(filename).suffix.lower().lstrip(".")
    return TEXT_SUFFIXES.get(suffix) or ("csv" if _is_csv(start) else "txt")


def _decoded(head: bytes, *, complete: bool) -> str | None:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return head.decode("utf-32", "replace")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", "replace")
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if complete or error.start < len(head) - 4:  # else only the last character is cut in two
            return None
        text = head[: error.start].decode("utf-8")
    return None if re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text) else text


_PROLOGUE = re.compile(r"(?s)(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[[^\]]*+\])?+\s*+>)+", re.IGNORECASE)


def _markup_kind(start: str) -> str | None:
    if not start.startswith("<"):
        return None
    prologue = _PROLOGUE.match(start)
    root = start[prologue.end() :] if prologue else start
    if re.match(r"<(?:[\w.-]+:)?svg[\s/>]", root):
        return "svg"
    if re.match(r"(?i)<(?:html|head|body|title|meta|div|p|h1|table|script)[\s/>]", root):
        return "html"
    if re.match(r"(?i)<!doctype\s+html", start):
        return "html"
    return "xml" if start.startswith("<?xml") else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_csv(text: str) -> bool:
    """At least three lines with the same number of commas, semicolons or tabs, at least one."""
    lines = [line for line in text.splitlines()[:20] if line][:-1] or text.splitlines()
    counts = [{line.count(mark) for line in lines} for mark in (",", ";", "\t")]
    return len(lines) >= 2 and any(len(count) == 1 and min(count) > 0 for count in counts)


def _by_puremagic(head: bytes) -> Sniffed:
    try:
        best = puremagic.magic_string(head)[0]
    except (puremagic.PureError, ValueError, IndexError):
        return Sniffed(kind="bin", content_type=UNKNOWN)
    kind = best.extension.lstrip(".").lower()
    return Sniffed(kind=kind or "bin", content_type=best.mime_type or CONTENT_TYPES.get(kind, UNKNOWN))
