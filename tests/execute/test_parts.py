"""Half files: nobody sees one, nobody takes one for whole, and none is left behind, with and without names."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.execute import parts
from runner.execute.parts import Part, remove_leftovers
from runner.execute.seen import seen_at

KEY = "k1:0123456789abcdef"
NAMED, NAMELESS = "named", "nameless"


@pytest.fixture(params=[NAMELESS, NAMED])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways; file systems that know no nameless files are played by one that refuses them."""
    parts._can_be_named.cache_clear()
    if request.param == NAMED:
        real = os.open

        def refuse(path: str | Path, flags: int, *args: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *args)

        monkeypatch.setattr(os, "open", refuse)
    yield str(request.param)
    parts._can_be_named.cache_clear()


def _written(folder: Path, content: bytes) -> Part:
    part = Part.in_folder(folder, key=KEY, index=0)
    part.file.write(content)
    os.fsync(part.written())
    return part


def test_a_half_file_is_seen_by_nobody_and_then_whole(kind: str, tmp_path: Path) -> None:
    part = _written(tmp_path, b"all of it")
    seen = [path.name for path in tmp_path.iterdir()]

    named = part.named(tmp_path / "result.webp")
    stat = part.stat()
    part.discard()

    assert named
    assert seen == [] if kind == NAMELESS else all(name.endswith(".part") for name in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["result.webp"]
    assert (tmp_path / "result.webp").read_bytes() == b"all of it"
    found = (tmp_path / "result.webp").stat()
    assert (found.st_ino, found.st_mtime_ns, found.st_nlink) == (stat.st_ino, stat.st_mtime_ns, 1)


def test_its_rights_are_those_of_any_new_file(kind: str, tmp_path: Path) -> None:
    part = _written(tmp_path, b"")
    part.named(tmp_path / f"{kind}.webp")
    part.discard()
    (tmp_path / "any").touch()

    assert (tmp_path / f"{kind}.webp").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.usefixtures("kind")
def test_somebody_elses_file_stays(tmp_path: Path) -> None:
    place = tmp_path / "result.webp"
    place.write_bytes(b"theirs")
    part = _written(tmp_path, b"ours")

    named = part.named(place)
    part.discard()

    assert not named
    assert place.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.usefixtures("kind")
def test_it_takes_a_place_in_one_step(tmp_path: Path) -> None:
    place = tmp_path / "result.webp"
    place.write_bytes(b"before")
    part = _written(tmp_path, b"after")

    named = part.named(place, instead_of=seen_at(place))
    part.discard()

    assert named
    assert place.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.usefixtures("kind")
def test_what_cannot_take_a_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    part = _written(tmp_path, b"ours")

    with pytest.raises(OSError, match="directory"):
        part.named(tmp_path / "folder", instead_of=seen_at(tmp_path / "folder"))
    part.discard()

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.usefixtures("kind")
def test_a_discarded_one_is_gone(tmp_path: Path) -> None:
    _written(tmp_path, b"half").discard()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("kind")
def test_without_the_folder_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Part.in_folder(tmp_path / "missing", key=KEY, index=0)


def test_where_a_file_cannot_be_named_later_it_has_a_name_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some sandboxes make nameless files and refuse to name them: /proc is missing, or links out of it are."""
    parts._can_be_named.cache_clear()
    real = os.link

    def refuse(source: str | Path, *args: Any, **how: Any) -> None:
        if str(source).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        real(source, *args, **how)

    monkeypatch.setattr(os, "link", refuse)
    part = _written(tmp_path, b"all of it")
    named = part.named(tmp_path / "result.webp")
    part.discard()
    parts._can_be_named.cache_clear()

    assert named
    assert [path.name for path in tmp_path.iterdir()] == ["result.webp"]


def test_leftovers_go_and_what_somebody_writes_stays(tmp_path: Path) -> None:
    names = (".0123456789ab-0-01234567.part", ".0123456789ab-1-01234567.part", "mine.part")
    left, held, alike = (tmp_path / name for name in names)
    for path in (left, held, alike):
        path.touch()
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([held, alike])
