"""EXIF and place into a tiff that is already written.

Pillow can't write them together with compression, so they are appended: the directories of EXIF and GPS,
then the first directory of the file again with two more entries. Nothing that stands there moves.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from PIL import TiffImagePlugin

from runner.server.converters.image_exif import EXIF_TAG, GPS_TAG, unpacked

INTEROPERABILITY_TAG = 40965
_LONG = 4
_ENTRY_BYTES = 12


def append_exif(path: Path, exif: bytes) -> None:
    """Give the first picture of the tiff at `path` the EXIF and GPS directories of `exif`."""
    tags = unpacked(exif)
    directories = {tag: directory for tag in (EXIF_TAG, GPS_TAG) if (directory := dict(tags.get_ifd(tag)))}
    if directories:
        with path.open("r+b") as file:
            _append(file, directories)


def _append(file: BinaryIO, directories: dict[int, dict[int, object]]) -> None:
    order = {b"II": "<", b"MM": ">"}[file.read(2)]
    file.seek(4)
    (first,) = struct.unpack(f"{order}I", file.read(4))
    entries, following = _read_directory(file, first, order)
    for tag, values in directories.items():
        place = _end(file)
        file.write(_packed(tag, values, order, place))
        entries = [entry for entry in entries if struct.unpack(f"{order}H", entry[:2])[0] != tag]
        entries.append(struct.pack(f"{order}HHII", tag, _LONG, 1, place))
    entries.sort(key=lambda entry: struct.unpack(f"{order}H", entry[:2])[0])
    place = _end(file)
    file.write(struct.pack(f"{order}H", len(entries)) + b"".join(entries) + following)
    file.seek(4)
    file.write(struct.pack(f"{order}I", place))


def _read_directory(file: BinaryIO, place: int, order: str) -> tuple[list[bytes], bytes]:
    file.seek(place)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    return [file.read(_ENTRY_BYTES) for _ in range(count)], file.read(4)


def _packed(tag: int, values: dict[int, object], order: str, place: int) -> bytes:
    prefix = b"II" if order == "<" else b"MM"
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=prefix, group=tag)
    for name, value in values.items():
        if name != INTEROPERABILITY_TAG:  # points at a place in the old file
            directory[name] = value
    return directory.tobytes(place)


def _end(file: BinaryIO) -> int:
    """The end of the file, on an even place as directories have to be."""
    place = file.seek(0, 2)
    if place % 2:
        file.write(b"\0")
    return place + place % 2
