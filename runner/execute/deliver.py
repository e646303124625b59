"""Delivery: a download becomes a file, whole or not at all, and never over anything that isn't ours."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from runner.client.digest import BLOCK_BYTES
from runner.client.transfer import Transfer
from runner.errors import InvalidError
from runner.execute.disk import is_announced, is_intact, record_of
from runner.execute.faults import DeliveryError
from runner.execute.naming import own_name, safe_name
from runner.execute.parts import open_part, remove_leftovers
from runner.plan import Job
from runner.state import DeliveredFile
from runner.wire.job import JobOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a file goes; without `replace` it never takes the place of another one."""

    path: Path
    replace: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliverer:
    """Delivers the outputs of one purchase to one address.

    bought_as  the stem that the outputs are named after
    ours       files that earlier runs delivered, by path: those that nobody changed are ours to replace
    tidied     folders where this run has removed what killed ones left half written; grows
    copies     outputs by id that lie at another address already: the API counts downloads
    most_downloads  of one output that the job allows (`limits.output.max_downloads`), None for no limit of its own
    again      paths of this address that are delivered again: what somebody made of them is kept beside,
               under a name that ends in ".changed"
    """

    transfer: Transfer
    job: Job
    bought_as: str
    run_date: str
    password: str
    ours: Callable[[str], DeliveredFile | None]
    moved: Callable[[int], None]
    tidied: set[Path]
    again: frozenset[str] = frozenset()
    copies: Mapping[str, DeliveredFile] = field(default_factory=dict)
    most_downloads: int | None = None

    async def deliver(self, output: JobOutput, *, index: int) -> DeliveredFile | None:
        """The delivered file; None where `on_conflict = "skip"` left another one in its place.

        Raises DeliveryError and the ApiErrors of a download.
        """
        path = self._path(output, index)
        try:
            found = await asyncio.to_thread(self._prepare, path, output)
            return await self._fetch(output, found, index) if isinstance(found, _Place) else found
        except OSError as error:
            raise DeliveryError(
                f"{path} can't be written: {error.strerror or error}",
                hint="the result is bought and waits on the server; run again to deliver it without buying it again",
            ) from error

    def _path(self, output: JobOutput, index: int) -> Path:
        name = safe_name(output.filename, fallback=f"output-{index + 1}")
        name = safe_name(own_name(name, bought_as=self.bought_as, wanted=self.job.stem), fallback=name)
        try:
            return self.job.save.path_for(name, index=index, run_date=self.run_date)
        except InvalidError as error:
            raise DeliveryError(str(error), hint=error.hint) from error

    def _prepare(self, path: Path, output: JobOutput) -> _Place | DeliveredFile | None:
        """Where to write, or the file that already is the output, or nothing where another one is to stay."""
        self._make_folder(path)
        return _as_announced(path, output) or self._place(path)

    def _make_folder(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        base = self.job.save.base
        if not path.parent.resolve().is_relative_to((base if base.is_dir() else base.parent).resolve()):
            raise DeliveryError(f"{path.parent} is a link that leads out of {base}", hint="remove the link")
        if path.parent not in self.tidied:
            self.tidied.add(path.parent)
            remove_leftovers(path.parent)

    def _place(self, path: Path) -> _Place | None:
        """Where to really write: `path`, a free name beside it, or nowhere."""
        if not os.path.lexists(path):
            return _Place(path=path, replace=False)
        if self._is_ours(path) or self.job.save.on_conflict == "overwrite":
            return _Place(path=path, replace=True)
        if self.job.save.on_conflict == "skip":
            return None
        if self.job.save.on_conflict == "rename":
            return _Place(path=_free_name(path), replace=False)
        if str(path) in self.again:
            aside = path.with_name(f"{path.name}.changed")
            os.link(path, aside if not os.path.lexists(aside) else _free_name(aside), follow_symlinks=False)
            return _Place(path=path, replace=True)
        raise DeliveryError(
            f"{path} is in the way, and isn't a file that an earlier run delivered and nobody changed",
            hint="move it and run again (nothing is bought again), or set save.on_conflict",
        )

    def _is_ours(self, path: Path) -> bool:
        file = self.ours(str(path))
        return file is not None and is_intact(file)

    async def _fetch(self, output: JobOutput, place: _Place, index: int) -> DeliveredFile:
        copy = self.copies.get(output.id)
        with open_part(place.path.parent, key=self.job.key, index=index) as (part, file):
            if copy is not None and await asyncio.to_thread(_copied, copy, file):
                sha256 = copy.sha256
            else:
                digests = await self.transfer.download(
                    output, file, password=self.password, progress=self.moved, most_whole=self.most_downloads
                )
                sha256 = digests.sha256
            await asyncio.to_thread(_put, part, file, place)
        return _delivered(place.path, sha256=sha256)


def _as_announced(path: Path, output: JobOutput) -> DeliveredFile | None:
    """The file at `path` where it already is the output, by size and MD5: a run was killed just after the rename."""
    announced = is_announced(path, size_bytes=output.size_bytes, checksum=output.checksum)
    return record_of(path) if announced else None


def _copied(copy: DeliveredFile, into: IO[bytes]) -> bool:
    """Whether `into`, which starts empty, holds the bytes of the delivered file now; else it is empty again."""
    hasher = hashlib.sha256()
    with suppress(OSError), Path(copy.path).open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            hasher.update(block)
            into.write(block)
        if hasher.hexdigest() == copy.sha256:
            return True
    into.seek(0)
    into.truncate()
    return False


def _delivered(path: Path, *, sha256: str) -> DeliveredFile:
    stat = path.stat()
    return DeliveredFile(
        path=str(path), size_bytes=stat.st_size, sha256=sha256, mtime_ns=stat.st_mtime_ns, inode=stat.st_ino
    )


def _put(part: Path, file: IO[bytes], place: _Place) -> None:
    """Give the finished file its name, durably."""
    file.flush()
    os.fsync(file.fileno())
    if place.replace:
        part.replace(place.path)
    else:
        _link_new(part, place.path)
    folder = os.open(place.path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link_new(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise DeliveryError(f"{path} appeared while the result was downloaded", hint="move it and run again") from error
    except OSError:  # a file system without hard links: claim the name first, then take it over
        with path.open("xb"):
            pass
        part.replace(path)


def _free_name(path: Path) -> Path:
    number = 1
    while os.path.lexists(candidate := path.with_name(f"{path.stem}-{number}{path.suffix}")):
        number += 1
    return candidate
