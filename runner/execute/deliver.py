"""Delivery: a download becomes a file, whole or not at all, and never over anything that isn't ours to replace."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from runner.client.digest import BLOCK_BYTES, Hasher
from runner.client.transfer import Transfer
from runner.errors import InvalidError
from runner.execute.disk import is_announced, is_intact, kind_of, record_of
from runner.execute.faults import DeliveryError
from runner.execute.full_disks import FullDisks
from runner.execute.guard import Guard
from runner.execute.newcomers import Newcomers
from runner.execute.parts import Part, remove_leftovers
from runner.execute.seen import Seen, beside, keep_aside, seen_at
from runner.execute.syncing import Syncer
from runner.plan import Claimant, Holdings, Job
from runner.state import DeliveredFile
from runner.wire.job import JobOutput

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a file goes, and what was seen there that it may take the place of, if it is still that then.

    edited  what was seen was delivered here and changed since: it gets another name before
    """

    path: Path
    seen: Seen | None = None
    edited: bool = False


@dataclass(kw_only=True, slots=True)
class _Half:
    """A download on its way to its place; what was opened for it is closed and gone after `discard`."""

    place: _Place | None = None
    part: Part | None = None

    @property
    def begun(self) -> tuple[Part, _Place]:
        if self.part is None or self.place is None:
            raise ValueError("nothing was begun")
        return self.part, self.place

    @property
    def writable(self) -> IO[bytes]:
        return self.begun[0].file

    def discard(self) -> None:
        if self.part is not None:
            self.part.discard()
            self.part = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """What lies at the place of an output now: the output, or with `left` what `on_conflict = "skip"` left there.

    kept  the other name of what somebody had made there of the result that was delivered before
    """

    file: DeliveredFile
    left: bool = False
    kept: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliverer:
    """Delivers the outputs of one purchase to one address.

    holdings   whose results lie where; grows with every file
    guard      keeps results off what the work needs
    newcomers  what other runs put there meanwhile, None where there are none
    tidied     folders where this run has removed what killed ones left half written; grows
    full       disks that took no more; grows
    copies     outputs by their index that lie at another place already: the API counts downloads
    most_downloads  of one output that the job allows (`limits.output.max_downloads`), None for no limit of its own
    before     what was delivered to this address before, by path: where somebody changed it and it is delivered again
               in its place, theirs is kept beside, under a name that ends in ".changed"
    """

    transfer: Transfer
    syncer: Syncer
    job: Job
    run_date: str
    password: str
    holdings: Holdings
    guard: Guard
    moved: Callable[[int], None]
    tidied: set[Path]
    full: FullDisks
    before: Mapping[str, DeliveredFile] = field(default_factory=dict)
    copies: Mapping[int, DeliveredFile] = field(default_factory=dict)
    newcomers: Newcomers | None = None
    most_downloads: int | None = None

    async def deliver(self, output: JobOutput, *, index: int, name: str) -> Laid:
        """The output, called `name`. Raises DeliveryError and the ApiErrors of a download."""
        path = self._path(name, index)
        self.guard.require_harmless(path, self.job)
        try:
            laid = await self._laid(path, output, index)
        except OSError as error:
            self.full.note(path, error)
            raise DeliveryError(
                f"{path} can't be written: {error.strerror or error}",
                hint="the result is bought and waits on the server; run again to deliver it without buying it again",
            ) from error
        if not laid.left:
            self.holdings.put(laid.file, address=self.job.address, key=self.job.key)
        return laid

    def _path(self, name: str, index: int) -> Path:
        try:
            return self.job.save.path_for(name, index=index, run_date=self.run_date)
        except InvalidError as error:
            raise DeliveryError(str(error), hint=error.hint) from error

    def _make_folder(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        base = self.job.save.base
        if not path.parent.resolve().is_relative_to((base if base.is_dir() else base.parent).resolve()):
            raise DeliveryError(f"{path.parent} is a link that leads out of {base}", hint="remove the link")
        if path.parent not in self.tidied:
            self.tidied.add(path.parent)
            remove_leftovers(path.parent)

    async def _laid(self, path: Path, output: JobOutput, index: int) -> Laid:
        half = _Half()
        try:
            if not self._begun_at_once(path, index, half):
                found = await _to_its_end(partial(self._begin, path, output, index, half))
                if found is not None:
                    return found
            sha256 = await self._fetch(output, index, half.writable)
            return await self._finish(path, output, index, half, sha256)
        except BaseException:
            self.holdings.give_up(self._claimant(index))
            raise
        finally:
            half.discard()

    def _begun_at_once(self, path: Path, index: int, half: _Half) -> bool:
        """A free name in a folder that this run knows needs no thread, which would cost more than the file."""
        claimant = self._claimant(index)
        if path.parent not in self.tidied or self._whose(path, claimant) or _exists(path):
            return False
        if not self.holdings.claim(str(path), claimant):
            return False
        try:
            self._open(_Place(path=path), index, half)
        except FileNotFoundError:  # somebody removed the folder meanwhile
            return False
        return True

    def _begin(self, path: Path, output: JobOutput, index: int, half: _Half) -> Laid | None:
        """What lies there already, or None with `half` open for what shall."""
        self._make_folder(path)
        found = self._found(path, output, index)
        if isinstance(found, Laid):
            return found
        self._open(found, index, half)
        return None

    def _open(self, place: _Place, index: int, half: _Half) -> None:
        half.part = Part.in_folder(place.path.parent, key=self.job.key, index=index)
        half.place = place

    async def _finish(self, path: Path, output: JobOutput, index: int, half: _Half, sha256: str) -> Laid:
        """Durable first, and then under its name, so that a name always stands for the whole file."""
        part, place = half.begun
        await self.syncer.sync(part.written())
        while True:
            kept = _kept_aside(place)
            if part.named(place.path, instead_of=place.seen):
                break
            self.holdings.give_up(self._claimant(index))  # somebody changed what lies there meanwhile
            found = await _to_its_end(partial(self._found, path, output, index))
            if isinstance(found, Laid):
                return found
            place = found
        file = _delivered(place.path, part.stat(), sha256=sha256)
        half.discard()
        await self.syncer.sync(place.path.parent)
        return Laid(file=file, kept=kept)

    def _found(self, path: Path, output: JobOutput, index: int) -> Laid | _Place:
        """Where to write, or what stays. The place is claimed: others of this run keep off it from now on."""
        while True:
            found = self._look(path, output, self._claimant(index))
            place = found.path if isinstance(found, _Place) else Path(found.file.path)
            left = isinstance(found, Laid) and found.left
            if left or self.holdings.claim(str(place), self._claimant(index)):
                return found

    def _claimant(self, index: int) -> Claimant:
        return self.job.address, index

    def _look(self, path: Path, output: JobOutput, claimant: Claimant) -> Laid | _Place:
        """By the rules: `path` itself, a free name beside it, or what lies there already."""
        seen, whose = seen_at(path), self._whose(path, claimant)
        if not whose:
            adopted = _as_announced(path, output)
            if adopted is not None:
                return Laid(file=adopted)
            if seen is None or self._is_ours(path):
                return _Place(path=path, seen=seen)
        return self._in_the_way(path, seen, output, claimant, whose)

    def _in_the_way(
        self, path: Path, seen: Seen | None, output: JobOutput, claimant: Claimant, whose: str
    ) -> Laid | _Place:
        """`on_conflict`, for what isn't ours to replace: a stranger's file, or with `whose` another result."""
        policy = self.job.save.on_conflict
        if policy == "skip" and not self._is_of_this_job(path, claimant):
            return Laid(file=self.before.get(str(path)) or _as_left(path, output), left=True)
        if policy == "rename":
            return self._renamed(path, output, claimant)
        if whose:
            raise DeliveryError(
                f"{path} holds the result of {whose}, which stays",
                hint="put {item.name}, a column or {output.index} into save.path, or set save.on_conflict to rename; "
                "nothing is bought again",
            )
        if path.is_dir():
            raise DeliveryError(f"{path} is a folder", hint="move it and run again (nothing is bought again)")
        if newer := self.newcomers.whose(path, key=self.job.key) if self.newcomers else "":
            raise DeliveryError(
                f"{path} holds the result of {newer}, which another run has put there meanwhile",
                hint="run again: what is to be saved there is then decided with both (nothing is bought again)",
            )
        if str(path) in self.before:
            return _Place(path=path, seen=seen, edited=True)
        if policy != "overwrite":
            raise DeliveryError(
                f"{path} is in the way, and isn't a file that an earlier run delivered here and nobody changed",
                hint="move it and run again (nothing is bought again), or set save.on_conflict",
            )
        self.guard.require_dispensable(path, self.job)
        return _Place(path=path, seen=seen)

    def _renamed(self, path: Path, output: JobOutput, claimant: Claimant) -> Laid | _Place:
        """The first name beside `path` that is free or ours, or where a killed run put this very output."""
        for candidate in beside(path):
            if self._whose(candidate, claimant):
                continue
            seen = seen_at(candidate)
            adopted = _as_announced(candidate, output)
            if adopted is not None:
                return Laid(file=adopted)
            if seen is None or self._is_ours(candidate):
                return _Place(path=candidate, seen=seen)
        raise AssertionError("there is always another name")

    def _whose(self, path: Path, claimant: Claimant) -> str:
        """The addresses whose results lie at `path` or are on their way there, "" where only ours do."""
        others = self.holdings.others(str(path), address=self.job.address, key=self.job.key)
        taken = self.holdings.claims.get(str(path), claimant)
        if others or taken == claimant:
            return ", ".join(others[:3])
        return taken[0] if taken[0] != claimant[0] else f"{taken[0]}, another output of the same job"

    def _is_of_this_job(self, path: Path, claimant: Claimant) -> bool:
        """Whether another output of the same job has taken `path`: what was bought together is delivered together."""
        taken = self.holdings.claims.get(str(path), claimant)
        return taken != claimant and taken[0] == claimant[0]

    def _is_ours(self, path: Path) -> bool:
        file = self.holdings.files.get(str(path))
        return file is not None and is_intact(file)

    async def _fetch(self, output: JobOutput, index: int, file: IO[bytes]) -> str:
        """Write the output to `file`, from here where a copy is; its digest."""
        copy = self.copies.get(index)
        if copy is not None and await asyncio.to_thread(_copied, copy, output, file):
            return copy.sha256
        digests = await self.transfer.download(
            output, file, password=self.password, progress=self.moved, most_whole=self.most_downloads
        )
        return digests.sha256


def _as_announced(path: Path, output: JobOutput) -> DeliveredFile | None:
    """The file at `path` where it already is the output, by size and MD5: a run was killed just after the rename."""
    announced = is_announced(path, size_bytes=output.size_bytes, checksum=output.checksum)
    return record_of(path) if announced else None


def _kept_aside(place: _Place) -> Path | None:
    """The other name of what somebody edited; None where nothing was, or where it isn't what was seen any more."""
    if not place.edited or seen_at(place.path) != place.seen:
        return None
    with suppress(FileNotFoundError):
        return keep_aside(place.path)
    return None


def _as_left(path: Path, output: JobOutput) -> DeliveredFile:
    """What stands for an output that isn't there: should nothing lie at `path` one day, it is delivered."""
    return DeliveredFile(path=str(path), size_bytes=output.size_bytes, sha256="", mtime_ns=0, inode=0)


def _copied(copy: DeliveredFile, output: JobOutput, into: IO[bytes]) -> bool:
    """Whether `into`, which starts empty, holds the bytes of the output now; else it is empty again."""
    hasher, kind = Hasher(), kind_of(output.checksum)
    announced = hashlib.new(kind, usedforsecurity=False) if kind else None
    with suppress(OSError), Path(copy.path).open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            hasher.add(block)
            if announced is not None:
                announced.update(block)
            into.write(block)
        digests = hasher.digests()
        is_it = announced is None or announced.hexdigest() == output.checksum.lower()
        if digests.sha256 == copy.sha256 and output.size_bytes in (0, digests.size_bytes) and is_it:
            return True
    into.seek(0)
    into.truncate()
    return False


def _delivered(path: Path, stat: os.stat_result, *, sha256: str) -> DeliveredFile:
    return DeliveredFile(
        path=str(path), size_bytes=stat.st_size, sha256=sha256, mtime_ns=stat.st_mtime_ns, inode=stat.st_ino
    )


async def _to_its_end(work: Callable[[], T]) -> T:
    """In a thread; a cancellation waits for it, so that nothing is taken from under its hands."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
