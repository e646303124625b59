"""Damaged files: refused with words, or converted as far as the format lets anyone know. Never silently black."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import ConversionError, Product

Convert = Callable[..., list[Product]]
Damage = Callable[[bytes], bytes]

FORMATS: dict[str, dict[str, object]] = {
    "jpg": {"format": "JPEG", "quality": 95},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
    "tiff": {"format": "TIFF", "compression": "tiff_deflate"},
    "bmp": {"format": "BMP"},
    "avif": {"format": "AVIF"},
    "ico": {"format": "ICO", "sizes": [(64, 48)]},
}
# Deflated data ends in a checksum, and png has one more for each chunk.
CHECKSUMMED = ("png", "tiff", "ico")
TARGETS = ("webp", "pdf")


def noise(seed: int = 0) -> Image.Image:
    return Image.frombytes("RGB", (64, 48), random.Random(seed).randbytes(64 * 48 * 3))


def saved(kind: str, *, frames: int = 1) -> bytes:
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": [noise(seed) for seed in range(1, frames)]} if frames > 1 else {}
    noise().save(buffer, **FORMATS[kind], **more)  # type: ignore[arg-type]  # a table of keywords
    return buffer.getvalue()


def zeroed(content: bytes, *, share: float = 0.5, length: int = 60) -> bytes:
    start = int(len(content) * share)
    return content[:start] + bytes(length) + content[start + length :]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


DAMAGES: dict[str, Damage] = {"zeroed": zeroed, "flipped": flipped}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", CHECKSUMMED)
def test_damage_that_a_checksum_shows_is_refused(
    kind: str, damage: str, target: str, convert: Convert, tmp_path: Path
) -> None:
    source = tmp_path / "damaged"
    source.write_bytes(DAMAGES[damage](saved(kind)))

    with pytest.raises(ConversionError) as caught:
        convert(target, source)

    assert f"'damaged' looks like {kind} but can't be read" in caught.value.message


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", sorted(set(FORMATS) - set(CHECKSUMMED)))
def test_damage_that_no_checksum_shows_is_refused_or_spoils_only_some_pixels(
    kind: str, damage: str, convert: Convert, tmp_path: Path
) -> None:
    """These formats can't know: what their decoders take is converted, and what lies before the damage is right."""
    (tmp_path / "damaged").write_bytes(DAMAGES[damage](saved(kind)))

    made: list[Product] = []
    with suppress(ConversionError):
        made = convert("png", tmp_path / "damaged")

    for product in made:
        with Image.open(product.path) as picture:
            assert picture.size == (64, 48)
            assert len(picture.convert("RGB").getcolors(64 * 48) or ()) > 100  # and not one colour


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_file_is_refused(kind: str, target: str, convert: Convert, tmp_path: Path) -> None:
    content = saved(kind)
    (tmp_path / "half").write_bytes(content[: len(content) // 2])

    with pytest.raises(ConversionError, match="can't be read"):
        convert(target, tmp_path / "half")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("missing", [1, 12, 20])
def test_a_png_without_its_end_is_refused(missing: int, target: str, convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved("png")[:-missing])

    with pytest.raises(ConversionError, match="cut off"):
        convert(target, tmp_path / "a.png")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["png", "gif", "tiff"])
def test_a_damaged_picture_further_on_is_refused_too(
    kind: str, share: float, target: str, convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "several").write_bytes(zeroed(saved(kind, frames=4), share=share))

    with pytest.raises(ConversionError, match="can't be read"):
        convert(target, tmp_path / "several")


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["png", "gif", "webp", "avif", "tiff"])
def test_an_animation_that_is_cut_off_loses_no_frame_silently(
    kind: str, share: float, convert: Convert, tmp_path: Path
) -> None:
    content = saved(kind, frames=4)
    (tmp_path / "several").write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ConversionError, match="can't be read"):
        convert("webp", tmp_path / "several")


@pytest.mark.parametrize("target", TARGETS)
def test_garbage_for_pixels_under_right_checksums_is_refused(target: str, convert: Convert, tmp_path: Path) -> None:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)), (b"IDAT", b"no pixels" * 99), (b"IEND", b"")]
    written = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    (tmp_path / "a.png").write_bytes(b"".join([b"\x89PNG\r\n\x1a\n", *written]))

    with pytest.raises(ConversionError, match="can't be read"):
        convert(target, tmp_path / "a.png")


def test_doubtful_metadata_and_what_follows_the_end_are_no_reason_to_refuse_a_png(
    convert: Convert, tmp_path: Path
) -> None:
    content = saved("png")
    text = struct.pack(">I", 3) + b"tEXta\0b" + b"nope"  # with a wrong checksum
    (tmp_path / "a.png").write_bytes(content[:-12] + text + content[-12:] + b"more")

    products = [*convert("webp", tmp_path / "a.png"), *convert("pdf", tmp_path / "a.png")]

    assert len(products) == 2


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_lot_of_metadata_is_no_reason_to_refuse_a_png(name: bytes, convert: Convert, tmp_path: Path) -> None:
    content, packed = saved("png"), zlib.compress(bytes(32) + b"words " * 500_000)
    text = b"Comment\0" + (b"\1\0\0\0" if name == b"iTXt" else b"\0") + packed
    chunk = struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])

    products = [*convert("webp", tmp_path / "a.png"), *convert("pdf", tmp_path / "a.png")]

    assert len(products) == 2


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("jpg", "it is cut off."),
        ("gif", "it is cut off."),
        ("tiff", "it is cut off."),
        ("bmp", "it is cut off."),
        ("webp", "it is cut off or damaged."),
        ("jp2", "it is cut off or damaged."),
        ("avif", "it is cut off, or its content is damaged from the start."),
    ],
)
def test_a_file_that_is_cut_off_is_refused_in_words_that_need_no_library_known(
    kind: str, said: str, convert: Convert, tmp_path: Path
) -> None:
    name = {"jpg": "JPEG", "jp2": "JPEG2000"}.get(kind, kind.upper())
    noise().save(tmp_path / f"a.{kind}", format=name)
    content = (tmp_path / f"a.{kind}").read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(content[: len(content) // 2])

    with pytest.raises(ConversionError) as refused:
        convert("png", tmp_path / f"a.{kind}")

    assert refused.value.message == f"'a.{kind}' looks like {kind} but can't be read: {said}"
