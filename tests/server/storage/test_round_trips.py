"""Files go to every provider and come back, whatever they are called and however big they are."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from threading import Event

import pytest

from runner.server.storage.protocol import Upload
from runner.server.storage.transfer import Fetched, deliver, fetch
from tests.server.storage.everywhere import MIB, everywhere, order, upload
from tests.server.storage.remote import Remote

NAMES = (
    "with blanks/and more.txt",
    "naïve/файл 文件.txt",
    "a+b/c+d.txt",
    "100%/%20.txt",
    "#hash?query&amp;=.txt",
    "/leading.txt",
    "deep/er/and/deeper/still.txt",
)


@everywhere
@pytest.mark.parametrize("name", NAMES)
def test_a_file_arrives_under_exactly_its_name_and_comes_back(remote: Remote, tmp_path: Path, name: str) -> None:
    content = name.encode() * 3

    deliver(remote.place(name), remote.site(), upload(tmp_path, content))
    got = fetch(remote.place(name), remote.site(), order(tmp_path))

    assert remote.get(name) == content
    assert (tmp_path / "fetched").read_bytes() == content
    assert got == Fetched(size=len(content), checksum=hashlib.md5(content, usedforsecurity=False).hexdigest())


@everywhere
def test_an_empty_file_is_a_file(remote: Remote, tmp_path: Path) -> None:
    deliver(remote.place("empty.txt"), remote.site(), upload(tmp_path, b""))

    assert remote.get("empty.txt") == b""
    assert fetch(remote.place("empty.txt"), remote.site(), order(tmp_path)).size == 0


@everywhere
def test_what_somebody_else_put_there_is_fetched(remote: Remote, tmp_path: Path) -> None:
    remote.put("theirs/x y.bin", b"theirs")

    assert fetch(remote.place("theirs/x y.bin"), remote.site(), order(tmp_path)).size == 6
    assert (tmp_path / "fetched").read_bytes() == b"theirs"


@everywhere
def test_the_content_type_is_told(remote: Remote, tmp_path: Path) -> None:
    deliver(remote.place("typed.webp"), remote.site(), upload(tmp_path, b"x", content_type="image/webp"))

    if remote.content_type is None:  # FTP knows no types
        assert remote.provider == "ftp"
    else:
        assert remote.content_type("typed.webp") == "image/webp"


@everywhere
def test_200_megabytes_go_both_ways_in_constant_memory(remote: Remote, tmp_path: Path) -> None:
    size = 200 * MIB
    path = tmp_path / "upload"
    with path.open("wb") as file:
        for number in range(200):
            file.write(random.Random(number).randbytes(MIB))
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    before_mib = _peak_mib(forgotten=True)

    big = Upload(path=path, size=size, content_type="application/octet-stream", token="big", stopped=Event())
    deliver(remote.place("big.bin"), remote.site(), big)
    got = fetch(remote.place("big.bin"), remote.site(), order(tmp_path))

    grown_mib = _peak_mib() - before_mib
    assert got == Fetched(size=size, checksum=checksum)
    assert grown_mib < 120, f"{grown_mib:.0f} MiB more"


def _peak_mib(*, forgotten: bool = False) -> float:
    """The most memory that this process ever had, or since its peak was last forgotten."""
    if forgotten:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
