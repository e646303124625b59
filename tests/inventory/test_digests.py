"""Digests: right, remembered, and never remembered wrongly."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.inventory import Digests, FileFact, digests, file_sha256, stat_file
from runner.runlog import RunLog, open_log

DAY_S = 86400.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with open_log(tmp_path / "state" / "runs.db") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


def later() -> float:
    """Long after every file was written."""
    return time.time() + DAY_S


def fact(path: Path) -> FileFact:
    found = stat_file(path.parent, path.name, root=path.parent)
    assert isinstance(found, FileFact)
    return found


def digest(log: RunLog, *paths: Path, now: Callable[[], float] = later) -> Digests:
    return asyncio.run(digests([fact(path) for path in paths], log, now=now, jobs=4))


def rewrite_unseen(path: Path, content: bytes) -> None:
    """Change a file so that a stat shows nothing, to tell reading from remembering."""
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 7])
def test_both_digests_are_those_of_the_whole_content(log: RunLog, folder: Path, size: int) -> None:
    content = os.urandom(size)
    path = folder / "a"
    path.write_bytes(content)

    found = digest(log, path).found[str(path)]

    assert found.sha256 == hashlib.sha256(content).hexdigest() == file_sha256(path)
    assert found.md5 == hashlib.md5(content).hexdigest()
    assert found.size == size


def test_an_unchanged_file_is_not_read_again(log: RunLog, folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    before = digest(log, path)

    rewrite_unseen(path, b"new")

    assert digest(log, path) == before


def test_digests_are_remembered_across_runs(tmp_path: Path, folder: Path) -> None:
    path = folder / "-a\n ü"
    path.write_bytes(b"old")
    with open_log(tmp_path / "runs.db") as log:
        before = digest(log, path)
    rewrite_unseen(path, b"new")

    with open_log(tmp_path / "runs.db") as log:
        assert digest(log, path) == before


@pytest.mark.parametrize("changed", ["size", "time", "inode"])
def test_a_file_whose_stat_changed_is_read_again(log: RunLog, folder: Path, changed: str) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    digest(log, path)

    if changed == "size":
        rewrite_unseen(path, b"longer")
    elif changed == "time":
        path.write_bytes(b"new")
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    else:
        other = folder / "b"
        other.write_bytes(b"new")
        os.utime(other, ns=(0, path.stat().st_mtime_ns))
        other.rename(path)

    assert digest(log, path).found[str(path)].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("age_s", [-5.0, 0.0, 1.9])
def test_a_file_modified_right_before_it_was_read_is_read_again(log: RunLog, folder: Path, age_s: float) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    modified = path.stat().st_mtime
    digest(log, path, now=lambda: modified + age_s)

    rewrite_unseen(path, b"new")

    assert digest(log, path).found[str(path)].sha256 == hashlib.sha256(b"new").hexdigest()


def test_a_file_that_was_edited_and_got_its_time_back_is_read_again(log: RunLog, folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    os.utime(path, ns=(0, 0))
    made_ns = path.stat().st_ctime_ns
    first = digest(log, path, now=lambda: made_ns / 1e9 + 2.001)

    while path.stat().st_ctime_ns < made_ns + 5_000_000:
        rewrite_unseen(path, b"new")

    assert first.found[str(path)].sha256 == hashlib.sha256(b"old").hexdigest()
    assert digest(log, path).found[str(path)].sha256 == hashlib.sha256(b"new").hexdigest()


def test_a_digest_that_is_forgotten_is_made_again(log: RunLog, folder: Path) -> None:
    paths = [folder / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(b"old")
    digest(log, *paths)
    for path in paths:
        rewrite_unseen(path, b"new")

    asyncio.run(log.forget([str(paths[0])]))

    found = digest(log, *paths).found
    assert [found[str(path)].sha256 for path in paths] == [hashlib.sha256(one).hexdigest() for one in (b"new", b"old")]


def test_a_file_that_is_gone_or_became_something_else_stops_no_other(log: RunLog, folder: Path) -> None:
    paths = [folder / name for name in ("fine", "gone", "pipe", "folder")]
    for path in paths:
        path.write_bytes(b"x")
    facts = [fact(path) for path in paths]
    for path in paths[1:]:
        path.unlink()
    os.mkfifo(paths[2])
    paths[3].mkdir()

    found = asyncio.run(digests(facts, log, now=later, jobs=1))

    assert set(found.found) == {str(paths[0])}
    assert [found.problems[str(path)].code for path in paths[1:]] == ["unreadable-file", "not-a-file", "not-a-file"]


def test_a_file_nobody_may_read_is_a_problem(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys, tempfile\n"
        "from pathlib import Path\n"
        "from runner.inventory import digests, stat_file\n"
        "from runner.runlog import memory_log\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "with tempfile.TemporaryDirectory() as name:\n"
        "    path = Path(name, 'a'); path.write_bytes(b'x'); path.chmod(0)\n"
        "    with memory_log() as log:\n"
        "        fact = stat_file(path.parent, 'a', root=path.parent)\n"
        "        print(asyncio.run(digests([fact], log, now=lambda: 0.0, jobs=1)).problems[str(path)].message)\n"
    )

    out = subprocess.run([sys.executable, "-c", script], cwd="/", check=True, capture_output=True, text=True)

    assert out.stdout == "'a' can't be read: Permission denied\n"


def test_more_files_than_one_batch_are_all_read_and_remembered(log: RunLog, folder: Path) -> None:
    paths = [folder / str(number) for number in range(1100)]
    for path in paths:
        path.write_text(path.name, encoding="utf-8")

    found = digest(log, *paths).found

    assert {path: each.sha256 for path, each in found.items()} == {str(path): file_sha256(path) for path in paths}
    assert len(log.recall([str(path) for path in paths])) == 1100


def test_what_was_read_before_a_deadline_is_remembered(log: RunLog, folder: Path) -> None:
    paths = [folder / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)
    calls = itertools.count(1)

    def now() -> float:
        time.sleep(1.0 if next(calls) == 3 else 0.0)
        return later()

    async def cut_off() -> None:
        async with asyncio.timeout(0.5):
            await digests([fact(path) for path in paths], log, now=now, jobs=1)

    with pytest.raises(TimeoutError):
        asyncio.run(cut_off())

    assert set(log.recall([str(path) for path in paths])) == {str(path) for path in paths[:2]}
