"""Results on their way to output targets. A job completes only after every upload; one that fails, fails it.

Which file goes where is decided before anything is converted, as far as that can be known (`target_errors`);
how several results share one name is written in docs/output-targets.md.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from runner.server.engine.fair_places import FairThreads
from runner.server.jobs.lifecycle import Phase
from runner.server.jobs.output_targets import with_status
from runner.server.jobs.record import Conversion, Job, Output
from runner.server.jobs.vault import Vault
from runner.server.storage.places import place_of
from runner.server.storage.protocol import FAILED, NAME_TAKEN, Place, Site, Stopped, StorageError, Upload
from runner.server.storage.transfer import deliver
from runner.server.store.blobs import Blobs
from runner.server.store.deliveries import DeliveryLog, Parcel, Stamp
from runner.server.store.jobs import JobStore
from runner.wire.holders import object_name
from runner.wire.values import JsonObject, as_object

_NOTE_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    conversion: Conversion
    index: int
    place: Place


class Delivery:
    def __init__(
        self, site: Site, *, jobs: JobStore, log: DeliveryLog, blobs: Blobs, vault: Vault, at_once: int
    ) -> None:
        self._site = site
        self._jobs = jobs
        self._log = log
        self._blobs = blobs
        self._vault = vault
        self._threads = FairThreads(at_once, "deliver")

    async def deliver(self, job: Job, outputs: Sequence[Output]) -> list[JsonObject]:
        """Upload what has an output target, and note how each target fares; the errors, none when all is there."""
        targets = [target for target in _targets(job, self._vault) if isinstance(target, _Target)]
        stopped = threading.Event()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._deliver_to(job, one, outputs, stopped)) for one in targets]
        finally:
            stopped.set()  # canceled: whatever is on its way stops at its next chunk
        return [error for task in tasks for error in task.result()]

    async def _deliver_to(
        self, job: Job, target: _Target, outputs: Sequence[Output], stopped: threading.Event
    ) -> list[JsonObject]:
        own = [output for output in outputs if output.conversion == target.conversion.id]
        if not own:
            return []
        await self._note(job.id, target, "uploading")
        uploads = [
            self._deliver_one(job.account, place, output, _parcel(job, target, place, output), stopped)
            for place, output in _named(target.place, own)
        ]
        errors = [error for error in await asyncio.gather(*uploads) if error is not None]
        await self._note(job.id, target, "failed" if errors else "completed")
        return [_error(target.conversion, error) for error in errors]

    async def _note(self, job_id: str, target: _Target, status: str) -> None:
        await self._jobs.change(job_id, partial(_noted, target, status))

    async def _deliver_one(
        self, account: str, place: Place, output: Output, parcel: Parcel, stopped: threading.Event
    ) -> StorageError | None:
        """Written down, sent, and written down again: a kill at any moment leaves it known as our own."""
        stamp = await self._log.begin(parcel)
        note_renaming = partial(self._note_renaming, asyncio.get_running_loop(), parcel)
        error = await self._threads.run(account, partial(self._upload, place, output, stamp, stopped, note_renaming))
        if error is None:
            await self._log.finish(parcel)
        return error

    def _note_renaming(self, loop: asyncio.AbstractEventLoop, parcel: Parcel) -> None:
        """In a thread, which may outlive the server."""
        noting = self._log.note_renaming(parcel)
        try:
            noted = asyncio.run_coroutine_threadsafe(noting, loop)
        except RuntimeError:  # the loop has ended
            noting.close()
            raise Stopped from None
        try:
            noted.result(_NOTE_S)
        except (TimeoutError, concurrent.futures.CancelledError):
            raise Stopped from None

    def _upload(
        self,
        place: Place,
        output: Output,
        stamp: Stamp,
        stopped: threading.Event,
        note_renaming: Callable[[], None],
    ) -> StorageError | None:
        """In a thread."""
        upload = Upload(
            path=self._blobs.path(output.blob),
            size=output.size,
            content_type=output.content_type or "application/octet-stream",
            token=stamp.tokens[0],
            earlier=frozenset(stamp.tokens[1:]),
            was_done=stamp.done,
            was_renaming=stamp.renaming,
            before_renaming=note_renaming,
            stopped=stopped,
        )
        try:
            deliver(place, self._site, upload)
        except StorageError as error:
            return error
        except Stopped:
            return StorageError(FAILED, f"{place.name}: the upload was stopped")
        except OSError as error:
            return StorageError(FAILED, f"{place.name}: the result could not be read: {error.strerror or error}")
        return None

    async def close(self) -> None:
        """For who has canceled every `deliver`."""
        await self._threads.close()


def split_by_target(job: Job, outputs: Iterable[Output]) -> tuple[list[Output], list[Output]]:
    """Outputs that stay here, and those that an output target has: these are not shown and not kept."""
    delivered = {one.id for one in job.conversions if one.output_target}
    made = list(outputs)
    return [one for one in made if one.conversion not in delivered], [
        one for one in made if one.conversion in delivered
    ]


def target_errors(job: Job, vault: Vault) -> list[JsonObject]:
    """What is wrong with the output targets of a job, as far as that shows before anything is converted."""
    targets = list(_targets(job, vault))
    wrong = [error for error in targets if not isinstance(error, _Target)]
    return wrong or list(_doubles([one for one in targets if isinstance(one, _Target)]))


def _targets(job: Job, vault: Vault) -> Iterator[_Target | JsonObject]:
    for conversion in job.conversions:
        secrets = vault.get(job.id, conversion.id) or {}
        for index, target in enumerate(conversion.output_target):
            try:
                place = place_of(target["type"], target["parameters"], as_object(secrets.get(str(index))))
            except StorageError as error:
                yield _error(conversion, error)
            else:
                yield _Target(conversion=conversion, index=index, place=place)


def _doubles(targets: Iterable[_Target]) -> Iterator[JsonObject]:
    """Two targets of one name: the second would find the first in its way, after everything was converted."""
    seen: set[str] = set()
    for target in targets:
        place = _identity(target.place)
        if place in seen and not target.place.parameters["file"].endswith("/"):
            message = f"{target.place.name}: two output targets of this job have this name"
            yield _error(target.conversion, StorageError(NAME_TAKEN, message))
        seen.add(place)


def _identity(place: Place) -> str:
    """The same for one name at one provider in one account, whatever it is opened with."""
    account = [place.account] if place.account else []
    parameters = {**place.parameters, "file": object_name(place.provider, place.parameters["file"])}
    return json.dumps([place.provider, parameters, *account], sort_keys=True)


def _named(place: Place, outputs: Sequence[Output]) -> Iterator[tuple[Place, Output]]:
    """Where each result goes: a folder keeps their names, a name is for the first, the others get a number."""
    file = place.parameters["file"]
    for number, output in enumerate(outputs, start=1):
        own = file + output.filename if file.endswith("/") else numbered(file, number)
        name = place.name.replace(f"file '{file}'", f"file '{own}'")
        yield replace(place, name=name, parameters={**place.parameters, "file": own}), output


def numbered(file: str, number: int) -> str:
    """`a/b.pdf`, `a/b-2.pdf`, `a/b-3.pdf`, ...: what lies before the last path segment stays as it is."""
    if number == 1:
        return file
    folder, slash, name = file.rpartition("/")
    suffix = PurePosixPath(name).suffix
    return f"{folder}{slash}{name.removesuffix(suffix)}-{number}{suffix}"


def _parcel(job: Job, target: _Target, place: Place, output: Output) -> Parcel:
    return Parcel(
        job_id=job.id,
        account=job.account,
        conversion=target.conversion.id,
        target=target.index,
        place=hashlib.sha256(_identity(place).encode()).hexdigest(),
        checksum=output.checksum,
        size=output.size,
    )


def _noted(target: _Target, status: str, job: Job) -> Job:
    return with_status(job, target.conversion.id, target.index, status) if job.phase is Phase.PROCESSING else job


def _error(conversion: Conversion, error: StorageError) -> JsonObject:
    return {"source": "conversion", "id_source": conversion.id, "code": error.code, "message": error.message}
